import Foundation
import SyncCore

/// Edits of named files and directories below a root, in byte order of paths.
///
/// Directories are walked without following symbolic links; `.git` and `.syncd` are left out, and
/// so is the data of 'syncd up', which changes with every push.
struct TreeSource: Sendable {
    /// What the walk meets.
    private enum Entry {
        case file(EditPath, full: String, stat)
        /// Can't be an edit.
        case skipped(SkippedEntry)
        /// A named path that does not exist.
        case missing(String)
    }

    let root: String
    /// Relative to the root; empty means the root itself.
    let paths: [String]
    let contentBytesMax: Int
    /// Whether a named path that does not exist is pushed as a delete.
    var deletesMissing = false
    /// What is left out.
    var filter = PathFilter()
    /// Files that the project has, to be deleted when the tree has them no more; nil: none is.
    var mirrored: [EditPath]?

    /// The edits: deletes first, so that a file can become a directory.
    func steps() -> StepStream {
        StepStream { yield in
            guard try deletes(yield) else { return }
            let named = Set(paths.map { SkippedEntry.shown(Array(Self.relative($0).utf8)) })
            func skip(_ entry: SkippedEntry) -> Bool {
                var entry = entry
                entry.isNamed = named.contains(entry.path)
                return yield(.skipped(entry))
            }
            try walk { entry in
                switch entry {
                case .file(let path, let full, let status):
                    let step = step(path, full, status)
                    if case .skipped(let entry) = step { return skip(entry) }
                    return yield(step)
                case .skipped(let entry): return skip(entry)
                case .missing(let path): return try yield(missing(path))
                }
            }
        }
    }

    /// Refuses what can't be a tree at all, before anybody is asked anything.
    func check() throws {
        var status = stat()
        guard lstat(root, &status) == 0 else {
            throw Trouble(
                "\(root) can't be read: \(String(cString: strerror(errno))); name the tree with "
                    + "--root.", code: .usage)
        }
        if let path = paths.first(where: { $0.hasPrefix("/") }) {
            throw Trouble("\(path) is absolute; name it relative to --root.", code: .usage)
        }
    }

    /// Deletes of files that the tree no longer has; what can't be read is kept.
    private func deletes(_ yield: (SourceStep) -> Bool) throws -> Bool {
        guard let mirrored else { return true }
        var present: Set<String> = []
        var kept: [String] = []
        try walk { entry in
            switch entry {
            case .file(let path, _, _): present.insert(path.text)
            case .skipped(let entry):
                switch entry.reason {
                case .unreadable, .tooLarge, .sameAfterNFC: kept.append(entry.path)
                case .symbolicLink, .submodule, .specialFile, .invalidPath, .dataDirectory: break
                }
            case .missing: break
            }
            return true
        }
        let scopes = paths.map(Self.relative)
        for path in mirrored.sorted() {
            let isMeant = scopes.isEmpty || scopes.contains { path.isCovered(by: $0) }
            guard isMeant, !present.contains(path.text), !filter.excludes(path.text),
                !kept.contains(where: { path.isCovered(by: $0) })
            else { continue }
            guard yield(.edit(path, .delete)) else { return false }
        }
        return true
    }

    private func missing(_ path: String) throws -> SourceStep {
        guard deletesMissing || mirrored != nil else {
            throw Trouble(
                "\(root)/\(path) does not exist; name files below --root (\(root)), or give "
                    + "--delete to push its removal.", code: .usage)
        }
        return .edit(try editPath(path), .delete)
    }

    private func step(_ path: EditPath, _ full: String, _ status: stat) -> SourceStep {
        guard let data = FileManager.default.contents(atPath: full) else {
            return .skipped(unreadable(path.text))
        }
        // It may have grown since it was met.
        guard data.count <= contentBytesMax else {
            return .skipped(tooLarge(path.text, data.count))
        }
        let isExecutable = status.st_mode & S_IXUSR != 0
        return .edit(path, .put(Content([UInt8](data)), isExecutable: isExecutable))
    }

    // MARK: The walk

