import CLinux
import Foundation

/// How the C library deals with memory that is given back.
enum MemoryAllocator {
    /// Keeps some of it for the next turn, message or file, instead of handing it to the system.
    ///
    /// glibc begins with returning the end of a heap as soon as 128 KiB of it are free, and maps
    /// blocks of that size one by one; a turn's tables and a batch of messages are larger, and the
    /// kernel clears their pages anew each time. Then it raises both limits by the largest block
    /// that it sees, and each thread may keep 64 MiB. These are between; blocks from 1 MiB on are
    /// mapped. Whoever sets glibc's own variables decides instead.
    static func keep() {
        let environment = ProcessInfo.processInfo.environment.keys
        guard !environment.contains(where: { $0.hasPrefix("MALLOC_") || $0 == "GLIBC_TUNABLES" })
        else { return }
        // A value that glibc refuses leaves its default, which is slower and nothing else.
        _ = mallopt(M_MMAP_THRESHOLD, 1 << 20)
        _ = mallopt(M_TRIM_THRESHOLD, 4 << 20)
    }
}
