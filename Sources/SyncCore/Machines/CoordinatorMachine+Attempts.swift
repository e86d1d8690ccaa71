extension CoordinatorMachine {
    // What becomes of the newest edit of a file after an attempt, by the class table of the design
    // (§3, trace C8).

    /// Stages an attempt that the store has taken.
    mutating func stageStored(
        _ outcome: Outcome, version: Version, slot: inout FileSlot, in turn: inout Turn,
        at now: Instant
    ) {
        guard let row = slot.row else { return }
        let before = slot.trouble.value
        var trouble = before
        trouble.stored = version
        trouble.dueAt = nil
        let verdict = judge(outcome, for: &trouble, at: now)
        slot.trouble = .some(trouble)
        if missingTargets(of: trouble, in: slot.key.project, turn).isEmpty {
            end(row, version: version, trouble: trouble, slot: &slot, in: &turn)
            return
        }
        if before.stored == nil {
            turn.tell(
                StatusEvent(
                    .stored, project: slot.key.project, path: slot.key.path,
                    sequence: row.sequence, id: row.id, version: version))
        }
        guard let wait = verdict.wait, let failure = verdict.failure else { return }
        // The same trouble again without an attempt burnt is no news: one event is enough.
        let isNews =
            before.cause?.code != failure.code || before.attempts != trouble.attempts
        guard isNews else { return }
        turn.tell(
            StatusEvent(
                .retrying, project: slot.key.project, path: slot.key.path, sequence: row.sequence,
                id: row.id, attempts: trouble.attempts, delayMilliseconds: wait.wholeMilliseconds,
                code: failure.code, reason: failure.message))
    }

    /// Takes the targets' answers and decides when the next attempt comes.
    ///
    /// - Returns: The failure that decides, and the wait it asks for; no wait when nothing is left
    ///   to be tried, or when only the target's return is waited for.
    private func judge(
        _ outcome: Outcome, for trouble: inout Trouble, at now: Instant
    ) -> (failure: Failure?, wait: Duration?) {
        var worst: Failure?
        var tried: [TargetURL] = []
        var isBurnt = false
        for (target, result) in outcome.targets.sorted(by: { $0.key < $1.key }) {
            switch result {
            case .visible: trouble.visible.append(target)
            case .stuck: continue  // The target is away now; the attempt is not finished there.
            case .failed(let failure):
                switch failure.failureClass {
                case .file:
                    trouble.failedIn.append(target)
                    trouble.cause = failure
                    isBurnt = true
                case .attempt, .shape:
                    tried.append(target)
                    worst = Self.worse(worst, failure)
                case .target, .store, .worker: worst = Self.worse(worst, failure)
                }
            }
        }
        guard let worst else {
            trouble.attempts += isBurnt ? 1 : 0
            return (nil, nil)
        }
        if trouble.failedIn.isEmpty { trouble.cause = worst }
        var wait: Duration?
        switch worst.failureClass {
        case .attempt, .file: isBurnt = true
        case .shape:
            let since = trouble.shapeSince ?? now
            trouble.shapeSince = since
            if now - since < settings.retry.shapePatience {
                wait = settings.retry.shapeWait
            } else {
                isBurnt = true
            }
        case .target: break  // Parked by the board, not by a wait.
        case .store, .worker: wait = settings.retry.blamelessWait
        }
        trouble.attempts += isBurnt ? 1 : 0
        if worst.failureClass == .target { return (worst, nil) }
        if wait == nil { wait = settings.retry.wait(after: trouble.attempts) }
        guard let wait else {
            trouble.failedIn += tried
            trouble.cause = worst
            return (worst, nil)
        }
        let delay = max(wait, worst.retryAfter ?? .zero)
        trouble.dueAt = now + delay
        return (worst, delay)
    }

    /// Everything was tried: `synced`, or `failed` when it failed in some target or none is left.
    mutating func end(
        _ row: JournaledEdit, version: Version, trouble: Trouble, slot: inout FileSlot,
        in turn: inout Turn
    ) {
        if isWithoutTargets(slot.key.project, in: turn) {
            stageFailure(Self.noTarget(slot.key.project), slot: &slot, in: &turn)
            return
        }
        if let cause = trouble.cause, hasFailed(trouble, of: slot.key.project, in: turn) {
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
        // What was to be written again where the edit is visible now is written.
        slot.refresh.removeAll { trouble.visible.contains($0) }
    }

    /// Whether an edit has failed in a sandbox that is still its project's.
    private func hasFailed(_ trouble: Trouble, of project: ProjectName, in turn: Turn) -> Bool {
        if trouble.failedIn.isEmpty { return false }
        let attached = attachedTargets(of: project, in: turn)
        return trouble.failedIn.contains { attached.contains($0) }
    }

    /// Puts the newest edit into the failed list; its content stays.
    mutating func stageFailure(
        _ failure: Failure, slot: inout FileSlot, in turn: inout Turn
    ) {
        guard let row = slot.row else { return }
        let attempts = max(slot.trouble.value.attempts, 1)
        slot.content = nil  // The journal has it; nobody is in a hurry for it.
        slot.row?.failure = FailureRecord(
            code: failure.code, reason: failure.message, attempts: attempts, failedAt: turn.time)
        slot.trouble = .none
        turn.tell(
            StatusEvent(
                .failed, project: slot.key.project, path: slot.key.path, sequence: row.sequence,
                id: row.id, attempts: attempts, code: failure.code, reason: failure.message))
    }

    /// Files that met another shape are tried again when a related path has ended (trace A11).
    mutating func wakeShapes(besides index: FileIndex, at now: Instant) {
        guard !shaped.isEmpty else { return }
        let ended = files[index].key
        var related = ended.path.ancestors.compactMap { folder in
            (try? EditPath(folder)).flatMap {
                files.index(of: FileKey(project: ended.project, path: $0))
            }
        }
        if trees[ended.project]?.hasOpenBelow(ended.path) ?? false {
            related += (openFiles[ended.project] ?? []).filter {
                files[$0].key.path != ended.path
                    && files[$0].key.path.isCovered(by: ended.path.text)
            }
        }
        for other in related {
            let slot = files[other]
            guard shaped.contains(other), slot.phase == .delayed, !slot.isStaged else { continue }
            files[other].trouble.change { $0.dueAt = nil }
            requeue(other, at: now)
        }
    }

    /// Of two failures the one that decides about the next attempt: the later in the list.
    private static func worse(_ first: Failure?, _ second: Failure) -> Failure {
        guard let first else { return second }
        let order: [FailureClass] = [.target, .store, .worker, .shape, .attempt, .file]
        let ranks = [first, second].map { order.firstIndex(of: $0.failureClass) ?? 0 }
        return ranks[1] > ranks[0] ? second : first
    }
}
