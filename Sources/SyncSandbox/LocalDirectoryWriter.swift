internal import Glibc
package import SyncCore
internal import Synchronization

/// A sandbox that is a directory below the local root.
///
/// All calls go by descriptors from the sandbox's directory. A link on the way to a file is
/// followed where it stays inside the sandbox and is a `file` failure where it leads out; a link in
/// the place of the file itself is replaced or removed. A put is six system calls, four in the
/// sandbox's root: make, write and close the staged file, open the folder, rename, close.
package final class LocalDirectoryWriter: SandboxWriter {
    private let name: Name
    private let root: LocalRoot
    private let pool: BlockingPool
    private let open: OpenStages
    private let isSynced: Bool
    /// Stages entered here and not known to be revoked, oldest first.
    private let entered = Mutex<[Entered]>([])

    private struct Entered {
        let stage: StageName
        let identity: DirectoryDescriptor.Identity
    }

    /// How many stages are remembered: one per incarnation and generation, of which one is in use.
    private static let enteredMax = 16

    init(name: Name, root: LocalRoot, pool: BlockingPool, open: OpenStages, isSynced: Bool) {
        self.name = name
        self.root = root
        self.pool = pool
        self.open = open
        self.isSynced = isSynced
    }

    /// Reads the marker.
    package func marker() async throws(SandboxError) -> SandboxMarker? {
        try await pool.run(for: name.text) { () throws(SandboxError) in try self.readMarker() }
    }

    /// Writes the marker.
    package func mark(_ marker: SandboxMarker) async throws(SandboxError) {
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
    ) async throws(SandboxError) {
        try await pool.run(for: name.text) { () throws(SandboxError) in
            let change = LocalChange(
                path: edit.path, stage: try self.standing(stage), isSynced: self.isSynced)
            do throws(SandboxError) {
                try change.make(edit.change)
            } catch {
                if error.code == SandboxError.revokedCode { self.forget(stage) }
                throw error
            }
        }
    }

    // MARK: Marker

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

    private func writeMarker(_ marker: SandboxMarker) throws(SandboxError) {
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
        try MarkerFile.write(marker, in: housekeeping, born: birth, of: name)
        do throws(Errno) {
            try sandbox.sync()
            try root.sync()
        } catch {
            throw error.failure("sync", .place("sandbox '\(name)'"))
        }
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
            "Sandbox '\(name)' was removed. It is made again and filled; its edits wait.")
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
