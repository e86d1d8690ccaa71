/// Paths of one project in the order of their bytes, for pages: changes are cheap, and a page sorts
/// only what has changed since the last one.
package struct OrderedPaths: Sendable {
    private var sorted: [EditPath] = []
    /// Not in `sorted` yet.
    private var added: Set<EditPath> = []
    /// Still in `sorted`.
    private var removed: Set<EditPath> = []

    /// Without paths.
    package init() {}

    /// How many there are.
    package var count: Int { sorted.count + added.count - removed.count }

    /// Adds a path that is not in it.
    package mutating func insert(_ path: EditPath) {
        if removed.remove(path) == nil { added.insert(path) }
    }

    /// Removes a path that is in it.
    package mutating func remove(_ path: EditPath) {
        if added.remove(path) == nil { removed.insert(path) }
    }

    /// The first paths under a prefix that follow a path, or from the beginning.
    ///
    /// - Parameter prefix: As `EditPath.isCovered(by:)` takes it.
    package mutating func page(
        under prefix: String, after start: EditPath?, countMax: Int
    ) -> [EditPath] {
        settle()
        var folder = prefix
        while folder.utf8.last == UInt8(ascii: "/") { folder.removeLast() }
        var page: [EditPath] = []
        // The prefix itself may be a file; what is below it is one run, but not next to it:
        // "a-b" stands between "a" and "a/b".
        let own = place(notBefore: folder)
        if !folder.isEmpty, own < sorted.count, sorted[own].text == folder,
            start.map({ $0 < sorted[own] }) ?? true
        {
            page.append(sorted[own])
        }
        var index = folder.isEmpty ? 0 : place(notBefore: folder + "/")
        if let start {
            var after = place(notBefore: start.text)
            if after < sorted.count, sorted[after] == start { after += 1 }
            index = max(index, after)
        }
        while page.count < countMax, index < sorted.count, sorted[index].isCovered(by: folder) {
            page.append(sorted[index])
            index += 1
        }
        return Array(page.prefix(countMax))
    }

    /// Index of the first path whose bytes are not before these.
    private func place(notBefore text: String) -> Int {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle].text.utf8.lexicographicallyPrecedes(text.utf8) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// Puts what was added into its place, and drops what was removed.
    private mutating func settle() {
        if added.isEmpty, removed.isEmpty { return }
        var merged: [EditPath] = []
        merged.reserveCapacity(count)
        var fresh = added.sorted()[...]
        for path in sorted where !removed.contains(path) {
            while let first = fresh.first, first < path { merged.append(fresh.removeFirst()) }
            merged.append(path)
        }
        merged += fresh
        sorted = merged
        added = []
        removed = []
    }
}
