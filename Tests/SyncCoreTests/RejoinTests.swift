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
}
