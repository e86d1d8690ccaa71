extension CoordinatorMachine {
    /// Files named in one flush answer at most.
    private static let causesMax = 100

    // MARK: Ends

    /// Answers with an edit's end, now or when it comes.
    mutating func wait(for id: EditID, in project: ProjectName, _ route: ClientRoute) {
        let key = ProducerKey(project: project, producer: id.producer)
        guard let accepted = windows[key]?.accepted(id.number) else {
            directives.append(
                .reply(
                    route,
                    .rejected(
                        Rejection(
                            .unknown,
                            "No edit of this number is remembered: it was never accepted, or it "
                                + "fell out of the window."))))
            return
        }
        if let end = accepted.end {
            directives.append(.reply(route, .end(id, sequence: accepted.sequence, end)))
            return
        }
        guard endWaiterCount + flushes.count < settings.waitersMax else {
            directives.append(.reply(route, .rejected(busy("waiters"))))
            return
        }
        addEndWaiter(id, in: project, route)
    }

    mutating func addEndWaiter(_ id: EditID, in project: ProjectName, _ route: ClientRoute) {
        guard endWaiterCount + flushes.count < settings.waitersMax else { return }
        let key = ProducerKey(project: project, producer: id.producer)
        if endWaiters[key]?[id.number]?.contains(route) ?? false { return }
        endWaiterCount += 1
        endWaiters[key, default: [:]][id.number, default: []].append(route)
    }

    /// Tells whoever waits that edits have ended.
    mutating func tellEnds(_ done: Turn) {
        for event in done.events {
            guard let end = EditEnd(event), let id = event.id else { continue }
            let key = ProducerKey(project: event.project, producer: id.producer)
            guard let routes = endWaiters[key]?.removeValue(forKey: id.number) else { continue }
            if endWaiters[key]?.isEmpty ?? false { endWaiters[key] = nil }
            endWaiterCount -= routes.count
            for route in routes {
                directives.append(.reply(route, .end(id, sequence: event.sequence, end)))
            }
        }
    }

    // MARK: Flush

    /// Answers when everything under a prefix is visible, or at once when some can't be.
    mutating func flush(
        _ project: ProjectName, prefix: String, _ route: ClientRoute, at now: Instant
    ) {
        flushes.remove(route, of: project)
        var needed: [FileIndex: EditSequence] = [:]
        var causes: [FileStatus] = []
        var causeCount = 0
        for index in openFiles[project] ?? [] {
            let slot = files[index]
            guard slot.key.path.isCovered(by: prefix) else { continue }
            if isHopeless(slot) {
                causeCount += 1
                if causes.count < Self.causesMax { causes.append(status(of: slot, at: now)) }
            }
            needed[index] = slot.queueSequence
        }
        let isRefilling = projects[project]?.targets.contains { $0.isAttached && $0.needsRefresh }
        if causeCount > 0 {
            causes.sort { $0.path < $1.path }
            directives.append(.reply(route, .blocked(causes, count: causeCount)))
            return
        }
        if needed.isEmpty, !(isRefilling ?? false) {
            directives.append(.reply(route, .flushed(through: header.lastSequence)))
            return
        }
        let isCrowded =
            endWaiterCount + flushes.count >= settings.waitersMax
            || flushes.fileCount + needed.count > settings.flushFilesMax
        if isCrowded || needed.isEmpty {
            directives.append(
                .reply(route, .rejected(busy(isCrowded ? "waiters" : "a sandbox is refilled"))))
            return
        }
        flushes.add(
            FlushBoard.Waiter(
                route: route, project: project, prefix: prefix, through: header.lastSequence,
                needed: needed))
    }

    /// Parked or failed: waiting would not help.
    private func isHopeless(_ slot: FileSlot) -> Bool {
        slot.phase == .parked || slot.phase == .failed
            || (slot.row?.failure != nil && slot.inHand == nil)
    }

    /// Tells flushes what a turn has brought.
    mutating func noteFlushes(_ done: Turn, at now: Instant) {
        guard flushes.count > 0 else { return }
        var visible: [FileKey: EditSequence] = [:]
        for event in done.events where event.kind == .synced {
            guard let path = event.path else { continue }
            visible[FileKey(project: event.project, path: path)] = event.sequence
        }
        for (index, staged) in done.files where flushes.isWaiting(for: staged.key.project) {
            let slot = files[index]
            let isSame = slot.key == staged.key
            let isAtRest = !isSame || !slot.isPending
            let answered = flushes.note(
                index, project: staged.key.project, visible: visible[staged.key],
                isAtRest: isAtRest,
                blockage: !isAtRest && isHopeless(slot) ? status(of: slot, at: now) : nil)
            for (waiter, cause) in answered {
                directives.append(
                    .reply(
                        waiter.route,
                        cause.map { .blocked([$0], count: 1) }
                            ?? .flushed(through: waiter.through)))
            }
        }
    }

    // MARK: Snapshot, replay

    /// Sends one page of the files of a project that are not at rest, in byte order of paths.
    mutating func reportSnapshot(
        _ project: ProjectName, prefix: String, after: EditPath?, countMax: Int,
        _ route: ClientRoute, at now: Instant
    ) {
        let page = page(of: project, prefix: prefix, after: after, countMax: countMax, at: now)
        directives.append(
            .reply(
                route,
                .snapshot(
                    page.files, number: header.lastEvent,
                    projectNumber: projects[project]?.eventNumber ?? 0, next: page.next)))
    }

    private func page(
        of project: ProjectName, prefix: String, after: EditPath?, countMax: Int, at now: Instant
    ) -> (files: [FileStatus], next: EditPath?) {
        let limit = max(1, min(countMax, 1_000))
        var found = (openFiles[project] ?? []).filter { index in
            let path = files[index].key.path
            return path.isCovered(by: prefix) && after.map { $0 < path } ?? true
        }
        let isMore = found.count > limit
        let sorted = found.sorted { files[$0].key.path < files[$1].key.path }.prefix(limit)
        found = []
        let page = sorted.map { status(of: files[$0], at: now) }
        return (page, isMore ? page.last?.path : nil)
    }

    /// Asks for a page of the event log, or says that it begins later.
    mutating func replay(
        from: UInt64, project: ProjectName?, countMax: Int, _ route: ClientRoute
    ) {
        let first = logSegments.first?.first ?? header.lastEvent + 1
        if from < first, from <= header.lastEvent, from > 0 || first > 1 {
            directives.append(.reply(route, .gap(first: first, last: header.lastEvent)))
            return
        }
        if from > header.lastEvent || logSegments.isEmpty {
            directives.append(
                .reply(
                    route, .events([], next: header.lastEvent + 1, last: header.lastEvent)))
            return
        }
        directives.append(
            .readEvents(
                EventQuery(
                    route: route, from: max(from, 1), project: project,
                    countMax: max(1, min(countMax, 1_000)))))
    }

    /// Takes segments that were read for a query; nil when the journal could not be read.
    package mutating func eventsRead(_ query: EventQuery, _ segments: [JournalSegment]?) {
        guard let segments else {
            directives.append(.reply(query.route, .rejected(busy("event log"))))
            return
        }
        var page: [StatusEvent] = []
        var next = query.from
        reading: for segment in segments {
            for event in EventLogCodec.unpack(segment) ?? [] where event.number >= query.from {
                if page.count == query.countMax { break reading }
                next = event.number + 1
                if query.project == nil || query.project == event.project { page.append(event) }
            }
        }
        if segments.isEmpty { next = header.lastEvent + 1 }
        directives.append(
            .reply(query.route, .events(page, next: next, last: header.lastEvent)))
    }

    // MARK: Queue

    /// Sends the pool as it is now, with a page of files when a project is named.
    mutating func reportQueue(
        _ project: ProjectName?, prefix: String, after: String, countMax: Int,
        _ route: ClientRoute, at now: Instant
    ) {
        var report = QueueReport(
            epoch: epoch, sequence: header.lastSequence, eventNumber: header.lastEvent,
            isRecovering: isRecovering, counts: QueueReport.Counts(), pendingBytes: pendingBytes,
            memoryBytes: memoryBytes, projects: [], workers: [], files: [], next: nil)
        for (name, record) in projects where project == nil || project == name {
            var counts = QueueReport.Counts()
            for index in openFiles[name] ?? [] { counts.add(files[index]) }
            report.counts.add(counts)
            report.projects.append(
                QueueReport.Project(
                    name: name, counts: counts, eventNumber: record.eventNumber,
                    targets: record.targets.map(line)))
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
            report.next = page.next?.text
        }
        directives.append(.reply(route, .queue(report)))
    }

    private func line(_ target: TargetRecord) -> QueueReport.Target {
        let absence = board.absence(of: target.url)
        let state =
            !target.isAttached
            ? "detached" : absence != nil ? "away" : target.needsRefresh ? "refreshing" : "well"
        return QueueReport.Target(
            url: target.url, state: state,
            reason: absence.map { "\($0.cause.code): \($0.cause.message)" } ?? "")
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
}

extension QueueReport.Counts {
    /// The state's word on the wire.
    static func word(for slot: FileSlot) -> String {
        switch slot.phase {
        case .inHand: "in-hand"
        case .failed: "failed"
        case .delayed: "retrying"
        case .parked: "parked"
        case .blocked: "blocked"
        case .rest, .ready, .loading: slot.row == nil ? "refreshing" : "waiting"
        }
    }

    mutating func add(_ slot: FileSlot) {
        switch slot.phase {
        case .inHand: inHand += 1
        case .failed: failed += 1
        case .delayed: retrying += 1
        case .parked: parked += 1
        case .blocked: blocked += 1
        case .rest, .ready, .loading:
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
