import SyncCore
import SyncTestKit
import Testing

/// Traces that broke earlier drafts of the design, step by step as they were found.
@Suite struct TraceTests {
    private static let target = TargetURL(defaultOf: MachineCluster.project)

    // Trace A2.
    @Test func `a producer that starts again and counts from one is heard`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        let editor = MachineCluster.name("editor-1")
        let before = ProducerID(name: editor, life: 1)
        let after = ProducerID(name: editor, life: 2)
        cluster.push(MachineCluster.put("f", "A"), number: 1, producer: before)
        cluster.push(MachineCluster.put("f", "B"), number: 1)
        cluster.push(MachineCluster.put("f", "A"), number: 1, producer: after)
        #expect(cluster.text("f") == "A")
        #expect(cluster.storedText("f") == "A")
        #expect(cluster.store.versions.values.first?.count == 3)
    }

    // Trace A2: the window of a producer that may still resend is never given to another.
    @Test func `one producer too many is told busy until one has been silent for long`() throws {
        var settings = CoordinatorSettings()
        settings.producersMax = 2
        let cluster = try MachineCluster(settings: settings)
        let third = ProducerID(name: MachineCluster.name("third"), life: 3)
        for life: UInt64 in 1...2 {
            let producer = ProducerID(name: MachineCluster.name("p"), life: life)
            let route = cluster.push(
                MachineCluster.put("f\(life)", "x"), number: 1, producer: producer)
            #expect(cluster.sequence(of: route) == life)
        }
        let refused = cluster.push(MachineCluster.put("g", "x"), number: 1, producer: third)
        #expect(cluster.rejection(of: refused) == .busy)
        cluster.advance(by: .seconds(590), step: .seconds(1))
        let early = cluster.push(MachineCluster.put("g", "x"), number: 1, producer: third)
        #expect(cluster.rejection(of: early) == .busy)
        cluster.advance(by: .seconds(30), step: .seconds(1))
        let late = cluster.push(MachineCluster.put("g", "x"), number: 1, producer: third)
        #expect(cluster.sequence(of: late) == 3)
    }

    // Trace A3.
    @Test func `a number that was answered busy is not spent, and keeps its place`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        cluster.journal.isFull = true
        let first = cluster.push(MachineCluster.put("f", "A"), number: 1)
        cluster.advance(by: .seconds(1))
        let second = cluster.push(MachineCluster.put("g", "C"), number: 2)
        cluster.advance(by: .seconds(1))
        #expect(cluster.rejection(of: first) == .busy)
        #expect(cluster.rejection(of: second) == .busy)
        cluster.journal.isFull = false
        cluster.advance(by: .seconds(1))
        let newer = cluster.push(MachineCluster.put("f", "B"), number: 3)
        #expect(cluster.sequence(of: newer) != nil)
        // Another file: the same number is taken now. The same file: it comes too late.
        let again = cluster.push(MachineCluster.put("g", "C"), number: 2)
        #expect(cluster.sequence(of: again) != nil)
        let late = cluster.push(MachineCluster.put("f", "A"), number: 1)
        #expect(cluster.rejection(of: late) == .overtaken)
        #expect(cluster.text("f") == "B")
        #expect(cluster.text("g") == "C")
        #expect(cluster.violations() == [])
    }

    // Trace A5 (c): what the store knows already is written again.
    @Test func `an edit stored by a worker that died before writing is written by the next`() throws
    {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("f", "five"), number: 1)
        let first = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "seven"), number: 2, settles: false)
        first.holdsSteps = true
        var rounds = 0
        while cluster.storedText("f") != "seven", rounds < 10 {
            cluster.settle()
            cluster.finishSteps(of: first)
            rounds += 1
        }
        #expect(cluster.storedText("f") == "seven")
        #expect(cluster.text("f") == "five")
        cluster.kill(first)
        cluster.request(.died(life: first.life))
        try cluster.addWorker("b")
        cluster.settle()
        #expect(cluster.text("f") == "seven")
        #expect(cluster.story(of: "f").last == "synced 2")
        #expect(cluster.store.versions.values.first?.count == 2)
        #expect(cluster.violations() == [])
    }

    // Trace A6.
    @Test func `a grant read from a buffer counts from the heartbeat that it answers`() throws {
        let start = Instant(nanoseconds: 1_000_000_000)
        let lease = Duration.milliseconds(2_500)
        var machine = WorkerMachine(
            settings: WorkerSettings(
                label: MachineCluster.name("w"), life: 1, bootID: "boot", localRootID: "root",
                schemes: ["local"]),
            identity: StoreModel().identity)
        machine.pass(at: start)
        let epoch = Epoch(bits: 1)
        let stamp = WorkerStamp(
            epoch: epoch, incarnation: Incarnation(epoch: epoch, count: 1), registration: 1)
        machine.hear(
            .welcome(
                Welcome(
                    stamp: stamp, journal: JournalID(bits: 7), isAdopted: false, lease: lease,
                    clock: start, isKept: false)), at: start)
        machine.storeBound(nil, at: start)
        _ = machine.takeDirectives()
        // Paused for a minute: the answer to an old heartbeat and an edit lie in its pipe.
        let woken = start + .seconds(60)
        machine.hear(.grant(stamp, lease: lease, clock: start + .seconds(1)), at: woken)
        let file = FileKey(project: MachineCluster.project, path: MachineCluster.path("f"))
        machine.hear(
            .assign(
                stamp,
                [
                    Assignment(
                        id: AssignmentID(epoch: epoch, serial: 1), attempt: 1,
                        task: .edit(
                            SequencedEdit(
                                sequence: EditSequence(1), file: file,
                                change: .put(Content([1]), isExecutable: false),
                                expectedVersion: nil,
                                id: EditID(producer: MachineCluster.producer(), number: 1),
                                acceptedAt: Timestamp(milliseconds: 1))),
                        targets: [])
                ]), at: woken)
        machine.pass(at: woken)
        for directive in machine.takeDirectives() {
            switch directive {
            case .lease(_, let until): #expect(until == start + .seconds(1) + lease)
            case .send: break
            case .apply, .read, .prepare, .write, .bind, .probe, .list, .exit:
                Issue.record("begun without a lease: \(directive)")
            }
        }
        #expect(machine.jobCount == 1)
    }

    // Trace A9; what an adoption does is told by AdoptionTests.
    @Test func `a store that is ahead of its journal is refused`() throws {
        var store = StoreModel()
        let file = FileKey(project: MachineCluster.project, path: MachineCluster.path("f"))
        _ = store.apply([
            SequencedEdit(
                sequence: EditSequence(500), file: file,
                change: .put(Content(Array("old".utf8)), isExecutable: false),
                expectedVersion: nil,
                id: EditID(producer: MachineCluster.producer("earlier"), number: 1),
                acceptedAt: Timestamp(milliseconds: 1))
        ])
        store.bind(to: JournalID(bits: 7), isAdopted: false)
        let restored = try MachineCluster()
        restored.store = store
        guard case .refused(let code, _) = try restored.addWorker("a").exit else {
            Issue.record("a store ahead of its journal was let in")
            return
        }
        #expect(code == "store-ahead")
    }

    // Trace A10 (a): the first one binds the pool, over a restart too.
    @Test func `a worker with another store is refused, before and after a restart`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        for life: UInt64 in 1...2 {
            var stranger = WorkerMachine(
                settings: WorkerSettings(
                    label: MachineCluster.name("b"), life: life, bootID: "boot",
                    localRootID: "root", schemes: ["local"]),
                identity: StoreIdentity(
                    id: "00000000000000bb", journal: nil, highestSequence: .none))
            stranger.pass(at: cluster.now)
            let route = WorkerRoute(id: [9, UInt8(life)])
            for directive in stranger.takeDirectives() {
                guard case .send(let message) = directive else { continue }
                cluster.coordinator.hear(message, from: route, at: cluster.now)
            }
            cluster.coordinator.pass(
                at: cluster.now, wall: Timestamp(milliseconds: 1), isDrained: true)
            let refusals = cluster.coordinator.takeDirectives().compactMap { directive in
                if case .send(route, .refused(let code, _)) = directive { code } else { nil }
            }
            #expect(refusals == ["store-differs"])
            try cluster.restartCoordinator()
        }
    }
}

