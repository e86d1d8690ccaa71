import SyncCore
import SyncTestKit
import Testing

/// P6 to P8: fairness, limits, flush, waits, refills, the event log.
@Suite struct FlowTests {
    @Test func `a flood leaves half of what is free to others`() throws {
        var settings = CoordinatorSettings()
        settings.targetAssignmentsMax = 1_000
        let cluster = try MachineCluster(
            settings: settings, marked: [MachineCluster.name("flood")])
        let worker = try cluster.addWorker("w")
        worker.holdsSteps = true
        for number: UInt64 in 1...400 {
            cluster.push(
                MachineCluster.put("f\(number)", "x"), number: number,
                project: MachineCluster.name("flood"), settles: false)
        }
        cluster.settle()
        cluster.push(MachineCluster.put("key", "stroke"), number: 1)
        let begun = worker.machine.jobCount
        #expect(begun == 129)
        worker.holdsSteps = false
        cluster.settle()
        #expect(cluster.text("key") == "stroke")
        #expect(cluster.journal.snapshot.rows.isEmpty)
    }

    @Test func `a project has half of the content in hand that the others leave`() throws {
        var settings = CoordinatorSettings()
        settings.workerBytesMax = 100
        let (flood, other) = (MachineCluster.name("flood"), MachineCluster.name("p2"))
        let cluster = try MachineCluster(settings: settings, marked: [flood, other])
        let worker = try cluster.addWorker("w")
        worker.holdsSteps = true
        let text = String(repeating: "x", count: 20)
        for number: UInt64 in 1...10 {
            cluster.push(
                MachineCluster.put("f\(number)", text), number: number, project: flood,
                settles: false)
        }
        cluster.settle()
        #expect(worker.machine.jobCount == 2)
        // The first one of a project needs no more than to fit beside the others.
        cluster.push(
            MachineCluster.put("big", String(repeating: "y", count: 60)), number: 1, project: other)
        #expect(worker.machine.jobCount == 3)
        worker.holdsSteps = false
        cluster.settle()
        #expect(cluster.journal.snapshot.rows.isEmpty)
        #expect(cluster.violations() == [])
    }

    @Test func `a project whose file could not go keeps its turn`() {
        let (first, second) = (MachineCluster.name("p1"), MachineCluster.name("p2"))
        var queue = ReadyQueue()
        for (number, project) in [(1, first), (2, second), (3, first), (4, second)] {
            let sequence = EditSequence(UInt64(number))
            queue.push(
                ReadyEntry(sequence: sequence, index: FileIndex(number), stamp: 0),
                project: project)
        }
        var judge = 0
        func pop() -> FileIndex? { queue.pop(by: &judge) { _, _, _ in .go }?.entry.index }
        #expect(pop() == 1)
        queue.giveTurnBack(to: first)
        #expect(pop() == 3)
        #expect(pop() == 2)
        queue.giveTurnBack(to: second)
        #expect(pop() == 4)
        queue.giveTurnBack(to: second)
        #expect(pop() == nil && queue.isEmpty)
    }

    // Seed 491.
    @Test func `a project that must wait while another goes keeps its place`() {
        let names = ["p1", "p2", "p3"].map { MachineCluster.name($0) }
        var queue = ReadyQueue()
        for (number, project) in [(1, names[1]), (2, names[2]), (3, names[0])] {
            queue.push(
                ReadyEntry(
                    sequence: EditSequence(UInt64(number)), index: FileIndex(number), stamp: 0),
                project: project)
        }
        // The third needs nothing that the others wait for.
        var open = Set([names[2]])
        func pop() -> FileIndex? {
            queue.pop(by: &open) { open, project, _ in open.contains(project) ? .go : .wait }?
                .entry.index
        }
        #expect(pop() == 2)
        #expect(pop() == nil)
        open = Set(names)
        #expect(pop() == 1)
        #expect(pop() == 3)
    }

