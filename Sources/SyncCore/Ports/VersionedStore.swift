/// Which journal a store belongs to: 64 random bits, drawn when the journal is made.
package struct JournalID: Hashable, Sendable, CustomStringConvertible {
    /// The bits.
    package let bits: UInt64

    /// Takes bits drawn by the caller.
    package init(bits: UInt64) { self.bits = bits }

    /// Reads sixteen hexadecimal digits.
    package init?(_ text: some StringProtocol) {
        guard let bits = Hexadecimal.value(of: text) else { return nil }
        self.bits = bits
    }

    /// As text, for people and logs.
    package var description: String { Hexadecimal.digits(of: bits) }
}

/// What a store says of itself.
package struct StoreIdentity: Sendable, Equatable {
    /// Sixteen hexadecimal digits kept in the store: two paths to one store give the same.
    package let id: String
    /// The journal whose sequences it holds; nil until ``VersionedStore/bind(to:)``.
    package let journal: JournalID?
    /// Highest sequence ever applied.
    package let highestSequence: EditSequence
    /// Journals that it belonged to before it was adopted.
    ///
    /// Sandboxes that name one of them are its pool's. Not said in a registration.
    package let formerJournals: [JournalID]

    /// Describes a store.
    package init(
        id: String, journal: JournalID?, highestSequence: EditSequence,
        formerJournals: [JournalID] = []
    ) {
        self.id = id
        self.journal = journal
        self.highestSequence = highestSequence
        self.formerJournals = formerJournals
    }

    /// Its former journals once it belongs to another one; each is named once.
    package func formerJournals(after next: JournalID) -> [JournalID] {
        (formerJournals + [journal].compactMap(\.self)).filter { $0 != next }
    }
}

/// An accepted edit on its way into the store.
package struct SequencedEdit: Sendable {
    /// Fencing token.
    package let sequence: EditSequence
    /// Which file.
    package let file: FileKey
    /// What it is now.
    package let change: FileChange
    /// The version it must be built on; nil: any.
    package let expectedVersion: Version?
    /// Who pushed it.
    package let id: EditID
    /// When it was accepted, by the coordinator's wall clock.
    package let acceptedAt: Timestamp

    /// Describes an edit for the store.
    package init(
        sequence: EditSequence, file: FileKey, change: FileChange, expectedVersion: Version?,
        id: EditID, acceptedAt: Timestamp
    ) {
        self.sequence = sequence
        self.file = file
        self.change = change
        self.expectedVersion = expectedVersion
        self.id = id
        self.acceptedAt = acceptedAt
    }
}

/// What the store did with one edit.
package enum Applied: Sendable, Equatable {
    /// New: the file has this version now.
    case applied(Version)
    /// The same sequence was applied before and gave this version.
    case known(Version)
    /// A higher sequence was applied before; nothing changed. The holder of the edit is a zombie.
    case stale(by: EditSequence)
    /// The expected version was not met; nothing changed.
    case conflict(current: Version)
    /// This edit alone can't be stored (too large for this store, for instance); nothing changed.
    case refused(reason: String)
    /// This edit alone can't be stored now (somebody holds its row); nothing changed: ask again.
    case unavailable(reason: String)
}

/// One version of one file.
package struct StoredVersion: Sendable, Equatable {
    /// Which file.
    package let path: EditPath
    /// Its count.
    package let version: Version
    /// The edit that made it.
    package let sequence: EditSequence
    /// Who pushed it.
    package let id: EditID
    /// When it was accepted.
    package let acceptedAt: Timestamp
    /// Put or delete; content as far as the call promises it.
    package let change: FileChange

    /// Describes a version.
    package init(
        path: EditPath, version: Version, sequence: EditSequence, id: EditID,
        acceptedAt: Timestamp, change: FileChange
    ) {
        self.path = path
        self.version = version
        self.sequence = sequence
        self.id = id
        self.acceptedAt = acceptedAt
        self.change = change
    }
}

/// One line of a project's listing: the newest version, without content.
package struct StoredFile: Sendable, Equatable {
    /// Which file.
    package let path: EditPath
    /// Newest version.
    package let version: Version
    /// The edit that made it.
    package let sequence: EditSequence
    /// Whether the newest version is a delete (a tombstone).
    package let isDeleted: Bool
    /// Executable bit.
    package let isExecutable: Bool
    /// Bytes of content.
    package let byteCount: Int
    /// ``Content/digest`` of the content; 0 for a tombstone.
    package let digest: UInt64

    /// Describes a file.
    package init(
        path: EditPath, version: Version, sequence: EditSequence, isDeleted: Bool,
        isExecutable: Bool, byteCount: Int, digest: UInt64
    ) {
        self.path = path
        self.version = version
        self.sequence = sequence
        self.isDeleted = isDeleted
        self.isExecutable = isExecutable
        self.byteCount = byteCount
        self.digest = digest
    }
}

/// A store's failure; nothing of the call took effect unless the same call, repeated, says so.
package struct StoreError: Error, Sendable {
    /// Kinds of failure.
    package enum Code: String, Sendable {
        /// Not answering, busy past its timeout, disk full: try again later.
        case unavailable
        /// What was read back makes no sense, or an fsync failed: a person must look.
        case corrupt
        /// The store belongs to another journal.
        case foreign
    }

    /// What kind.
    package let code: Code
    /// What failed, why, and what to do; never file content.
    package let message: String

    /// Describes a failure.
    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// Where every file's versions live, durable, fenced by sequence.
///
/// The contract, which one conformance suite runs over every implementation:
/// - Calls may come from any task, several at once; implementations bring their own thread or queue
///   and never block the caller's.
/// - ``apply(_:)`` is safe to repeat, whole or in part, by another process too, and after any
///   error: an edit that had been applied answers `known` with the version it got.
/// - A file's sequence never goes down: an edit with a lower one than the last applied is `stale`;
///   with an equal one `known`, before its condition is looked at.
/// - A condition is met by the version that it names, and by one that the edit made itself (same
///   ``EditID`` and content) while that is the newest: after an adoption a restored journal brings
///   edits again that had been applied under another sequence. They get a version of their own.
/// - When a call returns, its effects survive a power cut.
/// - After ``StoreError`` the store can be called again.
package protocol VersionedStore: Sendable {
    /// Id, journal, highest sequence and former journals.
    func identity() async throws(StoreError) -> StoreIdentity

    /// Makes the store belong to a journal. Safe to repeat; `foreign` if it belongs to another,
    /// unless `isAdopted`, which replaces it; that one is a former journal from then on.
    func bind(to journal: JournalID, isAdopted: Bool) async throws(StoreError)

    /// Makes edits durable in one transaction where possible, one answer each, in order.
    ///
    /// At most one edit per file in one call. If the transaction fails as a whole, items are tried
    /// alone, so that one bad item harms no other (trace C7). Only unavailability and corruption
    /// are thrown.
    func apply(_ edits: [SequencedEdit]) async throws(StoreError) -> [Applied]

    /// One version with its content: the newest, or the asked one while it is kept (the last *n*).
    /// Nil when there is none.
    func version(of file: FileKey, _ version: Version?) async throws(StoreError) -> StoredVersion?

    /// The kept versions of a file, newest first; `change` of a put carries empty content.
    func history(of file: FileKey) async throws(StoreError) -> [StoredVersion]

    /// Files of a project in byte order of their paths, tombstones included, after a path.
    ///
    /// - Parameter countMax: Page size, 1...10,000; fewer come only at the end.
    func files(
        of project: ProjectName, after path: EditPath?, countMax: Int
    ) async throws(StoreError) -> [StoredFile]
}
