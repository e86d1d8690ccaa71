/// Name of a stage directory: `INCARNATION.GENERATION`.
package struct StageName: Hashable, Sendable, CustomStringConvertible {
    /// Whose writes are staged there.
    package let incarnation: Incarnation
    /// Which filling of the sandbox.
    package let generation: UInt64

    /// Pairs an incarnation with a generation.
    package init(incarnation: Incarnation, generation: UInt64) {
        self.incarnation = incarnation
        self.generation = generation
    }

    /// As text, for people and logs.
    package var description: String { "\(incarnation).\(generation)" }
}

/// What `.syncd/marker` of a sandbox says: whose it is, and whether it is the one that was filled.
package struct SandboxMarker: Sendable, Equatable {
    /// The journal whose edits it holds.
    package var journal: JournalID
    /// The one project it belongs to.
    package var project: ProjectName
    /// Which filling; counted by the coordinator, never used twice for a target.
    package var generation: UInt64
    /// Boot id of the machine that wrote it; a sandbox that is not fsynced is doubted after another
    /// boot.
    package var bootID: String
    /// A word that tells it from every other marker, also of the same filling.
    ///
    /// A worker whose first touch of a sandbox hangs may mark it long after another one has. If it
    /// was wiped in between, this alone tells that what the other one wrote is gone. At most 64
    /// printable characters of ASCII; what programs in the sandbox have made of it else is none.
    package let mark: String

    /// The mark of a marker that has none.
    package static let noMark = "none"

    private static let markBytesMax = 64

    /// Describes a marker.
    package init(
        journal: JournalID, project: ProjectName, generation: UInt64, bootID: String,
        mark: String = noMark
    ) {
        self.journal = journal
        self.project = project
        self.generation = generation
        self.bootID = bootID
        let isWord =
            (1...Self.markBytesMax).contains(mark.utf8.count)
            && mark.utf8.allSatisfy { (0x21...0x7E).contains($0) }
        self.mark = isWord ? mark : Self.noMark
    }

    /// Which one it is, if it is about the same filling as another one.
    package func mark(in other: SandboxMarker) -> String? {
        journal == other.journal && generation == other.generation ? mark : nil
    }

    /// Whether a sandbox that has it needs not be marked by another one.
    ///
    /// - Parameter isSynced: Whether what is written there outlives another boot.
    package func standsFor(_ other: SandboxMarker, isSynced: Bool) -> Bool {
        project == other.project && mark(in: other) != nil && (isSynced || bootID == other.bootID)
    }
}

extension AssignedTarget {
    /// What is wrong with a target, by the marker found there; nil when it is the one that was
    /// filled, or one that is still to be marked.
    ///
    /// One that a former journal of the store has filled is this pool's own, but what it holds
    /// is not known: it is filled anew, all other stages revoked, before it is taken over.
    ///
    /// - Parameters:
    ///   - wanted: The marker that it should have.
    ///   - former: Journals that the store belonged to before it was adopted.
    ///   - isSynced: Whether what is written there outlives another boot.
    package func finding(
        _ found: SandboxMarker?, wanted: SandboxMarker, former: [JournalID], isSynced: Bool
    ) -> TargetFinding? {
        guard let found else { return isMarked ? .blank : nil }
        if found.project != wanted.project { return .taken(by: "project \(found.project)") }
        if found.journal != wanted.journal {
            guard former.contains(found.journal) else {
                return .taken(by: "journal \(found.journal)")
            }
            return isMarked || !revokesOthers ? .rolledBack : nil
        }
        guard isMarked else { return nil }
        if found.generation != generation { return .rolledBack }
        return found.bootID != wanted.bootID && !isSynced ? .rebooted : nil
    }
}

