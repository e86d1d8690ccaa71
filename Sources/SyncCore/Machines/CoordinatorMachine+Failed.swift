import OrderedCollections

extension CoordinatorMachine {
    // The failed list: rows that bear a failure. They count as pending, keep their content, and
    // stay until they are retried, discarded or replaced by a newer edit.

    /// Sends one page of the failed list, in the order of projects and of paths.
    mutating func reportFailed(_ query: FailedQuery, _ route: ClientRoute) {
        let limit = max(1, min(query.countMax, 1_000))
        var after: (project: String, path: String)?
        if let slash = query.after.utf8.firstIndex(of: UInt8(ascii: "/")) {
            after = (
                String(query.after[..<slash]),
                String(query.after[query.after.utf8.index(after: slash)...])
            )
        }
        var page: [FailedEntry] = []
        for name in failedFiles.keys.sorted() where query.project == nil || query.project == name {
            if let after, name.text < after.project { continue }
            let start = after.flatMap { $0.project == name.text ? try? EditPath($0.path) : nil }
            let paths = failedFiles[name]?.page(
                under: query.prefix, after: start, countMax: limit + 1 - page.count)
            page += (paths ?? []).compactMap { path in
                files.index(of: FileKey(project: name, path: path)).flatMap { entry(of: files[$0]) }
            }
            if page.count > limit { break }
        }
        let isMore = page.count > limit
        let entries = Array(page.prefix(limit))
        let last = entries.last.map { "\($0.file.project)/\($0.file.path)" }
        directives.append(.reply(route, .failed(entries, next: isMore ? last : nil)))
    }

    /// Keeps the failed list in order while files come and go.
    mutating func noteFailed(_ old: FileSlot, _ new: FileSlot) {
        let (was, isNow) = (old.row?.failure != nil, new.row?.failure != nil)
        guard was != isNow else { return }
        let (project, path) = (new.key.project, new.key.path)
        if isNow {
            failedFiles[project, default: OrderedPaths()].insert(path)
        } else {
            failedFiles[project]?.remove(path)
            if failedFiles[project]?.count == 0 { failedFiles[project] = nil }
        }
    }

    private func entry(of slot: FileSlot) -> FailedEntry? {
        guard let row = slot.row, let failure = row.failure else { return nil }
        return FailedEntry(
            file: slot.key, sequence: row.sequence, id: row.id, isDelete: row.isDelete,
            byteCount: row.byteCount, acceptedAt: row.acceptedAt, failure: failure)
    }

    /// Takes an order into the inbox; `busy` when too much waits there.
    mutating func collect(_ order: FailedOrder, _ route: ClientRoute) {
        let waiting = inbox.editCount + inbox.orderedCount
        guard waiting == 0 || waiting + order.items.count <= settings.inboxEditsMax else {
            directives.append(.reply(route, .rejected(busy("disk"))))
            return
        }
        inbox.append(.order(route, order))
    }

    /// Stages an order: each entry that is still the newest edit of its file is opened or closed.
    func stage(_ order: FailedOrder, from route: ClientRoute, in turn: inout Turn) {
        var results: [FailedResult] = []
        for item in order.items {
            let key = FileKey(project: order.project, path: item.path)
            guard let index = files.index(of: key) else {
                results.append(.gone)
                continue
            }
            var slot = slot(index, in: turn)
            guard let row = slot.row, row.sequence == item.sequence, row.failure != nil else {
                let isNewer = slot.row.map { $0.sequence > item.sequence } ?? false
                results.append(isNewer ? .newer : .gone)
                continue
            }
            switch order.action {
            case .retry: slot.row?.failure = nil
            case .discard: slot.row = nil
            }
            slot.content = nil
            slot.trouble = .none
            turn.files[index] = slot
            let kind: EventKind =
                switch order.action {
                case .retry: .retried
                case .discard: .discarded
                }
            turn.tell(
                StatusEvent(
                    kind, project: order.project, path: item.path, sequence: row.sequence,
                    id: row.id, reason: "by \(order.by)"))
            results.append(.done)
        }
        turn.orders.append((route, results))
    }
}
