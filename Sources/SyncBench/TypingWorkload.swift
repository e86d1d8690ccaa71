import SyncCore
import SyncStore

/// Many edits of few files: what is accepted a second, and how few of them are synced.
struct TypingWorkload: Workload {
    let name = "typing"
    let size: WorkloadSize
    private static let files = 200
    private static let window = 256

    var setup: String {
        "\(size.edits) edits over \(Self.files) files by Zipf's law, \(size.bytes) bytes each, one "
            + "a message, \(Self.window) unanswered, \(size.workers) workers; limit: as many "
            + "messages of the same frames and as many unanswered, answered by a process that "
            + "does nothing else"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        let files = BenchEdits.zipf(size.edits, over: Self.files)
        let limit = try await MessageLimit.measure(
            in: folder,
            MessageLimit.Shape(
                messages: size.edits, records: 1, bytes: size.bytes, window: Self.window))
        return try await Pool.with(in: folder) { try await measure($0, files, limit: limit) }
    }

    private func measure(_ pool: Pool, _ files: [Int], limit: Double) async throws -> Pair {
        var pair = Pair()
        let (edits, bytes) = (size.edits, size.bytes)
        try await pool.startCoordinator()
        try await pool.startWorkers(size.workers)
        let pusher = try await pool.pusher("bench")
        try await OpenLoop.prepare("bench", files: Self.files, bytes: bytes, in: pool, pusher)
        let versionsBefore = try await versions(in: pool)
        let watch = UsageWatch(await pool.processes)
        let start = ContinuousClock.now
        try await pusher.push(
            Pusher.Run(count: edits, batch: 1, window: Self.window) {
                BenchEdits.put("f\(files[$0])", place: $0, bytes: bytes)
            })
        let accepted = ContinuousClock.now - start
        try await pool.flush("bench")
        let synced = ContinuousClock.now - start
        pair.add(
            "accepted", Double(edits) / accepted.seconds, "edits/s", limit: limit,
            ratioMin: 0.5)
        pair.add("accepted and visible", Double(edits) / synced.seconds, "edits/s")
        let syncs = try await versions(in: pool) - versionsBefore
        pair.add("syncs for all edits", Double(syncs), "syncs", valueMax: 1_000)
        let answers = await pusher.acceptLatency
        pair.add("p50 to accepted", answers.milliseconds(50), "ms")
        pair.add("p99 to accepted", answers.milliseconds(99), "ms")
        pair.processes = watch.figures
        return pair
    }

    /// Versions that the store has counted, over all files.
    private func versions(in pool: Pool) async throws -> UInt64 {
        let store = try await SQLiteStore(readingOnly: pool.folder.store)
        let files = try await store.files(
            of: try Pool.name("bench"), after: nil, countMax: Self.files)
        await store.close()
        return files.reduce(0) { $0 + $1.version.value }
    }
}
