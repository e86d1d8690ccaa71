import SyncCore
import SyncTestKit
import Testing

/// Attempts and retry by the class table of the design (§3; traces B1, B9, C8).
@Suite struct AttemptTests {
    private static let target = TargetURL(defaultOf: MachineCluster.project)

    private static func failing(
        _ failureClass: FailureClass, _ code: String, retryAfter: Duration? = nil
    ) -> SandboxError {
        SandboxError(failureClass, code: code, "It failed; mend it.", retryAfter: retryAfter)
    }

    private static func cluster() throws -> MachineCluster {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        cluster.sandboxes[target] = SandboxModel()
        return cluster
    }

    private static func status(_ cluster: MachineCluster, _ path: String) -> FileStatus? {
        let route = cluster.request(
            .queue(project: MachineCluster.project, prefix: path, after: "", countMax: 10))
        cluster.settle()
        guard case .queue(let report)? = cluster.answers(to: route).first else { return nil }
        return report.files.first
    }

    // MARK: This file, this try

    @Test func `what a file can't be fails at once and keeps content, reason, attempts`() throws {
        let cluster = try Self.cluster()
        cluster.sandboxes[Self.target]?.failures[MachineCluster.path("a")] = Self.failing(
            .file, "ENAMETOOLONG")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        #expect(cluster.story(of: "a") == ["accepted 1", "failed 1"])
        let row = try #require(cluster.journal.snapshot.rows.first)
        #expect(row.failure?.code == "ENAMETOOLONG")
        #expect(row.failure?.attempts == 1)
        #expect(cluster.journal.contents[row.sequence] != nil)
        #expect(cluster.violations() == [])
    }

    @Test func `a file that fails for good after a retry counts that attempt too`() throws {
        let cluster = try Self.cluster()
        let path = MachineCluster.path("a")
        cluster.sandboxes[Self.target]?.failures[path] = Self.failing(.attempt, "EIO")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        cluster.sandboxes[Self.target]?.failures[path] = Self.failing(.file, "EACCES")
        cluster.advance(by: .seconds(2))
        #expect(cluster.journal.snapshot.rows.first?.failure?.attempts == 2)
    }

    @Test func `a newer edit starts at attempt one and skips the waits of the older one`() throws {
        let cluster = try Self.cluster()
        cluster.sandboxes[Self.target]?.failures[MachineCluster.path("a")] = Self.failing(
            .attempt, "EIO")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        cluster.advance(by: .milliseconds(3_500))
        #expect(Self.status(cluster, "a")?.attempts == 3)
        cluster.push(MachineCluster.put("a", "two"), number: 2)
        #expect(Self.status(cluster, "a")?.attempts == 1)
        let waits = cluster.journal.events.filter { $0.kind == .retrying && $0.sequence.value == 2 }
        #expect(waits.map(\.delayMilliseconds) == [1_000])
    }

    @Test func `an edit that failed in one target and waits for another fails when that is back`()
        throws
    {
        let cluster = try Self.cluster()
        let one = try #require(TargetURL("local:one"))
        let two = try #require(TargetURL("local:two"))
        cluster.push(MachineCluster.put("z", "x", targets: [one, two]), number: 1)
        cluster.sandboxes[one]?.failures[MachineCluster.path("a")] = Self.failing(.attempt, "EIO")
        cluster.sandboxes[two]?.failure = Self.failing(.target, "EROFS")
        cluster.push(MachineCluster.put("a", "x"), number: 2)
        cluster.advance(by: .seconds(20))
        #expect(!cluster.story(of: "a").contains("failed 2"))
        #expect(Self.status(cluster, "a")?.state == "parked")
        cluster.sandboxes[two]?.failure = nil
        cluster.advance(by: .seconds(31))
        #expect(cluster.text("a", in: "local:two") == "x")
        #expect(cluster.story(of: "a").last == "failed 2")
        #expect(cluster.journal.snapshot.rows.first?.failure?.code == "EIO")
        #expect(cluster.violations() == [])
    }

    // MARK: Shape

