/// Clients that wait until everything under a prefix is visible.
struct FlushBoard: Sendable {
    struct Waiter: Sendable {
        let route: ClientRoute
        let project: ProjectName
        let prefix: String
        let through: EditSequence
        /// Files not yet visible, with the sequence that each must reach.
        var needed: [FileIndex: EditSequence]
    }

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

    /// Notes what became of a file.
    ///
    /// - Parameters:
    ///   - visible: Sequence that became visible; nil when none did.
    ///   - isAtRest: Whether nothing is left to do.
    ///   - blockage: Why it can't go on now; nil when it can.
    /// - Returns: Clients to be answered, with the cause if there is one.
    mutating func note(
        _ index: FileIndex, project: ProjectName, visible: EditSequence?, isAtRest: Bool,
        blockage: FileStatus?
    ) -> [(waiter: Waiter, cause: FileStatus?)] {
        var answered: [(Waiter, FileStatus?)] = []
        for key in byProject[project] ?? [] {
            guard let needed = waiters[key]?.needed[index] else { continue }
            if isAtRest || visible.map({ $0 >= needed }) ?? false {
                waiters[key]?.needed[index] = nil
                fileCount -= 1
                if waiters[key]?.needed.isEmpty ?? false, let waiter = remove(key) {
                    answered.append((waiter, nil))
                }
            } else if let blockage, let waiter = remove(key) {
                answered.append((waiter, blockage))
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
