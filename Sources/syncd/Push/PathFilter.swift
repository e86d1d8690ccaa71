import Foundation
import SyncCore

/// Paths that a push leaves out, by patterns as shells have them.
///
/// A pattern without `/` names a file or folder anywhere; one with `/` begins at the root; a `/` at
/// its end names folders only. `*` and `?` stop at `/`, `**` does not. What lies below an excluded
/// folder is excluded.
struct PathFilter: Sendable {
    private struct Pattern: Sendable {
        let text: String
        let isWholePath: Bool
        let isFolderOnly: Bool

        func matches(_ path: String, name: String, isFolder: Bool) -> Bool {
            if isFolderOnly, !isFolder { return false }
            let flags = text.contains("**") ? 0 : FNM_PATHNAME
            return fnmatch(text, isWholePath ? path : name, flags) == 0
        }
    }

    private let patterns: [Pattern]

    /// Reads patterns.
    init(_ texts: [String] = []) {
        patterns = texts.map { text in
            var trimmed = text[...]
            let isFolderOnly = trimmed.hasSuffix("/")
            if isFolderOnly { trimmed.removeLast() }
            let isRooted = trimmed.hasPrefix("/")
            if isRooted { trimmed.removeFirst() }
            return Pattern(
                text: String(trimmed), isWholePath: isRooted || trimmed.contains("/"),
                isFolderOnly: isFolderOnly)
        }
    }

    /// Whether a path is excluded, itself or by a folder above it.
    func excludes(_ path: String, isFolder: Bool = false) -> Bool {
        if patterns.isEmpty { return false }
        let segments = path.split(separator: "/")
        var above = ""
        for (place, segment) in segments.enumerated() {
            above += (place == 0 ? "" : "/") + segment
            let isLast = place == segments.count - 1
            let name = String(segment)
            for pattern in patterns
            where pattern.matches(above, name: name, isFolder: !isLast || isFolder) {
                return true
            }
        }
        return false
    }
}
