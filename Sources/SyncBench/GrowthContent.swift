import Glibc
import SyncCore
import SyncStore

/// How many bytes a second become visible, with contents from 1 KiB to 16 MiB.
struct GrowthContentWorkload: Workload {
    let name = "growth content"
    let size: WorkloadSize
    var pairsStandard: Int { 1 }

    private static let sizes = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384].map { $0 << 10 }
    /// Bytes that are pushed of each size, where that is neither few nor very many edits.
    private static let bytesWanted = 128 << 20

    var setup: String {
        "8 to 20,000 distinct files of each size, \(Self.bytesWanted >> 20) MiB where that is "
            + "between, from the first push to the last file, \(size.workers) workers; limit: the "
            + "slowest of what must be done with the same bytes: append to a log with fdatasync "
            + "every 4 MiB, read it, write a store likewise and the files, one after the other; "
            + "then beside the SQLite store alone, one process, batches of 4 MiB"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        var pair = Pair()
        for bytes in Self.sizes {
            let count = min(max(Self.bytesWanted / bytes, 8), 20_000)
            BenchOutput.progress("\(name): \(count) files of \(bytes >> 10) KiB")
            let limit = try await CopyLimit.measure(in: folder, count: count, bytes: bytes)
            let speed = try await Pool.with(in: folder, isKept: false) {
                try await visible(count, bytes, in: $0)
            }
            pair.add(
                "visible, \(bytes >> 10) KiB a file", speed, "MB/s", limit: limit,
                ratioMin: bytes == 16 << 20 ? 0.5 : nil)
            let store = try await CopyLimit.store(in: folder, count: count, bytes: bytes)
            pair.add(
                "beside the store alone, \(bytes >> 10) KiB", speed, "MB/s", limit: store)
        }
        return pair
    }

    /// Megabytes a second, from the first push to the last file.
    private func visible(_ count: Int, _ bytes: Int, in pool: Pool) async throws -> Double {
        let pusher = try await pool.startWarm(size.workers)
        // Made before: making them takes about as long as sending them.
        let contents = (0..<4).map { BenchEdits.content($0, bytes: bytes) }
        let batch = min(max((4 << 20) / bytes, 1), 256)
        let run = Pusher.Run(
            count: count, batch: batch, window: max(min((32 << 20) / bytes, 4_000), batch)
        ) { BenchEdits.put(BenchEdits.distinctPath($0), contents[$0 % contents.count]) }
        let start = ContinuousClock.now
        try await pusher.push(run)
        try await pool.flush("bench")
        return Double(count * bytes) / 1e6 / (ContinuousClock.now - start).seconds
    }
}

/// What moving bytes must cost: a log, its reading, a store and the files.
enum CopyLimit {
    /// Bytes between two fdatasyncs, as in a full turn.
    private static let groupBytes = 4 << 20

    /// Megabytes a second of the slowest part.
    static func measure(in parent: BenchFolder, count: Int, bytes: Int) async throws -> Double {
        let folder = try BenchFolder(in: parent.path)
        defer { folder.remove() }
        let path = folder.path
        let seconds = try await Blocking.run {
            Result { try slowest(in: path, count: count, bytes: bytes) }
        }.get()
        return Double(count * bytes) / 1e6 / seconds
    }

    /// Megabytes a second that go into a store of one process.
    static func store(in parent: BenchFolder, count: Int, bytes: Int) async throws -> Double {
        let folder = try BenchFolder(in: parent.path)
        defer { folder.remove() }
        let store = try await SQLiteStore(file: folder.store)
        let content = BenchEdits.content(0, bytes: bytes)
        let edits = try (0..<count).map {
            try BareDrain.edit(BenchEdits.distinctPath($0), content, sequence: $0 + 1)
        }
        let batch = min(max(groupBytes / bytes, 1), BareDrain.batch)
        let start = ContinuousClock.now
        for first in stride(from: 0, to: count, by: batch) {
            _ = try await store.apply(Array(edits[first..<min(first + batch, count)]))
        }
        let seconds = (ContinuousClock.now - start).seconds
        await store.close()
        return Double(count * bytes) / 1e6 / seconds
    }

    /// Seconds of the slowest part.
    private static func slowest(in folder: String, count: Int, bytes: Int) throws -> Double {
        let content = BenchEdits.content(0, bytes: bytes)
        let log = folder + "/copy.log"
        let logged = try append(content, count: count, to: log)
        let read = try SequentialRead.measure([log]).seconds
        let stored = try append(content, count: count, to: folder + "/copy.store")
        let files = try BareFiles(in: folder + "/copy")
        let start = ContinuousClock.now
        for place in 0..<count { try files.write(BenchEdits.distinctPath(place), content) }
        let written = (ContinuousClock.now - start).seconds
        return max(logged, read, stored + written)
    }

    /// Seconds to append a content so many times, durable in groups.
    private static func append(_ content: Content, count: Int, to path: String) throws -> Double {
        let file = try SyncedFile(path)
        let block = content.bytes
        var pending = 0
        let start = ContinuousClock.now
        for _ in 0..<count {
            try block.withUnsafeBytes { try file.append($0) }
            pending += block.count
            if pending < groupBytes { continue }
            try file.commit()
            pending = 0
        }
        try file.commit()
        return (ContinuousClock.now - start).seconds
    }
}

/// Reads files from their beginnings to their ends; on a thread that may be blocked.
enum SequentialRead {
    /// What was read, and how long it took.
    struct Taken: Sendable {
        let bytes: Int
        let seconds: Double
    }

    /// Reads all of them; files that are missing are left out.
    static func measure(_ paths: [String]) throws -> Taken {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 8)
        defer { buffer.deallocate() }
        var bytes = 0
        let start = ContinuousClock.now
        for path in paths {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else {
                if errno == ENOENT { continue }
                throw failure("open", path)
            }
            defer { close(descriptor) }
            var count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            while count > 0 {
                bytes += count
                count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            }
            guard count == 0 else { throw failure("read", path) }
        }
        return Taken(bytes: bytes, seconds: (ContinuousClock.now - start).seconds)
    }

    private static func failure(_ task: String, _ path: String) -> BenchError {
        BenchError(
            "could not \(task) \(path): \(String(cString: strerror(errno))); look at the disk of "
                + "--folder.")
    }
}
