package import SyncCore

/// A journal in memory that keeps what was committed and nothing else.
package struct JournalModel {
    package private(set) var snapshot: JournalSnapshot
    package private(set) var contents: [EditSequence: Content] = [:]
    private var rows: [EditSequence: JournalRow] = [:]
    private var projects: [ProjectName: ProjectRecord] = [:]
    private var incarnations: [Incarnation: IncarnationRecord] = [:]
    /// Whether the next commits fail with `unavailable`.
    package var isFull = false
    /// Whether only commits fail that write rows: what makes room still fits.
    package var takesNoRows = false
    /// Whether the next commits fail with `fatal`, as after an fsync that failed.
    package var isBroken = false

    package init(journal: JournalID, projects: [ProjectRecord] = []) {
        snapshot = JournalSnapshot(header: JournalHeader(journal: journal))
        snapshot.projects = projects
        for project in projects { self.projects[project.name] = project }
    }

    package mutating func commit(_ transaction: JournalTransaction) -> JournalError? {
        if isFull || (takesNoRows && !transaction.rowsWritten.isEmpty) {
            return JournalError(.unavailable, "The disk is full; make room.")
        }
        if isBroken { return JournalError(.fatal, "An fsync failed; look at the disk.") }
        for (from, to) in transaction.rowsRenumbered {
            guard let row = rows.removeValue(forKey: from) else { continue }
            rows[to] = row.renumbered(to)
            contents[to] = contents.removeValue(forKey: from)
        }
        for sequence in transaction.rowsRemoved {
            rows[sequence] = nil
            contents[sequence] = nil
        }
        for (row, content) in transaction.rowsWritten {
            rows[row.sequence] = row
            contents[row.sequence] = content
        }
        for row in transaction.rowsAmended { rows[row.sequence] = row }
        for project in transaction.projects { projects[project.name] = project }
        for record in transaction.incarnationsAdded { incarnations[record.incarnation] = record }
        for incarnation in transaction.incarnationsEnded { incarnations[incarnation] = nil }
        if let segment = transaction.events { snapshot.events.append(segment) }
        if let segment = transaction.acceptances { snapshot.acceptances.append(segment) }
        if let through = transaction.eventsTrimmedThrough {
            snapshot.events.removeAll { $0.turn <= through }
        }
        snapshot.acceptances.removeAll {
            transaction.acceptancesRemoved.contains($0.turn)
        }
        snapshot.header = transaction.header
        snapshot.lastTurn = transaction.turn
        snapshot.rows = rows.values.sorted { $0.sequence < $1.sequence }
        snapshot.projects = projects.values.sorted { $0.name < $1.name }
        snapshot.incarnations = incarnations.values.sorted {
            $0.incarnation.description < $1.incarnation.description
        }
        return nil
    }

    /// All events, unpacked, oldest first.
    package var events: [StatusEvent] {
        snapshot.events.flatMap { EventLogCodec.unpack($0) ?? [] }
    }
}

/// A store in memory, fenced as the contract says.
package struct StoreModel {
    package private(set) var versions: [FileKey: [StoredVersion]] = [:]
    package private(set) var highest = EditSequence.none
    package private(set) var journal: JournalID?
    /// Journals that it belonged to before.
    package private(set) var formerJournals: [JournalID] = []
    /// Whether every call fails.
    package var isAway = false
    /// Files whose rows somebody else holds: their edits alone can't be stored now.
    package var heldFiles: Set<FileKey> = []

    package init() {}

    package var identity: StoreIdentity {
        StoreIdentity(
            id: "00000000000000aa", journal: journal, highestSequence: highest,
            formerJournals: formerJournals)
    }

    /// Whether the store belongs to a journal now.
    @discardableResult
    package mutating func bind(to id: JournalID, isAdopted: Bool) -> Bool {
        if journal == nil || isAdopted {
            formerJournals = identity.formerJournals(after: id)
            journal = id
        }
        return journal == id
    }

    package mutating func apply(_ edits: [SequencedEdit]) -> Result<[Applied], StoreError> {
        if isAway { return .failure(StoreError(.unavailable, "The store does not answer.")) }
        return .success(edits.map { apply($0) })
    }

    private mutating func apply(_ edit: SequencedEdit) -> Applied {
        if heldFiles.contains(edit.file) { return .unavailable(reason: "The row is held.") }
        let newest = versions[edit.file]?.last
        if let newest, newest.sequence == edit.sequence { return .known(newest.version) }
        if let newest, newest.sequence > edit.sequence { return .stale(by: newest.sequence) }
        let current = newest?.version ?? .none
        if let expected = edit.expectedVersion, expected != current,
            newest?.id != edit.id || newest?.change != edit.change
        {
            return .conflict(current: current)
        }
        versions[edit.file, default: []].append(
            StoredVersion(
                path: edit.file.path, version: current.next, sequence: edit.sequence, id: edit.id,
                acceptedAt: edit.acceptedAt, change: edit.change))
        highest = max(highest, edit.sequence)
        return .applied(current.next)
    }

    package func newest(_ file: FileKey) -> StoredVersion? { versions[file]?.last }

    package func files(
        of project: ProjectName, after: EditPath?, countMax: Int
    ) -> [StoredFile] {
        let found = versions.compactMap { key, kept -> StoredFile? in
            guard key.project == project, after.map({ $0 < key.path }) ?? true,
                let newest = kept.last
            else { return nil }
            return StoredFile(
                path: key.path, version: newest.version, sequence: newest.sequence,
                isDeleted: newest.change.isDelete, isExecutable: newest.change.isExecutable,
                byteCount: newest.change.byteCount, digest: 0)
        }
        return Array(found.sorted { $0.path < $1.path }.prefix(countMax))
    }
}

