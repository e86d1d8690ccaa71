import SyncCore
import SyncTestKit
import Testing

@Suite struct RejoinTests {
    @Test func `nothing is sent over a connection whose successor is on its way to disk`() throws {
        let cluster = try MachineCluster()
        let node = try cluster.addWorker("w")
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        #expect(cluster.text("f") == "one")
        cluster.holdsCommits = true
        cluster.push(MachineCluster.put("f", "two"), number: 2)
        #expect(cluster.isCommitting)
        // The worker is told to register again, and does; that waits for the turn on the disk.
        cluster.reconnect(node)
        cluster.advance(by: .seconds(1))
        // The edit is accepted; the turn that takes the worker in again goes to disk.
        cluster.finishCommit()
        cluster.settle()
        #expect(cluster.isCommitting)
        cluster.holdsCommits = false
        cluster.finishCommit()
        cluster.advance(by: .seconds(20))
        let route = cluster.request(
            .queue(project: MachineCluster.project, prefix: "", after: "", countMax: 10))
        cluster.settle()
        guard case .queue(let report) = cluster.answers(to: route).first else {
            Issue.record("no queue")
            return
        }
        #expect(report.files == [])
        #expect(cluster.text("f") == "two")
    }

    /// Found by the simulator (seed 8820457).
    @Test(arguments: [1_700, 5_000])
    func `a worker whose lease ended while its registration was on its way to disk stays`(
        afterwards milliseconds: Int
    ) throws {
        let cluster = try MachineCluster()
        let node = try cluster.addWorker("w")
        // An edit goes with the registration: alone it would need no disk.
        cluster.holdsCommits = true
        cluster.push(MachineCluster.put("g", "one"), number: 1)
        cluster.reconnect(node)
        cluster.advance(by: .seconds(1))
        cluster.push(MachineCluster.put("g", "two"), number: 2)
        cluster.finishCommit()
        cluster.settle()
        #expect(cluster.isCommitting)
        // Nothing is heard of it: its lease runs out, and the margin passes.
        node.isCut = true
        cluster.advance(by: .milliseconds(milliseconds))
        node.isCut = false
        cluster.finishCommit()
        cluster.holdsCommits = false
        cluster.settle()
        node.holdsSteps = true
        cluster.push(MachineCluster.put("f", "one"), number: 3)
        try cluster.addWorker("v")
        cluster.advance(by: .seconds(3))
        // A parent would kill it for having been expelled.
        #expect(!cluster.hints.contains { ["ended", "expelled"].contains($0.state) })
        node.holdsSteps = false
        cluster.finishSteps(of: node)
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "one")
        #expect(cluster.violations() == [])
    }

    @Test func `a process whose death is told while it registers gets nothing`() throws {
        let cluster = try MachineCluster()
        cluster.holdsCommits = true
        let node = try cluster.addWorker("w")
        #expect(cluster.isCommitting)
        cluster.kill(node)
        cluster.request(.died(life: node.life))
        cluster.settle()
        cluster.holdsCommits = false
        cluster.finishCommit()
        cluster.settle()
        #expect(cluster.hints.contains { $0.state == "died" })
        // At once, not when its lease has passed.
        try cluster.addWorker("v")
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        #expect(cluster.text("f") == "one")
        #expect(cluster.violations() == [])
    }

    @Test func `a registration waits the longer for its answer, the more went without one`() throws
    {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("g", "one"), number: 1)
        // Each commit takes longer than a registration is waited for at first.
        cluster.holdsCommits = true
        let node = try cluster.addWorker("w")
        var rounds = 0
        while !node.machine.isMember, rounds < 20 {
            cluster.advance(by: .milliseconds(1_300))
            cluster.push(MachineCluster.put("g", "\(rounds)"), number: UInt64(rounds) + 2)
            cluster.finishCommit()
            cluster.settle()
            rounds += 1
        }
        #expect(rounds < 6)
        #expect(cluster.violations() == [])
    }
}