    @Test func `another shape is tried each second and burns nothing for a minute`() throws {
        let cluster = try Self.cluster()
        cluster.push(MachineCluster.put("d/leaf", "file"), number: 1)
        cluster.push(MachineCluster.put("d", "shape"), number: 2)
        cluster.advance(by: .seconds(58))
        #expect(Self.status(cluster, "d")?.attempts == 0)
        #expect(cluster.story(of: "d") == ["accepted 2", "stored 2", "retrying 2"])
        cluster.advance(by: .seconds(12))
        #expect(cluster.story(of: "d").last == "failed 2")
        #expect(cluster.journal.snapshot.rows.first?.failure?.attempts == 4)
    }

    @Test func `another shape is tried again as soon as a related path ends`() throws {
        let cluster = try Self.cluster()
        cluster.push(MachineCluster.put("d/leaf", "file"), number: 1)
        cluster.push(MachineCluster.put("d", "shape"), number: 2)
        #expect(cluster.text("d") == nil)
        cluster.push(MachineCluster.delete("d/leaf"), number: 3)
        #expect(cluster.text("d") == "shape")
        #expect(cluster.violations() == [])
    }

    // MARK: Target

    @Test func `Retry-After holds the target, for a newer edit and for other files too`() throws {
        let cluster = try Self.cluster()
        cluster.push(MachineCluster.put("z", "x"), number: 1)
        cluster.sandboxes[Self.target]?.failures[MachineCluster.path("a")] = Self.failing(
            .attempt, "503", retryAfter: .seconds(10))
        cluster.push(MachineCluster.put("a", "one"), number: 2)
        cluster.sandboxes[Self.target]?.failures = [:]
        cluster.push(MachineCluster.put("a", "two"), number: 3)
        cluster.push(MachineCluster.put("b", "x"), number: 4)
        cluster.advance(by: .milliseconds(9_800))
        #expect(cluster.text("a") == nil)
        #expect(cluster.text("b") == nil)
        cluster.advance(by: .milliseconds(300))
        #expect(cluster.text("a") == "two")
        #expect(cluster.text("b") == "x")
        #expect(!cluster.journal.events.contains { $0.kind == .away || $0.kind == .failed })
    }

    // MARK: Worker, store

    @Test func `what the worker lacks burns no attempt and is told once`() throws {
        let cluster = try Self.cluster()
        cluster.sandboxes[Self.target]?.failures[MachineCluster.path("a")] = Self.failing(
            .worker, "EMFILE")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        cluster.advance(by: .seconds(90))
        #expect(cluster.story(of: "a") == ["accepted 1", "stored 1", "retrying 1"])
        #expect(Self.status(cluster, "a")?.attempts == 0)
        cluster.sandboxes[Self.target]?.failures = [:]
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("a") == "one")
    }

    @Test func `a store that does not answer is asked again with pauses`() throws {
        let cluster = try MachineCluster()
        cluster.store.isAway = true
        let worker = try cluster.addWorker("w")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        cluster.advance(by: .seconds(10))
        #expect(worker.bindCount <= 12)
        #expect(worker.exit == nil)
        cluster.store.isAway = false
        cluster.advance(by: .seconds(3))
        #expect(cluster.text("a") == "one")
        cluster.store.isAway = true
        cluster.push(MachineCluster.put("a", "two"), number: 2)
        cluster.advance(by: .seconds(10))
        #expect(cluster.story(of: "a").last == "accepted 2")
        cluster.store.isAway = false
        cluster.advance(by: .seconds(3))
        #expect(cluster.text("a") == "two")
    }

    @Test
    func `an edit that the store can't take now waits alone, and the newest of its file wins`()
        throws
    {
        let cluster = try MachineCluster(marked: [MachineCluster.project])
        try cluster.addWorker("w")
        let held = FileKey(project: MachineCluster.project, path: MachineCluster.path("held"))
        cluster.store.heldFiles = [held]
        cluster.push(MachineCluster.put("held", "one"), number: 1, settles: false)
        cluster.push(MachineCluster.put("free", "one"), number: 2)
        #expect(cluster.text("free") == "one")
        cluster.push(MachineCluster.put("held", "two"), number: 3)
        cluster.advance(by: .seconds(30))
        #expect(cluster.text("held") == nil)
        #expect(Self.status(cluster, "held")?.attempts == 0)
        cluster.store.heldFiles = []
        cluster.advance(by: .seconds(3))
        #expect(cluster.text("held") == "two")
        #expect(cluster.storedText("held") == "two")
        #expect(cluster.violations() == [])
    }
}