/// A sandbox in memory: files, marker, stages; fenced by stage as the contract says.
package struct SandboxModel {
    package private(set) var files: [EditPath: FileChange] = [:]
    package var marker: SandboxMarker?
    package private(set) var stages: Set<StageName> = []
    package private(set) var revoked: Set<StageName> = []
    /// What every call answers while it is away.
    package var failure: SandboxError?
    /// What writes of a path answer.
    package var failures: [EditPath: SandboxError] = [:]
    /// What somebody else has done to files.
    private var drifts: [EditPath: Drift] = [:]

    package init() {}

    /// - Parameter former: Former journals of the store.
    package mutating func prepare(
        _ preparation: Preparation, former: [JournalID]
    ) -> Result<TargetFinding, SandboxError> {
        if let failure { return .failure(failure) }
        let finding = preparation.target.finding(
            marker, wanted: preparation.marker, former: former, isSynced: false)
        if let finding { return .success(finding) }
        let wanted = preparation.marker
        if !(marker?.standsFor(wanted, isSynced: false) ?? false) { marker = wanted }
        for debt in preparation.target.debts {
            revoke(StageName(incarnation: debt, generation: preparation.target.generation))
        }
        if preparation.target.revokesOthers {
            for stage in stages where stage != preparation.stage { revoke(stage) }
        }
        if revoked.contains(preparation.stage) {
            return .failure(
                SandboxError(.worker, code: SandboxError.revokedCode, "This stage is revoked."))
        }
        stages.insert(preparation.stage)
        return .success(.marked(as: marker?.mark))
    }

    private mutating func revoke(_ stage: StageName) {
        stages.remove(stage)
        revoked.insert(stage)
    }

    package mutating func write(
        _ edit: SandboxEdit, through stage: StageName
    ) -> Result<Drift?, SandboxError> {
        if let failure { return .failure(failure) }
        if let failure = failures[edit.path] { return .failure(failure) }
        guard stages.contains(stage) else {
            return .failure(
                SandboxError(.worker, code: SandboxError.revokedCode, "This stage is revoked."))
        }
        switch edit.change {
        case .delete: files[edit.path] = nil
        case .put:
            let isBlocked = files.keys.contains { $0 != edit.path && $0.isRelated(to: edit.path) }
            if isBlocked {
                return .failure(
                    SandboxError(.shape, code: "ENOTDIR", "Another shape is in the way."))
            }
            files[edit.path] = edit.change
        }
        let drift = drifts.removeValue(forKey: edit.path)
        return .success(edit.looksForDrift ? drift : nil)
    }

    /// Somebody else changes a file.
    package mutating func damage(_ path: EditPath, with change: FileChange) {
        drifts[path] = change == .delete ? nil : files[path] == nil ? .foreign : .changed
        files[path] = change == .delete ? nil : change
    }

    /// The sandbox comes back empty.
    package mutating func wipe() {
        files = [:]
        marker = nil
        stages = []
        revoked = []
    }
}
