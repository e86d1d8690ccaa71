import DequeModule

extension CoordinatorMachine {
    /// Whether there is something for a turn.
    var hasTurn: Bool { !inbox.isEmpty || !acceptanceLog.removable.isEmpty }

    /// Whether the disk keeps turns waiting for so long that workers send their reports again.
    func isCommitLate(at now: Instant) -> Bool {
        if isJournalShort { return true }
        return turn != nil && (turnClosedAt.map { now - $0 > settings.busyWait } ?? false)
    }

    /// Stages what was collected, and sends it to disk; one turn at a time.
    mutating func closeTurn(at now: Instant, wall: Timestamp) {
        if turn != nil { return stageAhead(at: now, wall: wall) }
        guard hasTurn else { return }
        if let turnRetryAt {
            guard now >= turnRetryAt else { return }
            self.turnRetryAt = nil
        }
        if isJournalShort { putEditsOff() }
        let isPaced = turnPacedUntil.map { now < $0 } ?? false
        if isPaced, !inbox.hasFresh { return }
        if !isPaced { turnPacedUntil = nil }
        var staged = Turn(number: lastTurn + 1, header: header, time: wall)
        staged.isInterlude = isPaced
        fill(&staged, at: now)
        send(staged, at: now)
    }

    /// Sends a turn to disk; one that changes nothing is true at once.
    mutating func send(_ filled: Turn, at now: Instant) {
        var staged = filled
        turnClosedAt = now
        finish(&staged)
        let isIdle =
            staged.transaction.isEmpty && staged.transaction.header == header
            && staged.files.isEmpty
        turn = staged
        if isIdle {
            conclude(at: now)
        } else {
            for index in staged.files.keys { files[index].isStaged = true }
            directives.append(.commit(staged.transaction))
        }
    }

    /// Stages what waits, up to the turn's goal: much for a project that is alone, little beside a
    /// quiet one, since a keystroke waits for the turn that is on its way to disk.
    ///
    /// In a flood's pause only who comes with nothing waiting before: else each keystroke would
    /// take the flood along.
    private mutating func fill(_ staged: inout Turn, at now: Instant) {
        let editsMax = active.isShared ? settings.sharedTurnEditsMax : settings.turnEditsMax
        let bytesMax = active.isShared ? settings.sharedTurnBytesMax : settings.turnBytesMax
        while staged.editCount < editsMax, staged.byteCount < bytesMax,
            !staged.isInterlude || inbox.hasUrgent, let input = inbox.popFirst()
        {
            stage(input, in: &staged, at: now)
        }
    }

    /// Answers `busy` for edits that would keep from disk what makes room there.
    ///
    /// After a failed commit outcomes and ends go alone; of edits alone one message, as a trial.
    private mutating func putEditsOff() {
        for part in inbox.removeEdits(keepingOne: !inbox.hasOthers) {
            let answers = part.items.map {
                EditAnswer(number: $0.number, result: .failure(busy("journal")))
            }
            let reply = Turn.EditReply(
                route: part.route, message: part.message, isLast: true, answers: [])
            answer(reply, with: answers)
        }
    }

    private mutating func stage(_ input: TurnInput, in staged: inout Turn, at now: Instant) {
        staged.take(input)
        switch input {
        case .edits(let part): stage(part, in: &staged, at: now)
        case .reports(let incarnation, let reports):
            stage(reports: reports, of: incarnation, in: &staged, at: now)
        case .register(let route, let registration):
            stage(registration, from: route, in: &staged, at: now)
        case .ended(let incarnation, let state):
            stageEnd(of: incarnation, state: state, in: &staged, at: now)
        case .died(let life, let isKilled):
            stageDeath(ofLife: life, isKilled: isKilled, in: &staged, at: now)
        case .park(let index): stagePark(index, in: &staged)
        case .order(let route, let order): stage(order, from: route, in: &staged)
        case .files(let question, let listed, let isLast):
            stage(files: listed, of: question, isLast: isLast, in: &staged)
        case .project(let route, let project, let action):
            stage(action, of: project, route, in: &staged)
        case .detach(let target, let project, let code, let reason):
            stageDetach(target, of: project, code: code, reason: reason, in: &staged)
        case .settle(let index): stageSettle(index, in: &staged)
        case .flush(let route, let project, let prefix):
            staged.flushes.append((route, project, prefix))
        case .refreshed(let target, let project):
            stageRefreshed(target, of: project, in: &staged)
        }
    }

