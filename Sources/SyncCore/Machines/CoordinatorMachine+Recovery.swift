extension CoordinatorMachine {
    /// Fills the tables; every waiting row becomes ready, nothing is dispatched before the
    /// incarnations of former epochs are accounted for (trace B7).
    mutating func recover(_ snapshot: JournalSnapshot, at now: Instant) throws(JournalError) {
        for project in snapshot.projects {
            projects[project.name] = project
            for target in project.targets where target.isAttached {
                targetOwners[target.url] = project.name
            }
        }
        for target in snapshot.projects.flatMap(\.targets)
        where target.isAttached && target.awaySince != nil {
            board.restore(
                target.url,
                cause: Failure(
                    .target, code: "away",
                    message: "The sandbox did not answer before the coordinator was restarted; "
                        + "it is probed."), at: now)
        }
        for target in snapshot.projects.flatMap(\.targets) where !target.isAttached {
            if targetOwners[target.url] == nil {
                targetOwners[target.url] =
                    snapshot.projects.first { $0.targets.contains { $0.url == target.url } }?.name
            }
        }
        try recoverWindows(snapshot, at: now)
        for row in snapshot.rows {
            let index = files.claim(row.file)
            guard files[index].row == nil else {
                throw JournalError(
                    .fatal,
                    "The journal holds two rows for one file (sequences "
                        + "\(files[index].row?.sequence.value ?? 0) and \(row.sequence)); "
                        + "restore it from a backup or report this.")
            }
            var slot = files[index]
            slot.row = row.edit
            install(index, slot, at: now)
        }
        forgetEnds(snapshot.rows)
        // In their order: of two processes with one label the newer one bears it.
        for record in snapshot.incarnations.sorted(by: {
            $0.incarnation.count < $1.incarnation.count
        }) {
            membership.add(Member(record: record, state: .awaited))
            awaited.insert(record.incarnation)
        }
        // With a journal that was restored, workers of which it knows nothing may act as well.
        // Where all have ended, older edits may be open whose ends a crash has cut off.
        let hasOpen = snapshot.rows.contains { $0.open != nil }
        awaitsStrangers = mayHaveStrangers(snapshot)
        if !awaited.isEmpty || awaitsStrangers || hasOpen {
            let longest = Duration.milliseconds(
                Int64(
                    clamping: max(
                        snapshot.header.longestLeaseMilliseconds, settings.lease.wholeMilliseconds))
            )
            recoversUntil = now + longest + settings.margin
        }
    }

    /// Whether somebody may act of whom this journal knows nothing.
    ///
    /// So it is while a store is adopted, and after a restart until a first sandbox has been taken
    /// from whoever wrote there for the lost part: that is done after the wait.
    private func mayHaveStrangers(_ snapshot: JournalSnapshot) -> Bool {
        if settings.isAdopting { return true }
        return hasEverAdopted(snapshot.header)
            && snapshot.projects.flatMap(\.targets).allSatisfy {
                !$0.isAttached || $0.revokesOthers
            }
    }

    private mutating func recoverWindows(
        _ snapshot: JournalSnapshot, at now: Instant
    ) throws(JournalError) {
        for segment in snapshot.acceptances {
            guard let records = AcceptanceLog.unpack(segment) else {
                throw unreadable("window", segment)
            }
            acceptanceLog.add(
                turn: segment.turn, sequences: records.map(\.accepted.sequence),
                byteCount: segment.bytes.count)
            var forgotten: [EditSequence] = []
            for record in records {
                windows[record.key, default: ProducerWindow(heardAt: now)]
                    .accept(record.accepted, forgetting: &forgotten)
            }
            acceptanceLog.forget(forgotten)
        }
        for segment in snapshot.events {
            guard let events = EventLogCodec.unpack(segment) else {
                throw unreadable("event log", segment)
            }
            noteLogged(segment)
            for event in events {
                guard let id = event.id else { continue }
                let key = ProducerKey(project: event.project, producer: id.producer)
                if event.kind == .superseded,
                    windows[key]?.accepted(id.number)?.sequence
                        != event.sequence
                {
                    continue  // It goes on under another sequence (adoption).
                }
                if let end = EditEnd(event) {
                    windows[key]?.setEnd(end, of: id.number)
                } else if event.kind == .retried || event.kind == .accepted {
                    windows[key]?.setEnd(nil, of: id.number)
                }
            }
        }
    }

    /// Notes edits that have ended in events which the log has dropped since.
    private mutating func forgetEnds(_ rows: [JournalRow]) {
        var open: [ProducerKey: Set<UInt64>] = [:]
        for row in rows {
            let ids = [row.edit.id] + (row.open.map { [$0.id] } ?? [])
            for id in ids {
                let key = ProducerKey(project: row.file.project, producer: id.producer)
                open[key, default: []].insert(id.number)
            }
        }
        for key in windows.keys {
            let own = open[key] ?? []
            windows[key]?.forgetEnds { own.contains($0) }
        }
    }

    private func unreadable(_ what: String, _ segment: JournalSegment) -> JournalError {
        JournalError(
            .fatal,
            "The journal's \(what) can't be read at turn \(segment.turn) "
                + "(\(segment.bytes.count) bytes, \(segment.count) records); restore the journal "
                + "from a backup.")
    }

    /// Notes a segment of the event log.
    mutating func noteLogged(_ segment: JournalSegment) {
        logSegments.append(
            (segment.turn, segment.first, segment.count, segment.bytes.count))
        logEvents += segment.count
        logBytes += segment.bytes.count
    }

    /// Before the first pass nobody could connect: those who live get half a lease and the margin.
    mutating func leaveTimeToRegister(at now: Instant) {
        recoversUntil = recoversUntil.map {
            max($0, now + settings.lease / 2 + settings.margin)
        }
    }

    /// Ends the wait for former epochs when everyone has registered or the time is over.
    ///
    /// Those who did not register end in a turn first, so that their debts are journaled before
    /// anything is dispatched. So do older edits that nobody turned out to have in hand: a newer
    /// one that is handed out meanwhile would take their place in its row, and they would never
    /// end.
    mutating func finishRecovery(at now: Instant) {
        guard let until = recoversUntil, turn == nil else { return }
        if awaited.isEmpty {
            if awaitsStrangers, now < until { return }
            let orphans = files.indices.filter {
                files[$0].row?.open != nil && files[$0].inHand == nil
            }
            if orphans.isEmpty { recoversUntil = nil }
            if !isEndingOrphans { for index in orphans { inbox.append(.park(index)) } }
            isEndingOrphans = true
            return
        }
        let isRegistering = inbox.hasRegistration {
            membership.member(ofLife: $0.life).map { awaited.contains($0) } ?? false
        }
        guard now >= until, !isRegistering, !isEndingAwaited else { return }
        isEndingAwaited = true
        for incarnation in awaited.sorted(by: { $0.count < $1.count }) {
            inbox.append(.ended(incarnation, state: "ended"))
        }
    }
}
