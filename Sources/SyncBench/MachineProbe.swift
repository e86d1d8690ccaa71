import Foundation
import Glibc

/// How fast disk and processor are at one moment.
///
/// Taken before and after every pair: machines change their speed, and a pair during which they
/// did compares nothing.
struct MachineProbe: Sendable {
    /// How many times one probe may be the other before the pair counts as unsteady.
    static let factorMax = 1.5
    private static let writes = 64
    private static let loops = 5

    /// Median time of a write of 4 KiB with fdatasync.
    let disk: Double
    /// Median time of a fixed loop.
    let processor: Double

    /// Measures in a folder, on a thread of its own.
    static func take(in folder: String) async throws -> MachineProbe {
        try await Blocking.run { Result { try measure(in: folder) } }.get()
    }

    /// Whether the machine was about as fast in both probes.
    func isSteady(to other: MachineProbe) -> Bool {
        Self.isClose(disk, other.disk) && Self.isClose(processor, other.processor)
    }

    /// Both times, for people.
    var text: String {
        String(format: "fdatasync %.3f ms, loop %.3f ms", disk * 1_000, processor * 1_000)
    }

    private static func isClose(_ one: Double, _ other: Double) -> Bool {
        max(one, other) <= factorMax * min(one, other)
    }

    private static func measure(in folder: String) throws -> MachineProbe {
        // What the pair left to be written is not the disk's speed.
        sync()
        let file = folder + "/probe"
        let log = try SyncedFile(file)
        defer { unlink(file) }
        let block = [UInt8](repeating: 7, count: 4_096)
        var writes: [Double] = []
        for _ in 0..<Self.writes {
            let start = ContinuousClock.now
            try block.withUnsafeBytes { try log.append($0) }
            try log.commit()
            writes.append((ContinuousClock.now - start).seconds)
        }
        let loops = try (0..<Self.loops).map { _ in try loop() }
        return MachineProbe(disk: Spread(writes).median, processor: Spread(loops).median)
    }

    /// A fixed number of steps of a generator (Marsaglia's xorshift), which no compiler can skip.
    private static func loop() throws -> Double {
        let start = ContinuousClock.now
        var word: UInt64 = 88_172_645_463_325_252
        for _ in 0..<10_000_000 {
            word ^= word << 13
            word ^= word >> 7
            word ^= word << 17
        }
        guard word != 0 else { throw BenchError("the probe's generator stopped; report this") }
        return (ContinuousClock.now - start).seconds
    }
}

/// A file that is only appended to and made durable; closed when nobody holds it.
final class SyncedFile {
    private let path: String
    private let descriptor: Int32

    /// Makes the file anew.
    init(_ path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.failure("open", path) }
    }

    deinit { close(descriptor) }

    /// Writes all bytes to the end.
    func append(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let count = Glibc.write(descriptor, part.baseAddress, part.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure("write", path) }
            rest = rest.dropFirst(count)
        }
    }

    /// Makes what was appended durable.
    func commit() throws {
        guard fdatasync(descriptor) == 0 else { throw Self.failure("fdatasync", path) }
    }

    private static func failure(_ task: String, _ path: String) -> BenchError {
        BenchError(
            "could not \(task) \(path): \(String(cString: strerror(errno))); give --folder a "
                + "place with room that can be written.")
    }
}
