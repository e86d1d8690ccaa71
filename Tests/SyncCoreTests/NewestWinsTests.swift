import SyncCore
import SyncTestKit
import Testing

/// P2 in each waiting state.
@Suite struct NewestWinsTests {
    @Test func `an edit walks from the producer to the sandbox`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        let route = cluster.push(MachineCluster.put("src/a.txt", "one"), number: 1)
        #expect(cluster.sequence(of: route) == 1)
        #expect(cluster.text("src/a.txt") == "one")
        #expect(cluster.storedText("src/a.txt") == "one")
        #expect(cluster.story(of: "src/a.txt") == ["accepted 1", "synced 1"])
        #expect(cluster.violations() == [])
        #expect(cluster.journal.contents.isEmpty)
    }

    @Test func `a newer edit replaces the one that waits for its turn`() throws {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        cluster.push(MachineCluster.put("a", "two"), number: 2)
        #expect(cluster.story(of: "a") == ["accepted 1", "accepted 2", "superseded 1"])
        try cluster.addWorker("w")
        #expect(cluster.text("a") == "two")
        #expect(cluster.store.versions.values.first?.count == 1)
        #expect(cluster.violations() == [])
    }

    @Test func `edits of one turn are folded before the disk`() throws {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("a", "one"), number: 1, settles: false)
        cluster.push(MachineCluster.put("a", "two"), number: 2, settles: false)
        cluster.settle()
        #expect(cluster.journal.snapshot.rows.map(\.sequence.value) == [2])
        #expect(cluster.journal.contents.count == 1)
        #expect(cluster.story(of: "a") == ["accepted 1", "accepted 2", "superseded 1"])
    }

    @Test func `a newer edit waits alone behind the one in flight`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("w")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        cluster.push(MachineCluster.put("a", "two"), number: 2)
        cluster.push(MachineCluster.put("a", "three"), number: 3)
        #expect(cluster.journal.snapshot.rows.map(\.sequence.value) == [3])
        #expect(cluster.journal.snapshot.rows.first?.open?.sequence.value == 1)
        worker.holdsSteps = false
        cluster.settle()
        #expect(cluster.text("a") == "three")
        #expect(
            cluster.story(of: "a") == [
                "accepted 1", "accepted 2", "accepted 3", "superseded 2", "synced 1", "synced 3",
            ])
        #expect(cluster.violations() == [])
    }

    // Trace B1.
    @Test func `a newer edit takes the slot of one that waits for a retry`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failures[MachineCluster.path("a")] = SandboxError(
            .attempt, code: "EIO", "The disk gave an error; try again.")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        #expect(cluster.story(of: "a") == ["accepted 1", "stored 1", "retrying 1"])
        cluster.sandboxes[target]?.failures = [:]
        cluster.push(MachineCluster.put("a", "two"), number: 2)
        #expect(cluster.text("a") == "two")
        #expect(
            cluster.story(of: "a")
                == [
                    "accepted 1", "stored 1", "retrying 1", "accepted 2", "superseded 1",
                    "synced 2",
                ])
        #expect(cluster.violations() == [])
    }

    @Test func `a newer edit replaces the one that waits for an absent target`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failure = SandboxError(
            .target, code: "EROFS", "The sandbox is read-only; remount it.")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        cluster.push(MachineCluster.put("a", "two"), number: 2)
        cluster.push(MachineCluster.put("b", "three"), number: 3)
        cluster.advance(by: .seconds(10))
        #expect(cluster.text("a") == nil)
        #expect(!cluster.journal.events.contains { $0.kind == .failed || $0.kind == .retrying })
        cluster.sandboxes[target]?.failure = nil
        cluster.advance(by: .seconds(31))
        #expect(cluster.text("a") == "two")
        #expect(cluster.text("b") == "three")
        let kinds = cluster.journal.events.map(\.kind)
        #expect(kinds.count { $0 == .away } == 1)
        #expect(kinds.count { $0 == .back } == 1)
        #expect(cluster.violations() == [])
    }

    @Test func `a newer edit closes the failed one`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failures[MachineCluster.path("a")] = SandboxError(
            .file, code: "EACCES", "Permission denied; mend the mode.")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        #expect(cluster.story(of: "a") == ["accepted 1", "failed 1"])
        #expect(cluster.journal.contents.count == 1)
        cluster.sandboxes[target]?.failures = [:]
        cluster.push(MachineCluster.put("a", "two"), number: 2)
        #expect(cluster.text("a") == "two")
        #expect(
            cluster.story(of: "a")
                == ["accepted 1", "failed 1", "accepted 2", "superseded 1", "synced 2"])
    }

    // Trace A13.
    @Test func `an edit that fails while a newer one waits ends superseded`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("w")
        let target = TargetURL(defaultOf: MachineCluster.project)
        worker.holdsSteps = true
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failures[MachineCluster.path("a")] = SandboxError(
            .file, code: "EACCES", "Permission denied; mend the mode.")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        cluster.push(MachineCluster.put("a", "two"), number: 2)
        while worker.holdsSteps {
            cluster.finishSteps(of: worker)
            cluster.settle()
            if cluster.story(of: "a").contains("superseded 1") { worker.holdsSteps = false }
        }
        cluster.sandboxes[target]?.failures = [:]
        cluster.settle()
        #expect(cluster.text("a") == "two")
        #expect(
            cluster.story(of: "a") == ["accepted 1", "accepted 2", "superseded 1", "synced 2"])
    }

    @Test func `four attempts are made after one, two and four seconds`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failures[MachineCluster.path("a")] = SandboxError(
            .attempt, code: "EIO", "The disk gave an error; try again.")
        cluster.push(MachineCluster.put("a", "one"), number: 1)
        #expect(cluster.story(of: "a") == ["accepted 1", "stored 1", "retrying 1"])
        for (wait, count) in [(900, 3), (200, 4), (1_700, 4), (400, 5), (3_500, 5), (600, 6)] {
            cluster.advance(by: .milliseconds(wait))
            #expect(cluster.story(of: "a").count == count)
        }
        #expect(cluster.story(of: "a").last == "failed 1")
        let waits = cluster.journal.events.filter { $0.kind == .retrying }.map(\.delayMilliseconds)
        #expect(waits == [1_000, 2_000, 4_000])
        #expect(cluster.journal.snapshot.rows.first?.failure?.attempts == 4)
    }
}