/// Traces of group B, likewise.
@Suite struct BoundTraceTests {
    private static let target = TargetURL(defaultOf: MachineCluster.project)

    // Trace B1.
    @Test func `files that wait for a retry hold no credit`() throws {
        var settings = CoordinatorSettings()
        settings.workerAssignmentsMax = 4
        settings.targetAssignmentsMax = 4
        let cluster = try MachineCluster(settings: settings)
        try cluster.addWorker("w")
        cluster.sandboxes[Self.target] = SandboxModel()
        for number: UInt64 in 1...40 {
            cluster.sandboxes[Self.target]?.failures[MachineCluster.path("bad\(number)")] =
                SandboxError(.attempt, code: "EIO", "The disk gave an error; try again.")
            cluster.push(MachineCluster.put("bad\(number)", "x"), number: number)
        }
        cluster.push(MachineCluster.put("good", "x"), number: 41)
        #expect(cluster.text("good") == "x")
        for number in 1...40 {
            #expect(cluster.story(of: "bad\(number)").last == "retrying \(number)")
        }
    }

    /// The next coordinator has a short lease, and waits for a worker that is cut off with 20 s.
    private static func expectLongWait(
        for old: MachineCluster.WorkerNode, in cluster: MachineCluster,
        at location: SourceLocation = #_sourceLocation
    ) throws {
        old.isCut = true
        cluster.settings.lease = .milliseconds(2_500)
        try cluster.restartCoordinator()
        try cluster.addWorker("b")
        cluster.push(MachineCluster.put("f", "two"), number: 2)
        cluster.advance(by: .seconds(19))
        #expect(cluster.text("f") == nil, sourceLocation: location)
        cluster.advance(by: .seconds(3))
        #expect(cluster.text("f") == "two", sourceLocation: location)
        #expect(cluster.violations() == [], sourceLocation: location)
    }

