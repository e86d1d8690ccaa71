import SyncCore

/// The store: durable, fenced by sequence, and now and then out of reach.
struct SimulatedStore {
    /// A file's newest version with its content.
    private(set) var newest: [FileKey: StoredVersion] = [:]
    /// Edits that made a version, by sequence.
    private(set) var applied: [EditSequence: (file: FileKey, version: Version)] = [:]
    private(set) var highest = EditSequence.none
    private(set) var journal: JournalID?
    /// Journals that it belonged to before it was adopted.
    private(set) var formerJournals: [JournalID] = []
    /// Every call fails before this.
    var awayUntil: Nanoseconds = 0
    /// Calls take long before this.
    var slowUntil: Nanoseconds = 0
    /// Calls take effect and answer that they did not, before this.
    var forgetfulUntil: Nanoseconds = 0

    static let unavailable = StoreError(.unavailable, "The store does not answer; try again later.")

    /// As a registering worker reports it.
    var identity: StoreIdentity {
        StoreIdentity(
            id: "00000000000000aa", journal: journal, highestSequence: highest,
            formerJournals: formerJournals)
    }

    mutating func bind(to id: JournalID, isAdopted: Bool) -> StoreError? {
        if journal == nil || isAdopted {
            formerJournals = identity.formerJournals(after: id)
            journal = id
        }
        return journal == id ? nil : StoreError(.foreign, "The store has another journal.")
    }

    mutating func apply(_ edit: SequencedEdit) -> Applied {
        let last = newest[edit.file]
        if let last, last.sequence == edit.sequence { return .known(last.version) }
        if let last, last.sequence > edit.sequence { return .stale(by: last.sequence) }
        let current = last?.version ?? .none
        if let expected = edit.expectedVersion, expected != current,
            last?.id != edit.id || last?.change != edit.change
        {
            return .conflict(current: current)
        }
        newest[edit.file] = StoredVersion(
            path: edit.file.path, version: current.next, sequence: edit.sequence, id: edit.id,
            acceptedAt: edit.acceptedAt, change: edit.change)
        applied[edit.sequence] = (edit.file, current.next)
        highest = max(highest, edit.sequence)
        return .applied(current.next)
    }

    func files(of project: ProjectName, after: EditPath?, countMax: Int) -> [StoredFile] {
        let found = newest.compactMap { key, newest -> StoredFile? in
            guard key.project == project, after.map({ $0 < key.path }) ?? true else { return nil }
            return StoredFile(
                path: key.path, version: newest.version, sequence: newest.sequence,
                isDeleted: newest.change.isDelete, isExecutable: newest.change.isExecutable,
                byteCount: newest.change.byteCount,
                digest: newest.change.content?.digest ?? 0)
        }
        return Array(found.sorted { $0.path < $1.path }.prefix(countMax))
    }
}
