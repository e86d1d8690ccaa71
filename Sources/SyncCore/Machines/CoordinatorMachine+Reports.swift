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
            case .target(let report): stage(report, of: incarnation, in: &turn)
            }
        }
    }

    /// Stages an attempt's result; only the holder's counts (trace B8).
    private mutating func stage(
        _ outcome: Outcome, of incarnation: Incarnation, in turn: inout Turn, at now: Instant
    ) {
        let id = outcome.assignment
        guard let hold = holds[id] ?? turn.adopted.first(where: { $0.id == id })?.hold,
            hold.incarnation == incarnation, !turn.finished.contains(id)
        else { return }
        turn.finished.insert(id)
        var slot = turn.files[hold.index] ?? files[hold.index]
        slot.inHand = nil
        if hold.isRefresh {
            stageRefreshOutcome(outcome, hold: hold, slot: &slot, in: &turn, at: now)
        } else if slot.row?.sequence == hold.sequence {
            stageNewest(outcome, slot: &slot, in: &turn, at: now)
        } else {
            stageOpen(outcome, hold: hold, slot: &slot, in: &turn, at: now)
        }
        turn.files[hold.index] = slot
    }

    /// The edit in hand was replaced meanwhile: it ends now, one way or the other.
    private mutating func stageOpen(
        _ outcome: Outcome, hold: Hold, slot: inout FileSlot, in turn: inout Turn, at now: Instant
    ) {
        noteTargets(outcome, project: slot.key.project, in: &turn, at: now)
        guard let open = slot.row?.open, open.sequence == hold.sequence, let row = slot.row else {
            return
        }
        slot.row?.open = nil
        let attached = attachedTargets(of: slot.key.project, in: turn)
        if case .stored(let version) = outcome.store,
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

    private mutating func stageStored(
        _ outcome: Outcome, version: Version, slot: inout FileSlot, in turn: inout Turn,
        at now: Instant
    ) {
        noteTargets(outcome, project: slot.key.project, in: &turn, at: now)
        guard let row = slot.row else { return }
        var trouble = slot.trouble.value
        let wasStored = trouble.stored != nil
        trouble.stored = version
        var worst: Failure?
        for (target, result) in outcome.targets.sorted(by: { $0.key < $1.key }) {
            switch result {
            case .visible: trouble.visible.append(target)
            case .failed(let failure) where failure.failureClass == .file:
                trouble.failedIn.append(target)
                trouble.cause = failure
            case .failed(let failure): worst = Self.worse(worst, failure)
            case .stuck:
                worst = Self.worse(
                    worst,
                    Failure(
                        .attempt, code: "stuck",
                        message: "The write in \(target) did not come back within its deadline."))
            }
        }
        slot.trouble = .some(trouble)
        let attached = attachedTargets(of: slot.key.project, in: turn)
        let missing = attached.filter {
            !trouble.visible.contains($0) && !trouble.failedIn.contains($0)
        }
        if !missing.isEmpty, !wasStored {
            turn.tell(
                StatusEvent(
                    .stored, project: slot.key.project, path: slot.key.path,
                    sequence: row.sequence, id: row.id, version: version))
        }
        if missing.isEmpty {
            end(row, version: version, trouble: trouble, slot: &slot, in: &turn)
        } else if let worst {
            again(after: worst, slot: &slot, in: &turn, at: now)
        }
    }

    /// Everything was tried: `synced`, or `failed` when it failed in some target.
    private mutating func end(
        _ row: JournalRow, version: Version, trouble: Trouble, slot: inout FileSlot,
        in turn: inout Turn
    ) {
        if !trouble.failedIn.isEmpty, let cause = trouble.cause {
            stageFailure(cause, slot: &slot, in: &turn)
            return
        }
        turn.tell(
            StatusEvent(
                .synced, project: slot.key.project, path: slot.key.path, sequence: row.sequence,
                id: row.id, version: version))
        slot.row = nil
        slot.content = nil
        slot.trouble = .none
        if let record = turn.projects[slot.key.project] ?? projects[slot.key.project] {
            // A put goes to every target: what was to be written again there is written.
            slot.refresh.removeAll { target in
                record.targets.contains { $0.url == target && $0.isAttached }
            }
        }
    }

    /// Decides when the next attempt comes, by the class of the failure (design §3).
    private mutating func again(
        after failure: Failure, slot: inout FileSlot, in turn: inout Turn, at now: Instant
    ) {
        guard let row = slot.row else { return }
        var trouble = slot.trouble.value
        trouble.cause = failure
        var wait: Duration?
        switch failure.failureClass {
        case .attempt, .file:
            trouble.attempts += 1
            wait = settings.retry.wait(after: trouble.attempts)
        case .shape:
            let since = trouble.shapeSince ?? now
            trouble.shapeSince = since
            if now - since >= settings.retry.shapePatience {
                trouble.attempts += 1
                wait = settings.retry.wait(after: trouble.attempts)
            } else {
                wait = settings.retry.shapeWait
            }
        case .target: wait = .zero  // Parked by the board, not by a wait.
        case .store, .worker: wait = settings.retry.blamelessWait
        }
        guard let wait else {
            slot.trouble = .some(trouble)
            stageFailure(failure, slot: &slot, in: &turn)
            return
        }
        let delay = max(wait, failure.failureClass == .target ? .zero : failure.retryAfter ?? .zero)
        trouble.dueAt = now + delay
        slot.trouble = .some(trouble)
        if failure.failureClass == .target { return }
        turn.tell(
            StatusEvent(
                .retrying, project: slot.key.project, path: slot.key.path, sequence: row.sequence,
                id: row.id, attempts: trouble.attempts, delayMilliseconds: delay.wholeMilliseconds,
                code: failure.code, reason: failure.message))
    }

    /// Puts the newest edit into the failed list; its content stays.
    private mutating func stageFailure(
        _ failure: Failure, slot: inout FileSlot, in turn: inout Turn
    ) {
        guard let row = slot.row else { return }
        let attempts = max(slot.trouble.value.attempts, 1)
        slot.content = nil  // The journal has it; nobody is in a hurry for it.
        slot.row?.failure = FailureRecord(
            code: failure.code, reason: failure.message, attempts: attempts, failedAt: turn.time)
        turn.tell(
            StatusEvent(
                .failed, project: slot.key.project, path: slot.key.path, sequence: row.sequence,
                id: row.id, attempts: attempts, code: failure.code, reason: failure.message))
    }

    /// Notes targets that failed as a whole.
    private mutating func noteTargets(
        _ outcome: Outcome, project: ProjectName, in turn: inout Turn, at now: Instant
    ) {
        for (target, result) in outcome.targets {
            guard case .failed(let failure) = result, failure.failureClass == .target,
                !TargetCode.isRefill(failure.code)
            else { continue }
            stageAway(target, of: project, cause: failure, in: &turn)
        }
    }

    /// Stages that a target is away; told once.
    func stageAway(
        _ target: TargetURL, of project: ProjectName, cause: Failure, in turn: inout Turn
    ) {
        if board.isWell(target), !turn.away.contains(where: { $0.target == target }) {
            turn.tell(
                StatusEvent(
                    .away, project: project, target: target, code: cause.code,
                    reason: cause.message))
        }
        turn.away.append((target, project, cause))
    }

    /// Stages that a file waits for its target, and ends what nobody holds any more.
    mutating func stagePark(_ index: FileIndex, in turn: inout Turn) {
        var slot = turn.files[index] ?? files[index]
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
        let record = turn?.projects[project] ?? projects[project]
        return record?.targets.filter(\.isAttached).map(\.url) ?? []
    }

    /// Of two failures the one that decides about the next attempt: a wait that was asked for first,
    /// then what burns an attempt.
    private static func worse(_ first: Failure?, _ second: Failure) -> Failure {
        guard let first else { return second }
        let order: [FailureClass] = [.target, .store, .worker, .shape, .attempt, .file]
        let ranks = [first, second].map { order.firstIndex(of: $0.failureClass) ?? 0 }
        return ranks[1] > ranks[0] ? second : first
    }
}

/// Codes of target failures that mean "fill it again" rather than "it is away".
package enum TargetCode {
    /// No marker although one was written.
    package static let blank = "blank"
    /// Another generation's marker.
    package static let rolledBack = "rolled-back"
    /// The machine was restarted and files are not fsynced.
    package static let rebooted = "rebooted"
    /// It belongs to another project or journal.
    package static let taken = "taken"

    /// Whether the coordinator answers with a new generation.
    package static func isRefill(_ code: String) -> Bool {
        code == blank || code == rolledBack || code == rebooted
    }
}
