#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import Synchronization

/// An exclusive `flock` on a file of its own, held until released.
///
/// Not on the database itself: SQLite's POSIX locks there vanish when the process closes the file
/// by any other way (trace A7). The lock file stays behind; removing it would let two processes
/// hold a lock on two files of one name.
package final class LockFile: Sendable {
    private let descriptor: Mutex<CInt?>

    /// Why the lock was not got.
    package enum Refusal: Error, Equatable {
        /// Somebody else has it; the process id is what the file says, nil while it says nothing.
        case held(by: String?)
        /// The file can't be opened or locked: the C library's `errno`.
        case failed(CInt)
    }

    /// Takes the lock at once or not at all, and writes this process's id into the file.
    package init(_ path: String) throws(Refusal) {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .failed(errno) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            let holder = Self.holder(file)
            close(file)
            throw code == EWOULDBLOCK ? .held(by: holder) : .failed(code)
        }
        descriptor = Mutex(file)
        // Only a courtesy to the next one's error message: the lock holds without it.
        let text = Array("\(getpid())\n".utf8)
        if ftruncate(file, 0) == 0 { _ = pwrite(file, text, text.count, 0) }
    }

    deinit { release() }

    /// Gives the lock back; safe to repeat.
    package func release() {
        descriptor.withLock { file in
            guard let open = file else { return }
            // A child of a fork that has not yet begun its program has the descriptor as well, and
            // would hold the lock for that moment.
            flock(open, LOCK_UN)
            close(open)
            file = nil
        }
    }

    private static func holder(_ file: CInt) -> String? {
        var bytes = [UInt8](repeating: 0, count: 20)
        let count = pread(file, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        let digits = bytes[..<count].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        return digits.isEmpty ? nil : String(decoding: digits, as: UTF8.self)
    }
}
