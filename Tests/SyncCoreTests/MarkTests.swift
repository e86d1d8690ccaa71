import SyncCore
import SyncTestKit
import Testing

/// Sandboxes that one worker makes ready while another one's first touch hangs.
@Suite struct MarkTests {
    private let target = TargetURL(defaultOf: MachineCluster.project)
    private let texts = (1...12).map { ("d\($0)/f", "\($0)") }

    private static func isPreparation(_ step: WorkerDirective) -> Bool {
        if case .prepare = step { true } else { false }
    }

    /// A cluster of which one worker's first touch of the sandbox hangs and was given up, while the
    /// other one has written there.
    private func halfReady() throws -> (MachineCluster, hanging: MachineCluster.WorkerNode) {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        try cluster.addWorker("b")
        for worker in cluster.workers { worker.isHeld = Self.isPreparation }
        for (place, (path, text)) in texts.enumerated() {
            cluster.push(MachineCluster.put(path, text), number: UInt64(place + 1))
        }
        // A sandbox that nobody has marked gets one file at a time.
        let hanging = try #require(
            cluster.workers.first { $0.steps.contains(where: Self.isPreparation) })
        #expect(cluster.workers.count { $0.steps.isEmpty } == 1)
        for worker in cluster.workers where worker !== hanging { worker.isHeld = { _ in false } }
        for _ in 0..<10 where written(cluster) == 0 { cluster.advance(by: .seconds(31)) }
        #expect(written(cluster) > 0)
        #expect(hanging.steps.contains(where: Self.isPreparation))
        return (cluster, hanging)
    }

    private func written(_ cluster: MachineCluster) -> Int {
        texts.count { cluster.text($0.0) == $0.1 }
    }

    private func expectWhole(_ cluster: MachineCluster) {
        for (path, text) in texts { #expect(cluster.text(path) == text) }
        #expect(cluster.violations() == [])
    }

    // Seed 9554406: the marker hid that the sandbox had been wiped.
    @Test func `a marker that comes late does not hide that a sandbox was wiped`() throws {
        let (cluster, hanging) = try halfReady()
        cluster.sandboxes[target]?.wipe()
        hanging.isHeld = { _ in false }
        cluster.settle()
        cluster.advance(by: .seconds(60))
        #expect(cluster.journal.events.contains { $0.kind == .refreshing && $0.code == "blank" })
        expectWhole(cluster)
    }

    // Seed 12016971: the coordinator knew only in memory which marker had been the first.
    @Test func `a restart in between does not make a late marker the first`() throws {
        let (cluster, hanging) = try halfReady()
        cluster.sandboxes[target]?.wipe()
        try cluster.restartCoordinator()
        cluster.settle()
        hanging.isHeld = { _ in false }
        cluster.settle()
        cluster.advance(by: .seconds(60))
        #expect(cluster.journal.events.contains { $0.kind == .refreshing && $0.code == "blank" })
        expectWhole(cluster)
    }

    @Test func `a marker that nobody told of is found by a probe`() throws {
        let (cluster, hanging) = try halfReady()
        hanging.isHeld = { _ in false }
        cluster.settle()
        cluster.advance(by: .seconds(60))
        expectWhole(cluster)
        let marker = try #require(cluster.sandboxes[target]?.marker)
        cluster.sandboxes[target]?.wipe()
        cluster.sandboxes[target]?.marker = SandboxMarker(
            journal: marker.journal, project: marker.project, generation: marker.generation,
            bootID: marker.bootID, mark: "of-one-who-died")
        cluster.advance(by: .seconds(60))
        #expect(cluster.journal.events.contains { $0.kind == .refreshing && $0.code == "blank" })
        expectWhole(cluster)
    }

    @Test func `a first touch that was given up makes ready what another one has marked`() throws {
        let (cluster, hanging) = try halfReady()
        hanging.isHeld = { _ in false }
        cluster.settle()
        cluster.advance(by: .seconds(60))
        #expect(!cluster.journal.events.contains { $0.kind == .refreshing })
        expectWhole(cluster)
    }
}
