internal import CLinux
internal import Foundation
internal import Glibc

/// The files of one sandbox of the double, on a real directory, with envd's own manners.
///
/// What is odd here is odd in envd (`e2b-convex.md` 1.4 and 1.6): uploads truncate in place,
/// `Remove` is recursive and takes an empty path for the home, `Move` makes parents, nothing is
/// confined but by this double, which keeps everything below its own directory.
struct EnvdFiles: Sendable {
    /// Stands for `/` of the sandbox.
    let root: String

    static let home = "/" + ["home", "user"].joined(separator: "/")

    /// An answer other than success.
    struct Refusal: Error {
        let code: String
        let message: String

        var status: Int {
            switch code {
            case "not_found": 404
            case "already_exists": 409
            case "invalid_argument", "failed_precondition": 400
            case "unauthenticated": 401
            case "resource_exhausted": 507
            default: 500
            }
        }

        init(_ code: String, _ message: String) {
            self.code = code
            self.message = message
        }

        /// As Go words a failed call.
        static func errno(_ call: String, _ path: String, _ number: Int32) -> Refusal {
            let reason = String(cString: strerror(number)).lowercased()
            let code = number == ENOENT ? "not_found" : "internal"
            return Refusal(code, "\(call) \(path): \(reason)")
        }
    }

    struct Entry: Encodable {
        var name: String
        var type: String?
        var path: String
        var size: String?
        var mode: Int
        var permissions: String
        var owner = "user"
        var group = "user"
        var modifiedTime: String
        var symlinkTarget: String?
        var metadata: [String: String]?
    }

    /// What a path means: relative to the home, `~` expanded, absolute as it is.
    func resolve(_ raw: String) throws(Refusal) -> String {
        var path = raw
        if path.isEmpty { path = Self.home }
        if path.hasPrefix("~") {
            guard path == "~" || path.hasPrefix("~/") else {
                throw Refusal("invalid_argument", "cannot expand user-specific home dir")
            }
            path = Self.home + path.dropFirst()
        }
        if !path.hasPrefix("/") { path = "\(Self.home)/\(path)" }
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// Where a path of the sandbox lies on this machine.
    func place(_ path: String) -> String { root + path }

    // MARK: Calls

    /// Makes missing directories, one by one: of two that do so at once, one is refused.
    func ensureDirectories(_ path: String) throws(Refusal) {
        var below = ""
        for part in path.split(separator: "/") {
            below += "/\(part)"
            var status = Glibc.stat()
            if look(at: place(below), &status) == 0 {
                guard status.st_mode & S_IFMT == S_IFDIR else {
                    throw Refusal("internal", "path is a file: \(below)")
                }
                continue
            }
            guard errno == ENOENT else {
                throw Refusal("internal", "failed to stat directory: \(reason())")
            }
            guard mkdir(place(below), 0o755) == 0 else {
                throw Refusal("internal", "failed to create directory: \(reason())")
            }
        }
    }

    func stat(_ raw: String, _ metadata: EnvdMetadata) throws(Refusal) -> Entry {
        let path = try resolve(raw)
        var status = Glibc.stat()
        guard lstat(place(path), &status) == 0 else { throw .errno("lstat", path, errno) }
        return entry(path, status, metadata)
    }

    func list(
        _ raw: String, depth: Int, _ metadata: EnvdMetadata
    ) throws(Refusal) -> [Entry] {
        let path = try resolve(raw)
        var status = Glibc.stat()
        guard look(at: place(path), &status) == 0 else {
            if errno == ELOOP {
                throw Refusal("failed_precondition", "cyclic symlink or chain >255 links")
            }
            throw .errno("directory not found:", path, errno)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw Refusal("invalid_argument", "path is not a directory: \(path)")
        }
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: place(path)) else {
            throw Refusal("internal", "error reading directory \(path)")
        }
        var found: [Entry] = []
        for name in names.sorted() {
            let below = path == "/" ? "/\(name)" : "\(path)/\(name)"
            var status = Glibc.stat()
            guard lstat(place(below), &status) == 0 else {
                throw Refusal("internal", "error reading directory \(path): \(reason())")
            }
            found.append(entry(below, status, metadata))
            if depth > 1, status.st_mode & S_IFMT == S_IFDIR {
                found += try list(below, depth: depth - 1, metadata)
            }
        }
        return found
    }

