import SyncCore
import SyncTestKit
import Testing

/// Of two processes with one label the one that was started later stays.
///
/// However late the other comes back. Found by the torture of real processes.
@Suite struct ReplacedTests {
    /// A cluster in which a worker is paused, and another one has taken its label.
    private static func pausedAndReplaced() throws -> (
        MachineCluster, old: MachineCluster.WorkerNode, new: MachineCluster.WorkerNode
    ) {
        let cluster = try MachineCluster()
        let old = try cluster.addWorker("a")
        old.isPaused = true
        cluster.advance(by: .seconds(1))
        return (cluster, old, try cluster.addWorker("a"))
    }

    /// The old one is told so, and the new one works.
    private static func expectReplaced(
        _ old: MachineCluster.WorkerNode, by new: MachineCluster.WorkerNode,
        in cluster: MachineCluster, at location: SourceLocation = #_sourceLocation
    ) {
        let isReplaced = if case .replaced = old.exit { true } else { false }
        #expect(isReplaced, sourceLocation: location)
        #expect(new.exit == nil, sourceLocation: location)
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "x", sourceLocation: location)
        #expect(cluster.violations() == [], sourceLocation: location)
    }

    @Test func `a worker that slept past its lease while another took its label is told so`()
        throws
    {
        let (cluster, old, new) = try Self.pausedAndReplaced()
        cluster.advance(by: .seconds(10))
        old.isPaused = false
        cluster.advance(by: .seconds(5))
        Self.expectReplaced(old, by: new, in: cluster)
    }

    @Test func `a worker that is awake while another takes its label is told so at once`() throws {
        let cluster = try MachineCluster()
        let old = try cluster.addWorker("a")
        let new = try cluster.addWorker("a")
        cluster.advance(by: .seconds(1))
        Self.expectReplaced(old, by: new, in: cluster)
    }

    @Test(arguments: [false, true])
    func `it is told so by the next coordinator too, whoever of the two is heard first`(
        isOldFirst: Bool
    ) throws {
        let (cluster, old, new) = try Self.pausedAndReplaced()
        cluster.advance(by: .seconds(1))
        try cluster.restartCoordinator()
        new.isPaused = isOldFirst
        old.isPaused = !isOldFirst
        cluster.advance(by: .seconds(2))
        new.isPaused = false
        old.isPaused = false
        cluster.advance(by: .seconds(10))
        Self.expectReplaced(old, by: new, in: cluster)
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
