import SyncCore

extension SimulatedCluster {
    // MARK: Actions

    /// A worker begins to act on a file in the store.
    func begin(_ assignment: Assignment, _ process: WorkerProcess) {
        guard scenario.hasSaneClocks, let incarnation = process.incarnation else { return }
        if let flaw = actions.begin(assignment.id, by: incarnation) { violate(.oneOwner, flaw) }
    }

    /// A worker begins to write into a target.
    func beginWrite(_ step: WriteStep, _ process: WorkerProcess) {
        if scenario.hasSaneClocks,
            let flaw = actions.begin(step.id, by: step.stage.incarnation, at: step.url)
        {
            violate(.oneOwner, flaw)
        }
        let sandbox = withSandbox(step.url) { $0 }
        if let flaw = actions.begin(step, of: process.life, in: sandbox) {
            violate(.oneOwner, flaw)
        }
    }

    /// The rename of a write takes effect, or not.
    func rename(_ step: WriteStep, _ process: WorkerProcess) -> Result<Drift?, SandboxError> {
        let (before, drift) = withSandbox(step.url) {
            ($0.files[step.edit.path], $0.drifts[step.edit.path])
        }
        let result = withSandbox(step.url) { $0.rename(step.edit, through: step.stage) }
        note(
            "\(process.name) writes \(step.edit.path) \(step.edit.sequence) in \(step.url) "
                + "through \(step.stage): \(result.brief)")
        guard case .success = result else { return result }
        if drift != nil, step.edit.looksForDrift { ledger.noteDrift(of: step.edit.sequence) }
        if let before, before.sequence > step.edit.sequence {
            violate(
                .order,
                "\(step.url): \(step.edit.sequence) of \(step.edit.path) over \(before.sequence)")
        }
        checkContent(step.edit.change, of: step.edit.sequence)
        let forgets = withSandbox(step.url) { agenda.now < $0.forgetfulUntil }
        guard forgets, chance.happens(perMille: 500) else { return result }
        return .failure(SandboxError(.attempt, code: "EIO", "The answer was lost."))
    }

    /// The store took an edit, or not.
    ///
    /// - Parameter former: The file's newest version before, and the version that this edit had.
    func checkApplied(
        _ edit: SequencedEdit, _ applied: Applied, former: (newest: StoredVersion?, own: Version?)
    ) {
        if case .applied(let version) = applied {
            if let newest = former.newest, newest.sequence > edit.sequence {
                violate(
                    .order, "the store: \(edit.sequence) of \(edit.file) over \(newest.sequence)")
            }
            if let own = former.own {
                violate(.oneVersion, "\(edit.sequence) was v\(own), and is v\(version) again")
            }
            if version != (former.newest?.version ?? .none).next {
                violate(.oneVersion, "\(edit.file) went up to v\(version) by more than one")
            }
        }
        if ledger.lost[edit.sequence]?.id == edit.id { return }
        guard let entry = ledger.entries[edit.sequence], entry.id == edit.id else {
            violate(.durable, "\(edit.sequence) reached a worker before it was in the journal")
            return
        }
        guard case .applied = applied else { return }
        checkContent(edit.change, of: edit.sequence)
    }

    private func checkContent(_ change: FileChange, of sequence: EditSequence) {
        let entry = ledger.lost[sequence] ?? ledger.entries[sequence]
        let line = entry.flatMap { books.lines[$0.id] }
        if line?.edit.change != change {
            violate(.state, "\(sequence) was written with another content than was pushed")
        }
    }

    /// A message leaves the coordinator.
    func noteSent(_ message: CoordinatorMessage) {
        if case .acknowledge(let stamp, let numbers) = message {
            checkAcknowledged(numbers, to: stamp.incarnation)
        }
        guard case .assign(let stamp, let assignments) = message else { return }
        for assignment in assignments {
            for target in assignment.targets { noteRate(of: target.url) }
            let targets = disk.projects[assignment.file.project]?.targets ?? []
            let flaw = actions.handOver(
                assignment, to: stamp.incarnation, at: agenda.now, known: targets)
            if let flaw {
                violate(.bounded, flaw)
            }
            note(
                "assign \(assignment.file) \(assignment.sequence) to \(stamp.incarnation) "
                    + "(try \(assignment.attempt), \(assignment.targets.map(\.url)))")
        }
    }

