import SyncCore

/// An open loop of edits: how long each takes to be visible in the sandbox.
struct LatencyWorkload: Workload {
    let name = "latency"
    let size: WorkloadSize
    private static let files = 200

    var setup: String {
        "open loop of \(size.rate) edits a second, \(size.edits) edits over \(Self.files) files, "
            + "\(size.bytes) bytes each, \(size.workers) workers, alone and then beside a flood "
            + "of another project; limit: one message there and back, one commit, one store "
            + "commit, write and rename, one at a time; of p50 beside the flood: the same alone; "
            + "of p99: the same alone and twice the longest turn and the longest batch of the store"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        let limit = try await LatencyLimit.measure(in: folder, count: 500, bytes: size.bytes)
        return try await Pool.with(in: folder) { pool in
            let flood = Disturbance(.flood, pool)
            do {
                let pair = try await measure(pool, flood, limit)
                await flood.end()
                return pair
            } catch {
                await flood.end()
                throw error
            }
        }
    }

    private func measure(
        _ pool: Pool, _ flood: Disturbance, _ limit: LatencyHistogram
    ) async throws -> Pair {
        var pair = Pair()
        let flags = ["--log-level", "debug"]
        try await pool.startCoordinator(flags)
        try await pool.startWorkers(size.workers, flags)
        let pusher = try await pool.pusher("bench")
        try await OpenLoop.prepare("bench", files: Self.files, bytes: size.bytes, in: pool, pusher)
        let watch = UsageWatch(await pool.processes)
        _ = await pusher.takeAcceptLatency()
        let alone = LatencyHistogram(try await loop(from: 1_000).measure(pool, "bench", pusher))
        let accepted = await pusher.takeAcceptLatency()
        pair.processes = watch.figures
        try await flood.begin()
        let beside = LatencyHistogram(
            try await loop(from: 1_000_000).measure(pool, "bench", pusher))
        pair.add(
            "p50 to visible", alone.milliseconds(50), "ms", limit: limit.milliseconds(50),
            ratioMax: 1.3)
        pair.add(
            "p99 to visible", alone.milliseconds(99), "ms", limit: limit.milliseconds(99),
            ratioMax: 2.5)
        pair.add("longest to visible", alone.longest, "ms")
        pair.add(
            "p50 to accepted", accepted.milliseconds(50), "ms", limit: limit.milliseconds(50))
        pair.add(
            "p50 beside a flood", beside.milliseconds(50), "ms", limit: alone.milliseconds(50))
        let (turn, work, batch) = try await pool.longest()
        pair.add("longest turn", turn, "ms")
        pair.add("longest turn, without the disk", work, "ms", valueMax: 5)
        pair.add("longest batch of the store", batch, "ms")
        pair.add(
            "p99 beside a flood", beside.milliseconds(99), "ms",
            limit: alone.milliseconds(99) + 2 * (turn + batch), ratioMax: 1)
        for (name, value, unit) in try await flood.evidence() { pair.add(name, value, unit) }
        return pair
    }

    private func loop(from firstPlace: Int) -> OpenLoop {
        OpenLoop(
            count: size.edits, rate: size.rate, files: Self.files, bytes: size.bytes,
            firstPlace: firstPlace)
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
