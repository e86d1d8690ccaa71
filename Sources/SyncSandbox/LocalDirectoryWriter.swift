internal import Glibc
package import SyncCore
internal import Synchronization

/// A sandbox that is a directory below the local root.
///
/// All calls go by descriptors from the sandbox's directory. A link on the way to a file is
/// followed where it stays inside the sandbox and is a `file` failure where it leads out; a link in
/// the place of the file itself is replaced or removed. A put is six system calls, four in the
/// sandbox's root: make, write and close the staged file, open the folder, rename, close. Two more
/// note what was written, one looks whether the file is new, and four whether it is as it was
/// written (``DriftPolicy``).
package final class LocalDirectoryWriter: SandboxWriter {
    private let name: Name
    private let root: LocalRoot
    private let pool: BlockingPool
    private let open: OpenStages
    private let policy: DriftPolicy
    private let isSynced: Bool
    /// Stages entered here and not known to be revoked, oldest first.
    private let entered = Mutex<[Entered]>([])

    private struct Entered {
        let stage: StageName
        let identity: DirectoryDescriptor.Identity
    }

    /// How many stages are remembered: one per incarnation and generation, of which one is in use.
    private static let enteredMax = 16

    init(
        name: Name, root: LocalRoot, pool: BlockingPool, open: OpenStages, policy: DriftPolicy,
        isSynced: Bool
    ) {
        self.name = name
        self.root = root
        self.pool = pool
        self.open = open
        self.policy = policy
        self.isSynced = isSynced
    }

    /// Reads the marker.
    package func marker() async throws(SandboxError) -> SandboxMarker? {
        try await pool.run(for: name.text) { () throws(SandboxError) in try self.readMarker() }
    }

    /// Writes a small file beside the marker and removes it.
    package func tryWriting() async throws(SandboxError) {
        try await pool.run(for: name.text) { () throws(SandboxError) in try self.tryBlocking() }
    }

    /// Writes the marker.
    package func mark(_ marker: SandboxMarker) async throws(SandboxError) -> SandboxMarker {
        try await pool.run(for: name.text) { () throws(SandboxError) in
            try self.writeMarker(marker)
        }
    }

    /// Makes the stage directory, once.
    package func enter(_ stage: StageName) async throws(SandboxError) {
        try await pool.run(for: name.text) { () throws(SandboxError) in
            try self.enterBlocking(stage)
        }
    }

    /// Puts a plain file in the place of each stage directory.
    package func revoke(
        _ stages: [StageName], others: Bool, keeping: StageName
    ) async throws(SandboxError) {
        try await pool.run(for: name.text) { () throws(SandboxError) in
            try self.revokeBlocking(stages, others: others, keeping: keeping)
        }
    }

    /// Stages the edit and renames it into place.
    package func apply(
        _ edit: SandboxEdit, through stage: StageName
    ) async throws(SandboxError) -> Drift? {
        try await pool.run(for: name.text) { () throws(SandboxError) in
            try self.make(edit, through: stage)
        }
    }

    /// Each edit as a job of its own: no task and no switch of threads between them.
    package func apply(
        _ edits: [SandboxEdit], through stage: StageName,
        isLeased: @escaping @Sendable () -> Bool,
        landed: @escaping @Sendable (Int, Result<Drift?, SandboxError>) -> Void
    ) async {
        await pool.runEach(of: edits.count, for: name.text) { place in
            guard isLeased() else { return landed(place, .failure(.leaseOver)) }
            do throws(SandboxError) {
                landed(place, .success(try self.make(edits[place], through: stage)))
            } catch {
                landed(place, .failure(error))
            }
        }
    }

    private func make(
        _ edit: SandboxEdit, through stage: StageName
    ) throws(SandboxError) -> Drift? {
        let standing = try standing(stage)
        let change = LocalChange(
            path: edit.path, stage: standing, policy: policy, looksForDrift: edit.looksForDrift,
            isSynced: isSynced)
        do throws(SandboxError) {
            let drift = try change.make(edit.change)
            try checkPlace(of: standing)
            return drift
        } catch {
            if error.code == SandboxError.driftedCode { try checkPlace(of: standing) }
            if error.code == SandboxError.revokedCode { forget(stage) }
            throw error
        }
    }

    /// Throws unless the sandbox of a stage is the one that stands under the root's path.
    ///
    /// One that was moved away while its descriptors are open takes writes as before, but nobody
    /// sees them where the sandbox should be; such a write is not *visible*.
    private func checkPlace(of stage: StageDirectory) throws(SandboxError) {
        let found: DirectoryDescriptor.Identity?
        do throws(Errno) {
            found = try DirectoryDescriptor.identity(path: "\(root.path)/\(name)")
        } catch {
            throw error.failure("look at", .place("sandbox '\(name)'"))
        }
        if found == stage.sandboxIdentity { return }
        // The next write opens it anew, and tells what is there by then.
        forget(stage.name)
        _ = try root.open()
        throw Self.missing(name)
    }

    // MARK: Marker

    /// More than a file system keeps back for its own needs, less than anybody misses.
    private static let trialBytes = 64 << 10

    private func tryBlocking() throws(SandboxError) {
        let root = try root.open()
        do throws(Errno) {
            let housekeeping = try root.directory(name.text).directory(EditPath.reserved)
            let trial = "trial.\(Hexadecimal.digits(of: UInt64.random(in: .min ... .max)))"
            let file = try housekeeping.makeFile(trial, mode: 0o600)
            defer { try? housekeeping.removeFile(trial) }
            try file.writeAll([UInt8](repeating: 0, count: Self.trialBytes))
            try file.close()
        } catch {
            if error.number == ENOENT { throw Self.missing(name) }
            throw error.failure("write a trial file into", .place("sandbox '\(name)'"))
        }
    }

    private func readMarker() throws(SandboxError) -> SandboxMarker? {
        let root = try root.open()
        let housekeeping: DirectoryDescriptor
        let birth: String
        do throws(Errno) {
            let sandbox = try root.directory(name.text)
            birth = try sandbox.birth()
            housekeeping = try sandbox.directory(EditPath.reserved)
        } catch {
            if error.number == ENOENT { return nil }
            throw error.failure("open", .place("sandbox '\(name)'"))
        }
        return try MarkerFile.read(in: housekeeping, born: birth, of: name)
    }

    private func writeMarker(_ marker: SandboxMarker) throws(SandboxError) -> SandboxMarker {
        let root = try root.open()
        let sandbox = try madeSandbox(in: root)
        let housekeeping: DirectoryDescriptor
        let birth: String
        do throws(Errno) {
            birth = try sandbox.birth()
            housekeeping = try sandbox.madeDirectory(EditPath.reserved, mode: 0o700)
        } catch {
            throw error.failure("make '\(EditPath.reserved)' of", .place("sandbox '\(name)'"))
        }
        let standing = try MarkerFile.write(
            marker, in: housekeeping, born: birth, of: name, isSynced: isSynced)
        do throws(Errno) {
            try sandbox.sync()
            try root.sync()
        } catch {
            throw error.failure("sync", .place("sandbox '\(name)'"))
        }
        return standing
    }

    private func madeSandbox(
        in root: borrowing DirectoryDescriptor
    ) throws(SandboxError) -> DirectoryDescriptor {
        do {
            return try root.madeDirectory(name.text, mode: 0o777)
        } catch {
            throw error.failure("make or open", .place("sandbox '\(name)'"))
        }
    }

    /// The sandbox's directory is gone: it is blank, which the next reading of the marker tells.
    static func missing(_ name: Name) -> SandboxError {
        SandboxError(
            .target, code: "sandbox-missing",
            "Sandbox '\(name)' was removed or moved. It is made again and filled; its edits wait.")
    }

    // MARK: Stages

    private func enterBlocking(_ stage: StageName) throws(SandboxError) {
        if isEntered(stage) {
            let standing = try standing(stage)
            do throws(SandboxError) {
                try standing.check()
            } catch {
                if error.code == SandboxError.revokedCode { forget(stage) }
                throw error
            }
            return
        }
        let sandbox = try madeSandbox(in: root.open())
        try StageFolder(in: sandbox, of: name).make(stage)
        let opened = try StageDirectory(stage, in: sandbox, of: name, identity: nil)
        entered.withLock { entered in
            if entered.contains(where: { $0.stage == stage }) { return }
            entered.append(Entered(stage: stage, identity: opened.identity))
            if entered.count > Self.enteredMax { entered.removeFirst() }
        }
        open.keep(opened, as: OpenStages.Key(sandbox: name, stage: stage))
    }

    private func revokeBlocking(
        _ stages: [StageName], others: Bool, keeping: StageName
    ) throws(SandboxError) {
        let sandbox = try madeSandbox(in: root.open())
        let folder = try StageFolder(in: sandbox, of: name)
        for stage in stages { try folder.revoke("\(stage)") }
        if others {
            for other in try folder.names() where other != "\(keeping)" {
                try folder.revoke(other)
            }
        }
        if isSynced { try folder.sync() }
    }

    private func isEntered(_ stage: StageName) -> Bool {
        entered.withLock { $0.contains { $0.stage == stage } }
    }

    /// A stage that was entered, opened again if it had to be closed.
    private func standing(_ stage: StageName) throws(SandboxError) -> StageDirectory {
        let key = OpenStages.Key(sandbox: name, stage: stage)
        if let standing = open.stage(key) { return standing }
        let known = entered.withLock { $0.first { $0.stage == stage } }
        guard let known else { throw StageDirectory.revoked(stage, name) }
        let sandbox: DirectoryDescriptor
        let root = try root.open()
        do throws(Errno) {
            sandbox = try root.directory(name.text)
        } catch {
            if error.number == ENOENT { throw Self.missing(name) }
            throw error.failure("open", .place("sandbox '\(name)'"))
        }
        let opened = try StageDirectory(stage, in: sandbox, of: name, identity: known.identity)
        open.keep(opened, as: key)
        return opened
    }

    /// Closes a stage that was revoked; entering it again finds the plain file.
    private func forget(_ stage: StageName) {
        open.drop(OpenStages.Key(sandbox: name, stage: stage))
    }
}
