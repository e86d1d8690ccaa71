extension CoordinatorMachine {
    // MARK: Away and back

    /// A target failed as a whole.
    mutating func noteAway(_ target: TargetURL, cause: Failure, at now: Instant) {
        _ = board.fail(target, cause: cause, at: now)
        guard let project = targetOwners[target] else { return }
        for index in openFiles[project] ?? [] {
            let slot = files[index]
            guard !slot.isStaged, slot.phase == .ready || slot.phase == .delayed else { continue }
            requeue(index, at: now)
        }
    }

    /// A target answers again: whatever waited for it goes on.
    mutating func noteBack(_ target: TargetURL, at now: Instant) {
        guard board.answer(target), let waiting = parked.removeValue(forKey: target) else { return }
        for index in waiting where !files[index].isStaged { requeue(index, at: now) }
    }

    /// Sends due probes, one worker each; well targets have their marker read now and then.
    mutating func probeTargets(at now: Instant) {
        for target in board.due(at: now) {
            guard let incarnation = probe(target) else {
                board.postpone(target, to: now + settings.probeWait)
                continue
            }
            board.probing(target, by: incarnation)
        }
        for (target, checkedAt) in markerCheckedAt
        where now >= checkedAt + settings.markerInterval {
            markerCheckedAt[target] = now
            if board.isWell(target) { _ = probe(target) }
        }
    }

    private mutating func probe(_ target: TargetURL) -> Incarnation? {
        guard let project = targetOwners[target], let assigned = assigned(target, of: project)
        else { return nil }
        guard let (incarnation, member) = worker(for: target), let route = member.route else {
            return nil
        }
        let stamp = WorkerStamp(
            epoch: epoch, incarnation: incarnation, registration: member.registration)
        directives.append(.send(route, .probe(stamp, assigned)))
        return incarnation
    }

    /// One live worker that reaches a target, always the same while the pool is.
    func worker(for target: TargetURL) -> (Incarnation, Member)? {
        let able = membership.assignable.filter {
            membership[$0.value]?.record.schemes.contains(target.scheme) ?? false
        }
        let best = able.max {
            (StableHash.hash($0.key.text + "\0" + target.text), $0.key)
                < (StableHash.hash($1.key.text + "\0" + target.text), $1.key)
        }
        return best.flatMap { found in membership[found.value].map { (found.value, $0) } }
    }

    // MARK: Findings

    /// Stages what a worker found or did at a target.
    mutating func stage(
        _ report: TargetReport, of incarnation: Incarnation, in turn: inout Turn
    ) {
        guard let project = turn.targetOwners[report.url] ?? targetOwners[report.url],
            var record = turn.projects[project] ?? projects[project],
            let place = record.targets.firstIndex(where: { $0.url == report.url }),
            record.targets[place].generation == report.generation
        else { return }
        var isChanged = false
        switch report.finding {
        case .marked:
            isChanged = !record.targets[place].isMarked
            record.targets[place].isMarked = true
        case .revoked(let incarnations):
            let debts = record.targets[place].debts
            record.targets[place].debts.removeAll { incarnations.contains($0) }
            isChanged = debts != record.targets[place].debts
        case .othersRevoked:
            isChanged = record.targets[place].revokesOthers
            record.targets[place].revokesOthers = false
        case .settled: break
        case .blank, .rolledBack, .rebooted:
            refill(&record.targets[place])
            isChanged = true
            turn.tell(
                StatusEvent(
                    .refreshing, project: project, target: report.url,
                    code: report.finding.code,
                    reason: "The sandbox came back without its files; they are written again."))
            turn.back.append(report.url)
        case .taken(let owner):
            let cause = Failure(
                .target, code: TargetCode.taken,
                message: "The sandbox's marker says that it belongs to \(owner); detach it here "
                    + "or empty the sandbox.")
            stageAway(report.url, of: project, cause: cause, in: &turn)
        case .well:
            if !board.isWell(report.url) {
                turn.tell(StatusEvent(.back, project: project, target: report.url))
                turn.back.append(report.url)
            }
        case .failed(let failure):
            stageAway(report.url, of: project, cause: failure, in: &turn)
        }
        if isChanged {
            // `tell` and `stageAway` only touch events; the record is written back as a whole.
            turn.projects[project] = record
        }
    }

    /// A new filling under a generation that was never used.
    private func refill(_ target: inout TargetRecord) {
        target.generation += 1
        target.isMarked = false
        target.needsRefresh = true
        target.revokesOthers = true
    }

    // MARK: Refills

    /// Asks for the files of projects whose targets must be written again.
    mutating func listForRefills(at now: Instant) {
        for (name, record) in projects {
            for target in record.targets where target.isAttached {
                if markerCheckedAt[target.url] == nil { markerCheckedAt[target.url] = now }
                guard target.needsRefresh, board.isWell(target.url) else { continue }
                list(for: target.url, of: name)
            }
        }
    }

    /// Files of a refill that may wait at a time, so that a big project is not held in memory.
    private static let refreshingMax = 500

    private func refreshing(_ target: TargetURL, in project: ProjectName) -> Int {
        (openFiles[project] ?? []).count { files[$0].refresh.contains(target) }
    }

    private mutating func list(for target: TargetURL, of project: ProjectName) {
        var refill = refills[target] ?? Refill(project: project)
        let outstanding = refreshing(target, in: project)
        if refill.isListed {
            if outstanding == 0, !refill.isEnding {
                refill.isEnding = true
                inbox.append(.refreshed(target, project))
            }
            refills[target] = refill
            return
        }
        guard refill.lister == nil, outstanding < Self.refreshingMax,
            let (incarnation, member) = worker(for: target), let route = member.route
        else {
            refills[target] = refill
            return
        }
        refill.lister = incarnation
        refills[target] = refill
        let stamp = WorkerStamp(
            epoch: epoch, incarnation: incarnation, registration: member.registration)
        directives.append(
            .send(route, .list(stamp, project: project, after: refill.after, countMax: 1_000)))
    }

    /// Stages a page of files: each is written again, behind its own pending edit.
    mutating func stage(
        files listed: [ListedFile], of project: ProjectName, after: EditPath?, isLast: Bool,
        in turn: inout Turn
    ) {
        for (target, refill) in refills where refill.project == project {
            guard refill.lister != nil, refill.after == after, !refill.isListed else { continue }
            turn.pages.append(
                Turn.Page(target: target, after: listed.last?.path ?? after, isLast: isLast))
            for file in listed {
                let index = files.claim(FileKey(project: project, path: file.path))
                var slot = turn.files[index] ?? files[index]
                if slot.refresh.contains(target) { continue }
                slot.refresh.append(target)
                slot.refreshSequence = max(slot.refreshSequence, file.sequence)
                turn.files[index] = slot
            }
        }
    }

    /// Notes that a page's files are queued.
    mutating func note(_ page: Turn.Page) {
        refills[page.target]?.lister = nil
        refills[page.target]?.after = page.after
        refills[page.target]?.isListed = page.isLast
    }

    /// Stages a refresh's result.
    mutating func stageRefreshOutcome(
        _ outcome: Outcome, hold: Hold, slot: inout FileSlot, in turn: inout Turn, at now: Instant
    ) {
        for target in hold.targets {
            switch outcome.targets[target] {
            case .visible: slot.refresh.removeAll { $0 == target }
            case .failed(let failure) where failure.failureClass == .target:
                if !TargetCode.isRefill(failure.code) {
                    stageAway(target, of: slot.key.project, cause: failure, in: &turn)
                }
            case .failed(let failure) where failure.failureClass == .file:
                slot.refresh.removeAll { $0 == target }
                turn.tell(
                    StatusEvent(
                        .failed, project: slot.key.project, path: slot.key.path,
                        sequence: hold.sequence, target: target, code: failure.code,
                        reason: failure.message))
            case .failed, .stuck, nil:
                slot.trouble.change { $0.dueAt = now + settings.retry.blamelessWait }
            }
        }
    }

    /// Stages that a target holds everything again, unless files still wait for it.
    mutating func stageRefreshed(
        _ target: TargetURL, of project: ProjectName, in turn: inout Turn
    ) {
        refills[target]?.isEnding = false
        let open = (openFiles[project] ?? []).contains { index in
            (turn.files[index] ?? files[index]).refresh.contains(target)
        }
        guard !open, refills[target]?.isListed ?? false,
            var record = turn.projects[project] ?? projects[project],
            let place = record.targets.firstIndex(where: { $0.url == target })
        else { return }
        record.targets[place].needsRefresh = false
        turn.projects[project] = record
        refills[target] = nil
        turn.tell(StatusEvent(.refreshed, project: project, target: target))
    }
}

extension TargetFinding {
    /// Stable word of a finding that asks for a refill.
    var code: String {
        switch self {
        case .blank: TargetCode.blank
        case .rolledBack: TargetCode.rolledBack
        case .rebooted: TargetCode.rebooted
        case .marked, .revoked, .othersRevoked, .settled, .taken, .well, .failed: ""
        }
    }
}