    // Trace B7: a lease that was made shorter does not shorten the wait for those who had it.
    @Test func `a restart waits for the longest lease that was ever given`() throws {
        var settings = CoordinatorSettings()
        settings.lease = .seconds(20)
        let cluster = try MachineCluster(settings: settings)
        let old = try cluster.addWorker("a")
        old.holdsSteps = true
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        try Self.expectLongWait(for: old, in: cluster)
    }

    // Likewise when the worker was kept by the coordinator that gave it the long one.
    @Test func `a restart waits for the longest lease of a worker that registered again`() throws {
        let cluster = try MachineCluster()
        let old = try cluster.addWorker("a")
        cluster.advance(by: .seconds(1))
        cluster.settings.lease = .seconds(20)
        try cluster.restartCoordinator()
        cluster.advance(by: .seconds(5))
        old.holdsSteps = true
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        #expect(old.machine.jobCount == 1)
        try Self.expectLongWait(for: old, in: cluster)
    }

    // Trace B10.
    @Test func `hydrating goes behind the owner's own write of a file`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("w")
        try cluster.addWorker("v")
        cluster.push(MachineCluster.put("f", "five"), number: 1)
        for node in cluster.workers { node.holdsSteps = true }
        cluster.push(MachineCluster.put("f", "seven"), number: 2)
        cluster.request(.project(MachineCluster.project, .hydrate([])))
        cluster.settle()
        var rounds = 0
        while cluster.story(of: "f").last != "synced 2", rounds < 50 {
            // At no moment are two tasks of the file in anybody's hands.
            let inHand = cluster.workers.reduce(0) { $0 + $1.machine.jobCount }
            #expect(inHand <= 1)
            for node in cluster.workers { cluster.finishSteps(of: node) }
            cluster.settle()
            rounds += 1
        }
        for node in cluster.workers { node.holdsSteps = false }
        cluster.settle()
        #expect(worker.isAlive)
        #expect(cluster.text("f") == "seven")
        let kinds = cluster.journal.events.filter { $0.path == nil }.map(\.kind)
        #expect(kinds == [.attached, .refreshing, .refreshed])
        #expect(cluster.violations() == [])
    }

    // Trace B11 (d).
    @Test func `a flush asked again after a restart waits for what was accepted before`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("w")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        let lost = cluster.request(.flush(project: MachineCluster.project, prefix: ""))
        cluster.settle()
        try cluster.restartCoordinator()
        let again = cluster.request(.flush(project: MachineCluster.project, prefix: ""))
        cluster.advance(by: .seconds(5))
        #expect(cluster.answers(to: lost).isEmpty)
        #expect(cluster.answers(to: again).isEmpty)
        worker.holdsSteps = false
        cluster.advance(by: .seconds(5))
        guard case .flushed? = cluster.answers(to: again).first else {
            Issue.record("not flushed")
            return
        }
        #expect(cluster.text("f") == "x")
    }
}
