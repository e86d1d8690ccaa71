import OrderedCollections

extension CoordinatorMachine {
    /// Stages a worker's reports; each is acknowledged after the commit, also one that is dropped.
    mutating func stage(
        reports: [NumberedReport], of incarnation: Incarnation, in turn: inout Turn,
        at now: Instant
    ) {
        for numbered in reports {
            turn.acknowledge(numbered.number, to: incarnation)
            switch numbered.report {
            case .outcome(let outcome): stage(outcome, of: incarnation, in: &turn, at: now)
            case .target(let report): stage(report, of: incarnation, in: &turn, at: now)
            }
        }
    }

    /// Stages an attempt's result; only the holder's counts (trace B8).
    ///
    /// A write that is stuck is not finished, whatever else the outcome says of its file: the file
    /// is not touched on that target before the holder has settled it.
    private mutating func stage(
        _ outcome: Outcome, of incarnation: Incarnation, in turn: inout Turn, at now: Instant
    ) {
        let id = outcome.assignment
        guard let hold = self.hold(id, in: turn),
            hold.incarnation == incarnation, !turn.finished.contains(id)
        else { return }
        turn.finished.insert(id)
        var slot = slot(hold.index, in: turn)
        slot.inHand = nil
        let outcome = current(outcome, of: hold, project: slot.key.project, in: turn)
        noteTargets(outcome, of: slot.key, holder: incarnation, in: &turn, at: now)
        for (target, result) in outcome.targets where result == .visible {
            visibleAt[target] = turn.time
            noteMarked(target, of: slot.key.project, in: &turn)
        }
        tell(outcome.drifts, of: hold.sequence, in: slot, &turn)
        if hold.isRefresh {
            stageRefreshOutcome(outcome, hold: hold, slot: &slot, in: &turn, at: now)
        } else if slot.row?.sequence == hold.sequence, slot.row?.failure == nil {
            stageNewest(outcome, slot: &slot, in: &turn, at: now)
        } else {
            stageOpen(outcome, hold: hold, slot: &slot, in: &turn, at: now)
        }
        turn.files[hold.index] = slot
    }

    /// Stages that a target is marked, since nothing is written before: the report that says so may
    /// be lost at a reconnect, and come after the outcome.
    private func noteMarked(
        _ target: TargetURL, of project: ProjectName, in turn: inout Turn
    ) {
        let targets = record(of: project, in: turn)?.targets ?? []
        guard targets.contains(where: { $0.url == target && !$0.isMarked }) else { return }
        turn.changeTarget(target, of: project, from: projects) { $0.isMarked = true }
    }

    /// Tells of somebody else's changes that an edit was written over, unless it has ended.
    private func tell(
        _ drifts: [TargetURL: Drift], of sequence: EditSequence, in slot: FileSlot,
        _ turn: inout Turn
    ) {
        guard !drifts.isEmpty, let row = slot.row else { return }
        let id: EditID
        if row.sequence == sequence, row.failure == nil {
            id = row.id
        } else if let open = row.open, open.sequence == sequence {
            id = open.id
        } else {
            return
        }
        for (target, drift) in drifts.sorted(by: { $0.key < $1.key }) {
            turn.tell(
                StatusEvent(
                    .drifted, project: slot.key.project, path: slot.key.path, sequence: sequence,
                    id: id, target: target, code: drift.rawValue,
                    reason: "The file \(drift.finding) in the sandbox; this edit was written over "
                        + "it."))
        }
    }

    /// The edit in hand was replaced meanwhile: it ends now, one way or the other.
    private mutating func stageOpen(
        _ outcome: Outcome, hold: Hold, slot: inout FileSlot, in turn: inout Turn, at now: Instant
    ) {
        guard let open = slot.row?.open, open.sequence == hold.sequence, let row = slot.row else {
            return
        }
        slot.row?.open = nil
        let attached = attachedTargets(of: slot.key.project, in: turn)
        if case .stored(let version) = outcome.store,
            !isWithoutTargets(slot.key.project, in: turn),
            attached.allSatisfy({ outcome.targets[$0] == .visible })
        {
            turn.tell(
                StatusEvent(
                    .synced, project: slot.key.project, path: slot.key.path,
                    sequence: open.sequence, id: open.id, version: version))
        } else {
            turn.tell(
                StatusEvent(
                    .superseded, project: slot.key.project, path: slot.key.path,
                    sequence: open.sequence, id: open.id, by: row.sequence))
        }
    }