    /// Derives what the journal must write from what the overlay says.
    private mutating func finish(_ staged: inout Turn) {
        for (index, slot) in staged.files { Self.write(slot, over: files[index], in: &staged) }
        carryOldAcceptances(into: &staged)
        number(&staged)
        var records = staged.carried
        for (key, window) in staged.windows {
            for number in window.order {
                guard let accepted = window.records[number] else { continue }
                records.append(AcceptanceLog.Record(key: key, accepted: accepted))
            }
        }
        if !records.isEmpty {
            staged.transaction.acceptances = JournalSegment(
                turn: staged.number, first: 0, count: records.count,
                bytes: AcceptanceLog.pack(records))
        }
        staged.transaction.acceptancesRemoved = acceptanceLog.removable
        if let cleaned = staged.carriedFrom {
            staged.transaction.acceptancesRemoved.append(cleaned)
        }
        staged.transaction.projects = staged.projects.values.sorted { $0.name < $1.name }
        staged.transaction.eventsTrimmedThrough =
            logEndsAt ?? trimmedThrough(adding: staged.events.count)
        staged.transaction.header = staged.header
    }

    /// Static, as a call on the machine would copy it, once for each file.
    private static func write(
        _ slot: FileSlot, over before: FileSlot, in staged: inout Turn
    ) {
        switch (before.row, slot.row) {
        case (nil, nil): break
        case (let old?, nil): staged.transaction.rowsRemoved.append(old.sequence)
        case (let old?, let new?) where old.sequence == new.sequence:
            if old.open != new.open || old.failure != new.failure {
                staged.transaction.rowsAmended.append(new)
            }
        case (let old, let new?):
            if let old {
                let renumbered = staged.transaction.rowsRenumbered.first {
                    $0.from == old.sequence
                }?.to
                if renumbered == new.sequence {
                    if old.open != new.open || old.failure != new.failure {
                        staged.transaction.rowsAmended.append(new)
                    }
                    return
                }
                staged.transaction.rowsRemoved.append(renumbered ?? old.sequence)
            }
            staged.transaction.rowsWritten.append((new, slot.content))
        }
    }

    /// Gives the events their numbers, dense over all and within each project.
    private func number(_ staged: inout Turn) {
        guard !staged.events.isEmpty else { return }
        let first = staged.header.lastEvent + 1
        var rest = staged.events.indices
        while let start = rest.first {
            // Neighbours mostly belong to one project, whose record is looked up once.
            let name = staged.events[start].project
            var record = staged.projects[name] ?? projects[name] ?? newProject(name, in: staged)
            while let index = rest.first, staged.events[index].project == name {
                rest = rest.dropFirst()
                record.eventNumber += 1
                staged.header.lastEvent += 1
                staged.events[index].number = staged.header.lastEvent
                staged.events[index].projectNumber = record.eventNumber
            }
            staged.projects[name] = record
        }
        staged.transaction.events = JournalSegment(
            turn: staged.number, first: first, count: staged.events.count,
            bytes: EventLogCodec.pack(staged.events))
    }

    /// Carries the living records of the oldest segment when the window's log is mostly dead.
    private func carryOldAcceptances(into staged: inout Turn) {
        guard let oldest = acceptanceLog.turnToClean else { return }
        staged.carriedFrom = oldest
        let sequences = acceptanceLog.sequences(of: oldest)
        for (key, window) in windows {
            for accepted in window.accepted(in: sequences)
            where acceptanceLog.isLiving(accepted.sequence, in: oldest) {
                staged.carried.append(AcceptanceLog.Record(key: key, accepted: accepted))
            }
        }
    }

