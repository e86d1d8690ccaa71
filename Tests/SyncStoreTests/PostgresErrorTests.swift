import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

/// Whatever can be wrong with a database is told with its remedy, and never with a password.
@Suite struct PostgresErrorTests {
    let server: PostgresServer
    let database: String

    init() throws {
        server = try PostgresServer.shared()
        database = try server.makeDatabase()
    }

    /// Opens what can't be opened.
    private func refusal(
        _ text: String, readingOnly: Bool = false
    ) async throws -> StoreError {
        let url = try PostgresServer.read(text)
        let error = await #expect(throws: StoreError.self) {
            _ =
                readingOnly
                ? try await PostgresStore(readingOnly: url) : try await PostgresStore(url)
        }
        let found = try #require(error)
        #expect(!found.message.contains("secret"), "\(found.message)")
        return found
    }

    @Test func `a password in the URL lets us in over TCP`() async throws {
        let store = try await PostgresStore(try PostgresServer.read(server.tcpURL(database)))
        #expect(try await store.apply([.put(1, .named("a"))]) == [.applied(Version(1))])
        await store.close()
    }

    @Test func `a wrong password is told, not shown`() async throws {
        let error = try await refusal(server.tcpURL(database, password: "wrong-secret"))
        #expect(error.code == .unavailable)
        #expect(error.message.contains("password authentication failed"))
        #expect(error.message.contains("~/.pgpass"))
    }

    @Test func `a server that does not run is told`() async throws {
        let endpoint = try freeEndpoint()
        let port = try #require(endpoint.split(separator: ":").last.flatMap { UInt16($0) })
        let error = try await refusal(server.tcpURL(database, port: port))
        #expect(error.code == .unavailable)
        #expect(error.message.contains("refused") && error.message.contains("\(port)/"))
    }

    @Test func `a database that is missing is told`() async throws {
        let error = try await refusal(server.url("nowhere"))
        #expect(error.code == .unavailable && error.message.contains("\"nowhere\" does not exist"))
    }

    @Test func `an encoding that can't hold every path is refused`() async throws {
        let latin = try server.makeDatabase(
            "ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc TEMPLATE template0")
        let error = try await refusal(server.url(latin))
        #expect(error.code == .corrupt && error.message.contains("--encoding UTF8"))
    }

    @Test func `tables of somebody else are left as they are`() async throws {
        try server.run("CREATE SCHEMA syncd CREATE TABLE meta (x int)", in: database)
        let error = try await refusal(server.url(database))
        #expect(error.code == .corrupt && error.message.contains("no store of syncd"))
        let reading = try await refusal(server.url(database), readingOnly: true)
        #expect(reading.message == error.message)
        #expect(
            try server.run(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'syncd'", in: database) == "1")
    }

    @Test func `a store of a newer syncd is refused and left as it is`() async throws {
        await (try PostgresStore(try server.postgres(database))).close()
        try server.run("UPDATE syncd.meta SET format = 99", in: database)
        let error = try await refusal(server.url(database))
        #expect(error.code == .corrupt && error.message.contains("newer syncd"))
        #expect(try server.run("SELECT format FROM syncd.meta", in: database) == "99")
    }

    @Test func `a reader makes no store`() async throws {
        let error = try await refusal(server.url(database), readingOnly: true)
        #expect(error.message.contains("There is no store at"))
        #expect(try server.run("SELECT to_regnamespace('syncd') IS NULL", in: database) == "t")
    }

    @Test func `a server that takes no writes is told with the URL's remedy`() async throws {
        let store = try await PostgresStore(try server.postgres(database))
        try server.run("ALTER DATABASE \(database) SET default_transaction_read_only = on")
        let other = try await PostgresStore(try server.postgres(database))
        let error = await #expect(throws: StoreError.self) {
            try await other.apply([.put(1, .named("a"))])
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("target_session_attrs=read-write") == true)
        for store in [store, other] { await store.close() }
    }

    @Test func `a user without rights is told which`() async throws {
        let role = "r" + database
        try server.run("CREATE ROLE \(role) LOGIN")
        let text = server.url(database).replacing(PostgresServer.user + "@", with: role + "@")
        let error = try await refusal(text)
        #expect(error.code == .unavailable && error.message.contains("42501"))
        try server.run("GRANT CREATE ON DATABASE \(database) TO \(role)")
        await (try PostgresStore(try PostgresServer.read(text))).close()
    }

    @Test func `tables are brought up to date once, in the order of their formats`() async throws {
        let url = try server.postgres(database)
        let old = PostgresSchema.store
        let first = try await PostgresStore(
            url, schema: old, versionsKept: 3, idIfNew: 7, limits: PostgresLimits.tested)
        _ = try await first.apply([.put(1, .named("a"))])
        let count = old.migrations.count
        let new = PostgresSchema(
            migrations: old.migrations + [
                ["CREATE TABLE syncd.steps (n int)", "INSERT INTO syncd.steps VALUES (1)"],
                ["INSERT INTO syncd.steps VALUES (2)"],
            ])
        try await withThrowingTaskGroup(of: PostgresStore.self) { group in
            for _ in 0..<6 {
                group.addTask {
                    try await PostgresStore(
                        url, schema: new, versionsKept: 3, idIfNew: 8, limits: PostgresLimits.tested
                    )
                }
            }
            for try await store in group {
                #expect(try await store.identity().id.hasSuffix("7"))
                await store.close()
            }
        }
        #expect(
            try server.run("SELECT string_agg(n::text, ' ') FROM syncd.steps", in: database)
                == "1 2")
        #expect(
            try server.run("SELECT format FROM syncd.meta", in: database) == "\(count + 2)")
        #expect(try await first.version(of: .named("a"), nil)?.sequence.value == 1)
        await first.close()
    }

    @Test func `many workers that start at once make one store`() async throws {
        let url = try server.postgres(database)
        var ids: Set<String> = []
        try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let store = try await PostgresStore(url)
                    let id = try await store.identity().id
                    await store.close()
                    return id
                }
            }
            for try await id in group { ids.insert(id) }
        }
        #expect(ids.count == 1)
    }

    @Test(arguments: [
        ("57P01", PostgresFailure.Kind.unavailable), ("53100", .unavailable),
        ("53300", .unavailable), ("08006", .unavailable), ("58030", .unavailable),
        ("42501", .unavailable), ("XX000", .unavailable), ("40001", .collided),
        ("40P01", .collided), ("55P03", .locked), ("22021", .refused), ("23505", .refused),
        ("54000", .refused), ("XX001", .corrupt), ("XX002", .corrupt), ("42P01", .corrupt),
    ])
    func `a state of the server means the same wherever it comes from`(
        state: String, kind: PostgresFailure.Kind
    ) {
        let failure = PostgresFailure(
            state: state, said: "said", task: "try", place: "postgres://h/db")
        #expect(failure.kind == kind)
        // What the server says of a value can quote it.
        #expect(failure.message.contains("said") == (kind != .refused))
        #expect(failure.message.hasSuffix("."))
    }
}
