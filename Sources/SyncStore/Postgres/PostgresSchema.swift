/// Our tables in a database: how they are recognised, made, and brought up to date.
///
/// They live in a schema of their own, `syncd`, one store in a database. Formats are counted in
/// `syncd.meta`; whose tables they are is looked at before anything is changed.
struct PostgresSchema: Sendable {
    /// One list of statements for each format, oldest first; applied in order, never edited.
    let migrations: [[String]]

    /// What a database was found to hold.
    enum Finding: Equatable {
        /// No schema, or an empty one that an administrator made for us.
        case blank(hasSchema: Bool)
        /// A store, in the format of so many migrations.
        case known(format: Int)
    }

    /// Numbers of the advisory lock under which tables are made: "sync", "migr".
    private static let lock = "1937337955, 1835624306"

    /// Looks whose tables are there; throws for those of others and of newer programs.
    func inspect(
        _ connection: PostgresConnection, until deadline: PostgresDeadline
    ) throws(PostgresFailure) -> Finding {
        let task = "look at the tables of the store"
        let found = try connection.query(
            task,
            """
            SELECT to_regnamespace('syncd') IS NOT NULL,
                (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('syncd')),
                (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('syncd.meta')
                    AND attname IN ('format', 'store', 'former_journals'))
            """, until: deadline)
        guard found.integer(0, 1) > 0 else { return .blank(hasSchema: found.flag(0, 0)) }
        guard found.integer(0, 2) == 3 else {
            throw PostgresFailure(
                .corrupt,
                "The schema syncd at \(connection.place) is no store of syncd. Name another "
                    + "database; a store wants one of its own.")
        }
        let rows = try connection.query(
            task, "SELECT format::bigint FROM syncd.meta", until: deadline)
        let format = rows.count == 1 ? Int(truncatingIfNeeded: rows.integer(0, 0)) : 0
        guard format >= 1 else {
            throw PostgresFailure(
                .corrupt,
                "The store at \(connection.place) does not say its format. Restore the database "
                    + "from a backup, or name another one.")
        }
        guard format <= migrations.count else {
            throw PostgresFailure(
                .corrupt,
                "The store at \(connection.place) has format \(format), but this syncd knows only "
                    + "up to \(migrations.count). Run the newer syncd that wrote it.")
        }
        return .known(format: format)
    }

    /// Makes or updates the tables, in one transaction, one process at a time.
    ///
    /// - Parameter idIfNew: Identity of a store that is made now.
    func migrate(
        _ connection: PostgresConnection, idIfNew: String, until deadline: PostgresDeadline
    ) throws(PostgresFailure) {
        if try inspect(connection, until: deadline) == .known(format: migrations.count) { return }
        let task = "make the tables of the store"
        func run(
            _ text: String, _ values: [PostgresValue] = []
        ) throws(PostgresFailure) {
            _ = try connection.query(task, text, values, until: deadline)
        }
        try run("BEGIN")
        do throws(PostgresFailure) {
            try run("SELECT pg_advisory_xact_lock(\(Self.lock))")
            // Looked at again: another process may have been faster.
            let first: Int
            switch try inspect(connection, until: deadline) {
            case .blank(let hasSchema):
                if !hasSchema { try run("CREATE SCHEMA syncd") }
                first = 0
            case .known(let format): first = format
            }
            for statements in migrations[first...] {
                for statement in statements { try run(statement) }
            }
            if first == 0 {
                try run(
                    "INSERT INTO syncd.meta (id, format, store) VALUES (1, 1, $1::text)",
                    [.text(idIfNew)])
            }
            try run("UPDATE syncd.meta SET format = \(migrations.count)")
            try run("COMMIT")
        } catch {
            // A session that is broken ends its transaction by itself.
            if !connection.isBroken { try run("ROLLBACK") }
            throw error
        }
    }
}

extension PostgresSchema {
    /// The store of versions.
    ///
    /// Texts compare byte by byte, which is the order of `EditPath`. Numbers are the 64 bits of
    /// unsigned ones. The highest sequence is the last entry of an index, not a row that every
    /// batch would have to lock. Of `files` only columns without an index change, in pages with
    /// room left, so that an update touches no index.
    static let store = PostgresSchema(migrations: [
        [
            """
            CREATE TABLE syncd.meta (
                id integer PRIMARY KEY CHECK (id = 1), format integer NOT NULL,
                store text NOT NULL, journal text, former_journals text[] NOT NULL DEFAULT '{}'
            )
            """,
            """
            CREATE TABLE syncd.files (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                project text COLLATE "C" NOT NULL, path text COLLATE "C" NOT NULL,
                sequence bigint NOT NULL, version bigint NOT NULL, is_delete boolean NOT NULL,
                is_executable boolean NOT NULL, digest bigint NOT NULL,
                byte_count bigint NOT NULL, UNIQUE (project, path)
            ) WITH (fillfactor = 80)
            """,
            """
            CREATE TABLE syncd.versions (
                file bigint NOT NULL, version bigint NOT NULL, sequence bigint NOT NULL,
                producer text NOT NULL, number bigint NOT NULL, accepted_at bigint NOT NULL,
                is_delete boolean NOT NULL, is_executable boolean NOT NULL, content bytea,
                PRIMARY KEY (file, version)
            )
            """,
            "CREATE INDEX versions_by_sequence ON syncd.versions (sequence)",
        ]
    ])
}
