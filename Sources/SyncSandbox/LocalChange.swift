internal import Glibc
internal import SyncCore

/// One put or delete on its way into a sandbox's directory.
///
/// Its calls block, so it is made on a ``BlockingPool``.
struct LocalChange {
    private let path: EditPath
    private let folder: String
    private let name: String
    private let stage: StageDirectory
    private let policy: DriftPolicy
    private let looks: Bool
    private let isSynced: Bool

    /// How often a put meets parents that a sibling's delete took away, or a directory in its way.
    private static let roundsMax = 1_000

    /// - Parameters:
    ///   - policy: What becomes of somebody else's changes.
    ///   - looksForDrift: Whether somebody looks for them this time.
    init(
        path: EditPath, stage: StageDirectory, policy: DriftPolicy, looksForDrift: Bool,
        isSynced: Bool
    ) {
        self.path = path
        self.stage = stage
        self.policy = policy
        looks = policy.looks && looksForDrift
        self.isSynced = isSynced
        (folder, name) = Self.split(path.text)
    }

    /// Does it.
    ///
    /// - Returns: What of somebody else's it was written over.
    func make(_ change: FileChange) throws(SandboxError) -> Drift? {
        switch change {
        case .put(let content, let isExecutable):
            let staged = try stage.stageFile(
                content, isExecutable: isExecutable, for: path, isSynced: isSynced)
            do throws(SandboxError) {
                return try place(staged)
            } catch {
                stage.discard(staged)
                throw error
            }
        case .delete: return try delete()
        }
    }

