import OrderedCollections

/// Targets of a project that come and go by an operator's command, or because they stay away.
extension CoordinatorMachine {
    // MARK: Commands

    /// Stages an operator's command; it is answered after the commit.
    mutating func stage(
        _ action: ProjectAction, of project: ProjectName, _ route: ClientRoute,
        in turn: inout Turn
    ) {
        let result: Result<String, Rejection>
        do throws(Rejection) {
            result = .success(try stage(action, of: project, in: &turn))
        } catch {
            result = .failure(error)
        }
        turn.projectAnswers.append(
            Turn.ProjectAnswer(route: route, project: project, result: result))
    }

    private mutating func stage(
        _ action: ProjectAction, of project: ProjectName, in turn: inout Turn
    ) throws(Rejection) -> String {
        if case .attach(let targets) = action {
            return try stageAttach(targets, to: project, in: &turn)
        }
        guard let record = self.record(of: project, in: turn) else {
            throw Rejection(
                .unknown,
                "Project \(project) is not known: nothing was pushed to it. Check the name; 'syncd "
                    + "queue' lists all.")
        }
        switch action {
        case .show: return ""
        case .attach: return ""
        case .detach(let targets):
            let attached = record.targets.filter(\.isAttached).map(\.url)
            let detached = record.targets.filter { !$0.isAttached }.map(\.url)
            let named = targets.filter { !detached.contains($0) }
            if named.isEmpty { return "Everything named is detached already." }
            try check(named, in: attached, of: project)
            for target in named {
                stageDetach(
                    target, of: project, code: "asked",
                    reason: "An operator detached the sandbox; 'syncd project attach' brings it "
                        + "back.", in: &turn)
            }
            return "Nothing more is written into \(Self.list(named)); what waited only for it "
                + "ends."
        case .hydrate(let named):
            let attached = record.targets.filter(\.isAttached).map(\.url)
            try check(named, in: attached, of: project)
            let targets = named.isEmpty ? attached : named
            guard !targets.isEmpty else {
                throw Rejection(
                    .badRequest,
                    "Project \(project) has no sandbox attached; attach one with 'syncd project "
                        + "attach'.")
            }
            for target in targets { stageRefill(target, of: project, in: &turn) }
            return "All files are written again into \(Self.list(targets))."
        }
    }

    private func check(
        _ targets: [TargetURL], in attached: [TargetURL], of project: ProjectName
    ) throws(Rejection) {
        for target in targets where !attached.contains(target) {
            throw Rejection(
                .badRequest,
                "\(target) is not attached to project \(project); attached: "
                    + "\(attached.isEmpty ? "none" : Self.list(attached)).")
        }
    }

    private static func list(_ targets: [TargetURL]) -> String {
        targets.map(\.text).joined(separator: ", ")
    }

    private mutating func stageAttach(
        _ targets: [TargetURL], to project: ProjectName, in turn: inout Turn
    ) throws(Rejection) -> String {
        for target in targets {
            if let owner = owner(of: target, in: turn), owner != project {
                throw Rejection(
                    .targetTaken,
                    "Target \(target) belongs to project \(owner); name another sandbox.")
            }
        }
        var record = self.record(of: project, in: turn) ?? newProject(project, in: turn)
        var attached: [TargetURL] = []
        for target in targets {
            if let place = record.targets.firstIndex(where: { $0.url == target }) {
                if record.targets[place].isAttached { continue }
                record.targets[place].isAttached = true
                refill(&record.targets[place])
            } else {
                record.targets.append(newTarget(target, needsRefresh: true, in: turn))
            }
            attached.append(target)
        }
        turn.projects[project] = record
        for target in attached {
            turn.targetOwners[target] = project
            turn.fill(
                target, of: project, telling: .attached, code: "asked",
                reason: "An operator attached the sandbox; all files are written into it.")
        }
        return attached.isEmpty
            ? "Everything named is attached already."
            : "All files are written into \(Self.list(attached)); files that failed with no-target "
                + "are tried again by 'syncd failed retry'."
    }

    private mutating func stageRefill(
        _ target: TargetURL, of project: ProjectName, in turn: inout Turn
    ) {
        guard !turn.refilled.contains(target) else { return }
        turn.changeTarget(target, of: project, from: projects) { refill(&$0) }
        turn.fill(
            target, of: project, code: "asked",
            reason: "An operator asked for it; all files are written again.")
    }

    /// Answers an operator's command after its commit.
    mutating func conclude(_ answer: Turn.ProjectAnswer, at now: Instant) {
        switch answer.result {
        case .failure(let rejection): directives.append(.reply(answer.route, .rejected(rejection)))
        case .success(let sentence):
            let record = projects[answer.project] ?? newProject(answer.project, in: nil)
            directives.append(
                .reply(answer.route, .project(line(of: record, at: now), sentence: sentence)))
        }
    }