/// One file's content on its way into a sandbox.
package struct SandboxEdit: Sendable {
    /// Where, below the sandbox's root.
    package let path: EditPath
    /// What it is to be.
    package let change: FileChange
    /// Fencing token, for back ends that keep it as metadata.
    package let sequence: EditSequence
    /// The store's version, likewise.
    package let version: Version
    /// Whether it is part of a refill, which many others are as well.
    package let isRefresh: Bool
    /// Whether it goes into a sandbox that is being filled.
    package var isIntoFilling = false
    /// A sandbox that is being filled becomes what the store says, whatever stands there.
    package var looksForDrift: Bool { !isRefresh && !isIntoFilling }

    /// Describes a write.
    package init(
        path: EditPath, change: FileChange, sequence: EditSequence, version: Version,
        isRefresh: Bool = false
    ) {
        self.path = path
        self.change = change
        self.sequence = sequence
        self.version = version
        self.isRefresh = isRefresh
    }
}

/// Why an attempt failed, by what is to be done about it (`design.md` §3; trace C8).
package enum FailureClass: String, Sendable, CaseIterable {
    /// This file can't be written there, now or later: EACCES, a name too long, a link out of the
    /// sandbox.
    case file
    /// This try failed, the next may not: EIO, EBUSY, a timeout.
    case attempt = "try"
    /// Something of another shape stands on the path: ENOTDIR, EISDIR, ENOTEMPTY (puts only).
    case shape
    /// The whole target is out of reach or full: ENOSPC, EROFS, missing root.
    case target
    /// The store does not answer.
    case store
    /// The worker lacks something: EMFILE, ENOMEM, its own stage directory is gone.
    case worker
}

/// A sandbox's failure.
///
/// After it, the file is as it was or as the edit says, never in between.
package struct SandboxError: Error, Sendable {
    /// What is to be done about it.
    package let failureClass: FailureClass
    /// Stable word for programs: `EACCES`, `revoked`, `not-marked` ….
    package let code: String
    /// What failed, why, and what to do; never file content.
    package let message: String
    /// The target's own wish for the next try.
    package let retryAfter: Duration?

    /// Describes a failure.
    package init(
        _ failureClass: FailureClass, code: String, _ message: String, retryAfter: Duration? = nil
    ) {
        self.failureClass = failureClass
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }

    /// A write that would have begun after the lease had run out: it is not made.
    package static let leaseOver = SandboxError(
        .worker, code: "lease-over", "The worker's lease ran out before the write began.")

    /// Code of a `worker` failure: this incarnation was revoked here and must register anew.
    package static let revokedCode = "revoked"

    /// A file that somebody else has changed, and that ``DriftPolicy/keep`` leaves as it is.
    ///
    /// - Parameter sandbox: As people know it, for instance "sandbox 'demo'".
    package static func drifted(_ path: EditPath, _ drift: Drift, in sandbox: String) -> Self {
        SandboxError(
            .file, code: driftedCode,
            "'\(path)' in \(sandbox) \(drift.finding), and is left as it is. Move it away there, "
                + "or write over it by 'syncd hydrate'; then retry the edit if it failed.")
    }

    /// Code of a `file` failure: somebody else's change is kept.
    package static let driftedCode = "drifted"
}

