import OrderedCollections

/// Flush: the barrier that an agent calls before it runs the tests.
extension CoordinatorMachine {
    /// Files named in one flush answer at most.
    private static let causesMax = 100

    /// Takes a flush into the inbox, behind everything that was heard before it: a sandbox that was
    /// found blank counts as blank.
    mutating func collectFlush(_ project: ProjectName, prefix: String, _ route: ClientRoute) {
        guard endWaiterCount + flushes.count + inboxFlushes < settings.waitersMax else {
            directives.append(.reply(route, .rejected(busy("waiters"))))
            return
        }
        inboxFlushes += 1
        inbox.append(.flush(route, project, prefix: prefix))
    }

    /// Answers when everything under a prefix is visible, or at once when some can't be.
    mutating func flush(
        _ project: ProjectName, prefix: String, _ route: ClientRoute, at now: Instant
    ) {
        flushes.remove(route, of: project)
        var waiter = FlushBoard.Waiter(
            route: route, project: project, prefix: prefix, through: header.lastSequence)
        var causes: [FileStatus] = []
        var causeCount = 0
        for index in openFiles[project] ?? [] {
            let slot = files[index]
            guard slot.key.path.isCovered(by: prefix) else { continue }
            if slot.isHopeless {
                causeCount += 1
                if causes.count < Self.causesMax { causes.append(status(of: slot, at: now)) }
            }
            waiter.needed[index] = FlushBoard.Need(
                sequence: slot.row?.sequence ?? .none, isRefreshing: !slot.refresh.isEmpty)
        }
        for target in projects[project]?.targets ?? []
        where target.isAttached {
            // What sandboxes hold beyond a restored journal is not known: the adoption has each
            // filled anew.
            if !target.needsRefresh, !isToBeAdopted {
                let isKnown = !target.isMarked || verified.contains(target.url)
                if !isKnown, board.isWell(target.url) { waiter.unlisted.insert(target.url) }
                continue
            }
            let refill = refills[target.url]
            if refill?.isListed ?? false { continue }
            if waiter.isPassed(by: refill?.after) { continue }
            waiter.unlisted.insert(target.url)
        }
        if causeCount > 0 {
            causes.sort { $0.path < $1.path }
            directives.append(.reply(route, .blocked(causes, count: causeCount)))
        } else if waiter.isDone {
            directives.append(.reply(route, .flushed(through: header.lastSequence)))
        } else if endWaiterCount + flushes.count >= settings.waitersMax
            || flushes.fileCount + waiter.needed.count > settings.flushFilesMax
        {
            directives.append(.reply(route, .rejected(busy("waiters"))))
        } else {
            flushes.add(waiter)
        }
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
            noteFlushes(
                index, staged.key, visible: visible[staged.key],
                isListed: !done.pages.isEmpty && !staged.refresh.isEmpty, at: now)
        }
    }

    /// A marker was read: flushes need not wait for it, unless the sandbox is to be refilled.
    mutating func noteVerified(_ target: TargetURL) {
        verified.insert(target)
        guard let project = targetOwners[target],
            let record = projects[project]?.targets.first(where: { $0.url == target }),
            !record.needsRefresh
        else { return }
        answer(flushes.listed(target, of: project, through: nil))
    }

    /// Tells flushes what has become of a file.
    mutating func noteFlushes(
        _ index: FileIndex, _ key: FileKey, visible: EditSequence?, isListed: Bool,
        at now: Instant
    ) {
        let slot = files[index]
        let isAtRest = slot.key != key || !slot.isPending
        if isListed, !isAtRest { flushes.grow(index, path: key.path, of: key.project) }
        let fate: FlushBoard.Fate =
            isAtRest
            ? .rest
            : .open(
                visible: visible, isRefreshing: !slot.refresh.isEmpty,
                blockage: slot.isHopeless ? status(of: slot, at: now) : nil)
        answer(flushes.note(index, project: key.project, fate))
    }

    /// Answers flushes that wait no longer.
    mutating func answer(_ flushed: [FlushBoard.Answer]) {
        for answer in flushed {
            directives.append(
                .reply(
                    answer.waiter.route,
                    answer.cause.map { .blocked([$0], count: 1) }
                        ?? .flushed(through: answer.waiter.through)))
        }
    }
}
