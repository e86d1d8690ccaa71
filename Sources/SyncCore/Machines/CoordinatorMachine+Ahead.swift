import OrderedCollections

/// The turn after the one on its way to disk.
///
/// While the disk works, the loop has nothing to do but to collect: so what would be done when the
/// turn comes back is done meanwhile, for edits alone. They stand on the values of a turn that may
/// still fail, and fail with it:
///
///     inbox ──stage──▶ turn ──commit──▶ disk ──committed──▶ tables
///       └─────edits────▶ ahead, on top of turn ──────────▶ turn ──commit──▶ …
///                                            ──failed────▶ both dropped, `busy`
///
/// All else (reports, registrations, orders) is staged on the tables, as ever: it decides by what
/// holds. While such a thing waits, nothing more is staged ahead, so it waits for one turn more at
/// most. Nor is anything while projects share: the keystroke that comes next would wait for the
/// flood's turn.
extension CoordinatorMachine {
    /// Edits staged ahead in one pass, about: sockets are looked at in between.
    private static let aheadEditsPerPassMax = 256

    /// Whether edits wait that may be staged on top of the turn that is on its way to disk.
    var canStageAhead: Bool {
        guard turn != nil, !inbox.isEmpty, !inbox.hasOthers else { return false }
        if active.isShared || turnPacedUntil != nil || isJournalShort { return false }
        if isRecovering || isToBeAdopted { return false }
        // What is carried to a new segment is carried by a turn that stands on the tables.
        if acceptanceLog.turnToClean != nil { return false }
        return hasRoom(ahead)
    }

    /// Stages edits on top of the turn that is on its way to disk, up to a turn's goal.
    mutating func stageAhead(at now: Instant, wall: Timestamp) {
        guard canStageAhead, let base = turn else { return }
        // Taken out, so that it is changed in place.
        var staged = ahead.take() ?? Turn(number: base.number + 1, header: base.header, time: wall)
        let most = staged.editCount + Self.aheadEditsPerPassMax
        while staged.editCount < most, hasRoom(staged), let part = inbox.popEdits() {
            stage(.edits(part), in: &staged, at: now)
        }
        ahead = staged
    }

    /// Finishes what was staged ahead, now that what it stands on is on disk.
    ///
    /// A project that had nothing waiting joins, so that it waits for no further turn; so many may
    /// that the turn has twice its goal.
    mutating func closeAhead(at now: Instant) {
        guard var staged = ahead.take() else { return }
        while inbox.hasFresh
            ? hasRoom(staged, goals: 2)
            : hasRoom(staged) && !inbox.hasOthers && !active.isShared,
            let part = inbox.popEdits()
        {
            stage(.edits(part), in: &staged, at: now)
        }
        finish(&staged)
        ahead = staged
    }

    private func hasRoom(_ staged: Turn?, goals: Int = 1) -> Bool {
        guard let staged else { return true }
        return staged.editCount < goals * settings.turnEditsMax
            && staged.byteCount < goals * settings.turnBytesMax
    }

    // MARK: What a turn stands on

    /// A file as the turn says that is being staged, or the one on its way to disk, or as it is.
    func slot(_ index: FileIndex, in staged: Turn) -> FileSlot {
        staged.files[index] ?? turn?.files[index] ?? files[index]
    }

    /// A project likewise; nil when it is not known.
    func record(of project: ProjectName, in staged: Turn) -> ProjectRecord? {
        staged.projects[project] ?? turn?.projects[project] ?? projects[project]
    }

    /// Who owns a target likewise; nil when nobody does.
    func owner(of target: TargetURL, in staged: Turn) -> ProjectName? {
        staged.targetOwners[target] ?? turn?.targetOwners[target] ?? targetOwners[target]
    }

    /// An assignment that is out, or is taken over by one of these turns.
    func hold(_ id: AssignmentID, in staged: Turn) -> Hold? {
        if let hold = holds[id] { return hold }
        return staged.adopted.first { $0.id == id }?.hold
            ?? turn?.adopted.first { $0.id == id }?.hold
    }
}