    func makeDirectory(_ raw: String, _ metadata: EnvdMetadata) throws(Refusal) -> Entry {
        let path = try resolve(raw)
        var status = Glibc.stat()
        if look(at: place(path), &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw Refusal("invalid_argument", "path already exists but is no directory")
            }
            throw Refusal("already_exists", "directory already exists: \(path)")
        }
        guard errno == ENOENT else { throw Refusal("internal", "error: \(reason())") }
        try ensureDirectories(path)
        return try stat(path, metadata)
    }

    /// Go's `os.Rename`: a directory as destination is refused before the kernel is asked.
    func move(
        _ rawSource: String, _ rawDestination: String, _ metadata: EnvdMetadata
    ) throws(Refusal) -> Entry {
        let (source, destination) = (try resolve(rawSource), try resolve(rawDestination))
        try ensureDirectories(Self.parent(of: destination))
        var status = Glibc.stat()
        if lstat(place(destination), &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            guard lstat(place(source), &status) == 0 else {
                throw .errno("source file not found: rename", source, errno)
            }
            throw .errno("error renaming: rename", source, EEXIST)
        }
        guard rename(place(source), place(destination)) == 0 else {
            throw .errno("error renaming: rename", source, errno)
        }
        return try stat(destination, metadata)
    }

    /// Recursive, and done where nothing stands.
    func remove(_ raw: String) throws(Refusal) {
        let path = try resolve(raw)
        var status = Glibc.stat()
        guard lstat(place(path), &status) == 0 else {
            if errno == ENOENT { return }
            throw .errno("error removing: unlinkat", path, errno)
        }
        do {
            try FileManager.default.removeItem(atPath: place(path))
        } catch {
            if lstat(place(path), &status) == 0 {
                throw Refusal("internal", "error removing \(path)")
            }
        }
    }

    // MARK: Uploads

    /// Opens a file for an upload: what was in it is gone from here on.
    func open(_ raw: String) throws(Refusal) -> (path: String, descriptor: Int32) {
        let path = try resolve(raw)
        do {
            try ensureDirectories(raw.hasSuffix("/") ? path : Self.parent(of: path))
        } catch {
            throw Refusal("internal", "error ensuring directories: \(error.message)")
        }
        var status = Glibc.stat()
        if look(at: place(path), &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw Refusal("invalid_argument", "path is a directory: \(path)")
        }
        let descriptor = Glibc.open(place(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw Refusal("internal", "error opening file: open \(path): \(reason())")
        }
        return (path, descriptor)
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    private func reason() -> String { String(cString: strerror(errno)).lowercased() }

    private func entry(
        _ path: String, _ status: Glibc.stat, _ metadata: EnvdMetadata
    ) -> Entry {
        let kind = status.st_mode & S_IFMT
        // The type is that of what a link leads to; none if that is no file and no directory.
        var reached = Glibc.stat()
        let isReached = look(at: place(path), &reached) == 0
        let type: String? =
            switch isReached ? reached.st_mode & S_IFMT : 0 {
            case S_IFDIR: "FILE_TYPE_DIRECTORY"
            case S_IFREG: "FILE_TYPE_FILE"
            default: nil
            }
        let time = status.st_mtim
        let fraction = String(time.tv_nsec + 1_000_000_000).dropFirst()
        let seconds = Date(timeIntervalSince1970: TimeInterval(time.tv_sec)).ISO8601Format()
        let name = path.split(separator: "/").last.map(String.init) ?? "/"
        let kept = kind == S_IFREG ? metadata.found(place(path)) : nil
        return Entry(
            name: name, type: type, path: path,
            size: status.st_size == 0 ? nil : "\(status.st_size)",
            mode: Int(status.st_mode & 0o7777), permissions: "-rw-r--r--",
            modifiedTime: seconds.dropLast() + ".\(fraction)Z",
            symlinkTarget: kind == S_IFLNK
                ? try? FileManager.default.destinationOfSymbolicLink(atPath: place(path)) : nil,
            metadata: kept.flatMap { $0.isEmpty ? nil : $0 })
    }
}

/// What a path leads to, links followed; beside a method `stat` the function can't be named.
private func look(at path: String, _ status: inout stat) -> Int32 { stat(path, &status) }

/// Words that are kept with a file, in one extended attribute of its own.
struct EnvdMetadata: Sendable {
    // One attribute for all words: they are replaced together.
    private static let name = "user.syncd-double"
    private static let bytesMax = 8_192

    func found(_ path: String) -> [String: String]? {
        var bytes = [UInt8](repeating: 0, count: Self.bytesMax)
        let count = lgetxattr(path, Self.name, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return try? JSONDecoder().decode([String: String].self, from: Data(bytes[..<count]))
    }

    /// Each upload replaces the whole set.
    func set(_ new: [String: String], of descriptor: Int32) {
        guard let data = try? JSONEncoder().encode(new) else { return }
        _ = data.withUnsafeBytes { fsetxattr(descriptor, Self.name, $0.baseAddress, $0.count, 0) }
    }
}
