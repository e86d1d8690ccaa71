internal import GRDB

/// A kind of database file: how it is recognised, made, and brought up to date.
///
/// The application id tells a journal from a store and both from everybody else's databases; the
/// user version counts formats. Both are checked before anything is changed.
struct Schema: Sendable {
    /// What a person calls it.
    let noun: String
    /// SQLite's `application_id`.
    let applicationID: UInt64
    /// One list of statements for each format, oldest first; applied in order, never edited.
    let migrations: [[String]]

    /// What a file was found to be.
    enum Finding: Equatable {
        /// Nothing is in it.
        case blank
        /// This kind, in the format of so many migrations.
        case known(format: Int)
    }

    /// Looks whose file it is; throws for files of others and of newer programs.
    func inspect(_ database: Database, file: String) throws -> Finding {
        let application = try pragma("application_id", database)
        let format = Int(truncatingIfNeeded: try pragma("user_version", database))
        if application == applicationID {
            guard format <= migrations.count else {
                throw SQLiteFailure(
                    .corrupt,
                    "The \(noun) at \(file) has format \(format), but this syncd knows only up to "
                        + "\(migrations.count). Run the newer syncd that wrote it.")
            }
            return .known(format: format)
        }
        let tables = try SQLStatement(database, "SELECT count(*) FROM sqlite_schema")
            .first { $0.integer(0) }
        if application == 0, format == 0, tables == 0 { return .blank }
        // The three questions are three moments: another process may have made the tables between.
        if application == 0, try pragma("application_id", database) == applicationID {
            return try inspect(database, file: file)
        }
        throw SQLiteFailure(
            .corrupt, "The file \(file) is no \(noun) of syncd. Name another file.")
    }

    /// Makes or updates the tables, in one transaction.
    func migrate(_ database: Database, file: String) throws {
        if try inspect(database, file: file) == .known(format: migrations.count) { return }
        try database.inTransaction(.immediate) {
            // Looked at again: another process may have been faster.
            let finding = try inspect(database, file: file)
            let first = if case .known(let format) = finding { format } else { 0 }
            for statements in migrations[first...] {
                for statement in statements { try database.execute(sql: statement) }
            }
            try database.execute(sql: "PRAGMA application_id = \(applicationID)")
            try database.execute(sql: "PRAGMA user_version = \(migrations.count)")
            return .commit
        }
    }

    private func pragma(_ name: String, _ database: Database) throws -> UInt64 {
        try SQLStatement(database, "PRAGMA \(name)").first { $0.integer(0) } ?? 0
    }
}

extension Schema {
    /// The coordinator's journal.
    ///
    /// Everything that grows is keyed by an ascending integer, so inserts append, and the only
    /// secondary index is the one that finds an event's segment. Contents live apart from their
    /// rows: amending a row does not rewrite its content, and a start reads rows without it.
    static let journal = Schema(
        noun: "journal", applicationID: 0x7379_6E6A,
        migrations: [
            [
                """
                CREATE TABLE header (
                    id INTEGER PRIMARY KEY CHECK (id = 1), journal INTEGER NOT NULL,
                    last_sequence INTEGER NOT NULL, last_event INTEGER NOT NULL,
                    incarnation_count INTEGER NOT NULL, longest_lease_ms INTEGER NOT NULL,
                    store_id TEXT, local_root_id TEXT, last_turn INTEGER NOT NULL
                ) STRICT
                """,
                """
                CREATE TABLE rows (
                    sequence INTEGER PRIMARY KEY, project TEXT NOT NULL, path TEXT NOT NULL,
                    producer TEXT NOT NULL, number INTEGER NOT NULL, digest INTEGER NOT NULL,
                    expected_version INTEGER, accepted_at INTEGER NOT NULL,
                    is_delete INTEGER NOT NULL, is_executable INTEGER NOT NULL,
                    byte_count INTEGER NOT NULL, open_sequence INTEGER, open_producer TEXT,
                    open_number INTEGER, failure_code TEXT, failure_reason TEXT,
                    failure_attempts INTEGER, failed_at INTEGER
                ) STRICT
                """,
                "CREATE TABLE contents (sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
                """
                CREATE TABLE projects (
                    name TEXT PRIMARY KEY, event_number INTEGER NOT NULL
                ) STRICT, WITHOUT ROWID
                """,
                """
                CREATE TABLE targets (
                    project TEXT NOT NULL, position INTEGER NOT NULL, url TEXT NOT NULL,
                    is_attached INTEGER NOT NULL, generation INTEGER NOT NULL,
                    is_marked INTEGER NOT NULL, needs_refresh INTEGER NOT NULL,
                    revokes_others INTEGER NOT NULL, debts TEXT NOT NULL,
                    PRIMARY KEY (project, position)
                ) STRICT, WITHOUT ROWID
                """,
                """
                CREATE TABLE incarnations (
                    incarnation TEXT PRIMARY KEY, label TEXT NOT NULL, life INTEGER NOT NULL,
                    schemes TEXT NOT NULL
                ) STRICT, WITHOUT ROWID
                """,
                """
                CREATE TABLE events (
                    turn INTEGER PRIMARY KEY, first INTEGER NOT NULL, count INTEGER NOT NULL,
                    bytes BLOB NOT NULL
                ) STRICT
                """,
                "CREATE INDEX events_by_first ON events (first)",
                """
                CREATE TABLE acceptances (
                    turn INTEGER PRIMARY KEY, first INTEGER NOT NULL, count INTEGER NOT NULL,
                    bytes BLOB NOT NULL
                ) STRICT
                """,
            ],
            // 2: absences outlive a restart.
            ["ALTER TABLE targets ADD COLUMN away_since INTEGER"],
            // 3: the log knows events of kinds from 16 on, which an older program can't read.
            [],
            // 4: the last turns may lie in files beside it, which an older program does not know.
            [],
            // 5: which marker a sandbox had first outlives a restart.
            ["ALTER TABLE targets ADD COLUMN mark TEXT"],
        ])

    /// The store of versions.
    ///
    /// Paths compare byte by byte (SQLite's BINARY collation), which is the order of `EditPath`.
    static let store = Schema(
        noun: "store", applicationID: 0x7379_6E73,
        migrations: [
            [
                """
                CREATE TABLE meta (
                    id INTEGER PRIMARY KEY CHECK (id = 1), store TEXT NOT NULL, journal TEXT,
                    highest_sequence INTEGER NOT NULL
                ) STRICT
                """,
                """
                CREATE TABLE files (
                    id INTEGER PRIMARY KEY, project TEXT NOT NULL, path TEXT NOT NULL,
                    sequence INTEGER NOT NULL, version INTEGER NOT NULL,
                    is_delete INTEGER NOT NULL, is_executable INTEGER NOT NULL,
                    digest INTEGER NOT NULL, byte_count INTEGER NOT NULL,
                    UNIQUE (project, path)
                ) STRICT
                """,
                """
                CREATE TABLE versions (
                    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, version INTEGER NOT NULL,
                    sequence INTEGER NOT NULL, producer TEXT NOT NULL, number INTEGER NOT NULL,
                    accepted_at INTEGER NOT NULL, is_delete INTEGER NOT NULL,
                    is_executable INTEGER NOT NULL, content BLOB
                ) STRICT
                """,
                "CREATE UNIQUE INDEX versions_by_file ON versions (file, version)",
            ],
            // 2: sandboxes of a journal that was lost are known as the pool's own.
            ["ALTER TABLE meta ADD COLUMN former_journals TEXT NOT NULL DEFAULT ''"],
        ])
}
