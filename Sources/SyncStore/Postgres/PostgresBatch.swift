internal import SyncCore

/// Edits on their way into the tables: one statement, one message, one transaction.
///
/// Not a pipeline of statements: a client that is stopped between two of them would hold the rows
/// of the first, and the server counts no time against a session that waits for the rest of a
/// pipeline.
struct PostgresBatch {
    private let edits: [SequencedEdit]
    private let versionsKept: Int
    private let lockWait: Duration

    /// Takes edits of different files.
    ///
    /// - Parameter lockWait: How long the statement waits for a row that another session holds.
    init(_ edits: [SequencedEdit], keeping versionsKept: Int, lockWait: Duration) {
        self.edits = edits
        self.versionsKept = versionsKept
        self.lockWait = lockWait
    }

    /// Decides, writes and answers, in one snapshot.
    ///
    /// What is written depends on what the snapshot shows (`before`), and is written only where the
    /// file still has that version when its row is locked; else the edit is left undecided. Rows
    /// are locked in the order of their names, so batches wait for each other but never in a
    /// circle. The two settings are of this transaction only, whosever session it is in a pooler;
    /// they are set before the first row is locked, because the rows are joined to them.
    private static let statement = """
        WITH durable AS MATERIALIZED (
            SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true) AS level,
                set_config('lock_timeout', $13::text, true) AS patience
        ), input AS MATERIALIZED (
            SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[],
                $5::boolean[], $6::boolean[], $7::bigint[], $8::bytea[], $9::text[],
                $10::bigint[], $11::bigint[])
            WITH ORDINALITY AS t (project, path, sequence, expected, is_delete, is_executable,
                digest, content, producer, number, accepted_at, place)
        ), before AS MATERIALIZED (
            SELECT i.place, f.sequence, f.version, v.file IS NOT NULL AS is_own
            FROM input i JOIN syncd.files f ON f.project = i.project AND f.path = i.path
                LEFT JOIN syncd.versions v ON i.expected <> f.version AND v.file = f.id
                    AND v.version = f.version AND v.producer = i.producer AND v.number = i.number
                    AND f.digest = i.digest AND f.is_delete = i.is_delete
        ), written AS (
            INSERT INTO syncd.files AS f (project, path, sequence, version, is_delete,
                is_executable, digest, byte_count)
            SELECT i.project, i.path, i.sequence, coalesce(b.version, 0) + 1, i.is_delete,
                i.is_executable, i.digest, coalesce(length(i.content), 0)
            FROM input i CROSS JOIN durable LEFT JOIN before b USING (place)
            WHERE i.sequence > coalesce(b.sequence, 0)
                AND (coalesce(i.expected, b.version, 0) = coalesce(b.version, 0) OR b.is_own)
            ORDER BY i.project COLLATE "C", i.path COLLATE "C"
            ON CONFLICT (project, path) DO UPDATE SET sequence = excluded.sequence,
                version = excluded.version, is_delete = excluded.is_delete,
                is_executable = excluded.is_executable, digest = excluded.digest,
                byte_count = excluded.byte_count
            WHERE f.version = excluded.version - 1 AND f.sequence < excluded.sequence
            RETURNING f.id, f.project, f.path, f.version
        ), added AS (
            INSERT INTO syncd.versions (file, version, sequence, producer, number, accepted_at,
                is_delete, is_executable, content)
            SELECT w.id, w.version, i.sequence, i.producer, i.number, i.accepted_at, i.is_delete,
                i.is_executable, i.content
            FROM written w JOIN input i ON i.project = w.project AND i.path = w.path
        ), dropped AS (
            DELETE FROM syncd.versions v USING written w
            WHERE v.file = w.id AND v.version <= w.version - $12::bigint
        )
        SELECT i.place, w.version, b.sequence, b.version, coalesce(b.is_own, false)
        FROM input i CROSS JOIN durable
            LEFT JOIN written w ON w.project = i.project AND w.path = i.path
            LEFT JOIN before b USING (place)
        ORDER BY i.place
        """

    /// Applies the edits in one transaction.
    ///
    /// - Returns: An answer each; nil for one that met another writer of its file: ask again.
    func apply(
        on connection: PostgresConnection, until deadline: PostgresDeadline
    ) throws(PostgresFailure) -> [Applied?] {
        let rows = try connection.query(
            "apply edits to the store", Self.statement, parameters, until: deadline)
        guard rows.count == edits.count else {
            throw PostgresFailure(
                .corrupt,
                "The store at \(connection.place) answered \(rows.count) of \(edits.count) edits. "
                    + "Look whether somebody has changed its tables.")
        }
        return edits.indices.map { row in
            if let version = rows.optionalInteger(row, 1) { return .applied(Version(version)) }
            let sequence = EditSequence(rows.optionalInteger(row, 2) ?? 0)
            let version = Version(rows.optionalInteger(row, 3) ?? 0)
            let edit = edits[row]
            if edit.sequence == sequence { return .known(version) }
            if edit.sequence < sequence { return .stale(by: sequence) }
            if let expected = edit.expectedVersion, expected != version, !rows.flag(row, 4) {
                return .conflict(current: version)
            }
            return nil
        }
    }

    /// A column of the batch for each parameter.
    private var parameters: [PostgresValue] {
        func column(
            _ element: PostgresArray.Element, _ value: (SequencedEdit) -> PostgresValue
        ) -> PostgresValue {
            var array = PostgresArray(of: element)
            for edit in edits { array.append(value(edit)) }
            return array.value
        }
        var contents = PostgresArray(
            of: .bytes, reserving: edits.reduce(0) { $0 + $1.change.byteCount + 4 })
        var digests = PostgresArray(of: .integer)
        for edit in edits {
            switch edit.change {
            case .put(let content, _):
                contents.append(content)
                digests.append(.integer(content.digest))
            case .delete:
                contents.append(nil)
                digests.append(.integer(0))
            }
        }
        return [
            column(.text) { .text($0.file.project.text) },
            column(.text) { .text($0.file.path.text) },
            column(.integer) { .integer($0.sequence.value) },
            column(.integer) { .optional($0.expectedVersion?.value) },
            column(.flag) { .flag($0.change.isDelete) },
            column(.flag) { .flag($0.change.isExecutable) },
            digests.value, contents.value,
            column(.text) { .text($0.id.producer.text) },
            column(.integer) { .integer($0.id.number) },
            column(.integer) { .integer($0.acceptedAt.milliseconds) },
            .integer(UInt64(versionsKept)), .text(String(lockWait.wholeMilliseconds)),
        ]
    }
}
