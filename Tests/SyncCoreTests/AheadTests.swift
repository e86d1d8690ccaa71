import SyncCore
import SyncTestKit
import Testing

/// Edits that are staged while the turn before is on its way to disk, on top of what it changes.
@Suite struct AheadTests {
    /// A cluster whose turns stay on their way to disk.
    private static func held() throws -> MachineCluster {
        let cluster = try MachineCluster(marked: [MachineCluster.project])
        cluster.holdsCommits = true
        return cluster
    }

    /// Likewise with a worker, and on its way that the first edit of `f` is synced.
    private static func syncing() throws -> MachineCluster {
        let cluster = try held()
        try cluster.addWorker("w")
        finish(cluster)
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        bringBack(cluster)
        #expect(cluster.isCommitting)
        #expect(cluster.text("f") == "1")
        return cluster
    }

    /// Brings the turn back that is on its way to disk.
    private static func bringBack(_ cluster: MachineCluster) {
        cluster.finishCommit()
        cluster.settle()
    }

    /// Brings turns back until none is on its way.
    private static func finish(_ cluster: MachineCluster) {
        while cluster.isCommitting { bringBack(cluster) }
    }

    @Test func `what was staged ahead goes to disk as its turn comes back`() throws {
        let cluster = try Self.held()
        let first = cluster.push(MachineCluster.put("a", "1"), number: 1)
        let second = cluster.push(MachineCluster.put("b", "2"), number: 2)
        let third = cluster.push(MachineCluster.put("c", "3"), number: 3)
        #expect(cluster.coordinator.isAhead)
        cluster.finishCommit()
        #expect(!cluster.coordinator.isAhead)
        cluster.settle()
        // Nothing is promised before it is on disk.
        #expect(cluster.sequence(of: first) == 1)
        #expect(cluster.answer(to: second) == nil)
        #expect(cluster.isCommitting)
        Self.bringBack(cluster)
        #expect(cluster.sequence(of: second) == 2)
        #expect(cluster.sequence(of: third) == 3)
        #expect(cluster.journal.snapshot.rows.count == 3)
        #expect(!cluster.isCommitting)
        #expect(cluster.violations() == [])
    }

    @Test func `whoever takes the turn staged ahead gets it before the former one is told`() throws
    {
        let now = Instant(nanoseconds: 1_000_000_000)
        var machine = try CoordinatorMachine(
            settings: CoordinatorSettings(),
            snapshot: JournalSnapshot(header: JournalHeader(journal: JournalID(bits: 7))),
            epoch: Epoch(bits: 1), at: now)
        for number in 1...2 as ClosedRange<UInt64> {
            machine.receive(
                .edits(
                    project: MachineCluster.project, producer: MachineCluster.producer(),
                    [EditItem(number: number, edit: .success(MachineCluster.put("f", "\(number)")))]
                ),
                from: ClientRoute(envelope: [[1]], request: [UInt8(number)]), at: now)
            machine.pass(at: now, wall: Timestamp(milliseconds: 1), isDrained: true)
        }
        _ = machine.takeDirectives()
        var taken: [JournalTransaction] = []
        machine.committed(nil, at: now) {
            taken.append($0)
            return true
        }
        #expect(taken.map(\.turn) == [2])
        #expect(taken.first?.rowsRemoved == [EditSequence(1)])
        #expect(taken.first?.rowsWritten.map(\.row.sequence) == [EditSequence(2)])
        #expect(taken.first?.events?.first == 3)
        let told = machine.takeDirectives()
        #expect(!told.contains { if case .commit = $0 { true } else { false } })
        #expect(machine.isCommitting)
        machine.committed(nil, at: now)
        #expect(!machine.isCommitting)
        let replies = machine.takeDirectives().filter {
            if case .reply = $0 { true } else { false }
        }
        #expect(replies.count == 1)
    }

