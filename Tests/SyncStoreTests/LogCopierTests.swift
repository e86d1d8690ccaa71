import Dispatch
import Foundation
import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

/// The write-ahead log is copied into the database beside the commits; what real processes do while
/// the disk hangs or fails meanwhile is told by PlayedFaultTests.
@Suite struct LogCopierTests {
    let folder: TemporaryFolder
    let file: String

    init() throws {
        folder = try TemporaryFolder()
        file = folder.file("store.db")
    }

    /// A store that never copies its log itself.
    private static func store(_ file: String) async throws -> SQLiteStore {
        try await SQLiteStore(file: file, options: SQLiteOptions(checkpointPages: .max / 4))
    }

    private static func apply(_ sequences: ClosedRange<UInt64>, to store: SQLiteStore) async throws
    {
        for sequence in sequences {
            let answers = try await store.apply([.put(sequence, .named("f\(sequence)"))])
            #expect(answers == [.applied(Version(1))])
        }
    }

    /// Begins a copy and waits for its end.
    private static func copy(by copier: LogCopier) async throws {
        #expect(!copier.beginOrFinish(), "a copy was made before it was asked for")
        try await Patience.until("the copy is made") { copier.beginOrFinish() }
    }

    /// How many edits the database holds without its log.
    private func countWithoutLog() async throws -> UInt64 {
        let copy = folder.file("copy-\(UUID().uuidString).db")
        try FileManager.default.copyItem(atPath: file, toPath: copy)
        let store = try await SQLiteStore(file: copy)
        let highest = try await store.identity().highestSequence.value
        let files = try await store.files(of: .demo, after: nil, countMax: 1_000)
        #expect(UInt64(files.count) == highest)
        await store.close()
        return highest
    }

    @Test func `what was committed before a copy is in the database without its log`() async throws
    {
        let store = try await Self.store(file)
        let copier = LogCopier(file)
        for round: UInt64 in 0..<5 {
            try await Self.apply(round * 20 + 1...round * 20 + 20, to: store)
            try await Self.copy(by: copier)
            #expect(try await countWithoutLog() == round * 20 + 20)
        }
        #expect(copier.broken == nil)
        try copier.close()
        await store.close()
    }

    @Test func `commits and copies that go on at once lose nothing`() async throws {
        let store = try await Self.store(file)
        let copier = LogCopier(file)
        async let committed: Void = Self.apply(1...400, to: store)
        var copies = 0
        while try await store.identity().highestSequence.value < 400 {
            if copier.beginOrFinish() { copies += 1 }
        }
        try await committed
        // To the end of one that may be under way, and one more.
        try await Patience.until("the last copy is made") { copier.beginOrFinish() }
        try await Self.copy(by: copier)
        print("log copier: \(copies) copies beside 400 commits")
        #expect(try await countWithoutLog() == 400)
        #expect(copier.broken == nil)
        try copier.close()
        await store.close()
    }

    @Test func `a reader that holds the log holds up part of a copy, and no failure is told`()
        async throws
    {
        let store = try await Self.store(file)
        let copier = LogCopier(file)
        try await Self.apply(1...20, to: store)
        let reader = try await HeldReading(file)
        try await Self.apply(21...40, to: store)
        try await Self.copy(by: copier)
        #expect(copier.broken == nil)
        // Pages that were changed since stay in the log, or the reader would see them.
        #expect(await (try? countWithoutLog()) != 40)
        #expect(try await store.identity().highestSequence == EditSequence(40))
        #expect(try await reader.end() == 20)
        try await Self.copy(by: copier)
        #expect(try await countWithoutLog() == 40)
        try copier.close()
        await store.close()
    }

    @Test(.enabled(if: Capability.mounts, "mounts need root"))
    func `a full disk leaves everything in the log, and is no failure once there is room`()
        async throws
    {
        let disk = try TestDisk.inMemory(byteCount: 8 << 20)
        defer { disk.remove() }
        let file = disk.path + "/store.db"
        let store = try await Self.store(file)
        let copier = LogCopier(file)
        try await Self.apply(1...60, to: store)
        let before = TemporaryFolder.size(file)
        try disk.fill()
        try await Self.copy(by: copier)
        #expect(copier.broken == nil)
        #expect(TemporaryFolder.size(file) == before, "there was room after all")
        #expect(try await store.identity().highestSequence == EditSequence(60))
        try disk.empty()
        try await Self.apply(61...70, to: store)
        try await Self.copy(by: copier)
        #expect(TemporaryFolder.size(file) > before)
        #expect(copier.broken == nil)
        try copier.close()
        await store.close()
        let reopened = try await SQLiteStore(file: file)
        #expect(try await reopened.identity().highestSequence == EditSequence(70))
        await reopened.close()
    }

    @Test func `closing in the middle waits for the copy, and everything can be opened again`()
        async throws
    {
        let store = try await Self.store(file)
        for round: UInt64 in 0..<20 {
            let copier = LogCopier(file)
            try await Self.apply(round * 10 + 1...round * 10 + 10, to: store)
            #expect(!copier.beginOrFinish())
            try copier.close()
            #expect(try await countWithoutLog() == round * 10 + 10)
            #expect(copier.beginOrFinish(), "the copy is not over")
            #expect(copier.broken == nil)
        }
        await store.close()
        let reopened = try await Self.store(file)
        try await Self.apply(201...201, to: reopened)
        await reopened.close()
    }

    @Test func `a file that can't be opened leaves the copy to the commits' own connection`() throws
    {
        let copier = LogCopier(folder.file("missing/store.db"))
        #expect(!copier.beginOrFinish())
        #expect(copier.beginOrFinish())
        #expect(copier.broken == nil)
        try copier.close()
    }
}

/// A reader that holds one state of the store.
private final class HeldReading: Sendable {
    private let release = DispatchSemaphore(value: 0)
    private let task: Task<UInt64, any Error>

    init(_ file: String) async throws {
        let connection = try await Connection.open(
            file, schema: .store, options: SQLiteOptions(), isReadOnly: true)
        let (started, continuation) = AsyncStream<Void>.makeStream()
        let release = release
        task = Task {
            let count = try await connection.perform("hold a state") { database in
                let tables = StoreTables(database)
                try SQLStatement(database, "BEGIN").run()
                let before = try tables.identity().highestSequence.value
                continuation.finish()
                release.wait()
                let after = try tables.identity().highestSequence.value
                try SQLStatement(database, "COMMIT").run()
                return before == after ? after : 0
            }
            await connection.close()
            return count
        }
        for await _ in started {}
    }

    /// Ends it; tells the highest sequence that it saw, 0 when that changed.
    func end() async throws -> UInt64 {
        release.signal()
        return try await task.value
    }
}
