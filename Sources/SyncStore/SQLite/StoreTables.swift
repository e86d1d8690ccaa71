internal import GRDB
internal import GRDBSQLite
internal import SyncCore

/// The store's tables, used on the connection's queue.
struct StoreTables {
    private let database: Database

    /// Works on an open connection.
    init(_ database: Database) { self.database = database }

    private func sql(_ text: String) throws -> SQLStatement { try SQLStatement(database, text) }

    /// Gives a store that was just made its identity.
    func makeMeta(_ id: String) throws {
        // Looked at first: an insert waits for other writers even when it inserts nothing.
        if try sql("SELECT 1 FROM meta").first(read: { $0.flag(0) }) == true { return }
        try sql(
            """
            INSERT INTO meta (id, store, journal, highest_sequence) VALUES (1, ?, NULL, 0)
            ON CONFLICT DO NOTHING
            """
        ).run(.text(id))
    }

    /// Id, journal, highest sequence and former journals.
    func identity() throws -> StoreIdentity {
        let meta = try sql("SELECT store, journal, highest_sequence, former_journals FROM meta")
        let found = try meta.first { row in
            StoreIdentity(
                id: row.text(0),
                journal: try row.optionalText(1).map { try Nonsense.unless(JournalID($0)) },
                highestSequence: EditSequence(row.integer(2)),
                formerJournals: try row.text(3).split(separator: " ").map {
                    try Nonsense.unless(JournalID($0))
                })
        }
        return try Nonsense.unless(found)
    }

    /// Makes the store belong to a journal unless it belongs to another; answers whose it is.
    func bind(to journal: JournalID, isAdopted: Bool) throws -> JournalID {
        let identity = try identity()
        if let owner = identity.journal, owner == journal || !isAdopted { return owner }
        let former = identity.formerJournals(after: journal).map(\.description)
        try sql("UPDATE meta SET journal = ?, former_journals = ?").run(
            .text(journal.description), .text(former.joined(separator: " ")))
        return journal
    }

    /// Applies edits in one transaction, one answer each.
    func apply(_ edits: [SequencedEdit], keeping versionsKept: Int) throws -> [Applied] {
        // Content and a row's other columns together; 8 KiB are more than those ever take.
        let bytesMax =
            Int(sqlite3_limit(database.sqliteConnection, SQLITE_LIMIT_LENGTH, -1)) - 8_192
        return try Connection.transaction(database) { _ in
            var answers: [Applied] = []
            var highest = EditSequence.none
            for edit in edits {
                guard edit.change.byteCount <= bytesMax else {
                    answers.append(
                        .refused(
                            reason:
                                "The content has \(edit.change.byteCount) bytes, but this store "
                                + "takes at most \(bytesMax). Make the file smaller."))
                    continue
                }
                let answer = try apply(edit, keeping: versionsKept)
                if case .applied = answer { highest = max(highest, edit.sequence) }
                answers.append(answer)
            }
            if highest > .none {
                try sql("UPDATE meta SET highest_sequence = max(highest_sequence, ?)")
                    .run(.integer(highest.value))
            }
            return answers
        }
    }

    private struct FileRow {
        let id: UInt64
        let sequence: EditSequence
        let version: Version
    }

    /// Sequence first, then the condition, so that a redelivery never meets its own version; one
    /// that comes again under a new sequence (``VersionedStore``) is known by its id.
    private func apply(_ edit: SequencedEdit, keeping versionsKept: Int) throws -> Applied {
        let current = try fileRow(edit.file)
        if let current {
            if edit.sequence == current.sequence { return .known(current.version) }
            if edit.sequence < current.sequence { return .stale(by: current.sequence) }
        }
        let version = current?.version ?? .none
        if let expected = edit.expectedVersion, expected != version,
            try !isMade(current, by: edit)
        {
            return .conflict(current: version)
        }
        let id = try write(edit, as: version.next, over: current?.id)
        try insertVersion(edit, version.next, ofFile: id)
        if version.next.value > UInt64(versionsKept) {
            try sql("DELETE FROM versions WHERE file = ? AND version <= ?")
                .run(.integer(id), .integer(version.next.value - UInt64(versionsKept)))
        }
        return .applied(version.next)
    }

    /// Whether an edit made the newest version of a file: its id and its content did.
    private func isMade(_ file: FileRow?, by edit: SequencedEdit) throws -> Bool {
        guard let file else { return false }
        return try sql(
            """
            SELECT 1 FROM versions v JOIN files f ON f.id = v.file
            WHERE v.file = ? AND v.version = ? AND v.producer = ? AND v.number = ?
                AND f.digest = ? AND f.is_delete = ?
            """
        ).first(
            .integer(file.id), .integer(file.version.value), .text(edit.id.producer.text),
            .integer(edit.id.number), .integer(edit.change.content?.digest ?? 0),
            .flag(edit.change.isDelete)
        ) { _ in true } ?? false
    }

