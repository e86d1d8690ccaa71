/// Writes that did not come back within their deadline, by target and path.
///
/// Nobody touches such a path, or one above or below it, on that target until the holder has said
/// that the write has come back (*settled*), or has ended; then its stage is revoked there before
/// the next write (design §3, trace B9).
package struct StuckBoard: Sendable {
    private var holders: [TargetURL: [EditPath: Set<Incarnation>]] = [:]

    /// A board without stuck writes.
    package init() {}

    /// Whether a path, or a related one, is stuck at a target.
    package func isStuck(_ path: EditPath, at target: TargetURL) -> Bool {
        guard let paths = holders[target] else { return false }
        return paths[path] != nil || paths.keys.contains { $0.isRelated(to: path) }
    }

    /// Whether anything is stuck at a target.
    package func hasStuck(at target: TargetURL) -> Bool { holders[target] != nil }

    /// Whether an incarnation has a write that has not come back.
    package func isHolder(_ incarnation: Incarnation) -> Bool {
        holders.values.contains { $0.values.contains { $0.contains(incarnation) } }
    }

    /// Notes a write that has not come back.
    package mutating func add(_ path: EditPath, at target: TargetURL, by incarnation: Incarnation) {
        holders[target, default: [:]][path, default: []].insert(incarnation)
    }

    /// Notes that a holder's write has come back; whether it was known as stuck.
    package mutating func settle(
        _ path: EditPath, at target: TargetURL, by incarnation: Incarnation
    ) -> Bool {
        guard holders[target]?[path]?.remove(incarnation) != nil else { return false }
        if holders[target]?[path]?.isEmpty ?? false { holders[target]?[path] = nil }
        if holders[target]?.isEmpty ?? false { holders[target] = nil }
        return true
    }

    /// Forgets a holder; its stages are revoked before anybody writes there.
    ///
    /// - Returns: Targets where it had something stuck.
    package mutating func forget(_ incarnation: Incarnation) -> [TargetURL] {
        var found: [TargetURL] = []
        for (target, paths) in holders {
            for path in paths.keys where settle(path, at: target, by: incarnation) {
                if found.last != target { found.append(target) }
            }
        }
        return found
    }

    /// Forgets everything at a target that is filled anew: all its stages are revoked first.
    package mutating func forget(at target: TargetURL) { holders[target] = nil }
}
