/// Counts the open paths below each folder of a project, to tell whether any is below a path.
///
/// A path and its ancestors or descendants are never in hand at the same time (trace A11). The
/// ancestors of a path are few and looked up one by one; for the descendants this count is enough
/// to know that there are none, which is nearly always so.
package struct PathTree: Sendable {
    private var openBelow: [String: Int] = [:]

    /// A tree without open paths.
    package init() {}

    /// Counts a path that became open.
    package mutating func open(_ path: EditPath) {
        for folder in path.ancestors { openBelow[folder, default: 0] += 1 }
    }

    /// Forgets a path that is at rest.
    package mutating func close(_ path: EditPath) {
        for folder in path.ancestors {
            guard let count = openBelow[folder] else { continue }
            openBelow[folder] = count > 1 ? count - 1 : nil
        }
    }

    /// Whether some path below this one is open.
    package func hasOpenBelow(_ path: EditPath) -> Bool { openBelow[path.text] != nil }
}

extension EditPath {
    /// The paths above this one, the nearest last: `a`, `a/b` for `a/b/c`.
    package var ancestors: [String] {
        var result: [String] = []
        let bytes = text.utf8
        for index in bytes.indices where bytes[index] == UInt8(ascii: "/") {
            result.append(String(text[..<index]))
        }
        return result
    }

    /// Whether one is the other's ancestor.
    package func isRelated(to other: EditPath) -> Bool {
        isCovered(by: other.text) || other.isCovered(by: text)
    }
}
