import Foundation
import SyncCore

/// As many files as edits, as fast as they go: what is accepted and synced a second.
///
/// Accepting is measured with the workers off and while they drain; draining with everything
/// accepted before.
struct DistinctWorkload: Workload {
    let name = "distinct"
    let size: WorkloadSize

    var setup: String {
        "\(size.edits) edits of \(size.edits) files, \(size.bytes) bytes each, 256 a message, "
            + "4,000 unanswered, \(size.workers) workers; limits: SQLite upserts with FULL, "
            + "\(AcceptLimit.batch) a commit; \(size.workers) processes that commit to one store "
            + "and write files, no queue"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        var pair = Pair()
        let bytes = size.bytes
        let accept = try await AcceptLimit.measure(in: folder, count: size.edits) {
            (BenchEdits.distinctPath($0), BenchEdits.content($0, bytes: bytes))
        }
        let drain = try await DrainLimit.measure(
            in: folder, count: size.edits, bytes: bytes, processes: size.workers)
        try await Pool.with(in: folder) {
            pair.merge(try await apart($0, accept: accept, drain: drain))
        }
        try await Pool.with(in: folder) { pair.merge(try await together($0, accept: accept)) }
        return pair
    }

    /// First everything is accepted, then everything is drained.
    private func apart(_ pool: Pool, accept: Double, drain: Double) async throws -> Pair {
        var pair = Pair()
        let steps = DistinctSteps(size: size)
        try await pool.startCoordinator()
        pair.add(
            "accepted, workers off", try await steps.accept(in: pool), "edits/s", limit: accept,
            ratioMin: 1)
        try await pool.startWorkers(size.workers)
        let watch = UsageWatch(await pool.processes)
        pair.add(
            "synced, all accepted before", try await steps.drain(in: pool), "edits/s",
            limit: drain, ratioMin: 0.6)
        pair.processes = watch.figures.map { $0.named("\($0.name), draining") }
        return pair
    }

    /// Accepting while the workers drain, to the last file.
    private func together(_ pool: Pool, accept: Double) async throws -> Pair {
        var pair = Pair()
        try await pool.startCoordinator()
        try await pool.startWorkers(size.workers)
        let pusher = try await pool.pusher("bench")
        let run = DistinctSteps(size: size).run
        try await pusher.push(Pusher.Run(count: 1, batch: 1, window: 1, edit: run.edit))
        try await pool.flush("bench")
        let watch = UsageWatch(await pool.processes)
        let start = ContinuousClock.now
        try await pusher.push(run)
        let accepted = ContinuousClock.now - start
        try await pool.flush("bench")
        let synced = ContinuousClock.now - start
        pair.add(
            "accepted while draining", Double(size.edits) / accepted.seconds, "edits/s",
            limit: accept, ratioMin: 0.6)
        pair.add("accepted and synced", Double(size.edits) / synced.seconds, "edits/s")
        pair.processes = watch.figures.map { $0.named("\($0.name), both") }
        return pair
    }
}

/// The two halves of a run over distinct files; the coordinator is started before.
struct DistinctSteps: Sendable {
    let size: WorkloadSize

    /// Edits of as many files.
    var run: Pusher.Run {
        let bytes = size.bytes
        return Pusher.Run(count: size.edits, batch: 256, window: 4_000) {
            BenchEdits.put(BenchEdits.distinctPath($0), place: $0, bytes: bytes)
        }
    }

    /// Edits accepted a second, while the workers are off.
    func accept(in pool: Pool) async throws -> Double {
        let pusher = try await pool.pusher("bench")
        let start = ContinuousClock.now
        try await pusher.push(run)
        return Double(size.edits) / (ContinuousClock.now - start).seconds
    }

    /// Edits drained a second by workers that were started just before.
    func drain(in pool: Pool) async throws -> Double {
        let first = try await firstVisible(in: pool)
        try await pool.flush("bench")
        return Double(size.edits) / (ContinuousClock.now - first).seconds
    }

    /// When the first worker has entered the sandbox.
    private func firstVisible(in pool: Pool) async throws -> ContinuousClock.Instant {
        let stage = pool.folder.sandboxes + "/bench/.syncd/stage"
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            if FileManager.default.fileExists(atPath: stage) { return .now }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw BenchError("no worker began within two minutes")
    }
}

extension ProcessFigures {
    /// The same under another name.
    func named(_ name: String) -> ProcessFigures {
        ProcessFigures(name: name, cpuSeconds: cpuSeconds, peakMebibytes: peakMebibytes)
    }
}

extension Duration {
    /// As a number of seconds.
    var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
