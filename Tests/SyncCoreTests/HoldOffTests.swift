import SyncTestKit
import Testing

@testable import SyncCore

/// A project that edits its files faster than turns are written has them handed over once in a
/// while only.
@Suite struct HoldOffTests {
    /// A worker with the second edit of `f` in hand while the third waits: under load.
    private static func loaded(
        wait: Duration = .milliseconds(80), most: Duration = .seconds(2)
    ) throws -> (cluster: MachineCluster, worker: MachineCluster.WorkerNode) {
        var settings = CoordinatorSettings()
        settings.holdOffEditsMin = 1
        settings.holdOffWait = wait
        settings.holdOffWaitMax = most
        let cluster = try MachineCluster(settings: settings, marked: [MachineCluster.project])
        let worker = try cluster.addWorker("w")
        worker.holdsSteps = true
        for number: UInt64 in 1...2 {
            cluster.push(MachineCluster.put("f", "v\(number)"), number: number)
        }
        // The first is done; the second is handed over, and stays in hand.
        while cluster.text("f") == nil, cluster.finishSteps(of: worker) { cluster.settle() }
        cluster.push(MachineCluster.put("f", "v3"), number: 3)
        return (cluster, worker)
    }

    private static var file: FileKey {
        FileKey(project: MachineCluster.project, path: MachineCluster.path("f"))
    }

    private static func state(of path: String, _ cluster: MachineCluster) -> String? {
        let route = cluster.request(
            .queue(project: MachineCluster.project, prefix: path, after: "", countMax: 10))
        cluster.settle()
        guard case .queue(let report)? = cluster.answers(to: route).first else { return nil }
        return report.files.first?.state
    }

    @Test func `under load a file that was handed over a moment ago waits, and the newest goes`()
        throws
    {
        let (cluster, worker) = try Self.loaded()
        worker.holdsSteps = false
        cluster.settle()
        #expect(cluster.text("f") == "v2")
        #expect(Self.state(of: "f", cluster) == "waiting")
        cluster.push(MachineCluster.put("f", "v4"), number: 4)
        cluster.advance(by: .milliseconds(70), step: .milliseconds(10))
        #expect(cluster.text("f") == "v2")
        cluster.advance(by: .milliseconds(20), step: .milliseconds(10))
        #expect(cluster.text("f") == "v4")
        #expect(cluster.store.newest(Self.file)?.version == Version(3))
        #expect(cluster.violations() == [])
    }

    @Test func `what waits goes a moment after the load, however long it was to wait`() throws {
        let (cluster, worker) = try Self.loaded(wait: .seconds(2))
        worker.holdsSteps = false
        cluster.settle()
        cluster.advance(by: .milliseconds(90), step: .milliseconds(10))
        #expect(cluster.text("f") == "v2")
        cluster.advance(by: .milliseconds(20), step: .milliseconds(10))
        #expect(cluster.text("f") == "v3")
        #expect(cluster.journal.snapshot.rows.isEmpty)
        #expect(cluster.violations() == [])
    }

    @Test func `a file of another project does not wait`() throws {
        let (cluster, worker) = try Self.loaded(wait: .seconds(2))
        worker.holdsSteps = false
        cluster.settle()
        let other = MachineCluster.name("p2")
        for number: UInt64 in 1...2 {
            cluster.push(MachineCluster.put("f", "w\(number)"), number: number, project: other)
            #expect(cluster.text("f", in: "local:p2") == "w\(number)")
        }
        #expect(cluster.text("f") == "v2")
    }

    @Test func `the wait gets longer as long as the load lasts, up to its limit`() {
        var holdOffs = HoldOffs()
        let start = Instant(nanoseconds: 1_000_000_000)
        var waits: [Duration] = []
        for step in 0..<100 {
            let now = start + .milliseconds(10) * step
            holdOffs.load(
                MachineCluster.project, at: now, first: .milliseconds(20),
                most: .milliseconds(300))
            holdOffs.handOver(Self.file, at: now)
            let wait = holdOffs.heldUntil(Self.file).map { $0 - now } ?? .zero
            if waits.last != wait { waits.append(wait) }
        }
        #expect(waits == [20, 80, 300].map { .milliseconds($0) })
        let last = start + .milliseconds(10) * 99
        #expect(holdOffs.nextEnd == last + HoldOffs.memory)
        for index: FileIndex in [7, 3, 7] { holdOffs.hold(index, of: MachineCluster.project) }
        #expect(holdOffs.end(at: last + .milliseconds(90)) == [])
        #expect(holdOffs.end(at: last + HoldOffs.memory) == [3, 7])
        #expect(holdOffs.heldUntil(Self.file) == nil && holdOffs.isEmpty)
    }

    // Trace A11.
    @Test func `what lies below a file that waits does not go before it`() throws {
        let (cluster, worker) = try Self.loaded()
        worker.holdsSteps = false
        cluster.push(MachineCluster.delete("f"), number: 4)
        cluster.push(MachineCluster.put("f/below", "x"), number: 5)
        #expect(cluster.text("f") == "v2")
        #expect(cluster.story(of: "f/below") == ["accepted 5"])
        cluster.advance(by: .milliseconds(200), step: .milliseconds(10))
        #expect(cluster.text("f/below") == "x")
        #expect(!cluster.journal.events.contains { $0.kind == .retrying })
        #expect(cluster.violations() == [])
    }

    @Test func `a sandbox that goes away parks what waits, and it goes when it is back`() throws {
        let (cluster, worker) = try Self.loaded()
        worker.holdsSteps = false
        cluster.settle()
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target]?.failure = SandboxError(
            .target, code: "away", "The sandbox does not answer.")
        cluster.push(MachineCluster.put("g", "x"), number: 4)
        #expect(Self.state(of: "f", cluster) == "parked")
        cluster.sandboxes[target]?.failure = nil
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "v3" && cluster.text("g") == "x")
        #expect(cluster.violations() == [])
    }
}
