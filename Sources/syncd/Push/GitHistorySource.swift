import Foundation
import SyncCore

/// A repository's history as edits: each commit's tree against the tree replayed before it.
///
/// Commits come oldest first, parents before children. Each step is the difference between the
/// former commit's tree and this one's (the first step: the whole tree), so that after each step
/// the sandbox equals the commit, also where history branches and merges. Symbolic links,
/// submodules, paths and sizes that can't be edits are left out and reported; of paths that NFC
/// makes one, the lowest in byte order counts.
struct GitHistorySource: Sendable {
    let repository: String
    /// Revisions as `git rev-list` takes them; HEAD when empty.
    let range: String
    let isFirstParent: Bool
    let contentBytesMax: Int

    /// What git's tree holds at a path.
    private struct Blob: Equatable {
        let mode: String
        let id: String
        var isRegular: Bool { mode == "100644" || mode == "100755" || mode == "100664" }
    }

    /// The tree as replayed so far.
    private struct Tree {
        var blobs: [EditPath: [[UInt8]: Blob]] = [:]
        var sizes: [String: Int] = [:]

        /// Who counts at a path: the lowest regular file that is not too large.
        func winner(_ path: EditPath, contentBytesMax: Int) -> Blob? {
            blobs[path]?.filter {
                $0.value.isRegular && sizes[$0.value.id, default: 0] <= contentBytesMax
            }
            .min { $0.key.lexicographicallyPrecedes($1.key) }?.value
        }
    }

    /// The edits, with a mark after each commit.
    func steps() -> StepStream {
        StepStream { yield in
            let commits = try commits()
            let objects = try GitProcess(repository, ["cat-file", "--batch-command"])
            var tree = Tree()
            var former = try emptyTree()
            for (index, commit) in commits.enumerated() {
                let goes = try replay(commit, after: former, &tree, objects, yield)
                guard goes,
                    yield(.commitEnd(hash: commit, index: index + 1, total: commits.count))
                else { break }
                former = commit
            }
            try objects.finish("read objects")
        }
    }

    private func commits() throws -> [String] {
        var arguments = ["rev-list", "--reverse", "--topo-order"]
        if isFirstParent { arguments.append("--first-parent") }
        let git = try GitProcess(repository, arguments + [range.isEmpty ? "HEAD" : range, "--"])
        var commits: [String] = []
        while let line = git.read(until: UInt8(ascii: "\n")) {
            commits.append(String(decoding: line, as: UTF8.self))
        }
        try git.finish("list the commits of \(range.isEmpty ? "HEAD" : range) in \(repository)")
        return commits
    }

    private func emptyTree() throws -> String {
        let git = try GitProcess(repository, ["hash-object", "-t", "tree", "/dev/null"])
        let id = git.read(until: UInt8(ascii: "\n")) ?? []
        try git.finish("name the empty tree")
        return String(decoding: id, as: UTF8.self)
    }

    /// One commit: changes first go into the tree, then what they mean for each path goes out.
    private func replay(
        _ commit: String, after former: String, _ tree: inout Tree, _ objects: GitProcess,
        _ yield: (SourceStep) -> Bool
    ) throws -> Bool {
        var before: [EditPath: Blob?] = [:]
        for change in try changes(from: former, to: commit) {
            let path: EditPath
            do throws(EditPath.Flaw) {
                guard let text = String(validating: change.path, as: UTF8.self) else {
                    throw EditPath.Flaw.invalidUTF8
                }
                path = try EditPath(text)
            } catch {
                let entry = SkippedEntry(change.path, .invalidPath, detail: error.sentence)
                if change.blob != nil, !yield(.skipped(entry)) { return false }
                continue
            }
            if before[path] == nil {
                before[path] = tree.winner(path, contentBytesMax: contentBytesMax)
            }
            tree.blobs[path, default: [:]][change.path] = change.blob
            if tree.blobs[path]?.isEmpty ?? false { tree.blobs[path] = nil }
            if let entry = try skipped(change, &tree, objects), !yield(.skipped(entry)) {
                return false
            }
        }
        return try tell(before, tree, objects, yield)
    }

    private func tell(
        _ before: [EditPath: Blob?], _ tree: Tree, _ objects: GitProcess,
        _ yield: (SourceStep) -> Bool
    ) throws -> Bool {
        let paths = before.keys.sorted()
        for path in paths where before[path].flatMap(\.self) != nil {
            guard tree.winner(path, contentBytesMax: contentBytesMax) == nil else { continue }
            if !yield(.edit(path, .delete)) { return false }
        }
        for path in paths {
            guard let blob = tree.winner(path, contentBytesMax: contentBytesMax),
                blob != before[path].flatMap(\.self)
            else { continue }
            let content = Content(try contents(of: blob.id, objects))
            let change = FileChange.put(content, isExecutable: blob.mode == "100755")
            if !yield(.edit(path, change)) { return false }
            let losers = tree.blobs[path]?.filter { $0.value.isRegular } ?? [:]
            for loser in losers.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }).dropFirst() {
                if !yield(.skipped(SkippedEntry(loser, .sameAfterNFC))) { return false }
            }
        }
        return true
    }

    private func skipped(
        _ change: (path: [UInt8], blob: Blob?), _ tree: inout Tree, _ objects: GitProcess
    ) throws -> SkippedEntry? {
        guard let blob = change.blob else { return nil }
        switch blob.mode {
        case "120000": return SkippedEntry(change.path, .symbolicLink)
        case "160000": return SkippedEntry(change.path, .submodule)
        default: break
        }
        if tree.sizes[blob.id] == nil { tree.sizes[blob.id] = try size(of: blob.id, objects) }
        let size = tree.sizes[blob.id, default: 0]
        return size > contentBytesMax
            ? .tooLarge(change.path, size, of: contentBytesMax) : nil
    }

    // MARK: git's output

    /// `git diff-tree --raw -z`: `:MODE MODE ID ID STATUS`, NUL, path, NUL.
    private func changes(
        from former: String, to commit: String
    ) throws -> [(path: [UInt8], blob: Blob?)] {
        let git = try GitProcess(
            repository,
            ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", former, commit])
        var changes: [(path: [UInt8], blob: Blob?)] = []
        while let head = git.read(until: 0), let path = git.read(until: 0) {
            let fields = String(decoding: head, as: UTF8.self).split(separator: " ")
            guard fields.count == 5 else {
                throw Trouble("git diff-tree said something unknown; is it very old or new?")
            }
            let blob = fields[4] == "D" ? nil : Blob(mode: String(fields[1]), id: String(fields[3]))
            changes.append((path, blob))
        }
        try git.finish("compare \(former) and \(commit)")
        return changes
    }

    /// `ID SP TYPE SP SIZE LF`.
    private func size(of id: String, _ objects: GitProcess) throws -> Int {
        try objects.send("info \(id)")
        return try head(of: id, objects)
    }

    private func head(of id: String, _ objects: GitProcess) throws -> Int {
        let line = objects.read(until: UInt8(ascii: "\n")) ?? []
        let fields = String(decoding: line, as: UTF8.self).split(separator: " ")
        guard fields.count == 3, let size = Int(fields[2]) else {
            throw Trouble("git has no object \(id); run 'git fsck' in \(repository).")
        }
        return size
    }

    private func contents(of id: String, _ objects: GitProcess) throws -> [UInt8] {
        try objects.send("contents \(id)")
        let size = try head(of: id, objects)
        guard let bytes = objects.read(count: size), objects.read(count: 1) != nil else {
            throw Trouble("git ended in the middle of object \(id).")
        }
        return bytes
    }
}