    @Test func `an edit staged ahead replaces the one that is on its way`() throws {
        let cluster = try Self.held()
        cluster.push(MachineCluster.put("f", "old"), number: 1)
        let newer = cluster.push(MachineCluster.put("f", "new"), number: 2)
        try cluster.addWorker("w")
        Self.bringBack(cluster)
        // The older one is not handed over, though it is on disk.
        #expect(cluster.text("f") == nil)
        Self.finish(cluster)
        #expect(cluster.sequence(of: newer) == 2)
        #expect(cluster.text("f") == "new")
        #expect(
            cluster.story(of: "f") == ["accepted 1", "accepted 2", "superseded 1", "synced 2"])
        #expect(cluster.violations() == [])
    }

    @Test func `both fail with the turn on disk, and both are taken when they come again`() throws {
        let cluster = try Self.held()
        cluster.journal.isFull = true
        let first = cluster.push(MachineCluster.put("f", "1"), number: 1)
        let second = cluster.push(MachineCluster.put("f", "2"), number: 2)
        let third = cluster.push(MachineCluster.put("g", "3"), number: 3)
        Self.bringBack(cluster)
        for route in [first, second, third] { #expect(cluster.rejection(of: route) == .busy) }
        #expect(!cluster.isCommitting)
        #expect(cluster.journal.snapshot.rows.isEmpty)
        cluster.journal.isFull = false
        cluster.advance(by: .seconds(1))
        try cluster.addWorker("w")
        Self.finish(cluster)
        for (number, edit) in [("f", "1"), ("f", "2"), ("g", "3")].enumerated() {
            let route = cluster.push(
                MachineCluster.put(edit.0, edit.1), number: UInt64(number + 1))
            Self.finish(cluster)
            #expect(cluster.sequence(of: route) == UInt64(number + 1))
        }
        #expect(cluster.text("f") == "2")
        #expect(cluster.text("g") == "3")
        #expect(cluster.violations() == [])
    }

    @Test func `a file that ends in the turn on disk keeps its place for the edit ahead`() throws {
        let cluster = try Self.syncing()
        cluster.push(MachineCluster.put("f", "2"), number: 2)
        #expect(cluster.coordinator.isAhead)
        Self.bringBack(cluster)
        // A file that comes now must not be given the other one's place.
        cluster.push(MachineCluster.put("g", "3"), number: 3)
        Self.finish(cluster)
        #expect(cluster.text("f") == "2")
        #expect(cluster.text("g") == "3")
        #expect(
            cluster.story(of: "f") == ["accepted 1", "synced 1", "accepted 2", "synced 2"])
        #expect(cluster.violations() == [])
    }

    @Test func `an edit staged ahead of one in hand leaves that one open`() throws {
        let cluster = try Self.held()
        let worker = try cluster.addWorker("w")
        Self.finish(cluster)
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        Self.finish(cluster)
        cluster.push(MachineCluster.put("g", "1"), number: 2)
        cluster.push(MachineCluster.put("f", "2"), number: 3)
        #expect(cluster.coordinator.isAhead)
        Self.finish(cluster)
        #expect(cluster.story(of: "f") == ["accepted 1", "accepted 3"])
        worker.holdsSteps = false
        cluster.settle()
        Self.finish(cluster)
        #expect(cluster.text("f") == "2")
        #expect(
            cluster.story(of: "f") == ["accepted 1", "accepted 3", "synced 1", "synced 3"])
        #expect(cluster.violations() == [])
    }

    @Test func `a number that comes again gets the sequence that is on its way`() throws {
        let cluster = try Self.held()
        let first = cluster.push(MachineCluster.put("f", "1"), number: 1)
        let again = cluster.push(MachineCluster.put("f", "1"), number: 1)
        let other = cluster.push(MachineCluster.put("f", "2"), number: 1)
        let later = cluster.push(MachineCluster.put("f", "3"), number: 5)
        let overtaken = cluster.push(MachineCluster.put("f", "2"), number: 4)
        Self.finish(cluster)
        #expect(cluster.sequence(of: first) == 1)
        #expect(cluster.sequence(of: again) == 1)
        #expect(cluster.rejection(of: other) == .numberReused)
        #expect(cluster.sequence(of: later) == 2)
        #expect(cluster.rejection(of: overtaken) == .overtaken)
        #expect(cluster.violations() == [])
    }

    @Test func `limits count what is on its way and what is staged ahead`() throws {
        var settings = CoordinatorSettings()
        settings.pendingFilesMax = 4
        let cluster = try MachineCluster(settings: settings)
        cluster.holdsCommits = true
        let routes = ["a", "b", "c"].enumerated().map { place, path in
            cluster.push(MachineCluster.put(path, "1"), number: UInt64(place + 1))
        }
        Self.finish(cluster)
        #expect(routes.map { cluster.rejection(of: $0) } == [nil, nil, .busy])
    }

    @Test func `a target that is on its way to another project is taken`() throws {
        let cluster = try Self.held()
        let target = try #require(TargetURL("local:shared"))
        let other = MachineCluster.name("p2")
        cluster.push(MachineCluster.put("f", "1", targets: [target]), number: 1)
        let refused = cluster.push(
            MachineCluster.put("f", "2", targets: [target]), number: 1, project: other)
        #expect(cluster.coordinator.isAhead)
        Self.finish(cluster)
        #expect(cluster.rejection(of: refused) == .targetTaken)
    }

    @Test func `a repeat that asks for its end is told the one that is on its way`() throws {
        let cluster = try Self.syncing()
        var edit = MachineCluster.put("f", "1")
        edit.wantsEnd = true
        let again = cluster.push(edit, number: 1)
        #expect(cluster.coordinator.isAhead)
        Self.finish(cluster)
        let ends = cluster.answers(to: again).filter { reply in
            if case .end = reply { true } else { false }
        }
        #expect(cluster.sequence(of: again) == 1)
        #expect(ends.count == 1)
        #expect(cluster.violations() == [])
    }

    @Test func `a refusal that stands on a turn which fails is none`() throws {
        let cluster = try Self.held()
        let target = try #require(TargetURL("local:shared"))
        let other = MachineCluster.name("p2")
        cluster.push(MachineCluster.put("f", "5", targets: [target]), number: 5)
        let taken = cluster.push(
            MachineCluster.put("f", "2", targets: [target]), number: 1, project: other)
        let overtaken = cluster.push(MachineCluster.put("f", "4"), number: 4)
        cluster.journal.isFull = true
        Self.finish(cluster)
        #expect(cluster.rejection(of: taken) == .busy)
        #expect(cluster.rejection(of: overtaken) == .busy)
        cluster.journal.isFull = false
        cluster.advance(by: .seconds(1))
        let free = cluster.push(
            MachineCluster.put("f", "2", targets: [target]), number: 1, project: other)
        Self.finish(cluster)
        #expect(cluster.sequence(of: free) == 1)
    }

    @Test func `what workers report waits for no second turn of edits`() throws {
        let cluster = try Self.held()
        let worker = try cluster.addWorker("w")
        Self.finish(cluster)
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        Self.finish(cluster)
        cluster.push(MachineCluster.put("g", "1"), number: 2)
        worker.holdsSteps = false
        cluster.settle()
        // The outcome of `f` waits; an edit that comes now is not staged before it.
        cluster.push(MachineCluster.put("h", "1"), number: 3)
        #expect(!cluster.coordinator.isAhead)
        Self.bringBack(cluster)
        Self.bringBack(cluster)
        #expect(cluster.story(of: "f").last == "synced 1")
        Self.finish(cluster)
        #expect(cluster.violations() == [])
    }

    @Test func `a restart finds what was on disk, and nothing of what was ahead`() throws {
        let cluster = try Self.held()
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        let ahead = cluster.push(MachineCluster.put("f", "2"), number: 2)
        cluster.finishCommit()
        try cluster.restartCoordinator()
        cluster.holdsCommits = false
        try cluster.addWorker("w")
        cluster.advance(by: .seconds(10))
        #expect(cluster.answer(to: ahead) == nil)
        #expect(cluster.text("f") == "1")
        let again = cluster.push(MachineCluster.put("f", "2"), number: 2)
        #expect(cluster.sequence(of: again) == 2)
        #expect(cluster.text("f") == "2")
        #expect(cluster.violations() == [])
    }
}
