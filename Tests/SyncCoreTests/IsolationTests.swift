import SyncCore
import SyncTestKit
import Testing

/// P6 at the coordinator's intake: a flood of one project never delays another's keystroke.
@Suite struct IsolationTests {
    /// A coordinator alone; its commits come back when the test says so.
    private struct Intake {
        var machine: CoordinatorMachine
        var now = Instant(nanoseconds: 1_000_000_000)
        var replies: [ClientReply] = []
        private var requests: UInt8 = 0
        private var numbers: [String: UInt64] = [:]

        init(_ given: CoordinatorSettings = CoordinatorSettings()) throws {
            // Of two projects' quanta, as these tests count them.
            var settings = given
            settings.sharedTurnEditsMax = 64
            machine = try CoordinatorMachine(
                settings: settings,
                snapshot: JournalSnapshot(header: JournalHeader(journal: JournalID(bits: 7))),
                epoch: Epoch(bits: 1), at: now)
        }

        /// Pushes one message of edits of new files.
        mutating func push(_ project: String, edits: Int, bytes: Int = 8) {
            let items = (0..<edits).map { _ in
                numbers[project, default: 0] += 1
                let number = numbers[project, default: 0]
                return EditItem(
                    number: number,
                    edit: .success(
                        MachineCluster.put(
                            "f\(number)", String(repeating: "x", count: bytes))))
            }
            requests += 1
            machine.receive(
                .edits(
                    project: MachineCluster.name(project), producer: MachineCluster.producer(),
                    items),
                from: ClientRoute(envelope: [[1]], request: [requests]), at: now)
        }

        /// One pass; the projects of the rows that go to disk, if something does, in order.
        mutating func pass() -> [String]? {
            machine.pass(at: now, wall: Timestamp(milliseconds: 1), isDrained: true)
            var rows: [String]?
            for directive in machine.takeDirectives() {
                switch directive {
                case .commit(let transaction):
                    rows = transaction.rowsWritten.sorted { $0.row.sequence < $1.row.sequence }
                        .map(\.row.file.project.text)
                case .reply(_, let reply): replies.append(reply)
                default: continue
                }
            }
            return rows
        }

        /// The turn comes back from the disk after some time.
        mutating func commit(after duration: Duration = .zero, _ error: JournalError? = nil) {
            now = now + duration
            machine.committed(error, at: now)
        }
    }

    @Test func `alone, a project gets big turns`() throws {
        var intake = try Intake()
        for _ in 0..<8 { intake.push("flood", edits: 200) }
        #expect(intake.pass()?.count ?? 0 >= 1_000)
    }

    @Test func `a keystroke goes before the flood that waits, in a small turn`() throws {
        var intake = try Intake()
        for _ in 0..<8 { intake.push("flood", edits: 200) }
        _ = intake.pass()
        intake.push("quick", edits: 1)
        intake.commit()
        let rows = intake.pass() ?? []
        #expect(rows.first == "quick")
        #expect(rows.count < 80)
    }

    @Test func `a keystroke waits for what is staged ahead, and for no further turn`() throws {
        var intake = try Intake()
        for _ in 0..<12 { intake.push("flood", edits: 200) }
        _ = intake.pass()
        // While that turn is on its way, another one is staged to follow it.
        #expect(intake.pass() == nil)
        #expect(intake.machine.isAhead)
        intake.push("quick", edits: 1)
        #expect(intake.pass() == nil)
        intake.commit()
        let rows = intake.pass() ?? []
        #expect(rows.contains("quick"))
        #expect(!intake.machine.isAhead)
        intake.commit()
        // From now on the projects share, and the flood gets small turns.
        #expect(intake.pass()?.count ?? 0 < 80)
    }

    @Test func `projects that both wait take turns, however long their messages are`() throws {
        var intake = try Intake()
        intake.push("tiny", edits: 1)
        intake.push("tiny", edits: 1)
        _ = intake.pass()
        for _ in 0..<4 { intake.push("flood", edits: 500) }
        for _ in 0..<40 { intake.push("other", edits: 1) }
        intake.commit()
        let rows = intake.pass() ?? []
        #expect(rows.filter { $0 == "other" }.count >= 16)
        #expect(rows.filter { $0 == "flood" }.count >= 16)
    }

    @Test func `a project of large files gets no more bytes than one of small files`() throws {
        var intake = try Intake()
        intake.push("quick", edits: 1)
        intake.push("a", edits: 1)
        intake.push("b", edits: 1)
        _ = intake.pass()
        for _ in 0..<4 { intake.push("a", edits: 20, bytes: 60 << 10) }
        for _ in 0..<4 { intake.push("b", edits: 100, bytes: 1 << 10) }
        intake.commit()
        let rows = intake.pass() ?? []
        #expect(rows.filter { $0 == "a" }.count < 8)
        #expect(rows.filter { $0 == "b" }.count > 16)
    }

    @Test func `a message staged in parts is answered once, when its last part is durable`() throws
    {
        var intake = try Intake()
        intake.push("quick", edits: 1)
        _ = intake.pass()
        intake.push("flood", edits: 200)
        intake.commit()
        var turns = 0
        while intake.pass() != nil {
            turns += 1
            let answered = intake.replies.filter { reply in
                if case .edits(let answers) = reply { answers.count == 200 } else { false }
            }
            #expect(answered.isEmpty)
            intake.commit()
        }
        #expect(turns == 4)
        guard case .edits(let answers) = intake.replies.last else {
            Issue.record("the message was not answered")
            return
        }
        #expect(answers.map(\.number) == Array(1...200))
    }

