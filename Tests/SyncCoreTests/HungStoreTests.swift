import SyncCore
import SyncTestKit
import Testing

/// A store call that does not come back: files wait, people read why, nothing is burnt or lost.
@Suite struct HungStoreTests {
    private static func isAtStore(_ step: WorkerDirective) -> Bool {
        switch step {
        case .apply, .read: true
        case .bind, .prepare, .write, .probe, .list, .send, .lease, .exit: false
        }
    }

    private static func file(_ path: String, _ cluster: MachineCluster) -> FileStatus? {
        let route = cluster.request(
            .queue(project: MachineCluster.project, prefix: path, after: "", countMax: 10))
        cluster.settle()
        guard case .queue(let report)? = cluster.answers(to: route).first else { return nil }
        return report.files.first
    }

    /// One worker whose first call into the store hangs, with two files behind it.
    private static func hung() throws -> (MachineCluster, MachineCluster.WorkerNode) {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("other", "x"), number: 1)
        worker.isHeld = isAtStore
        cluster.push(MachineCluster.put("f", "old"), number: 2)
        cluster.push(MachineCluster.put("g", "behind"), number: 3)
        return (cluster, worker)
    }

    @Test func `past the deadline the files are given back with a reason, nothing is burnt`()
        throws
    {
        let (cluster, worker) = try Self.hung()
        cluster.advance(by: .milliseconds(29_500))
        #expect(Self.file("f", cluster)?.state == "in-hand")
        #expect(Self.file("f", cluster)?.code == "")
        cluster.advance(by: .seconds(1))
        for path in ["f", "g"] {
            #expect(Self.file(path, cluster)?.code == "timeout")
            #expect(Self.file(path, cluster)?.reason.contains("store did not answer") == true)
            #expect(Self.file(path, cluster)?.attempts == 0)
        }
        // The same again while it hangs: no event, no end, no second call.
        cluster.advance(by: .seconds(120))
        #expect(cluster.story(of: "f") == ["accepted 2"])
        #expect(worker.steps.count(where: Self.isAtStore) == 1)
        worker.isHeld = { _ in false }
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("f") == "old")
        #expect(cluster.text("g") == "behind")
        #expect(cluster.story(of: "f") == ["accepted 2", "synced 2"])
        #expect(cluster.violations() == [])
    }

    @Test func `a call that takes effect late goes back in time nowhere`() throws {
        let (cluster, worker) = try Self.hung()
        cluster.advance(by: .seconds(31))
        // Somebody else does both, and a newer edit, before the hung call wakes up.
        worker.isCut = true
        try cluster.addWorker("b")
        cluster.advance(by: .seconds(5))
        cluster.push(MachineCluster.put("f", "new"), number: 4)
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("f") == "new")
        let before = cluster.storedText("f")
        cluster.finishSteps(of: worker)
        worker.isHeld = { _ in false }
        worker.isCut = false
        cluster.advance(by: .seconds(10))
        #expect(before == "new")
        #expect(cluster.storedText("f") == "new")
        #expect(cluster.text("f") == "new")
        #expect(cluster.text("g") == "behind")
        #expect(cluster.violations() == [])
    }

    @Test func `a worker without a connection does not call its files overdue`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.finishSteps(of: worker)
        worker.isCut = true
        cluster.advance(by: .seconds(60))
        #expect(cluster.story(of: "f") == ["accepted 1"])
        worker.isCut = false
        worker.holdsSteps = false
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "x")
        #expect(cluster.story(of: "f").last == "synced 1")
    }

    @Test func `reading for a refill that hangs is given back too`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        worker.isHeld = Self.isAtStore
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target]?.wipe()
        cluster.advance(by: .seconds(70))
        #expect(worker.machine.jobCount <= 1)
        #expect(worker.steps.contains(where: Self.isAtStore))
        #expect(cluster.text("f") == nil)
        worker.isHeld = { _ in false }
        cluster.advance(by: .seconds(62))
        #expect(cluster.text("f") == "x")
        #expect(cluster.violations() == [])
    }

    @Test func `a worker whose store hangs can leave`() throws {
        let (cluster, worker) = try Self.hung()
        worker.machine.drain()
        cluster.advance(by: .seconds(5))
        #expect(worker.exit == nil)
        cluster.advance(by: .seconds(30))
        #expect(worker.exit == .drained)
        try cluster.addWorker("b")
        cluster.advance(by: .seconds(3))
        #expect(cluster.text("f") == "old")
        #expect(cluster.text("g") == "behind")
        #expect(cluster.violations() == [])
    }
}