    private func fileRow(_ file: FileKey) throws -> FileRow? {
        try sql("SELECT id, sequence, version FROM files WHERE project = ? AND path = ?")
            .first(.text(file.project.text), .text(file.path.text)) { row in
                FileRow(
                    id: row.integer(0), sequence: EditSequence(row.integer(1)),
                    version: Version(row.integer(2)))
            }
    }

    /// Writes the file's row and answers its id.
    private func write(
        _ edit: SequencedEdit, as version: Version, over id: UInt64?
    ) throws -> UInt64 {
        let digest: UInt64 =
            switch edit.change {
            case .put(let content, _): content.digest
            case .delete: 0
            }
        if let id {
            try sql(
                """
                UPDATE files SET sequence = ?, version = ?, is_delete = ?, is_executable = ?,
                    digest = ?, byte_count = ? WHERE id = ?
                """
            ).run(
                .integer(edit.sequence.value), .integer(version.value), .flag(edit.change.isDelete),
                .flag(edit.change.isExecutable), .integer(digest), .count(edit.change.byteCount),
                .integer(id))
            return id
        }
        try sql(
            """
            INSERT INTO files (project, path, sequence, version, is_delete, is_executable, digest,
                byte_count) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """
        ).run(
            .text(edit.file.project.text), .text(edit.file.path.text),
            .integer(edit.sequence.value), .integer(version.value), .flag(edit.change.isDelete),
            .flag(edit.change.isExecutable), .integer(digest), .count(edit.change.byteCount))
        return UInt64(bitPattern: database.lastInsertedRowID)
    }

    private func insertVersion(
        _ edit: SequencedEdit, _ version: Version, ofFile id: UInt64
    ) throws {
        let statement = try sql(
            """
            INSERT INTO versions (file, version, sequence, producer, number, accepted_at, is_delete,
                is_executable, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """)
        func insert(_ content: SQLValue) throws {
            try statement.run(
                .integer(id), .integer(version.value), .integer(edit.sequence.value),
                .text(edit.id.producer.text), .integer(edit.id.number),
                .integer(edit.acceptedAt.milliseconds), .flag(edit.change.isDelete),
                .flag(edit.change.isExecutable), content)
        }
        switch edit.change {
        case .put(let content, _):
            try content.withBytes { bytes in Result { try insert(.blob(bytes)) } }.get()
        case .delete: try insert(.null)
        }
    }
}

extension StoreTables {
    /// One version with its content, or the newest.
    func version(of file: FileKey, _ version: Version?) throws -> StoredVersion? {
        let statement = try sql(
            """
            SELECT v.version, v.sequence, v.producer, v.number, v.accepted_at, v.is_delete,
                v.is_executable, v.content
            FROM files f JOIN versions v ON v.file = f.id AND v.version = coalesce(?, f.version)
            WHERE f.project = ? AND f.path = ?
            """)
        return try statement.first(
            .optional(version?.value), .text(file.project.text), .text(file.path.text)
        ) { row in
            let content = row.flag(5) ? Content.empty : Content(row.bytes(7))
            return try Self.stored(row, path: file.path, content: content)
        }
    }

    /// The kept versions, newest first, without content.
    func history(of file: FileKey) throws -> [StoredVersion] {
        try sql(
            """
            SELECT v.version, v.sequence, v.producer, v.number, v.accepted_at, v.is_delete,
                v.is_executable
            FROM files f JOIN versions v ON v.file = f.id
            WHERE f.project = ? AND f.path = ? ORDER BY v.version DESC
            """
        ).rows(.text(file.project.text), .text(file.path.text)) { row in
            try Self.stored(row, path: file.path, content: .empty)
        }
    }

    /// A page of a project's listing, in byte order of paths.
    func files(of project: ProjectName, after path: EditPath?, countMax: Int) throws -> [StoredFile]
    {
        try sql(
            """
            SELECT path, version, sequence, is_delete, is_executable, byte_count, digest FROM files
            WHERE project = ? AND path > ? ORDER BY path LIMIT ?
            """
        ).rows(
            .text(project.text), .text(path?.text ?? ""), .count(min(max(countMax, 1), 10_000))
        ) { row in
            StoredFile(
                path: try row.path(0), version: Version(row.integer(1)),
                sequence: EditSequence(row.integer(2)), isDeleted: row.flag(3),
                isExecutable: row.flag(4), byteCount: try row.count(5), digest: row.integer(6))
        }
    }

    private static func stored(
        _ row: SQLRow, path: EditPath, content: Content
    ) throws -> StoredVersion {
        StoredVersion(
            path: path, version: Version(row.integer(0)), sequence: EditSequence(row.integer(1)),
            id: EditID(
                producer: try Nonsense.unless(ProducerID(row.text(2))), number: row.integer(3)),
            acceptedAt: Timestamp(milliseconds: row.integer(4)),
            change: row.flag(5) ? .delete : .put(content, isExecutable: row.flag(6)))
    }
}
