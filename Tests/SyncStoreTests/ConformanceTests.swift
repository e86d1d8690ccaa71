import SyncCore
import SyncStore
import SyncTestKit
import Testing

@Suite struct ConformanceTests {
    @Test(arguments: JournalConformance.cases)
    func `the SQLite journal keeps the contract`(_ promise: JournalConformance) async throws {
        let folder = try TemporaryFolder()
        try await promise.check { try await SQLiteJournal(file: folder.file("journal.db")) }
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
