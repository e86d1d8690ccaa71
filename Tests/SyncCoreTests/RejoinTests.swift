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
    @Test(arguments: [200, 900])
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
        // Nothing is heard of it: to the coordinator its lease ends.
        node.isCut = true
        while !cluster.hints.contains(where: { $0.state == "expelled" }) {
            cluster.advance(by: .milliseconds(100))
        }
        cluster.advance(by: .milliseconds(milliseconds))
        node.isCut = false
        cluster.finishCommit()
        cluster.holdsCommits = false
        cluster.settle()
        node.holdsSteps = true
        cluster.push(MachineCluster.put("f", "one"), number: 3)
        try cluster.addWorker("v")
        cluster.advance(by: .seconds(3))
        #expect(!cluster.hints.contains { $0.state == "ended" })
        node.holdsSteps = false
        cluster.finishSteps(of: node)
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "one")
        #expect(cluster.violations() == [])
    }
}