/// One sandbox, as one worker process sees it.
///
/// The contract, which one conformance suite runs over every implementation:
/// - Calls may come from any task, several at once for different paths, never two at once for one
///   path or for a path and its ancestor. Blocking work runs on the implementation's own threads.
/// - A put is atomic to readers: they see the old content or the new one, with its bit.
/// - Every write and delete goes through the stage directory that ``enter(_:)`` made; once
///   ``revoke(_:)`` of that stage has returned, in whatever process, no write through it takes
///   effect any more, even one that had begun.
/// - Every call is safe to repeat after any error, and by another incarnation.
/// - No lock is held across a call. No path and no symbolic link leads out of the sandbox.
package protocol SandboxWriter: Sendable {
    /// The marker; nil for a sandbox that is missing or blank. A missing place for sandboxes
    /// (`--local-root`) is a `target` failure instead (trace C9).
    func marker() async throws(SandboxError) -> SandboxMarker?

    /// Throws what any write would meet now: makes a small file under `.syncd/` and removes it, so
    /// that a full or read-only sandbox is not taken for well because it can be read. A
    /// sandbox that is missing is a `target` failure.
    func tryWriting() async throws(SandboxError)

    /// Writes the marker, making the sandbox if it is missing. Atomic; durable when it returns.
    ///
    /// - Returns: The marker that stands there: another one of the same filling is left, as far as
    ///   it is seen right before this one would come in its place.
    @discardableResult
    func mark(_ marker: SandboxMarker) async throws(SandboxError) -> SandboxMarker

    /// Makes the stage directory of an incarnation, once; when it is there already from this
    /// process, nothing happens; when a plain file of that name stands there: `worker`, `revoked`.
    func enter(_ stage: StageName) async throws(SandboxError)

    /// Ends every write through these stages for ever: empties and removes each directory and
    /// leaves a plain file of that name. With `others`, revokes all other names under
    /// `.syncd/stage/` as well, `keeping` excepted (the sandbox was found blank or rolled back).
    func revoke(
        _ stages: [StageName], others: Bool, keeping: StageName
    ) async throws(SandboxError)

    /// Makes one file what the edit says: staged, then renamed into place.
    ///
    /// An equal or older content is written again: the sandbox keeps no sequences. Missing parents
    /// are made, also again when a sibling's delete took one away meanwhile; an empty directory in
    /// the way of a put is removed. A delete removes a regular file or symbolic link, never a
    /// directory, then parents that it left empty; where a directory, nothing, or a file in the
    /// place of a parent stands, it is done.
    ///
    /// - Returns: What of somebody else's it wrote over, where somebody looks for that
    ///   (``DriftPolicy``); a change between the look and the rename is not seen.
    @discardableResult
    func apply(_ edit: SandboxEdit, through stage: StageName) async throws(SandboxError) -> Drift?

    /// Makes several files what the edits say, of different paths that are not each other's
    /// ancestors; returns when all have landed.
    ///
    /// One that hangs holds none of the others up, as far as there are threads.
    ///
    /// - Parameters:
    ///   - isLeased: Asked right before each write; one without a lease is not made
    ///     (``SandboxError/leaseOver``).
    ///   - landed: Called once for each edit, by its place, as soon as it has its result, from any
    ///     thread.
    func apply(
        _ edits: [SandboxEdit], through stage: StageName,
        isLeased: @escaping @Sendable () -> Bool,
        landed: @escaping @Sendable (Int, Result<Drift?, SandboxError>) -> Void
    ) async
}

extension SandboxWriter {
    /// Each edit in a task of its own, for sandboxes that are awaited and not blocked on.
    package func apply(
        _ edits: [SandboxEdit], through stage: StageName,
        isLeased: @escaping @Sendable () -> Bool,
        landed: @escaping @Sendable (Int, Result<Drift?, SandboxError>) -> Void
    ) async {
        await withDiscardingTaskGroup { group in
            for (place, edit) in edits.enumerated() {
                group.addTask {
                    guard isLeased() else { return landed(place, .failure(.leaseOver)) }
                    do throws(SandboxError) {
                        landed(place, .success(try await self.apply(edit, through: stage)))
                    } catch {
                        landed(place, .failure(error))
                    }
                }
            }
        }
    }
}

/// Opens the sandboxes that a worker can reach.
package protocol SandboxProvider: Sendable {
    /// Schemes it opens: `local`, `e2b`.
    var schemes: [String] { get }

    /// Identity of the local root (kept in it); nil when there is none. Two workers of one pool
    /// must agree (trace A10).
    func localRootID() async throws(SandboxError) -> String?

    /// The writer of a target; cheap; the same object for the same target. `file` class when the
    /// scheme is unknown.
    func writer(for target: TargetURL) throws(SandboxError) -> any SandboxWriter
}