    /// Pushes 400 files in one message.
    private static func pushFourHundred(_ cluster: MachineCluster) {
        let items = (1...400).map { number in
            EditItem(
                number: UInt64(number), edit: .success(MachineCluster.put("f\(number)", "x")))
        }
        cluster.request(
            .edits(
                project: MachineCluster.project, producer: MachineCluster.producer(), items))
        cluster.settle()
    }

    @Test func `workers that share a sandbox's credit take turns of many files each`() throws {
        var settings = CoordinatorSettings()
        settings.targetAssignmentsMax = 32
        let cluster = try MachineCluster(settings: settings, marked: [MachineCluster.project])
        let nodes = try ["a", "b", "c"].map { try cluster.addWorker($0, holdsSteps: true) }
        Self.pushFourHundred(cluster)
        func inHand() -> [Int] { nodes.map(\.machine.jobCount) }
        #expect(inHand().reduce(0, +) == 32)
        #expect(inHand().allSatisfy { $0.isMultiple(of: 8) })
        for node in nodes {
            node.holdsSteps = false
            cluster.settle()
            #expect(node.machine.jobCount == 0)
            #expect(inHand().reduce(0, +) == 32)
            node.holdsSteps = true
        }
        for node in nodes { node.holdsSteps = false }
        cluster.settle()
        #expect(cluster.journal.snapshot.rows.isEmpty)
        #expect(cluster.violations() == [])
    }

    @Test func `of a small credit no worker takes all in its turn`() throws {
        let cluster = try MachineCluster(marked: [MachineCluster.project])
        let nodes = try ["a", "b", "c"].map { try cluster.addWorker($0) }
        Self.pushFourHundred(cluster)
        for node in nodes {
            node.isHeld = { step in if case .write = step { true } else { false } }
        }
        // What is only written again has the credit of a sandbox over a network.
        cluster.request(.project(MachineCluster.project, .hydrate([])))
        cluster.settle()
        let inHand = nodes.map(\.machine.jobCount)
        #expect(inHand.reduce(0, +) == cluster.settings.remoteTargetAssignmentsMax)
        #expect(inHand.count { $0 > 0 } > 1, "\(inHand)")
        for node in nodes { node.isHeld = { _ in false } }
        cluster.settle()
        #expect(cluster.violations() == [])
    }

    @Test(arguments: [2, 3, 7, 64])
    func `everybody begins now and then, whichever turns count`(count: Int) {
        for step: UInt64 in 1...64 {
            var last = Array(repeating: 0, count: count)
            for turn in 1...200 * count {
                let first = TurnOrder.first(of: count, turn: UInt64(turn) * step)
                #expect(turn - last[first] < 20 * count)
                last[first] = turn
            }
            #expect(last.allSatisfy { 200 * count - $0 < 20 * count })
        }
    }

    // Trace B5.
    @Test func `one project may fill half of a limit, and its pending files stay editable`() throws
    {
        var settings = CoordinatorSettings()
        settings.pendingFilesMax = 10
        let cluster = try MachineCluster(settings: settings)
        var codes: [RejectionCode?] = []
        for number: UInt64 in 1...7 {
            let route = cluster.push(MachineCluster.put("f\(number)", "x"), number: number)
            codes.append(cluster.rejection(of: route))
        }
        #expect(codes == [nil, nil, nil, nil, nil, .busy, .busy])
        let again = cluster.push(MachineCluster.put("f1", "y"), number: 8)
        #expect(cluster.sequence(of: again) != nil)
        let other = cluster.push(
            MachineCluster.put("g", "x"), number: 1, project: MachineCluster.name("p2"))
        #expect(cluster.sequence(of: other) != nil)
    }

