import OrderedCollections

/// Adoption: this journal was restored from an older copy, or begun anew, and the store is ahead.
///
/// What was accepted since is lost with the journal; nobody knows how far the lost part went, nor
/// whether the same copy was restored before. So everything that is never used twice goes on above
/// what any lost part can have reached, by the wall clock: sequences, event numbers, fillings.
/// Whoever was given work by the lost part may act for a lease yet, so nothing is handed out
/// before that is over; then every sandbox is filled anew from the store, and every other stage is
/// revoked there first. No worker keeps what it has in hand: the copy does not tell who lost it to
/// another one since.
extension CoordinatorMachine {
    /// Numbers in a millisecond that nobody gives out; until the year 2255 below 2^53.
    private static let numbersPerMillisecond: UInt64 = 1_000
    /// Numbers that are left out where the clock is behind what was given out.
    private static let numbersLeftOut: UInt64 = 1 << 32

    /// Low bits of an event's number that do not count for where a new project's events begin.
    private static let projectBeginningMask: UInt64 = (1 << 20) - 1

    private static func number(above last: UInt64, at wall: Timestamp) -> UInt64 {
        let number = wall.milliseconds * numbersPerMillisecond
        return number > last ? number : last + numbersLeftOut
    }

    /// A project of which the journal knows nothing.
    ///
    /// After an adoption the lost part may have known it, with events of its own: a monitor that
    /// heard them must find the next ones new, so they begin about where those of the whole log
    /// are. A mark that was told before the first of them stays true: the beginning moves only each
    /// million events.
    func newProject(_ name: ProjectName, in turn: Turn?) -> ProjectRecord {
        let last = (turn?.header ?? header).lastEvent
        guard last > Self.numbersLeftOut else { return ProjectRecord(name: name) }
        return ProjectRecord(name: name, eventNumber: last & ~Self.projectBeginningMask)
    }

    /// A target that is attached for the first time.
    ///
    /// After an adoption the lost part of the journal may have known it, under the same numbers of
    /// fillings: they go on from the clock, as those of known targets do.
    func newTarget(_ url: TargetURL, needsRefresh: Bool, in turn: Turn) -> TargetRecord {
        let isPerhapsKnown = hasEverAdopted(turn.header)
        return TargetRecord(
            url: url, generation: isPerhapsKnown ? max(turn.time.milliseconds, 1) : 1,
            needsRefresh: needsRefresh, revokesOthers: isPerhapsKnown)
    }

    /// Whether this journal has adopted a store, now or in a former life.
    ///
    /// Then a target that it does not know may be one that the lost part knew, and somebody may
    /// still write into it of whom this journal knows nothing.
    func hasEverAdopted(_ header: JournalHeader) -> Bool {
        settings.isAdopting || header.lastEvent > Self.numbersLeftOut
    }

    /// Lets the event log end here; it goes on with numbers far above, so that every monitor sees
    /// a gap and asks for a snapshot.
    mutating func beginLogAnew(wall: Timestamp) {
        guard settings.isAdopting, startedAt == nil else { return }
        header.lastEvent = Self.number(above: header.lastEvent, at: wall)
        for (name, record) in projects {
            projects[name]?.eventNumber = Self.number(above: record.eventNumber, at: wall)
        }
        logEndsAt = logSegments.last?.turn
    }

    /// Whether the store that is to be taken over has not been brought by anybody yet.
    var isToBeAdopted: Bool { settings.isAdopting && !hasAdopted }

    /// Takes a store over with the first worker that brings it.
    mutating func adopt(_ store: StoreIdentity, in turn: inout Turn) {
        guard isToBeAdopted, !turn.isAdopting else { return }
        turn.isAdopting = true
        let highest = max(turn.header.lastSequence, store.highestSequence)
        turn.header.lastSequence = EditSequence(
            Self.number(above: highest.value, at: turn.time))
        for name in Set(projects.keys).union(turn.projects.keys).sorted() {
            let record = self.record(of: name, in: turn) ?? newProject(name, in: turn)
            turn.projects[name] = record
            for target in record.targets { refillAdopted(target, of: name, in: &turn) }
        }
        let pending = files.indices.filter { files[$0].row != nil }
            .sorted { files[$0].queueSequence < files[$1].queueSequence }
        for index in pending { renumber(index, in: &turn) }
    }

    /// What a sandbox holds, and under which filling, is not known any more.
    private func refillAdopted(
        _ target: TargetRecord, of project: ProjectName, in turn: inout Turn
    ) {
        let lowest = turn.time.milliseconds
        turn.changeTarget(target.url, of: project, from: projects) {
            $0.generation = max($0.generation, lowest)
            if $0.isAttached { refill(&$0) }
        }
        guard target.isAttached else { return }
        turn.fill(
            target.url, of: project, code: "adopted",
            reason: "The store was adopted; all files are written again.")
    }

    /// Gives a pending row a sequence above the store's: under its old one it would be stale.
    private func renumber(_ index: FileIndex, in turn: inout Turn) {
        var slot = slot(index, in: turn)
        guard let row = slot.row else { return }
        turn.header.lastSequence = turn.header.lastSequence.next
        let sequence = turn.header.lastSequence
        slot.row = row.renumbered(sequence)
        slot.row?.open = nil
        turn.files[index] = slot
        turn.transaction.rowsRenumbered.append((from: row.sequence, to: sequence))
        turn.tell(
            StatusEvent(
                .accepted, project: slot.key.project, path: slot.key.path, sequence: sequence,
                id: row.id))
        // The edit goes on under another sequence: it has not ended for whoever waits for it.
        turn.tellOnly(
            StatusEvent(
                .superseded, project: slot.key.project, path: slot.key.path,
                sequence: row.sequence, id: row.id, by: sequence))
        // What was in hand before it ends: whoever has it acts for the lost part.
        if let open = row.open {
            turn.tell(
                StatusEvent(
                    .superseded, project: slot.key.project, path: slot.key.path,
                    sequence: open.sequence, id: open.id, by: sequence))
        }
        if let failure = row.failure {
            turn.tell(
                StatusEvent(
                    .failed, project: slot.key.project, path: slot.key.path, sequence: sequence,
                    id: row.id, attempts: failure.attempts, code: failure.code,
                    reason: failure.reason))
        }
        let key = ProducerKey(project: slot.key.project, producer: row.id.producer)
        guard let known = windows[key]?.accepted(row.id.number) else { return }
        turn.windows[key, default: Turn.StagedWindow()].accept(
            AcceptedNumber(
                number: known.number, sequence: sequence, fileHash: known.fileHash,
                digest: known.digest))
    }
}
