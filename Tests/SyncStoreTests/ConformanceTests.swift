import SyncCore
import SyncStore
import SyncTestKit
import Testing

@Suite struct ConformanceTests {
    /// With files of turns as they are, with such that are full after each turn, and with none.
    @Test(arguments: JournalConformance.cases, [64 << 20, 1_000, 0])
    func `the SQLite journal keeps the contract`(
        _ promise: JournalConformance, turnLogBytesMax: Int
    ) async throws {
        let folder = try TemporaryFolder()
        let options = SQLiteOptions(turnLogBytesMax: turnLogBytesMax)
        try await promise.check {
            try await SQLiteJournal(file: folder.file("journal.db"), options: options)
        }
    }

    @Test(arguments: JournalConformance.cases)
    func `the journal in memory keeps the contract`(_ promise: JournalConformance) async throws {
        let disk = InMemoryJournal.Disk()
        try await promise.check { try InMemoryJournal(disk: disk) }
    }

    @Test(arguments: StoreConformance.cases)
    func `the SQLite store keeps the contract`(_ promise: StoreConformance) async throws {
        let folder = try TemporaryFolder()
        try await promise.check {
            try await SQLiteStore(
                file: folder.file("store.db"), versionsKept: StoreConformance.versionsKept)
        }
    }

    @Test(arguments: StoreConformance.cases)
    func `the PostgreSQL store keeps the contract`(_ promise: StoreConformance) async throws {
        let server = try PostgresServer.shared()
        let url = try server.postgres(try server.makeDatabase())
        try await promise.check {
            try await PostgresStore(
                url, versionsKept: StoreConformance.versionsKept, limits: .tested)
        }
    }

    @Test(arguments: StoreConformance.cases)
    func `the store in memory keeps the contract`(_ promise: StoreConformance) async throws {
        let store = InMemoryStore(versionsKept: StoreConformance.versionsKept)
        try await promise.check { store }
    }
}
