import Glibc
import SyncCore

/// Nothing to do: what the processes use all the same.
struct IdleWorkload: Workload {
    let name = "idle"
    let size: WorkloadSize
    /// How long nothing is done.
    let seconds: Int
    var pairsStandard: Int { 1 }

    var setup: String {
        "\(seconds) seconds of nothing after one edit, \(size.workers) workers; CPU in percent of "
            + "one core"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        try await Pool.with(in: folder) { try await measure($0) }
    }

    private func measure(_ pool: Pool) async throws -> Pair {
        _ = try await pool.startWarm(size.workers)
        let processes = await pool.processes
        let before = Resident(processes)
        let watch = UsageWatch(processes)
        let start = ContinuousClock.now
        try await Task.sleep(for: .seconds(seconds))
        let elapsed = (ContinuousClock.now - start).seconds
        let figures = watch.figures
        let after = Resident(processes)
        guard figures.count == processes.count else {
            throw BenchError("a process ended while nothing was to be done; start them by hand")
        }
        var pair = Pair()
        add(figures, elapsed, to: &pair)
        pair.add("coordinator, resident at start", before.coordinator, "MiB")
        pair.add(
            "coordinator, resident at end", after.coordinator, "MiB", limit: before.coordinator)
        pair.add("a worker, resident at start", before.worker, "MiB")
        pair.add("a worker, resident at end", after.worker, "MiB", limit: before.worker)
        return pair
    }

    private func add(_ figures: [ProcessFigures], _ elapsed: Double, to pair: inout Pair) {
        func percents(_ figures: [ProcessFigures]) -> [Double] {
            figures.map { $0.cpuSeconds / elapsed * 100 }
        }
        let workers = percents(figures.filter { $0.name != "coordinator" })
        let coordinator = percents(figures.filter { $0.name == "coordinator" })
        pair.add("coordinator", coordinator.reduce(0, +), "% of a core", valueMax: 0.5)
        pair.add(
            "a worker, mean", workers.reduce(0, +) / Double(max(workers.count, 1)), "% of a core")
        pair.add("the busiest worker", workers.max() ?? 0, "% of a core", valueMax: 0.2)
    }
}

/// Memory that processes hold at one moment, in MiB.
private struct Resident: Sendable {
    let coordinator: Double
    /// Mean over the workers.
    let worker: Double

    init(_ processes: [(name: String, pid: pid_t)]) {
        var coordinator = 0.0
        var workers: [Double] = []
        for process in processes {
            let held = ProcessUsage(of: process.pid)?.residentMebibytes ?? 0
            if process.name == "coordinator" {
                coordinator = held
            } else {
                workers.append(held)
            }
        }
        self.coordinator = coordinator
        worker = workers.reduce(0, +) / Double(max(workers.count, 1))
    }
}
