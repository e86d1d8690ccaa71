internal import Glibc
internal import SyncCore
internal import Synchronization

/// An incarnation's way into a sandbox: `.syncd/stage/INCARNATION.GENERATION/`.
///
/// Everything is written here and renamed into place, and deleted by a rename to here. Once the
/// directory has been emptied and removed, creates, renames out of it and renames into it fail in
/// the kernel with ENOENT, through a descriptor opened before as well (trace A5).
///
///     absent ──enter──▶ standing ──revoke (any process)──▶ revoked, for ever
final class StageDirectory: Sendable {
    /// The sandbox that the stage was found in; writes go nowhere else.
    ///
    /// Both are opened together, so that a sandbox put in the place of this one is never written
    /// through a stage that a revocation there can't reach.
    let sandbox: DirectoryDescriptor
    /// Which one it is: it is made once, so another one of its name is not it.
    let identity: DirectoryDescriptor.Identity
    /// Which directory the sandbox is.
    let sandboxIdentity: DirectoryDescriptor.Identity
    /// Whose stage it is, of which filling.
    let name: StageName

    private let stage: DirectoryDescriptor
    private let sandboxName: Name
    private let lead = Hexadecimal.digits(of: UInt64.random(in: .min ... .max)) + "-"
    private let count = Atomic<UInt64>(0)
    private let refusesMarks = Atomic<Bool>(false)

    /// Whether files here can be marked as written, so that it makes sense to look for drift.
    var keepsMarks: Bool { !refusesMarks.load(ordering: .relaxed) }

    /// The sandbox, as people know it.
    var sandboxText: String { "sandbox '\(sandboxName)'" }

    private static let modeOfFile: mode_t = 0o666
    private static let modeOfProgram: mode_t = 0o777

    /// Opens a stage directory that stands.
    ///
    /// - Parameter identity: Which one it must be; nil when it was not opened before.
    init(
        _ name: StageName, in sandbox: consuming DirectoryDescriptor, of sandboxName: Name,
        identity: DirectoryDescriptor.Identity?
    ) throws(SandboxError) {
        let found: DirectoryDescriptor.Identity
        do throws(Errno) {
            sandboxIdentity = try sandbox.identity()
            stage = try sandbox.directory(EditPath.reserved).directory(StageFolder.name)
                .directory("\(name)")
            found = try stage.identity()
        } catch {
            if [ENOENT, ENOTDIR, ELOOP].contains(error.number) {
                throw Self.revoked(name, sandboxName)
            }
            throw error.failure("open", .place("stage '\(name)' of sandbox '\(sandboxName)'"))
        }
        if let identity, identity != found { throw Self.revoked(name, sandboxName) }
        self.sandbox = sandbox
        self.name = name
        self.sandboxName = sandboxName
        self.identity = found
    }

    /// Writes a new file here; the umask applies to its mode.
    ///
    /// - Parameters:
    ///   - path: Where it is to go: noted, so that a later change by somebody else is noticed.
    ///   - isSynced: Whether it is durable when this returns.
    /// - Returns: Its name; the caller renames it into place or discards it.
    func stageFile(
        _ content: Content, isExecutable: Bool, for path: EditPath, isSynced: Bool
    ) throws(SandboxError) -> String {
        let mode = isExecutable ? Self.modeOfProgram : Self.modeOfFile
        var staged: String?
        do throws(Errno) {
            let name = nextName()
            let file = try stage.makeFile(name, mode: mode)
            staged = name
            try file.write(content)
            if keepsMarks, try !WrittenMark.put(on: file, for: path) {
                refusesMarks.store(true, ordering: .relaxed)
            }
            if isSynced { try file.sync() }
            try file.close()
            return name
        } catch {
            if let staged { discard(staged) }
            throw failure(error, "write a file into")
        }
    }

    /// Makes an empty file here, for a delete to rename onto.
    ///
    /// A directory that was put in the place of the file meanwhile can't be renamed onto it.
    func makeGrave() throws(SandboxError) -> String {
        do throws(Errno) {
            let name = nextName()
            try stage.makeFile(name, mode: 0o600).close()
            return name
        } catch {
            throw failure(error, "make a file in")
        }
    }

    /// Renames a staged file into a folder of the sandbox; ENOENT also when it was revoked.
    func rename(
        _ staged: String, into folder: borrowing DirectoryDescriptor, as name: String
    ) throws(Errno) {
        try stage.rename(staged, into: folder, as: name)
    }

    /// Renames a file of the sandbox onto a grave; ENOENT also when it was revoked.
    func bury(
        _ name: String, of folder: borrowing DirectoryDescriptor, in grave: String
    ) throws(Errno) {
        try folder.rename(name, into: stage, as: grave)
    }

    /// Removes a file of this stage, if it is there.
    func discard(_ staged: String) { try? stage.removeFile(staged) }

    /// Throws unless a file that was put here is here still and the stage stands.
    func check(holds staged: String) throws(SandboxError) {
        do throws(Errno) {
            if try stage.entry(staged) != nil { return }
        } catch {
            throw failure(error, "look into")
        }
        throw gone()
    }

    /// Throws when the stage has been revoked or its sandbox has been removed.
    func check() throws(SandboxError) {
        do throws(Errno) {
            if try stands() { return }
        } catch {
            throw failure(error, "look at")
        }
        throw gone()
    }

    /// A name that nobody has: a stage that is opened again begins at another random point.
    private func nextName() -> String {
        "\(lead)\(count.wrappingAdd(1, ordering: .relaxed).newValue)"
    }

    private func failure(_ error: Errno, _ action: String) -> SandboxError {
        // A directory that was removed answers ENOENT, on a file server ESTALE.
        if error.number == ENOENT || error.number == ESTALE {
            do throws(Errno) {
                if try !stands() { return gone() }
            } catch {}
        }
        return error.failure(action, .place("stage '\(name)' of sandbox '\(sandboxName)'"))
    }

    private func stands() throws(Errno) -> Bool {
        let path = "\(EditPath.reserved)/\(StageFolder.name)/\(name)"
        do {
            return try sandbox.entry(path)?.identity == identity
        } catch {
            if error.number == ENOTDIR { return false }
            throw error
        }
    }

    /// A sandbox that was removed whole is blank, which is not the incarnation's end (trace C9).
    private func gone() -> SandboxError {
        sandbox.isRemoved()
            ? LocalDirectoryWriter.missing(sandboxName) : Self.revoked(name, sandboxName)
    }

    static func revoked(_ name: StageName, _ sandbox: Name) -> SandboxError {
        SandboxError(
            .worker, code: SandboxError.revokedCode,
            "Stage '\(name)' of sandbox '\(sandbox)' was revoked or removed: its incarnation may "
                + "not write there any more. The worker registers as a new incarnation.")
    }
}
