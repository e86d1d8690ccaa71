import SyncCore
import SyncTestKit
import Testing

/// Of two processes with one label the one that was started later stays.
///
/// However late the other comes back. Found by the torture of real processes.
@Suite struct ReplacedTests {
    private static func isReplaced(_ node: MachineCluster.WorkerNode) -> Bool {
        if case .replaced = node.exit { true } else { false }
    }

    @Test func `a worker that slept past its lease while another took its label is told so`()
        throws
    {
        let cluster = try MachineCluster()
        let old = try cluster.addWorker("a")
        old.isPaused = true
        cluster.advance(by: .seconds(1))
        let new = try cluster.addWorker("a")
        cluster.advance(by: .seconds(10))
        old.isPaused = false
        cluster.advance(by: .seconds(5))
        #expect(Self.isReplaced(old))
        #expect(new.exit == nil)
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "x")
        #expect(cluster.violations() == [])
    }

    @Test(arguments: [false, true])
    func `it is told so by the next coordinator too, whoever of the two is heard first`(
        isOldFirst: Bool
    ) throws {
        let cluster = try MachineCluster()
        let old = try cluster.addWorker("a")
        old.isPaused = true
        cluster.advance(by: .seconds(1))
        let new = try cluster.addWorker("a")
        cluster.advance(by: .seconds(1))
        try cluster.restartCoordinator()
        new.isPaused = isOldFirst
        old.isPaused = !isOldFirst
        cluster.advance(by: .seconds(2))
        new.isPaused = false
        old.isPaused = false
        cluster.advance(by: .seconds(10))
        #expect(Self.isReplaced(old))
        #expect(new.exit == nil)
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "x")
        #expect(cluster.violations() == [])
    }

    @Test func `a worker that slept alone comes back`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        worker.isPaused = true
        cluster.advance(by: .seconds(10))
        worker.isPaused = false
        cluster.advance(by: .seconds(5))
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.advance(by: .seconds(1))
        #expect(worker.exit == nil)
        #expect(cluster.text("f") == "x")
    }
}
