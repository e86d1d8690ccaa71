import SyncCore

/// An open loop of edits: how long each takes to be visible in the sandbox.
struct LatencyWorkload: Workload {
    let name = "latency"
    let size: WorkloadSize
    private static let files = 200

    var setup: String {
        "open loop of \(size.rate) edits a second, \(size.edits) edits over \(Self.files) files, "
            + "\(size.bytes) bytes each, \(size.workers) workers; limit: one commit, one store "
            + "commit, write and rename, one at a time, no messages"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        let limit = try await LatencyLimit.measure(in: folder, count: 500, bytes: size.bytes)
        return try await Pool.with(in: folder) { pool in
            var pair = Pair()
            try await pool.startCoordinator()
            try await pool.startWorkers(size.workers)
            let pusher = try await pool.pusher("bench")
            try await OpenLoop.prepare(
                "bench", files: Self.files, bytes: size.bytes, in: pool, pusher)
            let watch = UsageWatch(await pool.processes)
            let loop = OpenLoop(
                count: size.edits, rate: size.rate, files: Self.files, bytes: size.bytes,
                firstPlace: 1_000)
            let seen = LatencyHistogram(try await loop.measure(pool, "bench", pusher))
            pair.add("p50 to visible", seen.milliseconds(50), "ms", limit: limit.milliseconds(50))
            pair.add("p99 to visible", seen.milliseconds(99), "ms", limit: limit.milliseconds(99))
            pair.add("longest to visible", seen.longest, "ms")
            pair.processes = watch.figures
            return pair
        }
    }
}

extension OpenLoop {
    /// Runs the loop over a prepared project and tells when each edit became visible.
    func measure(
        _ pool: Pool, _ project: String, _ pusher: Pusher
    ) async throws -> [VisibleMeter.Sample] {
        let meter = try VisibleMeter(pool.folder.sandboxes + "/" + project)
        try await run(pusher, meter)
        let samples = await meter.finish()
        try await pusher.settle()
        return samples
    }
}
