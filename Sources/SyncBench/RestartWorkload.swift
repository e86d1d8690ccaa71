import Foundation
import Glibc
import SyncCore

/// Coordinator and workers are killed amid many dirty files: how long until files are written
/// again.
struct RestartWorkload: Workload {
    let name = "restart"
    let size: WorkloadSize
    var pairsStandard: Int { 1 }

    var setup: String {
        "\(size.edits) edits of \(size.edits) files, \(size.bytes) bytes each, pushed to "
            + "\(size.workers) workers that take one file at a time; then coordinator and workers "
            + "are killed, and other workers and a coordinator started; limit: a plain read of the "
            + "journal's files"
    }

    /// Seconds in which files must be written again: what the killed workers may still hold on to
    /// must run out, and the journal be read meanwhile.
    private static var secondsMax: Double {
        let settings = CoordinatorSettings()
        return (settings.lease + settings.margin + .seconds(1)).seconds
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        try await Pool.with(in: folder) { try await measure($0) }
    }

    private func measure(_ pool: Pool) async throws -> Pair {
        var pair = Pair()
        let dirty = try await fill(pool)
        await pool.crash()
        let files = [pool.folder.journal, pool.folder.journal + "-wal"]
        let read = try await Blocking.run { Result { try SequentialRead.measure(files) } }.get()
        let arrival = try FirstArrival(in: pool.folder.sandboxes + "/bench")
        try await pool.startWorkers(size.workers)
        let start = ContinuousClock.now
        async let seen = Blocking.run { Result { try arrival.wait(atMost: .seconds(120)) } }
        try await pool.startCoordinator()
        let answered = ContinuousClock.now - start
        let watch = UsageWatch(await pool.processes)
        let visible = try await seen.get() - start
        pair.add(
            "first file after", visible.seconds, "s", limit: read.seconds,
            valueMax: Self.secondsMax)
        pair.add("first answer after", answered.seconds, "s", limit: read.seconds)
        pair.add("dirty files", Double(dirty), "files")
        pair.add("journal", Double(read.bytes) / 1e6, "MB")
        pair.processes = watch.figures
        return pair
    }

    /// Pushes the edits and tells how many files are dirty then.
    private func fill(_ pool: Pool) async throws -> Int {
        let bytes = size.bytes
        // As slow as can be, so that nearly all files are dirty, and yet with files in hand. All in
        // one folder, which is watched later.
        let pusher = try await pool.startWarm(size.workers, ["--capacity", "1"])
        try await pusher.push(
            Pusher.Run(count: size.edits, batch: 256, window: 4_000) {
                BenchEdits.put("f\($0)", place: $0, bytes: bytes)
            })
        return try await pool.queue().counts.pending
    }
}

/// Tells when the first file is renamed into a directory.
final class FirstArrival: Sendable {
    private let directory: String
    private let descriptor: Int32

    /// Watches from now on; the directory must exist.
    init(in directory: String) throws {
        self.directory = directory
        descriptor = inotify_init1(Int32(IN_CLOEXEC))
        guard descriptor >= 0,
            inotify_add_watch(descriptor, directory, UInt32(IN_MOVED_TO)) >= 0
        else {
            throw BenchError("\(directory) can't be watched: \(String(cString: strerror(errno)))")
        }
    }

    deinit { close(descriptor) }

    /// Waits for it; on a thread that may be blocked.
    func wait(atMost patience: Duration) throws -> ContinuousClock.Instant {
        let end = ContinuousClock.now + patience
        while ContinuousClock.now < end {
            var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&item, 1, 200) > 0 { return .now }
        }
        throw BenchError("no file came into \(directory) within \(patience)")
    }
}
