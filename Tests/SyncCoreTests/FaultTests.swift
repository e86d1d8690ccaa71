import SyncCore
import SyncTestKit
import Testing

/// Faults that were found by reading: each stood still, lost an answer or let two act on one file.
@Suite struct FaultTests {
    @Test func `a repeat gets its first answer beside a newer edit of its turn`() throws {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        cluster.push(MachineCluster.put("f", "two"), number: 2, settles: false)
        let again = cluster.push(MachineCluster.put("f", "one"), number: 1, settles: false)
        cluster.settle()
        #expect(cluster.sequence(of: again) == 1)
        #expect(cluster.violations() == [])
    }

    // MARK: Contents read back

    @Test func `an edit that replaces one whose content is being read goes on`() throws {
        var settings = CoordinatorSettings()
        settings.memoryBytesMax = 0
        let cluster = try MachineCluster(settings: settings)
        cluster.holdsLoads = true
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        try cluster.addWorker("w")
        cluster.push(MachineCluster.put("f", "two"), number: 2)
        cluster.push(MachineCluster.delete("f"), number: 3)
        cluster.push(MachineCluster.put("f", "three"), number: 4)
        cluster.holdsLoads = false
        cluster.finishLoads()
        cluster.settle()
        #expect(cluster.text("f") == "three")
        #expect(cluster.violations() == [])
    }

