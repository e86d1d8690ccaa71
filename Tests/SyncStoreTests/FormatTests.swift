import Foundation
import GRDB
import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

@Suite struct FormatTests {
    let folder: TemporaryFolder
    let file: String

    init() throws {
        folder = try TemporaryFolder()
        file = folder.file("data.db")
    }

    @Test func `a file of a newer syncd is refused and left as it is`() async throws {
        await (try SQLiteStore(file: file)).close()
        try await change("PRAGMA user_version = 99", schema: .store)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
        let error = await #expect(throws: StoreError.self) { try await SQLiteStore(file: file) }
        #expect(error?.code == .corrupt)
        #expect(error?.message.contains("newer") == true)
        let reading = await #expect(throws: StoreError.self) {
            try await SQLiteStore(readingOnly: file)
        }
        #expect(reading?.message == error?.message)
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == bytes)
    }

    @Test func `a store is no journal, a journal no store, and another database neither`()
        async throws
    {
        let store = folder.file("store.db")
        await (try SQLiteStore(file: store)).close()
        let error = await #expect(throws: JournalError.self) {
            try await SQLiteJournal(file: store)
        }
        #expect(error?.code == .fatal)
        #expect(error?.message.contains("is no journal of syncd") == true)
        await (try SQLiteJournal(file: file)).close()
        let other = await #expect(throws: StoreError.self) { try await SQLiteStore(file: file) }
        #expect(other?.code == .corrupt)
        let foreign = folder.file("foreign.db")
        try await change(
            "CREATE TABLE t (x)", schema: Schema(noun: "thing", applicationID: 0, migrations: []),
            file: foreign)
        await #expect(throws: StoreError.self) { try await SQLiteStore(file: foreign) }
    }

    @Test func `a file that is no database is refused and left as it is`() async throws {
        let bytes = Data(String(repeating: "not a database\n", count: 100).utf8)
        try bytes.write(to: URL(fileURLWithPath: file))
        let error = await #expect(throws: JournalError.self) { try await SQLiteJournal(file: file) }
        #expect(error?.code == .fatal)
        #expect(error?.message.contains("name the right file") == true)
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == bytes)
    }

    @Test func `a directory that is missing is named with what to do`() async throws {
        let missing = folder.file("missing/data.db")
        let error = await #expect(throws: JournalError.self) {
            try await SQLiteJournal(file: missing)
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("directory exists") == true)
        let store = await #expect(throws: StoreError.self) { try await SQLiteStore(file: missing) }
        #expect(store?.code == .unavailable)
        #expect(store?.message.contains("directory exists") == true)
    }

    @Test func `a journal of a former format is brought up to date`() async throws {
        let former = Schema(
            noun: Schema.journal.noun, applicationID: Schema.journal.applicationID,
            migrations: Array(Schema.journal.migrations.prefix(4)))
        await (try Connection.open(file, schema: former, options: SQLiteOptions())).close()
        for sql in [
            "INSERT INTO header VALUES (1, 7, 0, 0, 0, 0, NULL, NULL, 0)",
            "INSERT INTO projects VALUES ('demo', 3)",
            "INSERT INTO targets VALUES ('demo', 0, 'local:demo', 1, 4, 1, 0, 0, '', NULL)",
        ] { try await change(sql, schema: former) }
        let journal = try await SQLiteJournal(file: file)
        let targets = try await journal.snapshot().projects.flatMap(\.targets)
        await journal.close()
        let url = TargetURL(defaultOf: .demo)
        #expect(targets == [TargetRecord(url: url, generation: 4, isMarked: true)])
        // The program of that format sees that the file is newer than itself.
        await #expect(throws: SQLiteFailure.self) {
            try await Connection.open(file, schema: former, options: SQLiteOptions())
        }
    }

    @Test(arguments: [nil, "a/1"])
    func `a turn that a former syncd wrote is read`(mark: String?) throws {
        let record = TargetRecord(
            url: TargetURL(defaultOf: .demo), generation: 4, isMarked: true, mark: mark,
            needsRefresh: true, revokesOthers: true)
        var turn = JournalTransaction(turn: 1, header: JournalHeader(journal: JournalID(bits: 7)))
        turn.projects = [ProjectRecord(name: .demo, eventNumber: 3, targets: [record])]
        var writer = TurnHead.Writer()
        writer.write(turn)
        // Four flags and the generation, as format 4 packed them; a fifth one says that a mark is
        // between.
        let name = Data("local:demo".utf8)
        let packed = mark == nil ? name + [0b1111, 4] : name + [0b1_1111, 0, 3] + "a/1".utf8 + [4]
        #expect(Data(writer.bytes).range(of: packed) != nil)
        var reader = TurnHead.Reader(writer.bytes)
        #expect(try reader.read(turn: 1).transaction.projects == turn.projects)
    }

    @Test func `a row that makes no sense is corruption, not a crash`() async throws {
        let store = try await SQLiteStore(file: file)
        _ = try await store.apply([.put(1, .named("a"))])
        try await change("UPDATE files SET path = '../a'", schema: .store)
        let error = await #expect(throws: StoreError.self) {
            try await store.files(of: .demo, after: nil, countMax: 5)
        }
        #expect(error?.code == .corrupt)
    }

    @Test(arguments: [
        (CInt(13), SQLiteFailure.Kind.unavailable), (5, .unavailable), (261, .unavailable),
        (6, .unavailable), (8, .unavailable), (14, .unavailable), (10, .unavailable),
        (778, .unavailable), (1_034, .corrupt), (1_290, .corrupt), (11, .corrupt), (267, .corrupt),
        (26, .corrupt), (8_458, .corrupt), (18, .refused), (19, .refused), (1_555, .refused),
    ])
    func `each result code says whether to try again, to stop, or to leave one edit out`(
        code: CInt, kind: SQLiteFailure.Kind
    ) {
        let failure = SQLiteFailure(
            DatabaseError(
                resultCode: ResultCode(rawValue: code), message: "secret", sql: "secret",
                arguments: ["secret"]), task: "try", file: "/x")
        #expect(failure.kind == kind)
        #expect(!failure.message.contains("secret"))
        #expect(failure.message.contains("/x") && failure.message.contains("\(code)"))
    }

    private func change(_ sql: String, schema: Schema, file: String? = nil) async throws {
        let connection = try await Connection.open(
            file ?? self.file, schema: schema, options: SQLiteOptions())
        try await connection.perform("change it") { try SQLStatement($0, sql).run() }
        await connection.close()
    }
}
