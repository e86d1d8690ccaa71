internal import SyncCore

/// The store's tables, used on a lane's thread.
struct PostgresTables {
    let connection: PostgresConnection
    let deadline: PostgresDeadline

    /// Id, journal, highest sequence and former journals.
    func identity() throws(PostgresFailure) -> StoreIdentity {
        let rows = try connection.query(
            "read the identity of the store",
            """
            SELECT store, journal, array_to_string(former_journals, ' '),
                coalesce((SELECT max(sequence) FROM syncd.versions), 0) FROM syncd.meta
            """, until: deadline)
        guard rows.count == 1 else { throw nonsense() }
        var former: [JournalID] = []
        for word in rows.text(0, 2).split(separator: " ") {
            former.append(try sensible(JournalID(word)))
        }
        var journal: JournalID?
        if let text = rows.optionalText(0, 1) { journal = try sensible(JournalID(text)) }
        return StoreIdentity(
            id: rows.text(0, 0), journal: journal,
            highestSequence: EditSequence(rows.integer(0, 3)), formerJournals: former)
    }

    /// Makes the store belong to a journal unless it belongs to another; answers whose it is.
    func bind(to journal: JournalID, isAdopted: Bool) throws(PostgresFailure) -> JournalID {
        let task = "bind the store to a journal"
        _ = try connection.query(
            task,
            """
            UPDATE syncd.meta SET journal = $1::text, former_journals = array_remove(
                CASE WHEN journal IS NULL THEN former_journals
                    ELSE array_append(array_remove(former_journals, journal), journal) END,
                $1::text)
            WHERE journal IS NULL OR (journal <> $1::text AND $2::boolean)
            """, [.text(journal.description), .flag(isAdopted)], until: deadline)
        let rows = try connection.query(
            task, "SELECT journal FROM syncd.meta WHERE journal IS NOT NULL", until: deadline)
        guard rows.count == 1 else { throw nonsense() }
        return try sensible(JournalID(rows.text(0, 0)))
    }

    /// One version with its content, or the newest.
    func version(
        of file: FileKey, _ version: Version?
    ) throws(PostgresFailure) -> StoredVersion? {
        let rows = try connection.query(
            "read a version from the store",
            """
            SELECT v.version, v.sequence, v.producer, v.number, v.accepted_at, v.is_delete,
                v.is_executable, v.content
            FROM syncd.files f
                JOIN syncd.versions v ON v.file = f.id
                    AND v.version = coalesce($3::bigint, f.version)
            WHERE f.project = $1::text AND f.path = $2::text
            """,
            [.text(file.project.text), .text(file.path.text), .optional(version?.value)],
            until: deadline)
        guard rows.count > 0 else { return nil }
        let content = rows.flag(0, 5) ? Content.empty : Content(rows.bytes(0, 7))
        return try stored(rows, 0, path: file.path, content: content)
    }

    /// The kept versions, newest first, without content.
    func history(of file: FileKey) throws(PostgresFailure) -> [StoredVersion] {
        let rows = try connection.query(
            "read a history from the store",
            """
            SELECT v.version, v.sequence, v.producer, v.number, v.accepted_at, v.is_delete,
                v.is_executable
            FROM syncd.files f JOIN syncd.versions v ON v.file = f.id
            WHERE f.project = $1::text AND f.path = $2::text ORDER BY v.version DESC
            """, [.text(file.project.text), .text(file.path.text)], until: deadline)
        var versions: [StoredVersion] = []
        for row in 0..<rows.count {
            versions.append(try stored(rows, row, path: file.path, content: .empty))
        }
        return versions
    }

    /// A page of a project's listing, in byte order of paths.
    func files(
        of project: ProjectName, after path: EditPath?, countMax: Int
    ) throws(PostgresFailure) -> [StoredFile] {
        let rows = try connection.query(
            "list files of the store",
            """
            SELECT path, version, sequence, is_delete, is_executable, byte_count, digest
            FROM syncd.files WHERE project = $1::text AND path > $2::text
            ORDER BY path LIMIT $3::bigint
            """,
            [
                .text(project.text), .text(path?.text ?? ""),
                .integer(UInt64(min(max(countMax, 1), 10_000))),
            ], until: deadline)
        var files: [StoredFile] = []
        for row in 0..<rows.count {
            files.append(
                StoredFile(
                    path: try sensible(try? EditPath(rows.text(row, 0))),
                    version: Version(rows.integer(row, 1)),
                    sequence: EditSequence(rows.integer(row, 2)), isDeleted: rows.flag(row, 3),
                    isExecutable: rows.flag(row, 4),
                    byteCount: Int(truncatingIfNeeded: rows.integer(row, 5)),
                    digest: rows.integer(row, 6)))
        }
        return files
    }

    private func stored(
        _ rows: PostgresRows, _ row: Int, path: EditPath, content: Content
    ) throws(PostgresFailure) -> StoredVersion {
        StoredVersion(
            path: path, version: Version(rows.integer(row, 0)),
            sequence: EditSequence(rows.integer(row, 1)),
            id: EditID(
                producer: try sensible(ProducerID(rows.text(row, 2))),
                number: rows.integer(row, 3)),
            acceptedAt: Timestamp(milliseconds: rows.integer(row, 4)),
            change: rows.flag(row, 5)
                ? .delete : .put(content, isExecutable: rows.flag(row, 6)))
    }

    private func sensible<T>(_ value: T?) throws(PostgresFailure) -> T {
        guard let value else { throw nonsense() }
        return value
    }

    private func nonsense() -> PostgresFailure {
        PostgresFailure(
            .corrupt,
            "What was read from the store at \(connection.place) makes no sense. Stop syncd, keep "
                + "a copy of the database, and restore it from a backup.")
    }
}
