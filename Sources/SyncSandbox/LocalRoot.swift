internal import Glibc
internal import SyncCore
internal import Synchronization

/// The directory that holds all local sandboxes, and its identity.
///
/// The id is a file in it, so that two workers that mean another directory by the same path are
/// told apart (trace A10), and so that a root that is not mounted any more is *away* instead of
/// full of blank sandboxes (trace C9): once the id is known, a directory without it is refused.
final class LocalRoot: Sendable {
    /// Where it is.
    let path: String

    /// Name of the file with the id; no sandbox can be called so, for its first dot.
    static let idFile = ".syncd-root"

    private static let idBytesMax = 64
    private let known = Mutex<String?>(nil)

    /// Names a root; nothing is opened.
    init(path: String) { self.path = path }

    /// Opens the root, and makes sure that it is the one that was seen first.
    func open() throws(SandboxError) -> DirectoryDescriptor {
        let root: DirectoryDescriptor
        do {
            root = try DirectoryDescriptor.open(path: path)
        } catch {
            if error.number == ENOENT || error.number == ENOTDIR { throw missing(error) }
            throw error.failure("open", .place(place))
        }
        _ = try id(in: root)
        return root
    }

    /// The id; made by whoever comes first.
    func id() throws(SandboxError) -> String {
        let root = try open()
        return try id(in: root)
    }

    private var place: String { "the local root '\(path)'" }

    private func id(in root: borrowing DirectoryDescriptor) throws(SandboxError) -> String {
        let known = known.withLock { $0 }
        var found = try readID(in: root)
        if found == nil && known == nil {
            do throws(Errno) {
                try makeID(in: root)
            } catch {
                throw error.failure("write the id of", .place(place))
            }
            found = try readID(in: root)
        }
        guard let found, found == known ?? found else {
            throw SandboxError(
                .target, code: "root-changed",
                "The local root '\(path)' is not the directory that it was: its \(Self.idFile) is "
                    + "\(found == nil ? "missing" : "another"). Mount the former one again, or "
                    + "restart the workers if the change is meant.")
        }
        self.known.withLock { $0 = found }
        return found
    }

    private func readID(
        in root: borrowing DirectoryDescriptor
    ) throws(SandboxError) -> String? {
        let bytes: [UInt8]?
        do {
            bytes = try root.contents(of: Self.idFile, bytesMax: Self.idBytesMax)
        } catch {
            throw error.failure("read the id of", .place(place))
        }
        guard let bytes else { return nil }
        let text = String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        guard Hexadecimal.isSixteenDigits(text.utf8) else {
            throw SandboxError(
                .target, code: "root-unreadable",
                "'\(path)/\(Self.idFile)' does not hold sixteen hexadecimal digits. Restore it, or "
                    + "remove it if no pool uses this root.")
        }
        return text
    }

    /// Writes a new id beside, whole and durable, then links it to its name: of several processes
    /// one wins, and nobody reads half of it.
    private func makeID(in root: borrowing DirectoryDescriptor) throws(Errno) {
        let id = Hexadecimal.digits(of: UInt64.random(in: .min ... .max))
        let draft = "\(Self.idFile).\(id)"
        let file = try root.makeFile(draft, mode: 0o644)
        defer { try? root.removeFile(draft) }
        try file.writeAll(Array("\(id)\n".utf8))
        try file.sync()
        try file.close()
        do throws(Errno) {
            try root.link(draft, as: Self.idFile)
        } catch {
            guard error.number == EEXIST else { throw error }
        }
        try root.sync()
    }

    private func missing(_ error: Errno) -> SandboxError {
        SandboxError(
            .target, code: "root-missing",
            "The local root '\(path)' is missing (\(error.name)). Mount or make it; edits wait.")
    }
}
