import SyncCore
import SyncTestKit
import Testing

/// P2 and P4 while a worker's end is on its way to disk.
@Suite struct EndingWorkerTests {
    @Test func `a worker whose end is being journaled is given nothing that would be lost with it`()
        throws
    {
        let cluster = try MachineCluster()
        let first = try cluster.addWorker("w")
        let path = MachineCluster.path("f")
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failures[path] = SandboxError(
            .attempt, code: "EIO", "The disk stuttered.")
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        #expect(cluster.text("f") == nil)
        // The proof of death reaches the coordinator; the turn that says so stays on its way.
        cluster.holdsCommits = true
        cluster.request(.died(life: first.life, isKilled: false))
        cluster.settle()
        #expect(cluster.isCommitting)
        cluster.kill(first)
        cluster.sandboxes[target]?.failures = [:]
        // Meanwhile the file's wait is over.
        cluster.advance(by: .milliseconds(1_500))
        cluster.holdsCommits = false
        cluster.finishCommit()
        try cluster.addWorker("v")
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "1")
        #expect(cluster.journal.snapshot.rows.isEmpty)
        #expect(cluster.violations() == [])
    }
}