    private func trimmedThrough(adding count: Int) -> UInt64? {
        var events = logEvents + count
        var bytes = logBytes
        var through: UInt64?
        for segment in logSegments {
            guard events > settings.logEventsMax || bytes > settings.logBytesMax else { break }
            events -= segment.count
            bytes -= segment.byteCount
            through = segment.turn
        }
        return through
    }

    // MARK: Back from the disk

    /// Takes the result of the turn that was sent to disk.
    package mutating func committed(_ error: JournalError?, at now: Instant) {
        guard let error else {
            conclude(at: now)
            // What waits for a moment without a turn: there may be no other one for long.
            forgetProducers(at: now)
            endHoldOffs(at: now)
            closeAhead(at: now)
            return
        }
        guard let failed = turn else { return }
        if error.code != .unavailable {
            // The turn stays: no other one is begun while the process ends.
            directives.append(.halt(error.message))
            return
        }
        turn = nil
        abandon(failed, at: now)
        if let ahead = ahead.take() { abandon(ahead, at: now) }
    }

    /// Drops a turn whose transaction failed: tables stay as they were, the answer is `busy`.
    private mutating func abandon(_ failed: Turn, at now: Instant) {
        for reply in failed.replies {
            var answers = reply.answers
            for index in answers.indices where isVoid(answers[index].result) {
                answers[index] = EditAnswer(
                    number: answers[index].number, result: .failure(busy("journal")))
            }
            answer(reply, with: answers)
        }
        for want in failed.wanted {
            let key = ProducerKey(project: want.project, producer: want.id.producer)
            guard let known = windows[key]?.accepted(want.id.number), known.end == nil else {
                continue
            }
            addEndWaiter(want.id, in: want.project, want.route)
        }
        // What the turn ahead changes too is its to let go.
        for index in failed.files.keys where ahead?.files[index] == nil {
            files[index].isStaged = false
            requeue(index, at: now)
        }
        // Producers were told `busy`; everything else is tried again, after a pause for the disk.
        inbox.prepend(contentsOf: failed.kept)
        turnRetryAt = now + settings.busyWait
        isJournalShort = true
    }

    /// Whether an answer may stand on what has not come to disk.
    private func isVoid(_ result: Result<Acceptance, Rejection>) -> Bool {
        switch result {
        case .success(let acceptance): acceptance.sequence > header.lastSequence
        case .failure(let rejection): rejection.code.isOfTables
        }
    }

    /// Answers a message when the last of its parts has come back.
    private mutating func answer(_ reply: Turn.EditReply, with answers: [EditAnswer]) {
        let former = gathered.removeValue(forKey: reply.message) ?? []
        if reply.isLast {
            directives.append(.reply(reply.route, .edits(former + answers)))
        } else {
            gathered[reply.message] = former + answers
        }
    }

    /// While projects share, leaves disk and processors alone for some times as long as the last
    /// turn took: a keystroke that comes in the pause finds no other project's turn before it.
    ///
    /// A turn within the pause does not make it longer, or the flood would stand still.
    private mutating func pace(after done: Turn, at now: Instant) {
        guard active.isShared, !done.isInterlude, let turnClosedAt else { return }
        turnPacedUntil =
            now
            + min((now - turnClosedAt) * settings.sharedTurnPauses, settings.sharedTurnPauseMax)
    }