    /// `./a/` and `a` are one; `.` is the root.
    private static func relative(_ path: String) -> String {
        path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    private func walk(_ body: (Entry) throws -> Bool) throws {
        var seen: Set<EditPath> = []
        for path in paths.isEmpty ? [""] : paths {
            let path = Self.relative(path)
            guard try visit(path, isNamed: true, seen: &seen, body) else { return }
        }
    }

    private func visit(
        _ path: String, isNamed: Bool, seen: inout Set<EditPath>, _ body: (Entry) throws -> Bool
    ) throws -> Bool {
        let full = path.isEmpty ? root : root + "/" + path
        var status = stat()
        guard lstat(full, &status) == 0 else {
            guard errno == ENOENT || errno == ENOTDIR, isNamed, !path.isEmpty else {
                if path.isEmpty {
                    throw Trouble(
                        "\(root) can't be read: \(String(cString: strerror(errno))); name the tree "
                            + "with --root.", code: .usage)
                }
                return try body(.skipped(unreadable(path)))
            }
            return try body(.missing(path))
        }
        let kind = status.st_mode & S_IFMT
        if !path.isEmpty, filter.excludes(path, isFolder: kind == S_IFDIR) { return true }
        switch kind {
        case S_IFDIR where deletesMissing && isNamed && !path.isEmpty:
            throw Trouble(
                "\(full) is a folder that is there, and --delete is for files that are gone. "
                    + "Remove it first, then give --mirror instead; or leave --delete away.",
                code: .usage)
        case S_IFDIR:
            if Self.isData(full) { return try body(.skipped(data(path))) }
            return try list(path, full, seen: &seen, body)
        case S_IFREG: return try file(path, full, status, seen: &seen, body)
        case S_IFLNK: return try body(.skipped(SkippedEntry(Array(path.utf8), .symbolicLink)))
        default: return try body(.skipped(SkippedEntry(Array(path.utf8), .specialFile)))
        }
    }

    /// Whether 'syncd up' keeps its data in a folder.
    private static func isData(_ folder: String) -> Bool {
        ["up.lock", "journal.db"].allSatisfy { access(folder + "/" + $0, F_OK) == 0 }
    }

    private func data(_ path: String) throws -> SkippedEntry {
        if path.isEmpty {
            throw Trouble(
                "\(root) is the data directory of 'syncd up'; name the tree with --root.",
                code: .usage)
        }
        return SkippedEntry(Array(path.utf8), .dataDirectory)
    }

    private func list(
        _ path: String, _ full: String, seen: inout Set<EditPath>, _ body: (Entry) throws -> Bool
    ) throws -> Bool {
        guard let directory = opendir(full) else { return try body(.skipped(unreadable(path))) }
        var names: [[UInt8]] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { buffer in
                Array(buffer.prefix { $0 != 0 })
            }
            names.append(name)
        }
        closedir(directory)
        names.sort { $0.lexicographicallyPrecedes($1) }
        for bytes in names {
            guard let name = String(validating: bytes, as: UTF8.self) else {
                let whole = Array((path.isEmpty ? "" : path + "/").utf8) + bytes
                let entry = SkippedEntry(whole, .invalidPath, detail: "not UTF-8")
                guard try body(.skipped(entry)) else { return false }
                continue
            }
            if name == "." || name == ".." || name == ".git" || name == EditPath.reserved {
                continue
            }
            let child = path.isEmpty ? name : path + "/" + name
            guard try visit(child, isNamed: false, seen: &seen, body) else { return false }
        }
        return true
    }

    private func file(
        _ path: String, _ full: String, _ status: stat, seen: inout Set<EditPath>,
        _ body: (Entry) throws -> Bool
    ) throws -> Bool {
        let bytes = Array(path.utf8)
        let valid: EditPath
        do throws(EditPath.Flaw) {
            valid = try EditPath(path)
        } catch {
            return try body(
                .skipped(SkippedEntry(bytes, .invalidPath, detail: error.sentence)))
        }
        guard seen.insert(valid).inserted else {
            return try body(.skipped(SkippedEntry(bytes, .sameAfterNFC)))
        }
        guard status.st_size <= contentBytesMax else {
            return try body(.skipped(tooLarge(path, Int(status.st_size))))
        }
        return try body(.file(valid, full: full, status))
    }

    private func tooLarge(_ path: String, _ count: Int) -> SkippedEntry {
        .tooLarge(Array(path.utf8), count, of: contentBytesMax)
    }

    private func unreadable(_ path: String) -> SkippedEntry {
        SkippedEntry(
            Array(path.utf8), .unreadable, detail: String(cString: strerror(errno)))
    }
}
