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

    let neighbour: Neighbour
    let edits: Int
    let bytes: Int
    let workers: Int
    let rate: Int
    private static let files = 200
    private static let project = "quick"

    init(_ options: BenchOptions, beside neighbour: Neighbour) {
        self.neighbour = neighbour
        edits = options.edits ?? 2_000
        bytes = options.bytes
        workers = options.workers
        rate = options.rate
    }

    var name: String { "isolation beside \(neighbour.rawValue)" }

    var setup: String {
        "open loop of \(rate) edits a second, \(edits) edits over \(Self.files) files, \(bytes) "
            + "bytes each, \(workers) workers, alone and then beside the neighbour"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        // Hidden folders of mounts must not be removed with what is mounted on them.
        let pool = try Pool(in: try BenchFolder(in: folder.path))
        let disturbance = Disturbance(neighbour, pool)
        do {
            let pair = try await measure(pool, disturbance)
            await disturbance.end()
            await pool.stop()
            return pair
        } catch {
            await disturbance.end()
            await pool.stop()
            throw error
        }
    }

    private func measure(_ pool: Pool, _ disturbance: Disturbance) async throws -> Pair {
        if neighbour == .stopped {
            try await pool.startUp(workers: workers)
        } else {
            try await pool.startCoordinator()
            try await pool.startWorkers(workers)
        }
        let pusher = try await pool.pusher(Self.project)
        try await OpenLoop.prepare(
            Self.project, files: Self.files, bytes: bytes, in: pool, pusher)
        let alone = LatencyHistogram(
            try await loop(1_000, edits).measure(pool, Self.project, pusher))
        try await disturbance.begin()
        let watch = UsageWatch(await pool.processes)
        var samples: [VisibleMeter.Sample]
        var handOff: [VisibleMeter.Sample] = []
        if neighbour == .stopped {
            (handOff, samples) = try await beside(pool, pusher, disturbance)
        } else {
            samples = try await loop(1_000_000, edits).measure(pool, Self.project, pusher)
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
        if !handOff.isEmpty {
            pair.add("longest of the hand-off", LatencyHistogram(handOff).longest, "ms")
        }
        for (name, value, unit) in try await disturbance.evidence() { pair.add(name, value, unit) }
        pair.processes = watch.figures
        return pair
    }

    private func loop(_ firstPlace: Int, _ count: Int) -> OpenLoop {
        OpenLoop(
            count: count, rate: rate, files: Self.files, bytes: bytes, firstPlace: firstPlace)
    }

    /// Stops a worker under load; what was due before it was replaced is told apart.
    private func beside(
        _ pool: Pool, _ pusher: Pusher, _ disturbance: Disturbance
    ) async throws -> (handOff: [VisibleMeter.Sample], after: [VisibleMeter.Sample]) {
        async let replacement = disturbance.replaced()
        // Half a minute is far more than lease, margin and start of the replacement.
        let extra = rate * 30
        let meter = try VisibleMeter(pool.folder.sandboxes + "/" + Self.project)
        let first = loop(1_000_000, edits + extra)
        let running = Task { try await first.run(pusher, meter) }
        let replacedAt = try await replacement
        try await Task.sleep(for: .seconds(Double(edits) / Double(rate)) + .seconds(1))
        running.cancel()
        do { try await running.value } catch is CancellationError {}
        let samples = await meter.finish()
        try await pusher.settle()
        let after = samples.filter { $0.dueAt >= replacedAt }
        return (samples.filter { $0.dueAt < replacedAt }, after)
    }
}
