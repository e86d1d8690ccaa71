package import SyncCore
internal import Synchronization

/// Opens sandboxes that are directories below one root: `local:NAME` is `ROOT/NAME`.
package final class LocalDirectoryProvider: SandboxProvider {
    /// The scheme of local sandboxes.
    package static let scheme = "local"

    /// Threads that may block in the file system, of which one sandbox has a quarter.
    package static let threadsDefault = 16
    /// Stage directories kept open, two descriptors each.
    package static let openStagesMaxDefault = 128

    private let root: LocalRoot
    private let pool: BlockingPool
    private let open: OpenStages
    private let policy: DriftPolicy
    private let isSynced: Bool
    private let writers = Mutex<[Name: LocalDirectoryWriter]>([:])

    /// Describes a root; nothing is opened or made before the first call.
    ///
    /// - Parameters:
    ///   - root: Path of a directory that exists; it is never made here, because a root that is
    ///     missing is one that is not mounted.
    ///   - fsync: Whether files are durable when a call returns. By default they are not, because
    ///     the store has them and a sandbox is filled again after a power cut.
    ///   - drift: What becomes of files that somebody else has changed.
    ///   - threads: How many calls may block at once.
    ///   - openStagesMax: How many stage directories are kept open.
    package init(
        root: String, fsync: Bool = false, drift: DriftPolicy = .report,
        threads: Int = threadsDefault, openStagesMax: Int = openStagesMaxDefault
    ) {
        self.root = LocalRoot(path: root)
        pool = BlockingPool(threads: threads)
        open = OpenStages(countMax: max(1, openStagesMax))
        policy = drift
        isSynced = fsync
    }

    /// Only directories of this machine.
    package var schemes: [String] { [Self.scheme] }

    /// The id that is kept in the root.
    package func localRootID() async throws(SandboxError) -> String? {
        try await pool.run(for: "") { () throws(SandboxError) in try self.root.id() }
    }

    /// The one writer of a directory below the root.
    package func writer(for target: TargetURL) throws(SandboxError) -> any SandboxWriter {
        guard target.scheme == Self.scheme else {
            throw SandboxError(
                .file, code: "unknown-scheme",
                "This worker has no sandboxes of scheme '\(target.scheme)', only '\(Self.scheme)'. "
                    + "Start a worker that has, or detach '\(target)'.")
        }
        return writers.withLock { writers in
            if let writer = writers[target.name] { return writer }
            let writer = LocalDirectoryWriter(
                name: target.name, root: root, pool: pool, open: open, policy: policy,
                isSynced: isSynced)
            writers[target.name] = writer
            return writer
        }
    }
}
