import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

/// What only the store in PostgreSQL promises, on a real server.
@Suite struct PostgresStoreTests {
    let server: PostgresServer
    let database: String
    let url: PostgresURL

    init() throws {
        server = try PostgresServer.shared()
        database = try server.makeDatabase()
        url = try server.postgres(database)
    }

    private func open(_ limits: PostgresLimits = PostgresLimits.tested) async throws
        -> PostgresStore
    {
        try await PostgresStore(url, limits: limits)
    }

    private static func impatient() -> PostgresLimits {
        var limits = PostgresLimits.tested
        limits.lockWait = .milliseconds(300)
        limits.lockWaitAlone = .milliseconds(50)
        limits.stallWait = .milliseconds(300)
        return limits
    }

    @Test func `a batch is one transaction`() async throws {
        let store = try await open()
        let edits = (1...50).map { SequencedEdit.put(UInt64($0), .named("f\($0)")) }
        #expect(try await store.apply(edits) == Array(repeating: .applied(Version(1)), count: 50))
        let sum = "SELECT count(*) || ' ' || count(DISTINCT xmin::text) FROM syncd."
        #expect(try server.run(sum + "files", in: database) == "50 1")
        #expect(try server.run(sum + "versions", in: database) == "50 1")
        await store.close()
    }