    /// Counted in the coordinator's own time, and anew for each of its lives.
    private func noteRate(of target: TargetURL) {
        guard let coordinator, let perSecond = scenario.settings.editsPerSecond[target.scheme]
        else { return }
        let now = coordinator.clock.reading(at: agenda.now)
        if let flaw = coordinator.rates.handOver(target.scheme, perSecond, at: now) {
            violate(.bounded, flaw)
        }
    }

    /// The coordinator has passed: whoever waits for a worker must not be passed twice.
    func checkFairness(_ directives: [CoordinatorDirective], _ process: CoordinatorProcess) {
        var given: [Incarnation: [ProjectName]] = [:]
        var reading: Set<ProjectName> = []
        var isRoomTaken = false
        for directive in directives {
            switch directive {
            case .send(_, .assign(let stamp, let assignments)):
                given[stamp.incarnation, default: []] += assignments.map(\.file.project)
            case .load(let sequences):
                isRoomTaken = true
                reading.formUnion(sequences.compactMap { disk.rows[$0]?.file.project })
            case .hint:
                fairness.forget()
                rateFairness.forget()
            case .commit, .reply, .send, .publish, .readEvents, .halt: break
            }
        }
        // Whoever must be read back may have waited, in this pass, for the room that another took.
        func withRoom(
            _ line: [Incarnation: [ProjectName: ReadyEntry]]
        ) -> [Incarnation: [ProjectName: ReadyEntry]] {
            guard isRoomTaken else { return line }
            return line.mapValues { entries in
                entries.filter { entry in process.look { $0.isInMemory(entry.value) } }
            }
        }
        let waiting = process.look { $0.nextInLine }
        if let flaw = fairness.follow(
            given: given, reading: reading, waiting: withRoom(waiting))
        {
            violate(.fair, flaw)
        }
        if !scenario.settings.editsPerSecond.isEmpty {
            let rated = given.mapValues { projects in
                projects.filter { project in process.look { $0.hasRate(project) } }
            }
            let held = withRoom(process.look { $0.nextInLineByRate })
            if let flaw = rateFairness.follow(given: rated, reading: reading, waiting: held) {
                violate(.fair, "by rate: \(flaw)")
            }
        }
        for (incarnation, entries) in waiting where process.look({ $0.hasRoom(incarnation) }) {
            let files = entries.map { "\($0.value.sequence) of \($0.key)" }.sorted()
            violate(.fair, "\(incarnation) is given nothing, but \(files) could go")
        }
    }

    private func checkIntake(
        _ answers: [EditAnswer], of project: ProjectName, to request: UInt64
    ) {
        let accepted = answers.count { answer in
            if case .success = answer.result { true } else { false }
        }
        if let flaw = intake.answer(request, of: project, accepted: accepted) {
            violate(.fair, flaw)
        }
    }

    /// Time ends no lease while something of the worker's own has not been read.
    func checkExpulsion(_ hint: WorkerHint) {
        guard hint.state == "expelled", let coordinator,
            let worker = workerProcesses.first(where: { $0.life == hint.life }),
            let connection = worker.link.connection
        else { return }
        let route = WorkerRoute(id: Self.bytes(connection.number))
        if coordinator.fromWorkers.contains(where: { $0.route == route }) {
            violate(.lease, "\(worker.name) was expelled before what it had sent was read")
        }
    }

    // MARK: Events