    // MARK: Detaching

    /// Stages that a target is written into no longer: what was to be written again there is not.
    mutating func stageDetach(
        _ target: TargetURL, of project: ProjectName, code: String, reason: String,
        in turn: inout Turn
    ) {
        // Whoever came back while its end was on the way stays.
        let isAsked = code == "asked"
        guard attachedTargets(of: project, in: turn).contains(target),
            isAsked || (!board.isWell(target) && !turn.back.contains(target))
        else { return }
        turn.changeTarget(target, of: project, from: projects) {
            $0.isAttached = false
            $0.needsRefresh = false
            $0.awaySince = nil
        }
        let waiting = (openFiles[project] ?? []).filter { files[$0].refresh.contains(target) }
        for index in waiting.union(turn.files.keys) {
            var slot = slot(index, in: turn)
            guard slot.key.project == project, slot.refresh.contains(target) else { continue }
            slot.refresh.removeAll { $0 == target }
            turn.files[index] = slot
        }
        turn.detached.append(target)
        turn.refilled.removeAll { $0 == target }
        turn.tell(
            StatusEvent(.detached, project: project, target: target, code: code, reason: reason))
    }

    /// Forgets a detached target; what waited only for it ends.
    mutating func concludeDetach(_ target: TargetURL, at now: Instant) {
        guard let project = targetOwners[target], !isAttached(target, to: project) else { return }
        board.remove(target)
        markers.remove(target)
        refills[target] = nil
        visibleAt[target] = nil
        answer(flushes.listed(target, of: project, through: nil))
        for index in openFiles[project] ?? [] where !files[index].isStaged {
            switch files[index].phase {
            case .ready, .delayed, .heldOff, .parked, .blocked, .loading: requeue(index, at: now)
            case .rest, .inHand, .failed, .ending: break
            }
        }
    }

    /// Whether an edit that nobody has in hand has nothing left to wait for.
    func isOver(_ slot: FileSlot, in turn: Turn?) -> Bool {
        guard let row = slot.row, row.failure == nil, slot.inHand == nil else { return false }
        if isWithoutTargets(slot.key.project, in: turn) { return true }
        guard case .some(let trouble) = slot.trouble, trouble.stored != nil else { return false }
        return missingTargets(of: trouble, in: slot.key.project, turn).isEmpty
    }

    /// Whether a project had targets and has none left.
    func isWithoutTargets(_ project: ProjectName, in turn: Turn?) -> Bool {
        guard let record = turn?.projects[project] ?? projects[project] else { return false }
        return !record.targets.isEmpty && record.attached.isEmpty
    }

    /// Stages the end of an edit whose last missing target was detached.
    mutating func stageSettle(_ index: FileIndex, in turn: inout Turn) {
        var slot = slot(index, in: turn)
        guard isOver(slot, in: turn), let row = slot.row else {
            // A target was attached meanwhile: it goes on.
            if slot.phase == .ending { turn.files[index] = slot }
            return
        }
        if let open = row.open {
            slot.row?.open = nil
            turn.tell(
                StatusEvent(
                    .superseded, project: slot.key.project, path: slot.key.path,
                    sequence: open.sequence, id: open.id, by: row.sequence))
        }
        if let version = slot.trouble.value.stored {
            end(row, version: version, trouble: slot.trouble.value, slot: &slot, in: &turn)
        } else {
            stageFailure(Self.noTarget(slot.key.project), slot: &slot, in: &turn)
        }
        turn.files[index] = slot
    }

    /// Why an edit of a project without targets fails.
    static func noTarget(_ project: ProjectName) -> Failure {
        Failure(
            .file, code: "no-target",
            message: "No sandbox is attached to project \(project) any more. Attach one with "
                + "'syncd project attach', then 'syncd failed retry'.")
    }

    // MARK: After a restart

    /// Gives absences of the former life their age: a target that is away for a day is detached,
    /// however often the coordinator is restarted, but not before it has been probed for a while.
    mutating func backdateAbsences(wall: Timestamp) {
        guard startedAt == nil else { return }
        startedAt = wall
        let grace = min(settings.awayMax, settings.goneMax)
        for record in projects.values {
            for target in record.targets {
                guard let since = target.awaySince, since < wall else { continue }
                let elapsed = Duration.milliseconds(
                    Int64(clamping: wall.milliseconds - since.milliseconds))
                board.backdate(target.url, by: min(elapsed, settings.awayMax - grace))
            }
        }
    }
}