    @Test func `a batch that is too large for one message goes in several`() async throws {
        var limits = PostgresLimits.tested
        limits.batchBytesMax = 10
        let store = try await open(limits)
        let texts = ["12345678", "90", "1", String(repeating: "x", count: 30), "", "12"]
        let edits = zip(UInt64(1)..., texts).map { SequencedEdit.put($0, .named("f\($0)"), $1) }
        #expect(try await store.apply(edits) == Array(repeating: .applied(Version(1)), count: 6))
        #expect(
            try server.run("SELECT count(DISTINCT xmin::text) FROM syncd.files", in: database)
                == "4")
        await store.close()
    }

    @Test func `content over the store's limit is refused, the others of its batch are stored`()
        async throws
    {
        var limits = PostgresLimits.tested
        limits.batchBytesMax = 50
        limits.contentBytesMax = 100
        let store = try await open(limits)
        let answers = try await store.apply([
            .put(1, .named("a")), .put(2, .named("b"), String(repeating: "x", count: 101)),
            .put(3, .named("c")),
        ])
        #expect(answers[0] == .applied(Version(1)) && answers[2] == .applied(Version(1)))
        guard case .refused(let reason) = answers[1] else {
            Issue.record("\(answers[1])")
            return
        }
        #expect(reason.contains("at most 100") && !reason.contains("xx"))
        #expect(try await store.version(of: .named("b"), nil) == nil)
        await store.close()
    }

    // Trace C7.
    @Test func `an edit that the server refuses harms no other of its batch`() async throws {
        let store = try await open()
        try server.run(
            "ALTER TABLE syncd.files ADD CHECK (path <> 'bad')", in: database)
        let answers = try await store.apply([
            .put(1, .named("a")), .put(2, .named("bad"), "secret"), .delete(3, .named("c")),
        ])
        #expect(answers[0] == .applied(Version(1)) && answers[2] == .applied(Version(1)))
        guard case .refused(let reason) = answers[1] else {
            Issue.record("\(answers[1])")
            return
        }
        #expect(reason.contains("23514") && !reason.contains("secret"))
        await store.close()
    }

    @Test func `batches over the same files wait for each other, never in a circle`() async throws {
        let stores = [try await open(), try await open()]
        let paths = (0..<12).map { "f\($0)" }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                let store = stores[task % 2]
                group.addTask {
                    for round in 0..<25 {
                        let base = UInt64(round * 4 + task) * 12 + 1
                        let edits = zip(base..., task < 2 ? paths : paths.reversed()).map {
                            SequencedEdit.put($0, .named($1))
                        }
                        for answer in try await store.apply(edits) {
                            switch answer {
                            case .applied, .stale: continue
                            case .known, .conflict, .refused, .unavailable:
                                Issue.record("\(answer)")
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        let counts = try server.run(
            """
            SELECT count(*), count(*) FILTER (WHERE f.version = n.newest AND n.newest >= n.count
                AND n.newest - n.oldest + 1 = n.count AND f.sequence = n.sequence)
            FROM syncd.files f JOIN (SELECT file, count(*), max(version) newest,
                min(version) oldest, max(sequence) sequence FROM syncd.versions GROUP BY file) n
                ON n.file = f.id
            """, in: database)
        #expect(counts == "12|12")
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = '\(database)'"
        #expect(try server.run(deadlocks) == "0")
        for store in stores { await store.close() }
    }

    @Test(arguments: [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")])
    func `every commit waits for the disk, whatever the database has as its default`(
        standard: String, used: String
    ) async throws {
        let store = try await open()
        _ = try await store.apply([.put(1, .named("a"))])
        try server.run(
            """
            CREATE TABLE seen (level text);
            CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO public.seen VALUES (current_setting('synchronous_commit'));
                RETURN NULL; END $$;
            CREATE TRIGGER t AFTER INSERT ON syncd.versions EXECUTE FUNCTION note();
            ALTER DATABASE \(database) SET synchronous_commit = '\(standard)';
            """, in: database)
        let other = try await open()
        _ = try await other.apply([.put(2, .named("a"))])
        #expect(try server.run("SELECT level FROM seen", in: database) == used)
        for store in [store, other] { await store.close() }
    }

    // Trace C7.
    @Test func `a row that somebody holds delays its own file only`() async throws {
        let store = try await open(Self.impatient())
        _ = try await store.apply([.put(1, .named("a")), .put(2, .named("b"))])
        let holder = try await Intruder(
            server, database, name: "somebody",
            "UPDATE syncd.files SET digest = 0 WHERE path = 'a'; SELECT pg_sleep(3600);",
            until: "wait_event = 'PgSleep'")
        let batch = [SequencedEdit.put(3, .named("a")), .put(4, .named("b"))]
        let answers = try await store.apply(batch)
        guard case .unavailable(let reason) = answers[0] else {
            Issue.record("\(answers[0])")
            return
        }
        #expect(reason.contains("55P03"))
        #expect(answers[1] == .applied(Version(2)))
        try server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                + "'somebody' AND datname = '\(database)'")
        holder.end()
        #expect(try await store.apply(batch) == [.applied(Version(2)), .known(Version(2))])
        await store.close()
    }

    @Test func `of many rows that somebody holds some are left for the next calls`() async throws {
        var limits = Self.impatient()
        // Of the time for a call three quarters are for rows that are held: nine of these eleven.
        limits.answerWait = .seconds(12)
        limits.lockWaitAlone = .seconds(1)
        let store = try await open(limits)
        _ = try await store.apply((1...12).map { .put(UInt64($0), .named("f\($0)")) })
        let holder = try await Intruder(
            server, database, name: "somebody",
            "UPDATE syncd.files SET digest = 0 WHERE path <> 'f12'; SELECT pg_sleep(3600);",
            until: "wait_event = 'PgSleep'")
        let batch = (1...12).map { SequencedEdit.put(UInt64(100 + $0), .named("f\($0)")) }
        let reasons = try await store.apply(batch).map { answer in
            if case .unavailable(let reason) = answer { reason } else { "" }
        }
        #expect(reasons.count == 12)
        #expect(reasons.last?.contains("no time left") == true)
        // Each call knows more of them, and those go behind the others.
        try await Patience.until("the one that is not held is stored") {
            try await store.apply(batch).last == .applied(Version(2))
        }
        try server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                + "'somebody' AND datname = '\(database)'")
        holder.end()
        #expect(
            try await store.apply(batch)
                == Array(repeating: .applied(Version(2)), count: 11) + [.known(Version(2))])
        await store.close()
    }

    // Trace B2.
    @Test func `a worker that is stopped inside a transaction is not waited for`() async throws {
        let store = try await open(Self.impatient())
        _ = try await store.apply([.put(1, .named("a")), .put(2, .named("b"))])
        let stopped = try await Intruder(
            server, database, name: "syncd", "UPDATE syncd.files SET sequence = 9;",
            until: "state = 'idle in transaction'")
        #expect(
            try await store.apply([.put(3, .named("a")), .put(4, .named("b"))])
                == [.applied(Version(2)), .applied(Version(2))])
        stopped.end()
        await store.close()
    }

    @Test func `the server ends a session of ours that stays inside a transaction`() async throws {
        var limits = PostgresLimits.tested
        limits.connectionsMax = 1
        let store = try await open(limits)
        let shown = try server.run(
            """
            SELECT count(*) FROM pg_stat_activity WHERE datname = '\(database)'
            AND application_name = 'syncd'
            """)
        #expect(shown == "1")
        // The limits live in the session, so only the session itself can tell them.
        let pool = PostgresPool(url, limits)
        let told = try await pool.run { connection, deadline throws(PostgresFailure) in
            let rows = try connection.query(
                "read settings",
                """
                SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
                    current_setting('idle_in_transaction_session_timeout')
                """, until: deadline)
            return (0..<3).map { rows.text(0, Int32($0)) }
        }
        #expect(told == ["15s", "3s", "2s"])
        await pool.close()
        await store.close()
    }
}
