internal import DequeModule

/// One file as a person sees it in an editor.
package struct FileView: Sendable, Equatable {
    /// What went wrong last, while it is not yet right again.
    package struct Trouble: Sendable, Equatable {
        /// Stable word.
        package var code: String
        /// What failed, why, what to do.
        package var reason: String
        /// Attempts made.
        package var attempts: Int

        /// Describes a trouble.
        package init(code: String, reason: String, attempts: Int) {
            self.code = code
            self.reason = reason
            self.attempts = attempts
        }
    }

    /// Which file.
    package let path: EditPath
    /// The newest accepted edit that is known; 0 when none is.
    package var sequence: EditSequence = .none
    /// Whether something is still to be done.
    package var isSyncing = false
    /// Whether it is in the failed list.
    package var hasFailed = false
    /// What went wrong last; nil when all is well.
    package var trouble: Trouble?
    /// The newest version that is known; nil when none is.
    package var version: Version?
    /// Whether the newest edit that ended well is known to be in the store and every sandbox.
    package var isAtRest: Bool { !isSyncing && !hasFailed && trouble == nil }

    /// A file of which nothing is known: at rest.
    package init(path: EditPath) { self.path = path }
}

/// What is known of the files of a project: a snapshot, and the events after it.
///
///     unknown ──snapshot page, accepted──▶ syncing ──synced, discarded──▶ at rest
///                                          syncing ──retrying, parked──▶ syncing, in trouble
///                                          syncing ──failed──▶ failed
///                                          failed ──retried, accepted──▶ syncing
///
/// Files at rest are forgotten beyond a limit, the longest known first.
package struct StatusBoard: Sendable {
    /// Part of a snapshot: true at a number, for paths up to `through`.
    private struct Cover: Sendable {
        let through: EditPath?
        let number: UInt64
    }

    private struct Entry: Sendable {
        var view: FileView
        /// When it came to rest, counted.
        var stamp: UInt64 = 0
    }

    private let filesMax: Int
    private let prefix: String
    private var files: [EditPath: Entry] = [:]
    private var moving: Set<EditPath> = []
    /// Files in the order in which they came to rest; a file that moved since has another stamp.
    private var resting: Deque<(path: EditPath, stamp: UInt64)> = []
    private var lastStamp: UInt64 = 0
    private var covers: [Cover] = []
    private var loading: Set<EditPath> = []

    /// An empty board.
    ///
    /// - Parameters:
    ///   - prefix: Only what lies here is kept.
    ///   - filesMax: Files at rest that are remembered.
    package init(prefix: String = "", filesMax: Int = 100_000) {
        self.prefix = prefix
        self.filesMax = filesMax
    }

    /// A file as it is known.
    package subscript(path: EditPath) -> FileView {
        files[path]?.view ?? FileView(path: path)
    }

    /// Files that are syncing, in trouble or failed, in byte order of paths.
    package var restless: [FileView] {
        moving.sorted().map { self[$0] }
    }

    // MARK: A snapshot

    /// Begins to take a snapshot.
    package mutating func beginSnapshot() {
        covers = []
        loading = []
    }

    /// Takes a page of files that are not at rest.
    ///
    /// - Parameters:
    ///   - number: The event at which the page is true.
    ///   - next: Last path of the page when more follow; nil for the last page.
    /// - Returns: Files that changed.
    package mutating func take(page: [FileStatus], number: UInt64, next: EditPath?) -> [EditPath] {
        let after = covers.last?.through
        covers.append(Cover(through: next, number: number))
        var changed: [EditPath] = []
        for status in page where status.path.isCovered(by: prefix) {
            loading.insert(status.path)
            if update(Self.view(status, before: self[status.path])) { changed.append(status.path) }
        }
        let settled = moving.filter { path in
            !loading.contains(path) && after.map { $0 < path } ?? true
                && next.map { path <= $0 } ?? true
        }
        for path in settled {
            var rest = FileView(path: path)
            rest.sequence = self[path].sequence
            rest.version = self[path].version
            if update(rest) { changed.append(path) }
        }
        if next == nil { loading = [] }
        return changed
    }

    private static func view(_ status: FileStatus, before: FileView) -> FileView {
        var view = FileView(path: status.path)
        view.sequence = status.sequence == .none ? before.sequence : status.sequence
        view.version = before.version
        view.hasFailed = status.state == "failed"
        // A refill writes again what the store has: no edit of anybody is on its way.
        view.isSyncing = !view.hasFailed && status.state != "refreshing"
        if !status.code.isEmpty {
            view.trouble = FileView.Trouble(
                code: status.code, reason: status.reason, attempts: status.attempts)
        }
        return view
    }

    // MARK: Events

    /// Takes an event; those that the snapshot has already are left out.
    ///
    /// - Returns: The file that changed; nil when none did.
    package mutating func take(_ event: StatusEvent) -> EditPath? {
        guard let path = event.path, path.isCovered(by: prefix), !isCovered(event, at: path) else {
            return nil
        }
        var view = self[path]
        let isNewest = event.sequence >= view.sequence
        switch event.kind {
        case .accepted: Self.accept(event.sequence, in: &view)
        case .retrying, .parked:
            guard isNewest else { return nil }
            view.sequence = event.sequence
            view.isSyncing = true
            view.trouble = Self.trouble(event)
        case .stored: view.version = max(view.version ?? .none, event.version)
        case .synced:
            view.version = max(view.version ?? .none, event.version)
            if isNewest { Self.rest(at: event.sequence, in: &view) }
        case .failed:
            guard isNewest else { return nil }
            view.sequence = event.sequence
            view.isSyncing = false
            view.hasFailed = true
            view.trouble = Self.trouble(event)
            // A conflict tells the version that stands in the way.
            if event.version != .none { view.version = event.version }
        case .discarded:
            guard isNewest else { return nil }
            Self.rest(at: event.sequence, in: &view)
        case .retried:
            guard isNewest else { return nil }
            view.sequence = event.sequence
            view.isSyncing = true
            view.hasFailed = false
        case .superseded: Self.accept(event.by, in: &view)
        case .attached, .detached, .away, .back, .refreshing, .refreshed, .drifted: return nil
        }
        return update(view) ? path : nil
    }

    /// Takes the acceptance of an own edit, which may come before its event.
    ///
    /// - Returns: Whether the file changed.
    package mutating func accepted(_ sequence: EditSequence, of path: EditPath) -> Bool {
        guard path.isCovered(by: prefix) else { return false }
        var view = self[path]
        Self.accept(sequence, in: &view)
        return update(view)
    }

    /// Takes the good end of an own edit: a snapshot that comes later does not tell its version.
    ///
    /// - Returns: Whether the file changed.
    package mutating func synced(
        _ sequence: EditSequence, of path: EditPath, version: Version
    ) -> Bool {
        guard path.isCovered(by: prefix) else { return false }
        var view = self[path]
        view.version = max(view.version ?? .none, version)
        if sequence >= view.sequence { Self.rest(at: sequence, in: &view) }
        return update(view)
    }

    private static func accept(_ sequence: EditSequence, in view: inout FileView) {
        guard sequence > view.sequence else { return }
        view.sequence = sequence
        view.isSyncing = true
        view.hasFailed = false
        view.trouble = nil
    }

    private static func rest(at sequence: EditSequence, in view: inout FileView) {
        view.sequence = sequence
        view.isSyncing = false
        view.hasFailed = false
        view.trouble = nil
    }

    private static func trouble(_ event: StatusEvent) -> FileView.Trouble {
        FileView.Trouble(code: event.code, reason: event.reason, attempts: event.attempts)
    }

    private mutating func isCovered(_ event: StatusEvent, at path: EditPath) -> Bool {
        guard let last = covers.last else { return false }
        if event.number > last.number, covers.allSatisfy({ $0.number < event.number }) {
            covers = []
            return false
        }
        let cover = covers.first { $0.through.map { path <= $0 } ?? true }
        return cover.map { event.number <= $0.number } ?? false
    }

    private mutating func update(_ view: FileView) -> Bool {
        let before = files[view.path]
        if before?.view == view { return false }
        var entry = Entry(view: view)
        if view.isAtRest {
            lastStamp += 1
            entry.stamp = lastStamp
            moving.remove(view.path)
            resting.append((view.path, lastStamp))
        } else {
            moving.insert(view.path)
        }
        files[view.path] = entry
        while resting.count > filesMax {
            let oldest = resting.removeFirst()
            if files[oldest.path]?.stamp == oldest.stamp { files[oldest.path] = nil }
        }
        return true
    }
}