    @Test func `contents that could not be read are read again`() throws {
        var settings = CoordinatorSettings()
        settings.memoryBytesMax = 0
        settings.loadingBytesMax = 4 + Content.keepingBytes
        let cluster = try MachineCluster(settings: settings)
        cluster.failsLoads = true
        for number: UInt64 in 1...10 {
            cluster.push(MachineCluster.put("f\(number)", "text"), number: number)
        }
        try cluster.addWorker("w")
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f1") == nil)
        cluster.failsLoads = false
        cluster.advance(by: .seconds(2))
        for number in 1...10 { #expect(cluster.text("f\(number)") == "text") }
        #expect(!cluster.journal.events.contains { $0.kind == .failed || $0.kind == .retrying })
    }

    @Test(arguments: ["", "0123456789"])
    func `no more content is read back than may be sent`(text: String) throws {
        var settings = CoordinatorSettings()
        let weight = text.utf8.count + Content.keepingBytes
        settings.memoryBytesMax = 10 * weight
        settings.loadingBytesMax = 20 * weight
        settings.targetAssignmentsMax = 2
        let cluster = try MachineCluster(settings: settings)
        let worker = try cluster.addWorker("w")
        worker.holdsSteps = true
        for number: UInt64 in 1...100 {
            cluster.push(
                MachineCluster.put("f\(number)", text), number: number, settles: false)
        }
        cluster.settle()
        let route = cluster.request(.queue(project: nil, prefix: "", after: "", countMax: 1))
        guard case .queue(let report)? = cluster.coordinator.answerNow(to: route) else {
            Issue.record("no queue")
            return
        }
        #expect(report.memoryBytes <= 30 * weight)
        #expect(report.pendingBytes == 100 * text.utf8.count)
        worker.holdsSteps = false
        cluster.settle()
        for number in 1...100 { #expect(cluster.text("f\(number)") == text) }
    }

    @Test func `a project whose contents wait does not keep another's from being read`() throws {
        var settings = CoordinatorSettings()
        settings.memoryBytesMax = 0
        settings.loadingBytesMax = 4 * (10 + Content.keepingBytes)
        let cluster = try MachineCluster(settings: settings)
        cluster.holdsLoads = true
        for number: UInt64 in 1...20 {
            cluster.push(MachineCluster.put("f\(number)", "0123456789"), number: number)
        }
        try cluster.addWorker("w")
        let other = MachineCluster.name("p2")
        cluster.push(MachineCluster.put("key", "stroke"), number: 1, project: other)
        cluster.finishLoads()
        cluster.holdsLoads = false
        cluster.settle()
        #expect(cluster.text("key", in: "local:p2") == "stroke")
        for number in 1...20 { #expect(cluster.text("f\(number)") == "0123456789") }
    }

    // MARK: Restart

    @Test func `a newer edit waits for the holder of an older one over a restart`() throws {
        let cluster = try MachineCluster()
        let holder = try cluster.addWorker("a")
        let target = TargetURL(defaultOf: MachineCluster.project)
        holder.hangingTargets = [target]
        cluster.push(MachineCluster.put("f", "old"), number: 1)
        #expect(holder.hungWrites.count == 1)
        let other = try cluster.addWorker("b")
        try cluster.restartCoordinator()
        cluster.push(MachineCluster.put("f", "new"), number: 2)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == nil)
        cluster.finishHungWrites(of: holder)
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("f") == "new")
        #expect(other.exit == nil)
        #expect(cluster.violations() == [])
    }

    @Test func `an end is told once although the coordinator restarts in every state`() throws {
        for cut in 0..<12 {
            let cluster = try MachineCluster()
            let worker = try cluster.addWorker("a")
            worker.holdsSteps = true
            cluster.push(MachineCluster.put("f", "one"), number: 1)
            cluster.push(MachineCluster.put("f", "two"), number: 2)
            var steps = 0
            while cluster.text("f") != "two", steps < 40 {
                if steps == cut { try cluster.restartCoordinator() }
                cluster.advance(by: .milliseconds(500))
                cluster.finishSteps(of: worker)
                steps += 1
            }
            worker.holdsSteps = false
            cluster.advance(by: .seconds(6))
            #expect(cluster.text("f") == "two", "restart at step \(cut)")
            #expect(cluster.violations() == [], "restart at step \(cut)")
            let ends = cluster.journal.events.filter { $0.kind.isEnd }.map(\.sequence.value)
            #expect(ends.sorted() == [1, 2], "restart at step \(cut)")
        }
    }

    @Test func `waiting for an end that the log has dropped is answered over a restart`() throws {
        var settings = CoordinatorSettings()
        settings.logEventsMax = 4
        let cluster = try MachineCluster(settings: settings)
        try cluster.addWorker("w")
        for number: UInt64 in 1...20 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number)
        }
        cluster.push(MachineCluster.put("f1", "y"), number: 21)
        try cluster.restartCoordinator()
        let id = EditID(producer: MachineCluster.producer(), number: 1)
        let forgotten = cluster.request(.wait(project: MachineCluster.project, id))
        let known = cluster.request(
            .wait(
                project: MachineCluster.project,
                EditID(producer: MachineCluster.producer(), number: 21)))
        cluster.advance(by: .seconds(4))
        guard case .rejected(let rejection)? = cluster.answers(to: forgotten).first else {
            Issue.record("no answer for an end that is forgotten")
            return
        }
        #expect(rejection.code == .unknown)
        guard case .end(_, _, let end)? = cluster.answers(to: known).first else {
            Issue.record("no answer for an end that is known")
            return
        }
        #expect(end.kind == .synced)
    }

    // MARK: Credit

    @Test func `workers share a target's credit`() throws {
        var settings = CoordinatorSettings()
        settings.targetAssignmentsMax = 32
        let cluster = try MachineCluster(settings: settings, marked: [MachineCluster.project])
        let first = try cluster.addWorker("a")
        let second = try cluster.addWorker("b")
        first.holdsSteps = true
        second.holdsSteps = true
        for number: UInt64 in 1...200 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number, settles: false)
        }
        cluster.settle()
        let counts = [first.machine.jobCount, second.machine.jobCount]
        #expect(counts.reduce(0, +) == 32)
        #expect(counts.allSatisfy { $0 >= 12 })
        first.holdsSteps = false
        second.holdsSteps = false
        cluster.settle()
        #expect(cluster.journal.snapshot.rows.isEmpty)
    }

    // MARK: Waiters

    @Test func `an end that is wanted past the limit of waiters is refused`() throws {
        var settings = CoordinatorSettings()
        settings.waitersMax = 1
        let cluster = try MachineCluster(settings: settings)
        var edit = MachineCluster.put("f", "x")
        edit.wantsEnd = true
        let first = cluster.push(edit, number: 1)
        edit = MachineCluster.put("g", "x")
        edit.wantsEnd = true
        let second = cluster.push(edit, number: 2)
        #expect(cluster.sequence(of: second) == 2)
        guard case .rejected(let rejection)? = cluster.answers(to: second).last else {
            Issue.record("the waiter past the limit has no answer")
            return
        }
        #expect(rejection.code == .busy)
        try cluster.addWorker("w")
        guard case .end? = cluster.answers(to: first).last else {
            Issue.record("the first waiter has no answer")
            return
        }
    }

    @Test func `an end wanted by a repeat comes although the repeat's turn fails`() throws {
        let cluster = try MachineCluster()
        var edit = MachineCluster.put("f", "x")
        cluster.push(edit, number: 1)
        cluster.journal.isFull = true
        edit.wantsEnd = true
        cluster.push(MachineCluster.put("g", "x"), number: 2, settles: false)
        let again = cluster.push(edit, number: 1)
        #expect(cluster.sequence(of: again) == 1)
        cluster.journal.isFull = false
        try cluster.addWorker("w")
        cluster.advance(by: .seconds(1))
        guard case .end? = cluster.answers(to: again).last else {
            Issue.record("the repeat has no end")
            return
        }
    }

    @Test func `a flush is answered when its file waits for the target once more`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("w")
        let target = TargetURL(defaultOf: MachineCluster.project)
        let away = SandboxError(.target, code: "EROFS", "The sandbox is read-only; remount it.")
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failure = away
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        #expect(cluster.story(of: "f") == ["accepted 1", "stored 1", "parked 1"])
        worker.holdsSteps = true
        cluster.sandboxes[target]?.failure = nil
        while cluster.journal.events.last?.kind != .back {
            cluster.advance(by: .seconds(1))
            cluster.finishSteps(of: worker)
        }
        let flush = cluster.request(.flush(project: MachineCluster.project, prefix: ""))
        cluster.settle()
        #expect(cluster.answers(to: flush).isEmpty)
        cluster.sandboxes[target]?.failure = away
        worker.holdsSteps = false
        cluster.settle()
        guard case .blocked(let causes, _)? = cluster.answers(to: flush).first else {
            Issue.record("the flush has no answer")
            return
        }
        #expect(causes.first?.code == "EROFS")
    }
}

extension CoordinatorMachine {
    /// The answer to a question that is answered at once.
    fileprivate mutating func answerNow(to route: ClientRoute) -> ClientReply? {
        for directive in takeDirectives() {
            if case .reply(let other, let reply) = directive, other == route { return reply }
        }
        return nil
    }
}
