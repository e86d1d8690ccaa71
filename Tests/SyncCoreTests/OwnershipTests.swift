import SyncCore
import SyncTestKit
import Testing

/// P3 and P4: leases, zombies, hand-off, restart (traces A4 to A6, A10, A11, B3, B7, B8).
@Suite struct OwnershipTests {
    @Test func `a dead worker's files move on after lease and margin`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.kill(worker)
        try cluster.addWorker("b")
        cluster.advance(by: .milliseconds(2_000))
        #expect(cluster.text("f") == nil)
        cluster.advance(by: .milliseconds(1_500))
        #expect(cluster.text("f") == "x")
        #expect(cluster.story(of: "f") == ["accepted 1", "synced 1"])
    }

    // Trace B2.
    @Test func `proof of death hands on at once`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.kill(worker)
        try cluster.addWorker("b")
        cluster.request(.died(life: worker.life))
        cluster.settle()
        #expect(cluster.text("f") == "x")
    }

    @Test func `a zombie's write is fenced by its revoked stage (A5)`() throws {
        let cluster = try MachineCluster()
        let zombie = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "zero"), number: 1)
        zombie.holdsSteps = true
        cluster.push(MachineCluster.put("f", "old"), number: 2)
        while !zombie.steps.contains(where: { if case .write = $0 { true } else { false } }) {
            cluster.finishSteps(of: zombie)
            cluster.settle()
        }
        zombie.isPaused = true
        try cluster.addWorker("b")
        cluster.advance(by: .seconds(4))
        cluster.push(MachineCluster.put("f", "new"), number: 3)
        #expect(cluster.text("f") == "new")
        cluster.finishSteps(of: zombie)
        #expect(cluster.text("f") == "new")
        zombie.isPaused = false
        zombie.holdsSteps = false
        cluster.advance(by: .seconds(4))
        #expect(cluster.text("f") == "new")
        #expect(cluster.violations() == [])
    }

    @Test func `a worker that wakes up late begins nothing without a new grant (A6)`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        worker.isPaused = true
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.advance(by: .seconds(60))
        worker.holdsSteps = true
        worker.isCut = true
        worker.isPaused = false
        cluster.settle()
        #expect(worker.machine.jobCount == 1)
        #expect(worker.steps.isEmpty)
        worker.isCut = false
        worker.holdsSteps = false
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "x")
        #expect(cluster.violations() == [])
    }

    @Test func `the coordinator's own pause expels nobody (B3)`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        try cluster.addWorker("b")
        cluster.advance(by: .seconds(5), step: .seconds(5))
        #expect(!cluster.hints.contains { $0.state == "expelled" })
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        #expect(cluster.text("f") == "x")
    }

    @Test func `an outcome of somebody who does not hold the edit is dropped (B8)`() throws {
        let cluster = try MachineCluster()
        let zombie = try cluster.addWorker("a")
        zombie.holdsSteps = true
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        zombie.isCut = true
        try cluster.addWorker("b")
        cluster.advance(by: .seconds(4))
        #expect(cluster.text("f") == "x")
        zombie.isCut = false
        zombie.holdsSteps = false
        cluster.advance(by: .seconds(4))
        #expect(cluster.story(of: "f") == ["accepted 1", "synced 1"])
        #expect(cluster.store.versions.values.first?.count == 1)
    }

    @Test func `a restarted coordinator waits for those who may still write (B7)`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        worker.isCut = true
        try cluster.restartCoordinator()
        try cluster.addWorker("b")
        let newer = cluster.push(MachineCluster.put("f", "two"), number: 2)
        #expect(cluster.sequence(of: newer) == 2)
        cluster.advance(by: .milliseconds(2_900))
        #expect(cluster.text("f") == nil)
        cluster.advance(by: .milliseconds(1_000))
        #expect(cluster.text("f") == "two")
        #expect(cluster.violations() == [])
    }

    @Test func `an edit in hand over a restart ends by its holder's outcome`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        cluster.push(MachineCluster.put("f", "two"), number: 2)
        try cluster.restartCoordinator()
        cluster.advance(by: .seconds(2))
        worker.holdsSteps = false
        cluster.advance(by: .seconds(4))
        #expect(
            cluster.story(of: "f") == ["accepted 1", "accepted 2", "synced 1", "synced 2"])
        #expect(cluster.text("f") == "two")
        #expect(cluster.violations() == [])
    }

    @Test func `an assignment lost with its connection is given again`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        worker.isCut = true
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        worker.isCut = false
        cluster.reconnect(worker)
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("f") == "x")
        #expect(cluster.violations() == [])
    }

    @Test func `a drained worker leaves and owes nothing`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        worker.machine.drain()
        cluster.advance(by: .seconds(1))
        #expect(worker.exit == .drained)
        #expect(cluster.journal.snapshot.incarnations.isEmpty)
        #expect(cluster.journal.snapshot.projects.first?.targets.first?.debts == [])
    }

    @Test func `a process that takes a label replaces the one that had it`() throws {
        let cluster = try MachineCluster()
        let old = try cluster.addWorker("a")
        try cluster.addWorker("a")
        cluster.advance(by: .seconds(1))
        guard case .replaced = old.exit else {
            Issue.record("the old process goes on: \(String(describing: old.exit))")
            return
        }
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        #expect(cluster.text("f") == "x")
    }

    @Test func `a file and what was below it go one after the other (A11)`() throws {
        let cluster = try MachineCluster()
        let first = try cluster.addWorker("a")
        let second = try cluster.addWorker("b")
        cluster.push(MachineCluster.put("d", "file"), number: 1)
        first.holdsSteps = true
        second.holdsSteps = true
        cluster.push(MachineCluster.delete("d"), number: 2)
        cluster.push(MachineCluster.put("d/x", "below"), number: 3)
        cluster.push(MachineCluster.put("d/y", "below"), number: 4)
        #expect(cluster.text("d") == "file")
        #expect((first.steps + second.steps).count == 1)
        first.holdsSteps = false
        second.holdsSteps = false
        cluster.settle()
        #expect(cluster.text("d/x") == "below")
        #expect(cluster.text("d/y") == "below")
        #expect(cluster.text("d") == nil)
        cluster.push(MachineCluster.delete("d/x"), number: 5)
        cluster.push(MachineCluster.delete("d/y"), number: 6)
        cluster.push(MachineCluster.put("d", "again"), number: 7)
        #expect(cluster.text("d") == "again")
        #expect(!cluster.journal.events.contains { $0.kind == .retrying })
        #expect(cluster.violations() == [])
    }

    @Test func `a worker with another store or root is refused with a sentence (A10)`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        let settings = WorkerSettings(
            label: MachineCluster.name("b"), life: 9, bootID: "boot", localRootID: "elsewhere",
            schemes: ["local"])
        var stranger = WorkerMachine(settings: settings, identity: cluster.store.identity)
        stranger.pass(at: cluster.now)
        let route = WorkerRoute(id: [9, 9])
        var refusals: [String] = []
        for directive in stranger.takeDirectives() {
            guard case .send(let message) = directive else { continue }
            cluster.coordinator.hear(message, from: route, at: cluster.now)
        }
        cluster.coordinator.pass(
            at: cluster.now, wall: Timestamp(milliseconds: 1), isDrained: true)
        for directive in cluster.coordinator.takeDirectives() {
            if case .send(route, .refused(let code, _)) = directive { refusals.append(code) }
        }
        #expect(refusals == ["root-differs"])
    }

    @Test func `a store of another journal is refused (A9)`() throws {
        let cluster = try MachineCluster()
        cluster.store.bind(to: JournalID(bits: 99), isAdopted: true)
        let worker = try cluster.addWorker("a")
        guard case .refused(let code, _) = worker.exit else {
            Issue.record("it was let in")
            return
        }
        #expect(code == "store-foreign")
    }

    @Test func `a target of another project is refused (A10)`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        let shared = try #require(TargetURL("local:shared"))
        cluster.push(MachineCluster.put("a", "1", targets: [shared]), number: 1)
        let other = cluster.push(
            MachineCluster.put("a", "2", targets: [shared]), number: 1,
            project: MachineCluster.name("p2"))
        #expect(cluster.rejection(of: other) == .targetTaken)
    }
}
