/// Clients that wait until everything under a prefix is visible.
///
/// A client waits for files, each until a sequence is visible and until it has been written again
/// where that is due; and for the listings of refills, until they are past the prefix. Both grow
/// while it waits: a sandbox found blank takes back what it had answered.
struct FlushBoard: Sendable {
    /// What must become of a file.
    struct Need: Sendable {
        /// Sequence that must become visible; none when it is.
        var sequence: EditSequence
        /// Whether it must be written again somewhere.
        var isRefreshing: Bool
    }

    struct Waiter: Sendable {
        let route: ClientRoute
        let project: ProjectName
        let prefix: String
        let through: EditSequence
        /// Files not yet visible.
        var needed: [FileIndex: Need] = [:]
        /// Targets whose refill has not listed all files under the prefix.
        var unlisted: Set<TargetURL> = []

        init(route: ClientRoute, project: ProjectName, prefix: String, through: EditSequence) {
            self.route = route
            self.project = project
            self.prefix = prefix
            self.through = through
        }

        var isDone: Bool { needed.isEmpty && unlisted.isEmpty }

        /// Whether a listing in byte order that has come this far has all files under the prefix.
        func isPassed(by path: EditPath?) -> Bool {
            guard let path, !prefix.isEmpty else { return false }
            var folder = prefix.utf8[...]
            if folder.last == UInt8(ascii: "/") { folder.removeLast() }
            // Below `a` is everything from `a/` to before `a0`, the byte after `/`.
            return !path.text.utf8.lexicographicallyPrecedes(
                Array(folder) + [UInt8(ascii: "/") + 1])
        }
    }

    /// What a turn has made of a file.
    enum Fate: Sendable {
        /// Nothing is left to do.
        case rest
        /// Something is: which sequence became visible now, whether it is to be written again, and
        /// why it can't go on.
        case open(visible: EditSequence?, isRefreshing: Bool, blockage: FileStatus?)
    }

    /// A client that waits no longer, with the cause if something can't become visible.
    typealias Answer = (waiter: Waiter, cause: FileStatus?)

    private var waiters: [Int: Waiter] = [:]
    private var byProject: [ProjectName: Set<Int>] = [:]
    private var nextKey = 0
    /// Files that all waiters together wait for.
    private(set) var fileCount = 0

    /// How many wait.
    var count: Int { waiters.count }

    /// Adds a client.
    mutating func add(_ waiter: Waiter) {
        waiters[nextKey] = waiter
        byProject[waiter.project, default: []].insert(nextKey)
        fileCount += waiter.needed.count
        nextKey += 1
    }

    /// Forgets a question that is asked again over the same way.
    mutating func remove(_ route: ClientRoute, of project: ProjectName) {
        for key in byProject[project] ?? [] where waiters[key]?.route == route { _ = remove(key) }
    }

    /// Whether anybody waits for a project.
    func isWaiting(for project: ProjectName) -> Bool { byProject[project] != nil }

    /// A target is filled again from now on: nobody is answered before its files are listed.
    mutating func refilling(_ target: TargetURL, of project: ProjectName) {
        for key in byProject[project] ?? [] { waiters[key]?.unlisted.insert(target) }
    }

    /// A file was listed by a refill.
    mutating func grow(_ index: FileIndex, path: EditPath, of project: ProjectName) {
        for key in byProject[project] ?? [] {
            guard let waiter = waiters[key], path.isCovered(by: waiter.prefix) else { continue }
            if waiter.needed[index] == nil { fileCount += 1 }
            waiters[key]?.needed[index, default: Need(sequence: .none, isRefreshing: true)]
                .isRefreshing = true
        }
    }

    /// A refill has listed all files through a path, or all there are (nil); or its target is gone.
    mutating func listed(
        _ target: TargetURL, of project: ProjectName, through path: EditPath?
    ) -> [Answer] {
        var answered: [Answer] = []
        for key in byProject[project] ?? [] {
            guard let waiter = waiters[key], waiter.unlisted.contains(target),
                path == nil || waiter.isPassed(by: path)
            else { continue }
            waiters[key]?.unlisted.remove(target)
            if waiters[key]?.isDone ?? false, let waiter = remove(key) {
                answered.append((waiter, nil))
            }
        }
        return answered
    }

    /// Notes what became of a file; gives the clients to be answered.
    mutating func note(
        _ index: FileIndex, project: ProjectName, _ fate: Fate
    ) -> [Answer] {
        var answered: [Answer] = []
        for key in byProject[project] ?? [] {
            guard var need = waiters[key]?.needed[index] else { continue }
            var cause: FileStatus?
            switch fate {
            case .rest: need = Need(sequence: .none, isRefreshing: false)
            case .open(let visible, let isRefreshing, let blockage):
                if let visible, visible >= need.sequence { need.sequence = .none }
                if !isRefreshing { need.isRefreshing = false }
                cause = blockage
            }
            if need.sequence == .none, !need.isRefreshing {
                waiters[key]?.needed[index] = nil
                fileCount -= 1
                if waiters[key]?.isDone ?? false, let waiter = remove(key) {
                    answered.append((waiter, nil))
                }
            } else {
                waiters[key]?.needed[index] = need
                if let cause, let waiter = remove(key) { answered.append((waiter, cause)) }
            }
        }
        return answered
    }

    private mutating func remove(_ key: Int) -> Waiter? {
        guard let waiter = waiters.removeValue(forKey: key) else { return nil }
        fileCount -= waiter.needed.count
        byProject[waiter.project]?.remove(key)
        if byProject[waiter.project]?.isEmpty ?? false { byProject[waiter.project] = nil }
        return waiter
    }
}