    /// An event is in the journal.
    ///
    /// - Parameter attached: Targets that were attached in the same turn, perhaps after the event.
    func check(_ event: StatusEvent, attached: [TargetURL]) {
        guard event.kind == .synced, let path = event.path else { return }
        if store.applied[event.sequence]?.version != event.version {
            violate(
                .state, "\(event.sequence) ended synced as v\(event.version), the store has none")
        }
        for target in disk.projects[event.project]?.targets ?? [] where target.isAttached {
            guard !target.needsRefresh, !attached.contains(target.url),
                let sandbox = sandboxes[target.url], sandbox.lostGeneration == nil
            else { continue }
            if sandbox.files[path].map({ $0.sequence < event.sequence }) ?? true {
                violate(
                    .state, "\(event.sequence) ended synced but is not visible in \(target.url)")
            }
        }
    }

    // MARK: Answers

    /// A request reaches the coordinator's machine.
    func noteArrival(of asked: Asked) {
        arrivals[asked.request] = epochs
        if case .edits(let project, let producer, let items) = asked.body {
            silences[producer] = silence(of: producer)
            heard[producer] = agenda.now
            intake.arrive(
                asked.request, of: project, editCount: items.count,
                isAhead: coordinator?.machine.isAhead ?? false)
        }
        guard case .flush(let project, let prefix) = asked.body else { return }
        questions[asked.request]?.needed = ledger.newest.filter { file, _ in
            file.project == project && file.path.isCovered(by: prefix)
        }
        questions[asked.request]?.targets =
            disk.projects[project]?.targets.filter(\.isAttached).map(\.url) ?? []
    }

    /// The coordinator's machine answers.
    func check(_ reply: ClientReply, to request: UInt64) {
        arrivals[request] = nil
        let question = questions.removeValue(forKey: request)
        switch reply {
        case .edits(let answers):
            guard let (process, _) = editRequests[request] else { return }
            for answer in answers {
                check(answer, EditID(producer: process.id, number: answer.number))
            }
            checkIntake(answers, of: process.project, to: request)
        case .end(let id, let sequence, let end):
            if ledger.entries[sequence]?.id != id || !ledger.hasEnded(sequence, end.kind) {
                violate(.oneEnd, "\(id) was told to have ended \(end.kind), but has not")
            }
        case .flushed: if let question { checkFlush(question) }
        case .blocked(let causes, _):
            if causes.isEmpty { violate(.flush, "a flush was blocked without a cause") }
        case .rejected(let rejection):
            guard case .wait(let id) = question?.body else { return }
            // After a restart, a log that was cut short does not tell every end.
            if rejection.code == .unknown, ledger.sequences[id] != nil, !mayBeForgotten(id),
                epochs == 1
                    || (scenario.settings.logEventsMax > ledger.events.count
                        && ledger.eventBase == 0 && !ledger.isRestored)
            {
                violate(
                    .answer, "\(id) is accepted, but unknown to WAIT: \(rejection.sentence)")
            }
        case .queue(let report): check(report)
        case .gap(let first, _):
            guard case .replay(let from) = question?.body, let kept = disk.events.first?.first
            else { return }
            if from >= kept, first == kept {
                violate(.monitor, "a replay from \(from) was a gap, but \(kept) is kept")
            }
        case .events(let page, let next, _):
            guard case .replay(let from) = question?.body, let question else { return }
            check(page, from: from, next: next, of: question.project)
        case .snapshot, .failed, .ordered, .project, .done: break
        }
    }

    /// The longest time for which nothing of a producer arrived, until now.
    private func silence(of producer: ProducerID) -> Nanoseconds {
        max(silences[producer] ?? 0, agenda.now - (heard[producer] ?? 0))
    }

    /// Whether a number is below its producer's window, or the producer was silent for long.
    private func mayBeForgotten(_ id: EditID) -> Bool {
        let memory = scenario.settings.producerMemory.wholeNanoseconds
        let silent = silence(of: id.producer)
        let drift = memory / 1_000_000 * Nanoseconds(scenario.driftMax)
        if silent + drift + Nanoseconds.second >= memory { return true }
        return (ledger.highest(of: id.producer) ?? 0) >= id.number + ProducerWindow.length
    }

