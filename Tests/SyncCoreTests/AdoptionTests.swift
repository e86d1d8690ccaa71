import SyncCore
import SyncTestKit
import Testing

/// A journal that was restored from an older copy takes the store over (trace A9).
@Suite struct AdoptionTests {
    /// A cluster whose journal was lost after `f=2` and came back as it was after `f=1`.
    ///
    /// - Parameters:
    ///   - prepare: What happens before the journal is copied.
    ///   - lose: What happens afterwards.
    private func restored(
        _ prepare: (MachineCluster) throws -> Void = { _ in },
        losing lose: (MachineCluster) throws -> Void = { _ in }
    ) throws -> MachineCluster {
        let cluster = try MachineCluster()
        try cluster.addWorker("w1")
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        try prepare(cluster)
        let copy = cluster.journal
        for number in 10...14 as ClosedRange<UInt64> {
            cluster.push(MachineCluster.put("f", "lost \(number)"), number: number)
        }
        try lose(cluster)
        cluster.journal = copy
        cluster.settings.isAdopting = true
        try cluster.restartCoordinator()
        return cluster
    }

    // Trace A9.
    @Test func `an edit that follows an adoption wins over everything that was lost`() throws {
        let cluster = try restored()
        cluster.advance(by: .seconds(4))
        let highest = cluster.store.identity.highestSequence
        let route = cluster.push(MachineCluster.put("f", "new"), number: 20)
        cluster.advance(by: .seconds(1))
        #expect(try #require(cluster.sequence(of: route)) > highest.value)
        #expect(cluster.text("f") == "new")
        #expect(cluster.storedText("f") == "new")
    }

    /// Found by the simulator (seed 9123558).
    @Test(arguments: [false, true])
    func `a flush before the adoption waits for the sandbox to be written again`(
        isAway: Bool
    ) throws {
        let target = TargetURL(defaultOf: MachineCluster.project)
        let cluster = try restored { cluster in
            guard isAway else { return }
            cluster.sandboxes[target]?.failure = SandboxError(
                .target, code: "EROFS", "The file system is read-only.")
            cluster.push(MachineCluster.put("g", "1"), number: 2)
            cluster.advance(by: .seconds(1))
        }
        for node in cluster.workers { node.isCut = true }
        let route = cluster.request(.flush(project: MachineCluster.project, prefix: "f"))
        cluster.settle()
        #expect(cluster.answers(to: route).isEmpty)
        cluster.sandboxes[target]?.failure = nil
        for node in cluster.workers { node.isCut = false }
        cluster.advance(by: .seconds(60))
        let isFlushed = if case .flushed? = cluster.answers(to: route).first { true } else { false }
        #expect(isFlushed)
        #expect(cluster.text("f") == cluster.storedText("f"))
    }