    @Test func `a part whose commit failed is answered busy, the others keep their answers`() throws
    {
        var intake = try Intake()
        intake.push("quick", edits: 1)
        _ = intake.pass()
        intake.push("flood", edits: 180)
        intake.commit()
        _ = intake.pass()
        intake.commit(JournalError(.unavailable, "The disk is full; make room."))
        intake.now = intake.now + .milliseconds(900)
        while intake.pass() != nil { intake.commit() }
        guard case .edits(let answers) = intake.replies.last else {
            Issue.record("the message was not answered")
            return
        }
        let isAccepted = answers.map { answer in
            if case .success = answer.result { true } else { false }
        }
        #expect(
            isAccepted == Array(repeating: false, count: 64) + Array(repeating: true, count: 116))
    }

    @Test func `a flood is told busy before a quiet project is`() throws {
        var settings = CoordinatorSettings()
        settings.inboxEditsMax = 100
        var intake = try Intake(settings)
        intake.push("quick", edits: 1)
        _ = intake.pass()
        for _ in 0..<10 { intake.push("flood", edits: 20) }
        intake.push("quick", edits: 30)
        _ = intake.pass()
        let refusals = intake.replies.compactMap { reply -> Int? in
            guard case .edits(let answers) = reply,
                case .failure(let rejection) = answers[0].result,
                rejection.code == .busy
            else { return nil }
            return answers.count
        }
        #expect(refusals == Array(repeating: 20, count: 8))
    }

    @Test func `while projects share, the flood pauses six times as long as its turn took`()
        throws
    {
        var intake = try Intake()
        intake.push("quick", edits: 1)
        intake.push("flood", edits: 400)
        _ = intake.pass()
        intake.commit(after: .milliseconds(3))
        #expect(intake.pass() == nil)
        #expect(intake.machine.nextDeadline == intake.now + .milliseconds(18))
        intake.now = intake.now + .milliseconds(18)
        #expect(intake.pass() != nil)
    }

    @Test func `a keystroke does not wait for the pause`() throws {
        var intake = try Intake()
        intake.push("quick", edits: 1)
        intake.push("flood", edits: 400)
        _ = intake.pass()
        intake.commit(after: .milliseconds(3))
        #expect(intake.pass() == nil)
        intake.push("quick", edits: 1)
        #expect(intake.pass() == ["quick"])
    }

    @Test func `keystrokes in the pause do not make it longer`() throws {
        var intake = try Intake()
        intake.push("quick", edits: 1)
        intake.push("flood", edits: 400)
        _ = intake.pass()
        intake.commit(after: .milliseconds(3))
        let end = intake.now + .milliseconds(18)
        intake.push("quick", edits: 1)
        #expect(intake.pass() == ["quick"])
        intake.commit(after: .milliseconds(3))
        #expect(intake.pass() == nil)
        #expect(intake.machine.nextDeadline == end)
        intake.now = end
        #expect(intake.pass()?.contains("flood") == true)
    }

    @Test func `projects that all have much to do get big turns`() throws {
        var intake = try Intake()
        for _ in 0..<4 {
            intake.push("one", edits: 200)
            intake.push("two", edits: 200)
        }
        #expect(intake.pass()?.count ?? 0 >= 1_000)
    }

    @Test func `beside a quiet project, a flood has few files in hand`() throws {
        let cluster = try MachineCluster(
            marked: [MachineCluster.project, MachineCluster.name("flood")])
        let worker = try cluster.addWorker("w")
        cluster.push(MachineCluster.put("key", "s"), number: 1)
        worker.holdsSteps = true
        for number: UInt64 in 1...200 {
            cluster.push(
                MachineCluster.put("f\(number)", "x"), number: number,
                project: MachineCluster.name("flood"), settles: false)
        }
        cluster.settle()
        #expect(worker.machine.jobCount == cluster.settings.sharedTargetAssignmentsMax)
        cluster.push(MachineCluster.put("key", "stroke"), number: 2)
        #expect(worker.machine.jobCount == cluster.settings.sharedTargetAssignmentsMax + 1)
        worker.holdsSteps = false
        cluster.settle()
        #expect(cluster.journal.snapshot.rows.isEmpty)
        #expect(cluster.violations().isEmpty)
    }

    @Test func `a quiet project that lags because of a flood is held up by nobody`() throws {
        var settings = CoordinatorSettings()
        settings.targetAssignmentsMax = 32
        let cluster = try MachineCluster(
            settings: settings,
            marked: [MachineCluster.project, MachineCluster.name("flood")])
        let worker = try cluster.addWorker("w")
        worker.holdsSteps = true
        for number: UInt64 in 1...1_000 {
            cluster.push(
                MachineCluster.put("f\(number)", "x"), number: number,
                project: MachineCluster.name("flood"), settles: false)
        }
        for number: UInt64 in 1...200 {
            cluster.push(
                MachineCluster.put("k\(number)", "x"), number: number, settles: false)
        }
        cluster.settle()
        #expect(
            worker.machine.jobCount == cluster.settings.sharedTargetAssignmentsMax
                + cluster.settings.targetAssignmentsMax)
        worker.holdsSteps = false
        cluster.settle()
        #expect(cluster.violations().isEmpty)
    }

    @Test func `who was quiet for a second shares no more`() throws {
        var intake = try Intake()
        intake.push("quick", edits: 1)
        _ = intake.pass()
        intake.commit()
        intake.now = intake.now + .seconds(2)
        for _ in 0..<8 { intake.push("flood", edits: 200) }
        #expect(intake.pass()?.count ?? 0 >= 1_000)
    }
}