    /// Folder and last segment of a path; the folder of a file in the root is empty.
    private static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return ("", path) }
        return (String(path[..<slash]), String(path[path.utf8.index(after: slash)...]))
    }

    // MARK: Put

    private func place(_ staged: String) throws(SandboxError) -> Drift? {
        for _ in 0..<Self.roundsMax {
            let placed: Placed
            do throws(Errno) {
                placed = try rename(staged)
            } catch {
                try clearWay(of: staged, after: error)
                continue
            }
            switch placed {
            case .done(let drift): return drift
            case .kept(let drift): throw .drifted(path, drift, in: stage.sandboxText)
            }
        }
        throw Errno(EBUSY).failure("find a folder that stays for", .file(path))
    }

    /// Mends what made a rename fail, or throws what it means.
    private func clearWay(of staged: String, after error: Errno) throws(SandboxError) {
        switch error.number {
        case ENOENT, ESTALE:
            try stage.check(holds: staged)
            if error.number == ESTALE { throw error.failure("write", .file(path)) }
            try makeFolders()
        case EISDIR, EEXIST, ENOTEMPTY: try clear()
        default: throw error.failure("write", .file(path))
        }
    }

    /// What a put found, and did.
    private enum Placed { case done(Drift?), kept(Drift) }

    private func rename(_ staged: String) throws(Errno) -> Placed {
        try within(folder) { directory throws(Errno) in
            let drift = try drift(in: directory)
            if let drift, policy == .keep { return .kept(drift) }
            try stage.rename(staged, into: directory, as: name)
            if isSynced { try directory.sync() }
            return .done(drift)
        }
    }

    /// Makes the parents that are missing, from the deepest one that is there.
    ///
    /// What is taken away meanwhile is made in the next round.
    private func makeFolders() throws(SandboxError) {
        var folders = [folder]
        while let last = folders.last, !last.isEmpty { folders.append(Self.split(last).folder) }
        do throws(Errno) {
            for index in folders.indices.dropFirst() {
                do throws(Errno) {
                    try within(folders[index]) { directory throws(Errno) in
                        try makeFolders(folders[..<index].reversed(), in: directory)
                    }
                    return
                } catch {
                    guard error.number == ENOENT else { throw error }
                }
            }
        } catch {
            throw error.failure("make the folder of", .file(path))
        }
    }

    /// Makes folders, each inside the one before.
    private func makeFolders(
        _ paths: [String], in directory: borrowing DirectoryDescriptor
    ) throws(Errno) {
        guard let path = paths.first else { return }
        let name = Self.split(path).name
        let made = try directory.madeDirectory(name, mode: 0o777)
        if isSynced { try directory.sync() }
        try makeFolders(Array(paths.dropFirst()), in: made)
    }

    /// Removes an empty directory in the way of the file.
    private func clear() throws(SandboxError) {
        do throws(Errno) {
            try within(folder) { directory throws(Errno) in try directory.removeDirectory(name) }
        } catch {
            switch error.number {
            case ENOENT, ENOTDIR: return
            case ENOTEMPTY, EEXIST: throw Errno(EISDIR).failure("write", .file(path))
            default: throw error.failure("remove the directory in the way of", .file(path))
            }
        }
    }

    /// What somebody else has made of the file.
    ///
    /// A look that fails is none when the file is written over all the same.
    private func drift(in directory: borrowing DirectoryDescriptor) throws(Errno) -> Drift? {
        guard looks, stage.keepsMarks else { return nil }
        do throws(Errno) {
            return try directory.drift(of: name, at: path)
        } catch {
            if policy == .keep { throw error }
            return nil
        }
    }

    // MARK: Delete

    private func delete() throws(SandboxError) -> Drift? {
        var grave: String?
        do throws(SandboxError) {
            let drift: Drift?
            switch try found() {
            case .nothing:
                try stage.check()
                prune()
                return nil
            case .file(let found): drift = found
            }
            if let drift, policy == .keep {
                throw SandboxError.drifted(path, drift, in: stage.sandboxText)
            }
            let made = try stage.makeGrave()
            grave = made
            try bury(in: made)
            stage.discard(made)
            prune()
            return drift
        } catch {
            if let grave { stage.discard(grave) }
            throw error
        }
    }

    private enum Found { case nothing, file(Drift?) }

    /// Whether a regular file or a link stands there.
    private func found() throws(SandboxError) -> Found {
        do throws(Errno) {
            return try within(folder) { directory throws(Errno) in
                let kind = try directory.entry(name)?.kind
                guard kind == .file || kind == .link else { return .nothing }
                return .file(try drift(in: directory))
            }
        } catch {
            switch error.number {
            case ENOENT, ENOTDIR: return .nothing
            default: throw error.failure("delete", .file(path))
            }
        }
    }

    /// Renames the file onto the grave; done as well when it is gone or a directory by now.
    private func bury(in grave: String) throws(SandboxError) {
        do throws(Errno) {
            try within(folder) { directory throws(Errno) in
                try stage.bury(name, of: directory, in: grave)
                if isSynced { try directory.sync() }
            }
        } catch {
            switch error.number {
            case ENOENT: try stage.check(holds: grave)
            case ENOTDIR: return
            default: throw error.failure("delete", .file(path))
            }
        }
    }

    /// Removes parents as far as they are empty.
    ///
    /// What can't be removed stays: the file is gone. Also after a delete that found nothing,
    /// because an earlier attempt may have got no further than the file.
    private func prune() {
        var folder = folder
        while !folder.isEmpty {
            let (parent, name) = Self.split(folder)
            do throws(Errno) {
                try within(parent) { directory throws(Errno) in
                    try directory.removeDirectory(name)
                    if isSynced { try directory.sync() }
                }
            } catch {
                guard error.number == ENOENT else { return }
            }
            folder = parent
        }
    }

    /// Calls with a folder of the sandbox; the empty path is the sandbox itself.
    private func within<Answer>(
        _ folder: String,
        _ body: (borrowing DirectoryDescriptor) throws(Errno) -> Answer
    ) throws(Errno) -> Answer {
        if folder.isEmpty { return try body(stage.sandbox) }
        let directory = try stage.sandbox.beneath(folder, isReadable: isSynced)
        return try body(directory)
    }
}
