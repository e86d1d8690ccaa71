extension CoordinatorMachine {
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
        if accepted.isEndForgotten {
            directives.append(.reply(route, .rejected(Self.endForgotten)))
            return
        }
        addEndWaiter(id, in: project, route)
    }

    private static let endForgotten = Rejection(
        .unknown,
        "The edit has ended, but the event log does not reach back to its end any more; look at "
            + "the file with 'syncd history'.")

    /// Notes who waits for an end, or tells it; past the limit it is refused, as no answer would
    /// come.
    mutating func addEndWaiter(_ id: EditID, in project: ProjectName, _ route: ClientRoute) {
        let key = ProducerKey(project: project, producer: id.producer)
        let accepted = windows[key]?.accepted(id.number)
        // Of a repeat it may have been on its way to disk when that was staged.
        if let accepted, let end = accepted.end {
            directives.append(.reply(route, .end(id, sequence: accepted.sequence, end)))
            return
        }
        if accepted?.isEndForgotten ?? false {
            directives.append(.reply(route, .rejected(Self.endForgotten)))
            return
        }
        if endWaiters[key]?[id.number]?.contains(route) ?? false { return }
        guard endWaiterCount + flushes.count < settings.waitersMax else {
            directives.append(.reply(route, .rejected(busy("waiters"))))
            return
        }
        endWaiterCount += 1
        endWaiters[key, default: [:]][id.number, default: []].append(route)
    }

    /// Tells whoever waits that edits have ended.
    mutating func tellEnds(_ done: Turn) {
        // An edit that goes on under another sequence has not ended.
        var renumbered: Set<EditID> = []
        if done.isAdopting {
            renumbered.formUnion(done.events.filter { $0.kind == .accepted }.compactMap(\.id))
        }
        for event in done.events {
            guard let end = EditEnd(event), let id = event.id else { continue }
            if event.kind == .superseded, renumbered.contains(id) { continue }
            let key = ProducerKey(project: event.project, producer: id.producer)
            guard let routes = endWaiters[key]?.removeValue(forKey: id.number) else { continue }
            if endWaiters[key]?.isEmpty ?? false { endWaiters[key] = nil }
            endWaiterCount -= routes.count
            for route in routes {
                directives.append(.reply(route, .end(id, sequence: event.sequence, end)))
            }
        }
    }

    // MARK: Snapshot, replay

    /// Sends one page of the files of a project that are not at rest, in byte order of paths.
    ///
    /// Whoever follows the edits is told of a failed one that it has failed, also while the version
    /// before it is written again into a sandbox: of that no event tells it.
    mutating func reportSnapshot(
        _ project: ProjectName, prefix: String, after: EditPath?, countMax: Int,
        _ route: ClientRoute, at now: Instant
    ) {
        let page = page(
            of: project, prefix: prefix, after: after, countMax: countMax, at: now,
            isOfEdits: true)
        directives.append(
            .reply(
                route,
                .snapshot(
                    page.files, number: header.lastEvent,
                    projectNumber: eventNumber(of: project), next: page.next)))
    }

    /// - Parameter isOfEdits: Whether a failed edit is told as such while its file is busy.
    func page(
        of project: ProjectName, prefix: String, after: EditPath?, countMax: Int, at now: Instant,
        isOfEdits: Bool = false
    ) -> (files: [FileStatus], next: EditPath?) {
        let limit = max(1, min(countMax, 1_000))
        var found = (openFiles[project] ?? []).filter { index in
            let path = files[index].key.path
            return path.isCovered(by: prefix) && after.map { $0 < path } ?? true
        }
        let isMore = found.count > limit
        let sorted = found.sorted { files[$0].key.path < files[$1].key.path }.prefix(limit)
        found = []
        let page = sorted.map { index in
            var status = status(of: files[index], at: now)
            if isOfEdits, files[index].row?.failure != nil {
                status.state = QueueReport.Counts.failedWord
            }
            return status
        }
        return (page, isMore ? page.last?.path : nil)
    }

    /// Asks for a page of the event log, or says that it begins later.
    mutating func replay(
        from: UInt64, project: ProjectName?, countMax: Int, _ route: ClientRoute
    ) {
        let first = logSegments.first?.first ?? header.lastEvent + 1
        if max(from, 1) < first, from <= header.lastEvent {
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
        // A turn may have trimmed the log since the question: what is read then begins later.
        let first = segments.first?.first ?? header.lastEvent + 1
        if first > query.from, query.from <= header.lastEvent {
            directives.append(.reply(query.route, .gap(first: first, last: header.lastEvent)))
            return
        }
        var page: [StatusEvent] = []
        var next = query.from
        reading: for segment in segments {
            guard let events = EventLogCodec.unpack(segment) else {
                // What came before it is told; whoever asks on from here is told of the hole.
                guard page.isEmpty else { break reading }
                let end = segment.first + UInt64(segment.count)
                directives.append(.reply(query.route, .gap(first: end, last: header.lastEvent)))
                return
            }
            for event in events where event.number >= query.from {
                if page.count == query.countMax { break reading }
                next = event.number + 1
                if query.project == nil || query.project == event.project { page.append(event) }
            }
        }
        directives.append(
            .reply(query.route, .events(page, next: next, last: header.lastEvent)))
    }
}
