import ArgumentParser
import Foundation
import SyncCore

/// What goes on beside a healthy project.
enum Neighbour: String, ExpressibleByArgument, CaseIterable {
    /// Another project pushes 100,000 files, again and again.
    case flood
    /// Another project's files always fail.
    case failing
    /// Another project's sandbox lies on a file system that lets no write through.
    case hanging
    /// A worker is stopped in the middle of its work; `syncd up` kills and replaces it.
    case stopped
}

/// A healthy project alone, then beside a neighbour: its p99 must stay within three times.
struct IsolationWorkload: Workload {
    /// How many times its p99 alone a project's p99 beside a neighbour may be.
    static let ratioMax = 3.0
    /// Milliseconds after a worker's death in which what it had in hand must be visible.
    static let handOffMax = 500.0

    let neighbour: Neighbour
    let size: WorkloadSize
    private static let files = 200
    private static let project = "quick"

    var name: String { "isolation beside \(neighbour.rawValue)" }

    var setup: String {
        "open loop of \(size.rate) edits a second, \(size.edits) edits over \(Self.files) files, "
            + "\(size.bytes) bytes each, \(size.workers) workers, alone and then beside the "
            + "neighbour"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        try await Pool.with(in: folder) { pool in
            let disturbance = Disturbance(neighbour, pool)
            do {
                let pair = try await measure(pool, disturbance)
                await disturbance.end()
                return pair
            } catch {
                await disturbance.end()
                throw error
            }
        }
    }

    private func measure(_ pool: Pool, _ disturbance: Disturbance) async throws -> Pair {
        if neighbour == .stopped {
            try await pool.startUp(workers: size.workers)
        } else {
            try await pool.startCoordinator()
            try await pool.startWorkers(size.workers)
        }
        let pusher = try await pool.pusher(Self.project)
        try await OpenLoop.prepare(
            Self.project, files: Self.files, bytes: size.bytes, in: pool, pusher)
        let alone = LatencyHistogram(
            try await loop(1_000, size.edits).measure(pool, Self.project, pusher))
        try await disturbance.begin()
        let watch = UsageWatch(await pool.processes)
        var samples: [VisibleMeter.Sample]
        var handOff: Duration?
        if neighbour == .stopped {
            (handOff, samples) = try await beside(pool, pusher, disturbance)
        } else {
            samples = try await loop(1_000_000, size.edits).measure(pool, Self.project, pusher)
        }
        let beside = LatencyHistogram(samples)
        var pair = Pair()
        pair.add("p50 alone", alone.milliseconds(50), "ms")
        pair.add("p99 alone", alone.milliseconds(99), "ms")
        pair.add("p50 beside", beside.milliseconds(50), "ms")
        pair.add("p99 beside", beside.milliseconds(99), "ms")
        pair.add("longest beside", beside.longest, "ms")
        pair.add(
            "p99 beside over p99 alone", beside.milliseconds(99) / alone.milliseconds(99), "times",
            valueMax: Self.ratioMax)
        if let handOff {
            pair.add(
                "hand-off after the death", handOff.seconds * 1_000, "ms",
                valueMax: Self.handOffMax)
        }
        for (name, value, unit) in try await disturbance.evidence() { pair.add(name, value, unit) }
        pair.processes = watch.figures
        return pair
    }

    private func loop(_ firstPlace: Int, _ count: Int) -> OpenLoop {
        OpenLoop(
            count: count, rate: size.rate, files: Self.files, bytes: size.bytes,
            firstPlace: firstPlace)
    }

    /// Stops a worker under load.
    ///
    /// - Returns: How long after the worker's death the last edit that was due before became
    ///   visible, and the edits that were due once the hand-off was over.
    private func beside(
        _ pool: Pool, _ pusher: Pusher, _ disturbance: Disturbance
    ) async throws -> (handOff: Duration, after: [VisibleMeter.Sample]) {
        async let replacement = disturbance.replaced()
        // Half a minute is far more than lease, margin and start of the replacement.
        let extra = size.rate * 30
        let meter = try VisibleMeter(pool.folder.sandboxes + "/" + Self.project)
        let first = loop(1_000_000, size.edits + extra)
        let running = Task { try await first.run(pusher, meter) }
        let replaced = try await replacement
        try await Task.sleep(for: .seconds(Double(size.edits) / Double(size.rate)) + .seconds(1))
        running.cancel()
        do { try await running.value } catch is CancellationError {}
        let samples = await meter.finish()
        try await pusher.settle()
        let before = samples.filter { $0.dueAt < replaced.endedAt }
        let last = before.map { $0.dueAt + $0.latency }.max() ?? replaced.endedAt
        return (
            max(last - replaced.endedAt, .zero), samples.filter { $0.dueAt >= replaced.settledAt }
        )
    }
}
