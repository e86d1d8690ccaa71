import SyncCore

/// Agents that push the files of a change in one message: messages accepted a second.
struct AgentWorkload: Workload {
    let name = "agent"
    let size: WorkloadSize
    private static let producers = 4
    private static let files = 40
    /// Unanswered messages of a producer; times the files below the protocol's 4,096.
    private static let window = 64
    /// Folders that a producer goes round.
    private static let folders = 50

    /// Messages of one producer.
    private var messages: Int { max(size.edits / Self.files / Self.producers, 1) }

    var setup: String {
        """
        \(messages * Self.producers) messages of \(Self.files) files of one folder by \
        \(Self.producers) producers with a connection and a thread each, \(size.bytes) bytes a \
        file, \(Self.folders) folders a producer in turn, \(Self.window) messages unanswered \
        each, \(size.workers) workers; limit: as many messages of the same frames, answered by a \
        process that first appends all that are there to a log with one fdatasync
        """
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        let shape = MessageLimit.Shape(
            messages: messages, records: Self.files, bytes: size.bytes, window: Self.window)
        let limit = try await MessageLimit.measure(
            in: folder, shape, producers: Self.producers, isLogged: true)
        return try await Pool.with(in: folder) { try await measure($0, limit: limit) }
    }

    private func measure(_ pool: Pool, limit: Double) async throws -> Pair {
        var pair = Pair()
        try await pool.startCoordinator()
        try await pool.startWorkers(size.workers)
        var pushers: [Pusher] = []
        for _ in 0..<Self.producers { pushers.append(try await pool.pusherApart("bench")) }
        // Every folder is there before: agents change more often than they begin.
        try await push(Self.folders, by: pushers, from: 0)
        try await pool.flush("bench")
        let watch = UsageWatch(await pool.processes)
        let start = ContinuousClock.now
        try await push(messages, by: pushers, from: Self.folders * Self.files)
        let accepted = ContinuousClock.now - start
        try await pool.flush("bench")
        let visible = ContinuousClock.now - start
        let all = Double(messages * Self.producers)
        pair.add(
            "accepted", all / accepted.seconds, "messages/s", limit: limit, ratioMin: 0.5)
        pair.add("accepted and visible", all / visible.seconds, "messages/s")
        pair.processes = watch.figures
        return pair
    }

    /// Has every producer push so many messages at once.
    private func push(_ messages: Int, by pushers: [Pusher], from firstPlace: Int) async throws {
        let (bytes, files, folders) = (size.bytes, Self.files, Self.folders)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, pusher) in pushers.enumerated() {
                let run = Pusher.Run(
                    count: messages * files, batch: files, window: Self.window * files
                ) { place in
                    BenchEdits.put(
                        "a\(number)/d\(place / files % folders)/f\(place % files)",
                        place: firstPlace + place, bytes: bytes)
                }
                group.addTask { try await pusher.push(run) }
            }
            try await group.waitForAll()
        }
    }
}
