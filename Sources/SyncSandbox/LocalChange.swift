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
    private let isSynced: Bool

    /// How often a put meets parents that a sibling's delete took away, or a directory in its way.
    private static let roundsMax = 1_000

    init(path: EditPath, stage: StageDirectory, isSynced: Bool) {
        self.path = path
        self.stage = stage
        self.isSynced = isSynced
        (folder, name) = Self.split(path.text)
    }

    /// Does it.
    func make(_ change: FileChange) throws(SandboxError) {
        switch change {
        case .put(let content, let isExecutable):
            let staged = try stage.stageFile(
                content, isExecutable: isExecutable, isSynced: isSynced)
            do throws(SandboxError) {
                try place(staged)
            } catch {
                stage.discard(staged)
                throw error
            }
        case .delete: try delete()
        }
    }

    /// Folder and last segment of a path; the folder of a file in the root is empty.
    private static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return ("", path) }
        return (String(path[..<slash]), String(path[path.utf8.index(after: slash)...]))
    }

    // MARK: Put

    private func place(_ staged: String) throws(SandboxError) {
        for _ in 0..<Self.roundsMax {
            let failure: Errno
            do throws(Errno) {
                try rename(staged)
                return
            } catch {
                failure = error
            }
            switch failure.number {
            case ENOENT, ESTALE:
                try stage.check(holds: staged)
                if failure.number == ESTALE { throw failure.failure("write", .file(path)) }
                try makeFolders()
            case EISDIR, EEXIST, ENOTEMPTY: try clear()
            default: throw failure.failure("write", .file(path))
            }
        }
        throw Errno(EBUSY).failure("find a folder that stays for", .file(path))
    }

    private func rename(_ staged: String) throws(Errno) {
        try within(folder) { directory throws(Errno) in
            try stage.rename(staged, into: directory, as: name)
            if isSynced { try directory.sync() }
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

    // MARK: Delete

    private func delete() throws(SandboxError) {
        var grave: String?
        do throws(SandboxError) {
            guard try isFile() else {
                try stage.check()
                return prune()
            }
            let made = try stage.makeGrave()
            grave = made
            try bury(in: made)
            stage.discard(made)
            prune()
        } catch {
            if let grave { stage.discard(grave) }
            throw error
        }
    }

    /// Whether a regular file or a link stands there.
    private func isFile() throws(SandboxError) -> Bool {
        do throws(Errno) {
            return try within(folder) { directory throws(Errno) in
                let kind = try directory.entry(name)?.kind
                return kind == .file || kind == .link
            }
        } catch {
            switch error.number {
            case ENOENT, ENOTDIR: return false
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
