import DequeModule
import OrderedCollections

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
        finish(&staged)
        begin(staged, at: now)
    }

    /// Lets a finished turn be the one on its way to disk; an idle one is true at once.
    ///
    /// - Parameter isSent: Whether its transaction has gone already.
    mutating func begin(_ staged: Turn, isSent: Bool = false, at now: Instant) {
        turnClosedAt = now
        turn = staged
        if staged.isIdle {
            conclude(at: now)
        } else {
            for index in staged.files.keys { files[index].isStaged = true }
            if isSent { return }
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

    /// Stages an input, and notes that the turn has it.
    mutating func stage(_ input: TurnInput, in staged: inout Turn, at now: Instant) {
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

    /// Derives what the journal must write from what the overlay says, and what it stands on.
    mutating func finish(_ staged: inout Turn) {
        for (index, slot) in staged.files {
            Self.write(slot, over: turn?.files[index] ?? files[index], in: &staged)
        }
        // While a turn is on its way nobody knows yet what that leaves of the oldest segment.
        if turn == nil { carryOldAcceptances(into: &staged) }
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
        if let removed = turn?.transaction.acceptancesRemoved, !removed.isEmpty {
            staged.transaction.acceptancesRemoved.removeAll { removed.contains($0) }
        }
        if let cleaned = staged.carriedFrom {
            staged.transaction.acceptancesRemoved.append(cleaned)
        }
        staged.transaction.projects = staged.projects.values.sorted { $0.name < $1.name }
        staged.transaction.eventsTrimmedThrough =
            logEndsAt
            ?? trimmedThrough(adding: staged.events.count + (turn?.events.count ?? 0))
        staged.transaction.header = staged.header
        staged.isIdle =
            staged.transaction.isEmpty && staged.header == turn?.header ?? header
            && staged.files.isEmpty
    }

    /// Static, as a call on the machine would copy it, once for each file.
    private static func write(
        _ slot: FileSlot, over before: FileSlot, in staged: inout Turn
    ) {
        let row = slot.row.map { JournalRow(file: slot.key, edit: $0) }
        switch (before.row, row) {
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
            var record = record(of: name, in: staged) ?? newProject(name, in: staged)
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
}