    /// The newest edit of the file was in hand.
    private mutating func stageNewest(
        _ outcome: Outcome, slot: inout FileSlot, in turn: inout Turn, at now: Instant
    ) {
        switch outcome.store {
        case .stored(let version):
            stageStored(outcome, version: version, slot: &slot, in: &turn, at: now)
        case .stale(let newer):
            guard let row = slot.row else { return }
            turn.tell(
                StatusEvent(
                    .superseded, project: slot.key.project, path: slot.key.path,
                    sequence: row.sequence, id: row.id, by: newer))
            slot.row = nil
            slot.content = nil
        case .conflict(let current):
            guard let row = slot.row else { return }
            turn.tell(
                StatusEvent(
                    .failed, project: slot.key.project, path: slot.key.path,
                    sequence: row.sequence, id: row.id, version: current,
                    attempts: slot.trouble.value.attempts + 1, code: "conflict",
                    reason: "The file's version is \(current), not the expected one; read it and "
                        + "push again."))
            slot.row = nil
            slot.content = nil
        case .refused(let reason):
            let failure = Failure(.file, code: "store-refused", message: reason)
            stageFailure(failure, slot: &slot, in: &turn)
        case .failed(let failure), .returned(let failure):
            slot.trouble.change {
                $0.cause = failure
                $0.dueAt = now + (failure.retryAfter ?? settings.retry.blamelessWait)
            }
        }
    }

    /// Notes targets that failed as a whole, that asked for a wait, or where the write is stuck.
    private mutating func noteTargets(
        _ outcome: Outcome, of file: FileKey, holder: Incarnation, in turn: inout Turn,
        at now: Instant
    ) {
        for (target, result) in outcome.targets.sorted(by: { $0.key < $1.key }) {
            switch result {
            case .visible: continue
            case .stuck:
                turn.stuck.append(
                    Turn.StuckChange(
                        target: target, path: file.path, holder: holder, isSettled: false))
                stageAway(target, of: file.project, cause: Self.stuckCause(file.path), in: &turn)
            case .failed(let failure):
                if failure.failureClass == .target {
                    if TargetCode.isRefill(failure.code) { continue }
                    stageAway(target, of: file.project, cause: failure, in: &turn)
                } else if let wait = failure.retryAfter {
                    turn.held.append((target, now + wait))
                }
            }
        }
    }

    /// Stages that a target is away; told once.
    func stageAway(
        _ target: TargetURL, of project: ProjectName, cause: Failure, in turn: inout Turn
    ) {
        guard attachedTargets(of: project, in: turn).contains(target) else { return }
        if board.isWell(target), !turn.away.contains(where: { $0.target == target }) {
            let time = turn.time
            turn.changeTarget(target, of: project, from: projects) { $0.awaySince = time }
            turn.tell(
                StatusEvent(
                    .away, project: project, target: target, code: cause.code,
                    reason: cause.message))
        }
        turn.away.append((target, project, cause))
    }

    /// Stages that a file waits for its target, and ends what nobody holds any more.
    mutating func stagePark(_ index: FileIndex, in turn: inout Turn) {
        var slot = slot(index, in: turn)
        guard let row = slot.row else { return }
        if slot.inHand == nil, let open = row.open {
            slot.row?.open = nil
            turn.tell(
                StatusEvent(
                    .superseded, project: slot.key.project, path: slot.key.path,
                    sequence: open.sequence, id: open.id, by: row.sequence))
            turn.files[index] = slot
        }
        guard slot.phase == .parked, row.failure == nil, !slot.trouble.value.isParkedTold else {
            return
        }
        slot.trouble.change { $0.isParkedTold = true }
        let away = attachedTargets(of: slot.key.project, in: turn).first { !board.isWell($0) }
        let cause = away.flatMap { board.absence(of: $0)?.cause }
        turn.tell(
            StatusEvent(
                .parked, project: slot.key.project, path: slot.key.path, sequence: row.sequence,
                id: row.id, target: away, code: cause?.code ?? "", reason: cause?.message ?? ""))
        turn.files[index] = slot
    }

    /// Targets attached to a project, as the turn sees it.
    func attachedTargets(of project: ProjectName, in turn: Turn?) -> [TargetURL] {
        if let staged = turn?.projects[project] { return staged.attached }
        return projects[project]?.attached ?? []
    }
}
