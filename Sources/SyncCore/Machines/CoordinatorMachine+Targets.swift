extension CoordinatorMachine {
    // MARK: Away and back

    /// A target failed as a whole.
    mutating func noteAway(_ target: TargetURL, cause: Failure, at now: Instant) {
        guard let project = targetOwners[target], isAttached(target, to: project) else { return }
        board.fail(target, cause: cause, at: now)
        for index in openFiles[project] ?? [] {
            guard !files[index].isStaged else { continue }
            switch files[index].phase {
            case .ready, .delayed, .heldOff: requeue(index, at: now)
            case .rest, .blocked, .parked, .loading, .inHand, .failed, .ending: break
            }
        }
    }

    /// A target answers again: whatever waited for it goes on.
    mutating func noteBack(_ target: TargetURL, at now: Instant) {
        guard board.answer(target, at: now), let waiting = parked.removeValue(forKey: target)
        else { return }
        for index in waiting where !files[index].isStaged { requeue(index, at: now) }
    }

    /// Sends due probes, one worker each; well targets have their marker read now and then.
    mutating func probeTargets(at now: Instant) {
        for target in board.due(at: now) {
            let silent = board.absence(of: target)?.silent ?? []
            guard let incarnation = probe(target, avoiding: silent, byWriting: true) else {
                board.postpone(target, to: now + settings.probeWait)
                continue
            }
            board.probing(target, by: incarnation, until: now + settings.answerWait)
        }
        for target in markers.due(at: now, every: settings.markerInterval)
        where board.isWell(target) {
            if let asked = probe(target, avoiding: markers.silent(at: target)) {
                markers.asked(target, of: asked)
            }
        }
    }

    /// - Parameter isWriting: Whether a small file is to be written too: a target that is away
    ///   because it is full or read-only may still be read.
    private mutating func probe(
        _ target: TargetURL, avoiding silent: Set<Incarnation>, byWriting isWriting: Bool = false
    ) -> Incarnation? {
        guard let project = targetOwners[target], var assigned = assigned(target, of: project),
            let (incarnation, member) = worker(for: target, avoiding: silent),
            let route = member.route
        else { return nil }
        let stamp = WorkerStamp(
            epoch: epoch, incarnation: incarnation, registration: member.registration)
        assigned.isTriedByWriting = isWriting
        directives.append(.send(route, .probe(stamp, assigned)))
        return incarnation
    }

    /// One live worker that reaches a target, always the same while the pool is; one that did not
    /// answer only when there is no other.
    func worker(
        for target: TargetURL, avoiding silent: Set<Incarnation> = []
    ) -> (Incarnation, Member)? {
        var able = membership.assignable.filter {
            membership[$0.value]?.record.schemes.contains(target.scheme) ?? false
        }
        let others = able.filter { !silent.contains($0.value) }
        if !others.isEmpty { able = others }
        let best = able.max {
            (StableHash.hash($0.key.text + "\0" + target.text), $0.key)
                < (StableHash.hash($1.key.text + "\0" + target.text), $1.key)
        }
        return best.flatMap { found in membership[found.value].map { (found.value, $0) } }
    }

    /// Asks for the end of targets that have been away, or gone, for too long.
    ///
    /// Gone is a sandbox of which its own service says that it does not exist, while the service
    /// answers for another one: an account that is locked, or a service that is down, is not gone.
    mutating func endAbsences(at now: Instant) {
        for target in board.away {
            guard let absence = board.absence(of: target), !absence.isEnding,
                let project = targetOwners[target]
            else { continue }
            var code: String?
            var reason = ""
            if let since = absence.goneSince, now - since >= settings.goneMax,
                markers.isAnswering(since: since, besides: target)
            {
                code = TargetCode.gone
                reason = "The sandbox does not exist any more. \(absence.cause.message)"
            } else if absence.before + (now - absence.since) >= settings.awayMax {
                code = "away"
                reason =
                    "The sandbox did not answer for \(settings.awayMax.inWords). Last failure: "
                    + "\(absence.cause.message)"
            }
            guard let code else { continue }
            board.ending(target)
            inbox.append(
                .detach(
                    target, project, code: code,
                    reason: reason + " When it is back: 'syncd project attach --project \(project) "
                        + "--target \(target)'."))
        }
    }

    /// When the next absence ends; nil when none will.
    var nextAbsenceEnd: Instant? {
        if board.isAllWell { return nil }
        return board.away.compactMap { target -> Instant? in
            guard let absence = board.absence(of: target), !absence.isEnding else { return nil }
            return absence.since + max(settings.awayMax - absence.before, .zero)
        }.min()
    }

    /// Whether a target is attached to a project.
    func isAttached(_ target: TargetURL, to project: ProjectName) -> Bool {
        projects[project]?.targets.contains { $0.url == target && $0.isAttached } ?? false
    }

    // MARK: Findings

    /// Stages what a worker found or did at a target.
    mutating func stage(
        _ report: TargetReport, of incarnation: Incarnation, in turn: inout Turn, at now: Instant
    ) {
        markers.answered(report.url, isWell: report.finding.isSignOfLife, at: now)
        if case .settled(let path) = report.finding {
            turn.stuck.append(
                Turn.StuckChange(
                    target: report.url, path: path, holder: incarnation, isSettled: true))
            return
        }
        guard let project = owner(of: report.url, in: turn),
            var record = self.record(of: project, in: turn),
            let place = record.targets.firstIndex(where: { $0.url == report.url }),
            record.targets[place].generation == report.generation, record.targets[place].isAttached
        else { return }
        turn.verified.append(report.url)
        if let mark = report.finding.mark(isMarked: record.targets[place].isMarked) {
            // Another one than before: it was wiped in between, and a worker that did not know that
            // others had marked it, and written there, has marked it once more.
            if let first = record.targets[place].mark, first != mark {
                stageRefill(of: record, place, because: .blank, in: &turn)
                return
            }
            if record.targets[place].mark == nil {
                record.targets[place].mark = mark
                turn.projects[project] = record
            }
        }
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
            stageRefill(of: record, place, because: report.finding, in: &turn)
        case .taken(let owner):
            let cause = Failure(
                .target, code: TargetCode.taken,
                message: "The sandbox's marker says that it belongs to \(owner); detach it here "
                    + "or empty the sandbox.")
            stageAway(report.url, of: project, cause: cause, in: &turn)
        case .well where stuck.hasStuck(at: report.url):
            // Reading works where writing hangs (a frozen file system): not back before it settles.
            if let cause = board.absence(of: report.url)?.cause {
                stageAway(report.url, of: project, cause: cause, in: &turn)
            }
        case .well: stageBack(report.url, of: project, in: &turn)
        case .failed(let failure):
            stageAway(report.url, of: project, cause: failure, in: &turn)
        }
        if isChanged {
            // Cases that stage more of the record have written it themselves.
            turn.projects[project] = record
        }
    }

    /// Stages a new filling because of what a worker found in the present one.
    private mutating func stageRefill(
        of record: ProjectRecord, _ place: Int, because finding: TargetFinding, in turn: inout Turn
    ) {
        var record = record
        let target = record.targets[place].url
        refill(&record.targets[place])
        turn.projects[record.name] = record
        stageBack(target, of: record.name, in: &turn)
        turn.fill(target, of: record.name, code: finding.code, reason: finding.sentence)
    }

    /// Stages that a target answers again; told once.
    private mutating func stageBack(
        _ target: TargetURL, of project: ProjectName, in turn: inout Turn
    ) {
        guard !board.isWell(target), !turn.back.contains(target) else { return }
        turn.changeTarget(target, of: project, from: projects) { $0.awaySince = nil }
        turn.tell(StatusEvent(.back, project: project, target: target))
        turn.back.append(target)
    }

    /// A new filling under a generation that was never used.
    func refill(_ target: inout TargetRecord) {
        target.generation += 1
        target.isMarked = false
        target.mark = nil
        target.needsRefresh = true
        target.revokesOthers = true
    }
}

extension TargetFinding {
    /// Which marker of the present filling was seen.
    ///
    /// - Parameter isMarked: Whether the filling was known as marked; of one that was not, a probe
    ///   may see a marker that whoever writes it has not told of, and that counts for nothing.
    func mark(isMarked: Bool) -> String? {
        switch self {
        case .marked(let mark): mark
        case .well(let mark): isMarked ? mark : nil
        case .revoked, .othersRevoked, .settled, .blank, .rolledBack, .rebooted, .taken, .failed:
            nil
        }
    }

    /// Whether the target answered, whatever it said.
    var isSignOfLife: Bool {
        switch self {
        case .failed: false
        case .marked, .revoked, .othersRevoked, .settled, .blank, .rolledBack, .rebooted, .taken,
            .well:
            true
        }
    }

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