    private func check(_ answer: EditAnswer, _ id: EditID) {
        switch answer.result {
        case .success(let acceptance):
            if ledger.sequences[id] != acceptance.sequence {
                violate(
                    .durable, "\(id) was ACCEPTED as \(acceptance.sequence), not in the journal")
            }
            if let end = acceptance.end, !ledger.hasEnded(acceptance.sequence, end.kind) {
                violate(.oneEnd, "\(id) was ACCEPTED with the end \(end.kind), which it has not")
            }
        case .failure(let rejection):
            let isTaken = ledger.sequences[id] != nil
            switch rejection.code {
            case .busy: break
            case .overtaken:
                if isTaken { violate(.oneVersion, "\(id) is accepted, its repeat is overtaken") }
            case .conflict:
                if isTaken { violate(.oneVersion, "\(id) is accepted, its repeat a conflict") }
                if books.lines[id]?.edit.expectedVersion == nil {
                    violate(.answer, "\(id) has no condition, but a conflict")
                }
            case .targetDetached:
                if books.lines[id]?.edit.targets.isEmpty ?? true {
                    violate(.answer, "\(id) names no target, but was refused for one")
                }
            case .tooLarge:
                let bytes = books.lines[id]?.edit.change.byteCount ?? 0
                if bytes <= scenario.settings.contentBytesMax {
                    violate(.answer, "\(id) has \(bytes) bytes, but was refused as too large")
                }
            case .staleNumber:
                if books.lines[id]?.state == .unanswered {
                    violate(.answer, "\(id) is waited for, but was refused as stale")
                }
            default: violate(.answer, "\(id) was refused: \(rejection.code)")
            }
        }
    }

    private func check(_ report: QueueReport) {
        let settings = scenario.settings
        for worker in report.workers {
            let limit = min(settings.workerAssignmentsMax, max(scenario.capacity, 1))
            if worker.inHand > limit {
                violate(.bounded, "\(worker.label) has \(worker.inHand) files, more than \(limit)")
            }
        }
        let contentMax = scenario.contentMax + 100 + Content.keepingBytes
        let memoryMax =
            settings.memoryBytesMax + settings.loadingBytesMax + contentMax
            * (settings.workerAssignmentsMax * scenario.workerCount + 1)
        if report.memoryBytes > memoryMax || report.memoryBytes < 0 || report.pendingBytes < 0 {
            violate(.bounded, "\(report.memoryBytes) bytes of content in memory")
        }
    }

    private func check(
        _ page: [StatusEvent], from: UInt64, next: UInt64, of project: ProjectName
    ) {
        // Of a journal that is lost: told by a former coordinator, and late.
        if ledger.isRestored || next <= ledger.eventBase { return }
        guard next >= 1, next <= ledger.lastEvent + 1 else {
            violate(.monitor, "a replay ends at \(next) of \(ledger.lastEvent)")
            return
        }
        let expected = (max(from, 1)..<max(next, from, 1)).compactMap(ledger.event).filter {
            $0.project == project
        }
        if expected != page {
            violate(
                .monitor,
                "a replay from \(from) to \(next) gave \(page.count) events of "
                    + "\(project), not \(expected.count)")
        }
    }

    // MARK: Flush

    private func checkFlush(_ question: Question) {
        for (file, sequence) in question.needed ?? [:] {
            let entry = ledger.entries[sequence]
            if entry?.end == .discarded || entry?.code == "conflict" { continue }
            for target in disk.projects[file.project]?.targets ?? []
            where target.isAttached && question.targets.contains(target.url) {
                guard let sandbox = sandboxes[target.url] else { continue }
                // A loss that nobody has found out yet can't be waited for.
                if let lost = sandbox.lostGeneration, lost == target.generation { continue }
                let isMissing = sandbox.files[file.path].map { $0.sequence < sequence } ?? true
                if isMissing, !isContested(file, in: target.url) {
                    violate(
                        .flush,
                        "a flush was answered, but \(sequence) of \(file) is not in "
                            + "\(target.url)")
                    return
                }
            }
        }
    }
}
