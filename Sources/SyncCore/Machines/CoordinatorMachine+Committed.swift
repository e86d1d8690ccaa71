import DequeModule
import OrderedCollections

/// What becomes of a turn that has come back from the disk.
extension CoordinatorMachine {
    /// Takes the result of the turn that was sent to disk.
    ///
    /// - Parameter takes: Takes the transaction of the turn that was staged ahead, if there is one,
    ///   before anything else is done: the disk works while the former turn is made true. One that
    ///   it does not take comes as a directive, behind all others.
    package mutating func committed(
        _ error: JournalError?, at now: Instant,
        takes: (JournalTransaction) -> Bool = { _ in false }
    ) {
        guard let error else {
            closeAhead(at: now)
            let next = ahead
            let isSent = next.map { !$0.isIdle && takes($0.transaction) } ?? false
            conclude(at: now)
            // What waits for a moment without a turn: there may be no other one for long.
            forgetProducers(at: now)
            endHoldOffs(at: now)
            ahead = nil
            if let next { begin(next, isSent: isSent, at: now) }
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
    mutating func answer(_ reply: Turn.EditReply, with answers: [EditAnswer]) {
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
    mutating func conclude(at now: Instant) {
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
        for (index, slot) in done.files where install(index, slot, at: now) {
            ended.append(index)
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
        var forgotten: [EditSequence] = []
        for (key, staged) in done.windows {
            // Taken out, so that it is changed in place, and not looked up for each number.
            var window = windows.removeValue(forKey: key) ?? ProducerWindow(heardAt: now)
            for number in staged.order {
                guard let accepted = staged.records[number] else { continue }
                window.accept(accepted, forgetting: &forgotten)
            }
            windows[key] = window
        }
        acceptanceLog.forget(forgotten)
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