    @Test func `content past the memory budget is read back at dispatch`() throws {
        var settings = CoordinatorSettings()
        settings.memoryBytesMax = 10 + Content.keepingBytes
        settings.loadingBytesMax = 8 + Content.keepingBytes
        let cluster = try MachineCluster(settings: settings)
        for number: UInt64 in 1...20 {
            cluster.push(MachineCluster.put("f\(number)", "content\(number)"), number: number)
        }
        try cluster.addWorker("w")
        for number in 1...20 { #expect(cluster.text("f\(number)") == "content\(number)") }
        #expect(cluster.violations() == [])
    }

    @Test func `flush answers when everything under the prefix is visible`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("w")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("src/a", "x"), number: 1)
        cluster.push(MachineCluster.put("other/b", "x"), number: 2)
        let flush = cluster.request(.flush(project: MachineCluster.project, prefix: "src"))
        cluster.settle()
        #expect(cluster.answers(to: flush).isEmpty)
        cluster.push(MachineCluster.put("src/a", "y"), number: 3)
        worker.holdsSteps = false
        cluster.settle()
        guard case .flushed(let through)? = cluster.answers(to: flush).first else {
            Issue.record("not flushed")
            return
        }
        #expect(through.value == 2)
        let idle = cluster.request(.flush(project: MachineCluster.project, prefix: ""))
        cluster.settle()
        guard case .flushed? = cluster.answers(to: idle).first else {
            Issue.record("an idle project is not flushed")
            return
        }
    }

    // Trace B11.
    @Test func `flush answers at once with causes for what can't be`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failures[MachineCluster.path("a")] = SandboxError(
            .file, code: "EACCES", "Permission denied; mend the mode.")
        cluster.push(MachineCluster.put("a", "x"), number: 1)
        let flush = cluster.request(.flush(project: MachineCluster.project, prefix: ""))
        guard
            case .blocked(let causes, let count)? = { () -> ClientReply? in
                cluster.settle()
                return cluster.answers(to: flush).first
            }()
        else {
            Issue.record("not blocked")
            return
        }
        #expect(count == 1)
        #expect(causes.first?.code == "EACCES")
        #expect(causes.first?.state == "failed")
    }

    @Test func `wait tells the end when it comes and when it was`() throws {
        let cluster = try MachineCluster()
        let id = EditID(producer: MachineCluster.producer(), number: 1)
        cluster.push(MachineCluster.put("a", "x"), number: 1)
        let early = cluster.request(.wait(project: MachineCluster.project, id))
        cluster.settle()
        #expect(cluster.answers(to: early).isEmpty)
        try cluster.addWorker("w")
        let late = cluster.request(.wait(project: MachineCluster.project, id))
        cluster.settle()
        for route in [early, late] {
            guard case .end(_, let sequence, let end)? = cluster.answers(to: route).first else {
                Issue.record("no end")
                continue
            }
            #expect(sequence.value == 1)
            #expect(end == EditEnd(kind: .synced, value: 1))
        }
    }

    @Test func `a sandbox that comes back blank is filled again before flush answers`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        try cluster.addWorker("b")
        for number: UInt64 in 1...50 {
            cluster.push(MachineCluster.put("f\(number)", "\(number)"), number: number)
        }
        cluster.push(MachineCluster.delete("f3"), number: 51)
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target]?.wipe()
        cluster.advance(by: .seconds(31))
        #expect(cluster.text("f1") == "1")
        #expect(cluster.text("f50") == "50")
        #expect(cluster.text("f3") == nil)
        let kinds = cluster.journal.events.filter { $0.target == target }.map(\.kind)
        #expect(kinds == [.attached, .refreshing, .refreshed])
        #expect(cluster.sandboxes[target]?.marker?.generation == 2)
        #expect(cluster.violations() == [])
    }

    // Traces A12 and B10.
    @Test func `a target attached later is hydrated`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        for number: UInt64 in 1...5 {
            cluster.push(MachineCluster.put("f\(number)", "\(number)"), number: number)
        }
        let second = try #require(TargetURL("local:second"))
        cluster.push(MachineCluster.put("f6", "6", targets: [second]), number: 6)
        cluster.settle()
        for number in 1...6 {
            #expect(cluster.text("f\(number)", in: "local:second") == "\(number)")
        }
        #expect(cluster.text("f6") == "6")
    }

    // Trace B12.
    @Test func `one target away does not hold up the other`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        let one = try #require(TargetURL("local:one"))
        let two = try #require(TargetURL("local:two"))
        cluster.push(MachineCluster.put("a", "x", targets: [one, two]), number: 1)
        cluster.sandboxes[two]?.failure = SandboxError(
            .target, code: "ENOSPC", "The sandbox is full; make room.")
        cluster.push(MachineCluster.put("a", "y"), number: 2)
        cluster.push(MachineCluster.put("b", "z"), number: 3)
        #expect(cluster.text("a", in: "local:one") == "y")
        #expect(cluster.text("b", in: "local:one") == "z")
        #expect(cluster.text("b", in: "local:two") == nil)
        cluster.sandboxes[two]?.failure = nil
        cluster.advance(by: .seconds(31))
        #expect(cluster.text("a", in: "local:two") == "y")
        #expect(cluster.text("b", in: "local:two") == "z")
        #expect(cluster.story(of: "b").last == "synced 3")
        #expect(cluster.violations() == [])
    }

    @Test func `a store that does not answer burns no attempt`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        cluster.store.isAway = true
        cluster.push(MachineCluster.put("a", "x"), number: 1)
        cluster.advance(by: .seconds(20))
        #expect(cluster.story(of: "a") == ["accepted 1"])
        cluster.store.isAway = false
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("a") == "x")
    }

    @Test func `replay gives the log from a number on, or says that it begins later`() throws {
        var settings = CoordinatorSettings()
        settings.logEventsMax = 10
        let cluster = try MachineCluster(settings: settings)
        try cluster.addWorker("a")
        for number: UInt64 in 1...20 {
            cluster.push(MachineCluster.put("f", "\(number)"), number: number)
        }
        let gap = cluster.request(.replay(from: 1, project: nil, countMax: 100))
        cluster.settle()
        guard case .gap(let first, let last)? = cluster.answers(to: gap).first else {
            Issue.record("no gap")
            return
        }
        let page = cluster.request(.replay(from: first, project: nil, countMax: 3))
        cluster.settle()
        guard case .events(let events, let next, last)? = cluster.answers(to: page).first else {
            Issue.record("no events")
            return
        }
        #expect(events.map(\.number) == [first, first + 1, first + 2])
        #expect(next == first + 3)
    }

    // Trace C3.
    @Test func `an expected version is checked by the store after what is pending`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("a", "x"), number: 1)
        var edit = MachineCluster.put("a", "y")
        edit.expectedVersion = Version(1)
        cluster.push(edit, number: 2)
        #expect(cluster.text("a") == "y")
        edit.change = .put(Content([1]), isExecutable: false)
        cluster.push(edit, number: 3)
        #expect(cluster.text("a") == "y")
        #expect(cluster.journal.events.last?.code == "conflict")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("a", "z"), number: 4)
        edit.expectedVersion = Version(2)
        let refused = cluster.push(edit, number: 5)
        #expect(cluster.rejection(of: refused) == .conflict)
    }

    // Seed 9504361.
    @Test func `repeats that nothing is written for do not wait for somebody to wake the rest`()
        throws
    {
        var settings = CoordinatorSettings()
        settings.turnEditsMax = 2
        let cluster = try MachineCluster(settings: settings)
        for number: UInt64 in 1...10 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number)
        }
        let routes = (1...10).map { number in
            cluster.push(
                MachineCluster.put("f\(number)", "x"), number: UInt64(number), settles: false)
        }
        // As the process does it: a pass when the machine asks for one.
        var passes = 0
        while passes == 0 || cluster.coordinator.expectedPassAt.map({ $0 <= cluster.now }) ?? false,
            passes < 100
        {
            cluster.coordinator.pass(
                at: cluster.now, wall: Timestamp(milliseconds: 0), isDrained: true)
            passes += 1
        }
        #expect(passes < 100)
        cluster.settle()
        for route in routes { #expect(cluster.sequence(of: route) != nil) }
        #expect((5...8).contains(passes))
    }
}
