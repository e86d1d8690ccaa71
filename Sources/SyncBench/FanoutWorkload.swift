import Foundation
import Glibc
import SyncCore
import SyncTransport

/// Subscribers on the status channel while files are accepted and drained.
struct FanoutWorkload: Workload {
    let name = "fanout"
    let size: WorkloadSize

    /// Who listens.
    private struct Audience: Sendable {
        let count: Int
        var isStuck = false

        var name: String {
            isStuck ? "a stuck subscriber" : count == 1 ? "1 subscriber" : "\(count) subscribers"
        }

        /// What accepting and draining must keep of their speed without subscribers.
        var ratioMin: Double? { isStuck || count == 10 ? 0.9 : nil }
    }

    /// What came of a run beside an audience.
    private struct Outcome: Sendable {
        /// Edits a second.
        let accepted: Double
        /// Edits a second.
        let drained: Double
        /// Messages a second to all subscribers, from the first push to the last delivery.
        var delivered = 0.0
        /// Events of a subscriber, of how many there were.
        var heard = 0.0
        var published = 0.0
        var processes: [ProcessFigures] = []
    }

    var setup: String {
        "\(size.edits) edits of \(size.edits) files, \(size.bytes) bytes each, \(size.workers) "
            + "workers, first all accepted, then all drained; subscribers to the whole project in "
            + "one process, which shares the machine's cores with all others; the stuck one is a "
            + "stopped process; limit of accepted and drained: the same without subscribers; of "
            + "delivered: PUB and SUB of the same frames between two processes"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        var pair = Pair()
        let alone = try await run(Audience(count: 0), in: folder)
        pair.add("accepted, 0 subscribers", alone.accepted, "edits/s")
        pair.add("drained, 0 subscribers", alone.drained, "edits/s")
        pair.processes = alone.processes
        for count in [1, 10, 100] {
            let audience = Audience(count: count)
            let outcome = try await run(audience, in: folder)
            add(outcome, audience, beside: alone, to: &pair)
            let limit = try await PublishLimit.measure(in: folder, subscribers: count)
            pair.add(
                "delivered, \(audience.name)", outcome.delivered, "messages/s", limit: limit)
            pair.add(
                "heard, \(audience.name)", outcome.heard, "events", limit: outcome.published)
        }
        let stuck = Audience(count: 1, isStuck: true)
        add(try await run(stuck, in: folder), stuck, beside: alone, to: &pair)
        return pair
    }

    private func add(
        _ outcome: Outcome, _ audience: Audience, beside alone: Outcome, to pair: inout Pair
    ) {
        pair.add(
            "accepted, \(audience.name)", outcome.accepted, "edits/s", limit: alone.accepted,
            ratioMin: audience.ratioMin)
        pair.add(
            "drained, \(audience.name)", outcome.drained, "edits/s", limit: alone.drained,
            ratioMin: audience.ratioMin)
        pair.processes += outcome.processes
    }

    /// Accepts and drains in a pool of its own beside an audience.
    private func run(_ audience: Audience, in folder: BenchFolder) async throws -> Outcome {
        try await Pool.with(in: folder) { pool in
            try await pool.startCoordinator()
            let listeners = try await audience.count == 0 ? nil : start(audience, pool)
            do {
                let outcome = try await measure(pool, audience, listeners)
                await listeners?.end()
                return outcome
            } catch {
                await listeners?.end()
                throw error
            }
        }
    }

    /// Starts the subscribers and waits until each is subscribed.
    private func start(_ audience: Audience, _ pool: Pool) async throws -> BenchProcess {
        let process = try BenchProcess(
            "subscribers", program: "SyncBench",
            [
                "subscribe", "--status", pool.folder.status, "--prefix", "edit/bench/",
                "--count", String(audience.count),
            ], log: "", watchesParent: false)
        guard await process.line().hasPrefix("ready") else {
            await process.end()
            throw BenchError("the subscribers did not start; see their message above")
        }
        if audience.isStuck { kill(process.pid, SIGSTOP) }
        return process
    }

    private func measure(
        _ pool: Pool, _ audience: Audience, _ listeners: BenchProcess?
    ) async throws -> Outcome {
        let steps = DistinctSteps(size: size)
        let start = ContinuousClock.now
        let accepted = try await steps.accept(in: pool)
        try await pool.startWorkers(size.workers)
        let others = [listeners].compactMap(\.self).map { (name: $0.name, pid: $0.pid) }
        let watch = UsageWatch(await pool.processes + others)
        let drained = try await steps.drain(in: pool)
        var outcome = Outcome(accepted: accepted, drained: drained)
        outcome.processes = watch.figures.map { $0.named("\($0.name), \(audience.name)") }
        guard let listeners, !audience.isStuck else { return outcome }
        let published = try await pool.queue().eventNumber
        let heard = try await hear(Int(clamping: published) * audience.count, from: listeners)
        outcome.delivered = Double(heard) / (ContinuousClock.now - start).seconds
        outcome.heard = Double(heard) / Double(audience.count)
        outcome.published = Double(published)
        return outcome
    }

    /// Waits until the subscribers have heard everything, ten seconds at most.
    private func hear(_ wanted: Int, from listeners: BenchProcess) async throws -> Int {
        let end = ContinuousClock.now + .seconds(10)
        while true {
            listeners.tell("heard")
            let line = await listeners.line()
            guard let heard = Int(line.prefix { $0.isNumber }) else {
                throw BenchError("the subscribers ended; see their message above")
            }
            if heard >= wanted || ContinuousClock.now >= end { return heard }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}
