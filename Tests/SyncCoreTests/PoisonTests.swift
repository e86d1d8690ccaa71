import SyncCore
import SyncTestKit
import Testing

/// Edits that kill whoever works on them (trace B3).
@Suite struct PoisonTests {
    private static func state(_ cluster: MachineCluster, _ path: String) -> String? {
        cluster.journal.events.last { $0.path == MachineCluster.path(path) }
            .map { "\($0.kind) \($0.code)" }
    }

    /// One worker whose steps stay unfinished, with all files in hand.
    private static func holding(
        _ cluster: MachineCluster, _ name: String
    ) throws -> MachineCluster.WorkerNode {
        try cluster.addWorker(name, holdsSteps: true)
    }

    /// Whether a worker is about to store an edit of a path.
    private static func holds(_ path: String, _ worker: MachineCluster.WorkerNode) -> Bool {
        worker.steps.contains { step in
            guard case .apply(let batch) = step else { return false }
            return batch.contains { $0.file.path == MachineCluster.path(path) }
        }
    }

    @Test func `a file whose workers die three times fails as poison, the others go on`() throws {
        let cluster = try MachineCluster()
        for number: UInt64 in 1...20 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number)
        }
        cluster.push(MachineCluster.put("bad", "poison"), number: 21)
        var deaths = 0
        while Self.state(cluster, "bad") != "failed poison", deaths < 10 {
            let worker = try Self.holding(cluster, "w")
            // The process dies as soon as the bad file reaches it; it works on what comes before.
            var rounds = 0
            while !Self.holds("bad", worker), rounds < 100 {
                cluster.finishSteps(of: worker)
                cluster.settle()
                rounds += 1
            }
            cluster.kill(worker)
            cluster.request(.died(life: worker.life))
            cluster.settle()
            deaths += 1
        }
        #expect(deaths == 3)
        #expect(Self.state(cluster, "bad") == "failed poison")
        try cluster.addWorker("w")
        cluster.advance(by: .seconds(2))
        for number in 1...20 { #expect(cluster.text("f\(number)") == "x") }
        #expect(cluster.journal.snapshot.rows.map(\.file.path.text) == ["bad"])
        #expect(cluster.journal.contents.count == 1)
        #expect(cluster.violations() == [])
    }

    @Test func `a worker has one suspect in hand beside its other files`() throws {
        let cluster = try MachineCluster(marked: [MachineCluster.project])
        for number: UInt64 in 1...10 {
            cluster.push(MachineCluster.put("s\(number)", "x"), number: number)
        }
        let first = try Self.holding(cluster, "w")
        #expect(first.machine.jobCount == 10)
        cluster.kill(first)
        cluster.request(.died(life: first.life))
        cluster.settle()
        for number: UInt64 in 11...15 {
            cluster.push(MachineCluster.put("n\(number)", "x"), number: number)
        }
        let second = try Self.holding(cluster, "w")
        #expect(second.machine.jobCount == 6)
        second.holdsSteps = false
        cluster.settle()
        for number in 1...10 { #expect(cluster.text("s\(number)") == "x") }
        for number in 11...15 { #expect(cluster.text("n\(number)") == "x") }
        #expect(cluster.violations() == [])
    }

    @Test func `leases that end and kills that follow count against nobody`() throws {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        for round in 0..<6 {
            let worker = try Self.holding(cluster, "w")
            worker.isCut = true
            cluster.advance(by: .milliseconds(2_600))
            cluster.kill(worker)
            if round.isMultiple(of: 2) {
                cluster.request(.died(life: worker.life, isKilled: true))
            } else {
                cluster.request(.died(life: worker.life))
            }
            cluster.advance(by: .seconds(1))
        }
        try cluster.addWorker("w")
        cluster.settle()
        #expect(cluster.text("f") == "x")
        #expect(cluster.story(of: "f") == ["accepted 1", "synced 1"])
    }

    @Test func `a newer edit of a suspect is no suspect`() throws {
        let cluster = try MachineCluster()
        for round: UInt64 in 1...6 {
            cluster.push(MachineCluster.put("f", "\(round)"), number: round)
            let worker = try Self.holding(cluster, "w")
            cluster.kill(worker)
            cluster.request(.died(life: worker.life))
            cluster.settle()
        }
        try cluster.addWorker("w")
        cluster.settle()
        #expect(cluster.text("f") == "6")
        #expect(cluster.violations() == [])
    }
}
