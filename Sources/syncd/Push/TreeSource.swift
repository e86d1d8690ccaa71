import Foundation
import SyncCore

/// Edits of named files and directories below a root, in byte order of paths.
///
/// Directories are walked without following symbolic links; `.git` and `.syncd` are left out.
struct TreeSource: Sendable {
    let root: String
    /// Relative to the root; empty means the root itself.
    let paths: [String]
    let contentBytesMax: Int
    /// Whether a named path that does not exist is pushed as a delete.
    var deletesMissing = false

    /// The edits.
    func steps() -> StepStream {
        StepStream { yield in
            var seen: Set<EditPath> = []
            for path in paths.isEmpty ? [""] : paths {
                guard try visit(path, isNamed: true, seen: &seen, yield) else { return }
            }
        }
    }

    private func visit(
        _ path: String, isNamed: Bool, seen: inout Set<EditPath>, _ yield: (SourceStep) -> Bool
    ) throws -> Bool {
        let full = path.isEmpty ? root : root + "/" + path
        var status = stat()
        guard lstat(full, &status) == 0 else {
            guard errno == ENOENT, isNamed else {
                return yield(.skipped(unreadable(path)))
            }
            guard deletesMissing else {
                throw Trouble(
                    "\(full) does not exist; name files below --root (\(root)), or give --delete to "
                        + "push its removal.", code: .usage)
            }
            return yield(.edit(try editPath(path), .delete))
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return try walk(path, full, seen: &seen, yield)
        case S_IFREG: return try file(path, full, status, seen: &seen, yield)
        case S_IFLNK: return yield(.skipped(SkippedEntry(Array(path.utf8), .symbolicLink)))
        default: return yield(.skipped(SkippedEntry(Array(path.utf8), .specialFile)))
        }
    }

    private func walk(
        _ path: String, _ full: String, seen: inout Set<EditPath>, _ yield: (SourceStep) -> Bool
    ) throws -> Bool {
        guard let directory = opendir(full) else { return yield(.skipped(unreadable(path))) }
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
                if !yield(.skipped(SkippedEntry(whole, .invalidPath, detail: "not UTF-8"))) {
                    return false
                }
                continue
            }
            if name == "." || name == ".." || name == ".git" || name == EditPath.reserved {
                continue
            }
            let child = path.isEmpty ? name : path + "/" + name
            guard try visit(child, isNamed: false, seen: &seen, yield) else { return false }
        }
        return true
    }

    private func file(
        _ path: String, _ full: String, _ status: stat, seen: inout Set<EditPath>,
        _ yield: (SourceStep) -> Bool
    ) throws -> Bool {
        let bytes = Array(path.utf8)
        let valid: EditPath
        do throws(EditPath.Flaw) {
            valid = try EditPath(path)
        } catch {
            return yield(.skipped(SkippedEntry(bytes, .invalidPath, detail: error.sentence)))
        }
        guard seen.insert(valid).inserted else {
            return yield(.skipped(SkippedEntry(bytes, .sameAfterNFC)))
        }
        guard status.st_size <= contentBytesMax else {
            return yield(
                .skipped(SkippedEntry(bytes, .tooLarge, detail: "\(status.st_size) bytes")))
        }
        guard let data = FileManager.default.contents(atPath: full) else {
            return yield(.skipped(unreadable(path)))
        }
        let isExecutable = status.st_mode & S_IXUSR != 0
        return yield(.edit(valid, .put(Content([UInt8](data)), isExecutable: isExecutable)))
    }

    private func unreadable(_ path: String) -> SkippedEntry {
        SkippedEntry(
            Array(path.utf8), .unreadable, detail: String(cString: strerror(errno)))
    }
}