    @Test func `a worker that has seen little of the store adopts it as well`() throws {
        let cluster = try MachineCluster()
        // Its own edits are all that this worker knows of the store's sequences.
        let idle = try cluster.addWorker("idle")
        idle.isCut = true
        cluster.advance(by: .seconds(4))
        let busy = try cluster.addWorker("busy")
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        let copy = cluster.journal
        for number in 2...9 as ClosedRange<UInt64> {
            cluster.push(MachineCluster.put("f", "lost \(number)"), number: number)
        }
        cluster.kill(busy)
        cluster.journal = copy
        cluster.settings.isAdopting = true
        try cluster.restartCoordinator()
        idle.isCut = false
        cluster.advance(by: .seconds(4))
        cluster.push(MachineCluster.put("f", "new"), number: 20)
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "new")
    }

    @Test func `an adopted journal hands nothing out while lost workers may act`() throws {
        let cluster = try restored { cluster in
            for worker in cluster.workers { worker.holdsSteps = true }
            cluster.push(MachineCluster.put("g", "waits"), number: 2)
            for worker in cluster.workers { cluster.kill(worker) }
        }
        let worker = try cluster.addWorker("w2")
        cluster.advance(by: .milliseconds(2_500))
        #expect(worker.machine.jobCount == 0)
        #expect(cluster.text("g") == nil)
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("g") == "waits")
    }

    @Test func `a sandbox is filled anew after an adoption`() throws {
        let cluster = try restored()
        let target = try #require(TargetURL("local:p1"))
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "lost 14")
        #expect(cluster.published.last { $0.target == target }?.kind == .refreshed)
    }

    @Test func `nothing is accepted before a worker has brought the store`() throws {
        let cluster = try restored { cluster in
            for worker in cluster.workers { cluster.kill(worker) }
        }
        cluster.advance(by: .seconds(5))
        let early = cluster.push(MachineCluster.put("f", "new"), number: 20)
        #expect(cluster.rejection(of: early) == .busy)
        try cluster.addWorker("w2")
        let late = cluster.push(MachineCluster.put("f", "new"), number: 20)
        #expect(cluster.sequence(of: late) != nil)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "new")
    }

    @Test func `a filling of the lost part is never used again`() throws {
        let target = try #require(TargetURL("local:p1"))
        var lost: UInt64 = 0
        let cluster = try restored(losing: { cluster in
            cluster.sandboxes[target]?.wipe()
            cluster.advance(by: .seconds(40))
            lost = cluster.sandboxes[target]?.marker?.generation ?? 0
        })
        #expect(lost > 1)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "lost 14")
        #expect(try #require(cluster.sandboxes[target]?.marker?.generation) > lost)
    }

    @Test func `what a worker of the lost part had begun takes no effect afterwards`() throws {
        let names = (0..<8).map { "g\($0)" }
        func push(_ text: String, from first: UInt64, to cluster: MachineCluster) {
            for (place, name) in names.enumerated() {
                cluster.push(MachineCluster.put(name, text), number: first + UInt64(place))
            }
        }
        let cluster = try restored(losing: { cluster in
            let worker = try cluster.addWorker("w2")
            worker.isHeld = { if case .write = $0 { true } else { false } }
            push("lost", from: 30, to: cluster)
            worker.isPaused = true
        })
        let sleeper = try #require(cluster.workers.last)
        #expect(!sleeper.steps.isEmpty)
        cluster.advance(by: .seconds(5))
        push("new", from: 40, to: cluster)
        cluster.advance(by: .seconds(1))
        sleeper.isHeld = { _ in false }
        sleeper.isPaused = false
        cluster.advance(by: .seconds(5))
        #expect(names.allSatisfy { cluster.text($0) == "new" })
    }

    @Test func `a failed edit stays in the list under its new sequence`() throws {
        let target = try #require(TargetURL("local:p1"))
        let cluster = try restored { cluster in
            cluster.sandboxes[target]?.failures[MachineCluster.path("g")] = SandboxError(
                .file, code: "EACCES", "It can't be written.")
            cluster.push(MachineCluster.put("g", "fails"), number: 2)
        }
        let before = try #require(cluster.journal.snapshot.rows.first)
        #expect(before.failure?.code == "EACCES")
        cluster.advance(by: .seconds(5))
        let after = try #require(cluster.journal.snapshot.rows.first)
        #expect(after.failure == before.failure)
        #expect(after.sequence > before.sequence)
        let story = cluster.journal.events.filter { $0.path == MachineCluster.path("g") }
        #expect(story.map(\.kind) == [.accepted, .superseded, .failed])
        #expect(story.last?.sequence == after.sequence)
    }

    @Test func `an edit that waited goes on under a new sequence and is told so`() throws {
        let cluster = try restored { cluster in
            for worker in cluster.workers { worker.holdsSteps = true }
            cluster.push(MachineCluster.put("g", "waits"), number: 2)
            for worker in cluster.workers { cluster.kill(worker) }
        }
        try cluster.addWorker("w2")
        cluster.advance(by: .seconds(5))
        let story = cluster.journal.events.filter { $0.path == MachineCluster.path("g") }
        #expect(story.map(\.kind) == [.accepted, .superseded, .synced])
        #expect(story.first?.sequence == story.last?.sequence)
        // A repeat is answered with the sequence under which it went on, and its end.
        let route = cluster.push(MachineCluster.put("g", "waits"), number: 2)
        #expect(cluster.sequence(of: route) == story.last?.sequence.value)
        try cluster.restartCoordinator()
        cluster.advance(by: .seconds(5))
        let again = cluster.push(MachineCluster.put("g", "waits"), number: 2)
        #expect(cluster.sequence(of: again) == story.last?.sequence.value)
    }

    @Test func `whoever waits for an edit that goes on hears its own end, also after a restart`()
        throws
    {
        let cluster = try restored { cluster in
            for worker in cluster.workers { worker.holdsSteps = true }
            cluster.push(MachineCluster.put("g", "waits"), number: 2)
            for worker in cluster.workers { cluster.kill(worker) }
        }
        let id = EditID(producer: MachineCluster.producer(), number: 2)
        let waiter = cluster.request(.wait(project: MachineCluster.project, id))
        let worker = try cluster.addWorker("w2", holdsSteps: true)
        cluster.advance(by: .seconds(5))
        #expect(cluster.answers(to: waiter).isEmpty)
        cluster.settings.isAdopting = false
        try cluster.restartCoordinator()
        let repeated = cluster.push(MachineCluster.put("g", "waits"), number: 2)
        let answer = try #require(cluster.answer(to: repeated)).get()
        #expect(answer.end == nil)
        worker.holdsSteps = false
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("g") == "waits")
    }

    // Found by the simulator: seeds 200855, 201475, 201721.
    @Test func `an edit that was in hand under a newer one ends with the adoption`() throws {
        let cluster = try restored { cluster in
            for worker in cluster.workers { worker.holdsSteps = true }
            cluster.push(MachineCluster.put("g", "old"), number: 2)
            cluster.push(MachineCluster.put("g", "new"), number: 3)
        } losing: { cluster in
            // In the lost part the older one ends, and the worker has the newer one in hand.
            while cluster.text("g") != "old" {
                for worker in cluster.workers { #expect(cluster.finishSteps(of: worker)) }
                cluster.settle()
            }
        }
        cluster.advance(by: .seconds(5))
        cluster.push(MachineCluster.put("g", "newest"), number: 30)
        for worker in cluster.workers { worker.holdsSteps = false }
        cluster.advance(by: .seconds(5))
        let told = cluster.journal.events.filter { $0.path == MachineCluster.path("g") }
        let ends = told.filter { $0.id?.number == 2 }.compactMap(EditEnd.init)
        #expect(ends.count == 1)
        #expect(cluster.journal.snapshot.rows.allSatisfy { $0.open == nil })
        #expect(cluster.text("g") == "newest")
    }

    // Found by the simulator: seed 5001041.
    @Test func `who waits for an edit that ends with the adoption is told`() throws {
        let cluster = try restored { cluster in
            for worker in cluster.workers { worker.holdsSteps = true }
            cluster.push(MachineCluster.put("g", "old"), number: 2)
            cluster.push(MachineCluster.put("g", "new"), number: 3)
        }
        let project = MachineCluster.project
        func waiter(_ number: UInt64) -> ClientRoute {
            cluster.request(
                .wait(project: project, EditID(producer: MachineCluster.producer(), number: number))
            )
        }
        let (older, newer) = (waiter(2), waiter(3))
        for worker in cluster.workers { worker.holdsSteps = false }
        cluster.advance(by: .seconds(5))
        let told = cluster.journal.events.filter { $0.path == MachineCluster.path("g") }
        #expect(told.contains { $0.id?.number == 2 && $0.kind == .superseded })
        for (route, kind) in [(older, EventKind.superseded), (newer, .synced)] {
            let answers = cluster.answers(to: route)
            guard case .end(_, _, let end)? = answers.first, answers.count == 1 else {
                Issue.record("\(answers)")
                continue
            }
            #expect(end.kind == kind)
        }
    }

    // Found by the simulator: seeds 200506, 202705, 203183, 204058.
    @Test func `nobody keeps over an adoption what the lost part had given to another`() throws {
        var former: MachineCluster.WorkerNode?
        let cluster = try restored { cluster in
            try cluster.addWorker("w2")
            for worker in cluster.workers { worker.holdsSteps = true }
            cluster.push(MachineCluster.put("g", "waits"), number: 2)
            former = cluster.workers.first { $0.machine.jobCount > 0 }
        } losing: { cluster in
            former?.isCut = true
            cluster.advance(by: .seconds(6))
            #expect(cluster.workers.allSatisfy { $0.machine.jobCount > 0 })
        }
        former?.isCut = false
        // No key path: through an optional Swift 6.3 copies such a value onto a part of itself.
        let before = cluster.workers.map { $0.machine.stamp?.incarnation }
        cluster.advance(by: .seconds(1))
        for (worker, incarnation) in zip(cluster.workers, before) {
            #expect(worker.machine.stamp?.incarnation != incarnation)
        }
        for worker in cluster.workers { worker.holdsSteps = false }
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("g") == "waits")
    }

    // Found by the simulator: seeds 205643, 205696.
    @Test func `a project that the copy did not know goes on above its lost events`() throws {
        let other = MachineCluster.name("p9")
        func push(_ text: String, _ number: UInt64, to cluster: MachineCluster) {
            cluster.push(MachineCluster.put("g", text), number: number, project: other)
        }
        let cluster = try restored(losing: { cluster in
            push("lost", 2, to: cluster)
            // Numbers go on by the wall clock, which stands near zero here.
            cluster.now = cluster.now + .seconds(5_000_000)
        })
        let lost = try #require(cluster.published.last { $0.project == other }?.projectNumber)
        cluster.advance(by: .seconds(4))
        let mark = cluster.coordinator.eventNumber(of: other)
        // Seed 9320960: a snapshot of number 0 looked old to whoever had heard the lost events.
        let asked = cluster.request(
            .snapshot(project: other, prefix: "", after: nil, countMax: 100))
        cluster.settle()
        guard case .snapshot(let files, _, let number, _) = cluster.answers(to: asked).first else {
            Issue.record("no snapshot")
            return
        }
        #expect(files.isEmpty)
        #expect(number == mark)
        push("new", 20, to: cluster)
        cluster.advance(by: .seconds(1))
        let first = try #require(cluster.journal.events.first { $0.project == other })
        #expect(first.projectNumber > lost)
        #expect(first.projectNumber == mark + 1)
        // Seed 13004418: the lost part had marked the sandbox under filling 1, too.
        let record = try #require(cluster.journal.snapshot.projects.first { $0.name == other })
        #expect(record.targets.map(\.generation).allSatisfy { $0 > 1 })
        #expect(!record.targets.isEmpty)
    }

    @Test func `a sandbox that an operator attaches afterwards is taken from whoever writes there`()
        throws
    {
        let cluster = try restored(losing: { $0.now = $0.now + .seconds(5_000_000) })
        cluster.advance(by: .seconds(4))
        for worker in cluster.workers { worker.holdsSteps = true }
        let second = try #require(TargetURL("local:second"))
        cluster.request(.project(MachineCluster.project, .attach([second])))
        cluster.settle()
        let targets = cluster.journal.snapshot.projects.flatMap(\.targets)
        #expect(
            targets.contains {
                $0.url == second && $0.isAttached && $0.revokesOthers && $0.generation > 1
            })
    }

    @Test func `whoever follows events sees a gap after an adoption`() throws {
        let cluster = try restored()
        let before = cluster.journal.events.last?.number ?? 0
        let own = cluster.journal.events.last?.projectNumber ?? 0
        cluster.advance(by: .seconds(5))
        let replay = cluster.request(
            .replay(from: before + 1, project: MachineCluster.project, countMax: 100))
        cluster.settle()
        guard case .gap(let first, _) = cluster.answers(to: replay).first else {
            Issue.record("a replay across an adoption is no gap")
            return
        }
        #expect(first > before + 100_000)
        #expect(try #require(cluster.journal.events.last?.projectNumber) > own + 100_000)
        #expect(first < 1 << 53)
    }

    /// A cluster whose journal was lost after `f=1`; a new one takes the store over.
    private func begunAnew(
        after pause: Duration = .seconds(4),
        _ prepare: (MachineCluster) throws -> Void = { _ in }
    ) throws -> MachineCluster {
        let cluster = try MachineCluster()
        try cluster.addWorker("w1")
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        try prepare(cluster)
        cluster.journal = JournalModel(journal: JournalID(bits: 8))
        cluster.settings.isAdopting = true
        try cluster.restartCoordinator()
        cluster.advance(by: pause)
        return cluster
    }

    @Test func `a new journal that adopts the store takes over its pool's sandboxes`() throws {
        let target = try #require(TargetURL("local:p1"))
        let cluster = try begunAnew { cluster in
            // Somebody's hand, of which the lost journal knew nothing: only a refill mends it.
            cluster.sandboxes[target]?.damage(
                MachineCluster.path("f"), with: MachineCluster.put("f", "damaged").change)
        }
        cluster.push(MachineCluster.put("g", "new"), number: 20)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("g") == "new")
        #expect(cluster.text("f") == "1")
        #expect(cluster.sandboxes[target]?.marker?.journal == JournalID(bits: 8))
    }

    @Test func `a sandbox that comes to a new journal after the adoption is filled anew too`()
        throws
    {
        let target = try #require(TargetURL("local:p1"))
        let cluster = try begunAnew { cluster in
            cluster.sandboxes[target]?.damage(
                MachineCluster.path("f"), with: MachineCluster.put("f", "damaged").change)
        }
        cluster.settings.isAdopting = false
        try cluster.restartCoordinator()
        cluster.advance(by: .seconds(4))
        cluster.push(MachineCluster.put("g", "new"), number: 20)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("g") == "new")
        #expect(cluster.text("f") == "1")
        #expect(cluster.sandboxes[target]?.marker?.journal == JournalID(bits: 8))
    }

    @Test func `a new journal, which knows nobody, waits for lost workers too`() throws {
        let cluster = try begunAnew(after: .milliseconds(600))
        let route = cluster.push(MachineCluster.put("g", "new"), number: 20)
        #expect(cluster.sequence(of: route) != nil)
        cluster.advance(by: .milliseconds(1_800))
        #expect(cluster.text("g") == nil)
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("g") == "new")
    }

    @Test func `an adoption takes no sandbox of another pool`() throws {
        let target = try #require(TargetURL("local:p1"))
        let foreign = JournalID(bits: 99)
        let cluster = try begunAnew { cluster in
            cluster.sandboxes[target]?.marker?.journal = foreign
        }
        cluster.push(MachineCluster.put("g", "new"), number: 20)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("g") == nil)
        #expect(cluster.sandboxes[target]?.marker?.journal == foreign)
        #expect(cluster.journal.events.last { $0.kind == .away }?.code == "taken")
    }
}
