import ArgumentParser
import Foundation
import Glibc
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
        // What a former pair left to be written would slow down this one's time alone.
        sync()
        return try await Pool.with(in: folder) { pool in
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
        _ = await pusher.takeAcceptLatency()
        let alone = LatencyHistogram(
            try await loop(1_000, size.edits).measure(pool, Self.project, pusher))
        let acceptedAlone = await pusher.takeAcceptLatency()
        try await disturbance.begin()
        let watch = UsageWatch(await pool.processes)
        var samples: [VisibleMeter.Sample]
        var handOff: HandOff?
        if neighbour == .stopped {
            let (taken, after) = try await beside(pool, pusher, disturbance)
            (handOff, samples) = (taken, after)
        } else {
            samples = try await loop(1_000_000, size.edits).measure(pool, Self.project, pusher)
        }
        let beside = LatencyHistogram(samples)
        let acceptedBeside = await pusher.takeAcceptLatency()
        var pair = Pair()
        pair.add("p50 accepted alone", acceptedAlone.milliseconds(50), "ms")
        pair.add("p50 accepted beside", acceptedBeside.milliseconds(50), "ms")
        pair.add("p99 accepted alone", acceptedAlone.milliseconds(99), "ms")
        pair.add("p99 accepted beside", acceptedBeside.milliseconds(99), "ms")
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
                "hand-off after the death", handOff.inHand.seconds * 1_000, "ms",
                valueMax: Self.handOffMax)
            pair.add("typed meanwhile, visible after", handOff.all.seconds * 1_000, "ms")
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

    /// How long after a stopped worker's death things became visible.
    private struct HandOff {
        /// The last edit that was due before the stop, and so in hand or in the way of what was.
        let inHand: Duration
        /// The last edit that was due before the death: some seconds' typing.
        let all: Duration

        init(_ samples: [VisibleMeter.Sample], _ replaced: Disturbance.Replacement) {
            func last(dueBefore instant: ContinuousClock.Instant) -> Duration {
                let ends = samples.filter { $0.dueAt < instant }.map { $0.dueAt + $0.latency }
                return max((ends.max() ?? replaced.endedAt) - replaced.endedAt, .zero)
            }
            inHand = last(dueBefore: replaced.stoppedAt)
            all = last(dueBefore: replaced.endedAt)
        }
    }

    /// Stops a worker under load.
    ///
    /// - Returns: How long the hand-off took, and the edits that were due once it was over.
    private func beside(
        _ pool: Pool, _ pusher: Pusher, _ disturbance: Disturbance
    ) async throws -> (HandOff, after: [VisibleMeter.Sample]) {
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
        return (
            HandOff(samples, replaced), samples.filter { $0.dueAt >= replaced.settledAt }
        )
    }
}
