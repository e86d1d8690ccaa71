internal import Glibc
internal import SyncCore

/// `.syncd/stage/`: a directory for each incarnation that may write, a plain file for each that
/// may not any more.
struct StageFolder: ~Copyable {
    /// Its name in `.syncd`.
    static let name = "stage"

    private let housekeeping: DirectoryDescriptor
    private let stages: DirectoryDescriptor
    private let sandbox: Name

    /// How often a stage is emptied while its owner goes on writing into it.
    private static let roundsMax = 100_000

    /// Opens the folder, made before if it is missing.
    ///
    /// - Parameter root: The sandbox's directory.
    init(in root: borrowing DirectoryDescriptor, of sandbox: Name) throws(SandboxError) {
        let housekeeping = try Self.made(EditPath.reserved, in: root, of: sandbox)
        stages = try Self.made(Self.name, in: housekeeping, of: sandbox)
        self.housekeeping = housekeeping
        self.sandbox = sandbox
    }

    private static func made(
        _ name: String, in directory: borrowing DirectoryDescriptor, of sandbox: Name
    ) throws(SandboxError) -> DirectoryDescriptor {
        do {
            return try directory.madeDirectory(name, mode: 0o700)
        } catch {
            throw error.failure("make the stages of", .place("sandbox '\(sandbox)'"))
        }
    }

    /// Makes the directory of an incarnation; nothing happens when something has its name.
    borrowing func make(_ stage: StageName) throws(SandboxError) {
        do throws(Errno) {
            try stages.makeDirectory("\(stage)", mode: 0o700)
        } catch {
            guard error.number != EEXIST else { return }
            throw error.failure("make stage '\(stage)' of", .place("sandbox '\(sandbox)'"))
        }
    }

    /// Ends all writes through a stage: when it returns, a plain file has its name.
    borrowing func revoke(_ stage: String) throws(SandboxError) {
        do throws(Errno) {
            for _ in 0..<Self.roundsMax {
                if try end(stage) { return }
            }
        } catch {
            throw error.failure("revoke stage '\(stage)' of", .place("sandbox '\(sandbox)'"))
        }
        throw SandboxError(
            .attempt, code: "EBUSY",
            "Could not revoke stage '\(stage)' of sandbox '\(sandbox)': its owner kept writing "
                + "into it for \(Self.roundsMax) rounds. Look for a worker that hangs.")
    }

    /// Names of all stages, standing and revoked.
    borrowing func names() throws(SandboxError) -> [String] {
        do {
            return try stages.names()
        } catch {
            throw error.failure("list the stages of", .place("sandbox '\(sandbox)'"))
        }
    }

    /// Makes the names durable.
    borrowing func sync() throws(SandboxError) {
        do {
            try stages.sync()
        } catch {
            throw error.failure("sync the stages of", .place("sandbox '\(sandbox)'"))
        }
    }

    /// One round: true when the plain file stands.
    ///
    /// The owner may put a file into the directory after it was emptied (ENOTEMPTY), and may make
    /// the directory between its removal and the making of the file (EEXIST).
    private borrowing func end(_ stage: String) throws(Errno) -> Bool {
        switch try stages.entry(stage)?.kind {
        case .file: return true
        case .directory:
            try empty(stage)
            do throws(Errno) {
                try stages.removeDirectory(stage)
            } catch {
                switch error.number {
                case ENOTEMPTY, EEXIST, ENOENT, ENOTDIR: return false
                default: throw error
                }
            }
        case .link, .special: try stages.removeFile(stage)
        case nil: break
        }
        do throws(Errno) {
            try stages.makeFile(stage, mode: 0o600).close()
        } catch {
            guard error.number == EEXIST else { throw error }
            return false
        }
        return true
    }

    private borrowing func empty(_ stage: String) throws(Errno) {
        let directory: DirectoryDescriptor
        do {
            directory = try stages.directory(stage)
        } catch {
            if error.number == ENOENT || error.number == ENOTDIR { return }
            throw error
        }
        for name in try directory.names() {
            do throws(Errno) {
                try directory.removeFile(name)
            } catch {
                switch error.number {
                case ENOENT: continue
                case EISDIR: try keep(name, of: directory, stage)
                default: throw error
                }
            }
        }
    }

    /// Moves a directory out of a stage: syncd put none there, so it is somebody's and stays.
    private borrowing func keep(
        _ name: String, of directory: borrowing DirectoryDescriptor, _ stage: String
    ) throws(Errno) {
        let chance = Hexadecimal.digits(of: UInt64.random(in: .min ... .max))
        try directory.rename(name, into: housekeeping, as: "found.\(chance)")
    }
}