    /// Makes a committed turn true: tables, members, answers, events.
    private mutating func conclude(at now: Instant) {
        guard let done = turn.take() else { return }
        pace(after: done, at: now)
        isJournalShort = false
        lastTurn = done.number
        header = done.header
        for (name, record) in done.projects { projects[name] = record }
        for (target, owner) in done.targetOwners { targetOwners[target] = owner }
        concludeWindows(done, at: now)
        concludeLog(done)
        noteHoldOffs(done, at: now)
        for id in done.finished { release(id) }
        for (id, hold) in done.adopted where !done.finished.contains(id) { take(hold, as: id) }
        let settled = noteStuck(done)
        var ended: [FileIndex] = []
        for (index, slot) in done.files {
            let old = files[index]
            let isEnded =
                (old.isEditWaiting && !slot.isEditWaiting)
                || slot.refresh.count < old.refresh.count
            if isEnded { ended.append(index) }
            install(index, slot, at: now)
        }
        for index in ended { wakeShapes(besides: index, at: now) }
        for target in settled { noteSettled(target, at: now) }
        for change in done.away { noteAway(change.target, cause: change.cause, at: now) }
        for target in done.back {
            noteBack(target, at: now)
            visibleAt[target] = done.time
        }
        let machineCount = bootIDs.count
        for change in done.members { conclude(change, at: now) }
        for (life, isKilled) in done.deaths {
            hearDeath(ofLife: life, isKilled: isKilled)
        }
        for owed in done.acknowledgements { acknowledge(owed) }
        for reply in done.replies { answer(reply, with: reply.answers) }
        for order in done.orders { directives.append(.reply(order.route, .ordered(order.results))) }
        for want in done.wanted { addEndWaiter(want.id, in: want.project, want.route) }
        tellEnds(done)
        if !done.events.isEmpty { directives.append(.publish(done.events)) }
        for target in done.detached { concludeDetach(target, at: now) }
        for target in done.refilled { beginRefill(of: target, at: now) }
        noteFlushes(done, at: now)
        for page in done.pages { note(page, at: now) }
        // What was told before a machine came that was not known says nothing of its files.
        if machineCount == bootIDs.count {
            for target in done.verified { noteVerified(target) }
        }
        for target in done.refreshed {
            refills[target] = nil
            visibleAt[target] = done.time
        }
        for answer in done.projectAnswers { conclude(answer, at: now) }
        for asked in done.flushes {
            inboxFlushes -= 1
            flush(asked.project, prefix: asked.prefix, asked.route, at: now)
        }
    }

    private mutating func concludeWindows(_ done: Turn, at now: Instant) {
        acceptanceLog.removed(done.transaction.acceptancesRemoved)
        if let segment = done.transaction.acceptances {
            let fresh = done.windows.values.flatMap { $0.records.values.map(\.sequence) }
            acceptanceLog.add(
                turn: segment.turn, sequences: done.carried.map(\.accepted.sequence) + fresh,
                byteCount: segment.bytes.count)
        }
        for (key, staged) in done.windows {
            for number in staged.order {
                guard let accepted = staged.records[number] else { continue }
                // In place: a window that is taken out and put back is copied as a whole.
                acceptanceLog.forget(
                    windows[key, default: ProducerWindow(heardAt: now)].accept(accepted))
            }
        }
        for end in done.ends { windows[end.key]?.setEnd(end.end, of: end.number) }
    }

    private mutating func concludeLog(_ done: Turn) {
        logEndsAt = nil
        if let segment = done.transaction.events { noteLogged(segment) }
        guard let through = done.transaction.eventsTrimmedThrough else { return }
        while let first = logSegments.first, first.turn <= through {
            logSegments.removeFirst()
            logEvents -= first.count
            logBytes -= first.byteCount
        }
    }

    /// Forgets producers that were not heard for ten minutes.
    mutating func forgetProducers(at now: Instant) {
        guard now >= forgetsAt, turn == nil else { return }
        forgetsAt = now + min(settings.producerMemory, .seconds(30))
        for (key, window) in windows
        where window.heardAt + settings.producerMemory <= now && ahead?.windows[key] == nil {
            acceptanceLog.forget(window.accepted.map(\.sequence))
            windows[key] = nil
        }
    }
}
