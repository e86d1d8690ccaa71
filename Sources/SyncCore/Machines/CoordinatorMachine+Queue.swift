/// The pool as people see it: what is where, since when, and what is being done about it.
extension CoordinatorMachine {
    /// Sends the pool as it is now, with a page of files when a project is named.
    ///
    /// With a page of 0 neither projects nor files, which takes no time however many wait.
    mutating func reportQueue(
        _ project: ProjectName?, prefix: String, after: String, countMax: Int,
        _ route: ClientRoute, at now: Instant
    ) {
        var report = QueueReport(
            epoch: epoch, sequence: header.lastSequence, eventNumber: header.lastEvent,
            isRecovering: isRecovering, counts: QueueReport.Counts(), pendingBytes: pendingBytes,
            memoryBytes: memoryBytes, projects: [], workers: [], files: [], next: nil)
        report.contentBytesMax = settings.contentBytesMax
        if countMax == 0 { return directives.append(.reply(route, .queue(report))) }
        for (name, record) in projects where project == nil || project == name {
            let line = line(of: record, at: now)
            report.counts.add(line.counts)
            report.projects.append(line)
        }
        report.projects.sort { $0.name < $1.name }
        for (incarnation, member) in membership.members {
            report.workers.append(
                QueueReport.Worker(
                    label: member.record.label, incarnation: incarnation,
                    state: member.state.rawValue, inHand: member.holds.count))
        }
        report.workers.sort { ($0.label, $0.incarnation.count) < ($1.label, $1.incarnation.count) }
        if let project {
            let start = after.isEmpty ? nil : try? EditPath(after)
            let page = page(of: project, prefix: prefix, after: start, countMax: countMax, at: now)
            report.files = page.files
            noteNobody(for: project, in: &report.files)
            report.next = page.next?.text
        }
        directives.append(.reply(route, .queue(report)))
    }

    /// A project as people see it.
    func line(of record: ProjectRecord, at now: Instant) -> QueueReport.Project {
        var counts = QueueReport.Counts()
        var waiting: [TargetURL: Int] = [:]
        for index in openFiles[record.name] ?? [] {
            counts.add(files[index])
            for target in lacking(files[index]) { waiting[target, default: 0] += 1 }
        }
        return QueueReport.Project(
            name: record.name, counts: counts, eventNumber: record.eventNumber,
            targets: record.targets.map { line(of: $0, waiting: waiting[$0.url] ?? 0, at: now) })
    }

    /// Where a file is not as it should be.
    private func lacking(_ slot: FileSlot) -> [TargetURL] {
        if slot.row == nil { return slot.refresh }
        let missing = missingTargets(of: slot)
        guard slot.row?.failure != nil else { return missing }
        return missing + slot.trouble.value.failedIn + slot.refresh
    }

    private func line(
        of target: TargetRecord, waiting: Int, at now: Instant
    ) -> QueueReport.Target {
        let absence = board.absence(of: target.url)
        let state =
            !target.isAttached
            ? "detached" : absence != nil ? "away" : target.needsRefresh ? "refreshing" : "well"
        var line = QueueReport.Target(
            url: target.url, state: state,
            reason: absence.map { "\($0.cause.code): \($0.cause.message)" } ?? "")
        line.waiting = waiting
        line.generation = target.generation
        line.since = target.awaySince
        if target.needsRefresh, target.isAttached { line.refill = progress(of: target.url) }
        if let absence, absence.prober == nil {
            line.probeMilliseconds = (absence.probeAt - now).wholeMilliseconds
        }
        if state == "well", waiting == 0 { line.inSyncSince = visibleAt[target.url] ?? startedAt }
        return line
    }

    /// A file as people see it.
    func status(of slot: FileSlot, at now: Instant) -> FileStatus {
        let trouble = slot.trouble.value
        let holder = slot.inHand.flatMap { holds[$0] }.flatMap { membership[$0.incarnation] }
        var status = FileStatus(
            path: slot.key.path, state: QueueReport.Counts.word(for: slot),
            sequence: slot.row?.sequence ?? .none, open: slot.row?.open?.sequence,
            attempts: trouble.attempts, worker: holder?.record.label,
            code: slot.row?.failure?.code ?? trouble.cause?.code ?? "",
            reason: slot.row?.failure?.reason ?? trouble.cause?.message ?? "",
            acceptedAt: slot.row?.acceptedAt ?? Timestamp(milliseconds: 0))
        if let failure = slot.row?.failure { status.attempts = failure.attempts }
        status.stored = trouble.stored
        status.visible = trouble.visible.sorted()
        status.missing = Array(Set(lacking(slot))).sorted()
        if slot.phase == .delayed, let dueAt = trouble.dueAt {
            status.dueMilliseconds = (dueAt - now).wholeMilliseconds
        }
        if slot.phase == .parked {
            let away = attachedTargets(of: slot.key.project, in: nil).first { !board.isWell($0) }
            if let cause = away.flatMap({ board.absence(of: $0)?.cause }) {
                status.code = cause.code
                status.reason = cause.message
            }
        }
        return status
    }

    /// Says so when files wait because none of the workers that are here can write them.
    ///
    /// Only who asks for the pool is told: it is no trouble of the file's, and no event ends it.
    private mutating func noteNobody(for project: ProjectName, in files: inout [FileStatus]) {
        if isRecovering { return }
        let workers = membership.assignable
        let schemes = projects[project]?.schemes ?? []
        owners.update(workers, of: membership)
        if owners.isReached(schemes) { return }
        let reason =
            workers.isEmpty
            ? "No worker is here; start one."
            : "No worker that is here writes into sandboxes of "
                + "\(schemes.joined(separator: " and ")); give one what it needs for that, such as "
                + "a key, and start it again."
        for place in files.indices
        where files[place].state == "waiting" && files[place].code.isEmpty {
            files[place].code = "no-worker"
            files[place].reason = reason
        }
    }
}

extension QueueReport.Counts {
    /// Of an edit in the failed list.
    static let failedWord = "failed"

    /// The state's word on the wire.
    static func word(for slot: FileSlot) -> String {
        switch slot.phase {
        case .inHand: "in-hand"
        case .failed: failedWord
        case .delayed: "retrying"
        case .parked: "parked"
        case .blocked: "blocked"
        case .rest, .ready, .heldOff, .loading, .ending:
            slot.row == nil ? "refreshing" : "waiting"
        }
    }

    mutating func add(_ slot: FileSlot) {
        switch slot.phase {
        case .inHand: inHand += 1
        case .failed: failed += 1
        case .delayed: retrying += 1
        case .parked: parked += 1
        case .blocked: blocked += 1
        case .rest, .ready, .heldOff, .loading, .ending:
            if slot.row == nil { refreshing += 1 } else { waiting += 1 }
        }
    }

    mutating func add(_ other: QueueReport.Counts) {
        waiting += other.waiting
        blocked += other.blocked
        retrying += other.retrying
        parked += other.parked
        inHand += other.inHand
        failed += other.failed
        refreshing += other.refreshing
    }
}
