import Dispatch
import Foundation
import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

@Suite struct SQLiteJournalTests {
    let folder: TemporaryFolder
    let file: String
    let content = Content([UInt8](repeating: 7, count: 2_048))

    /// Every turn goes into the database at once.
    private static let plain = SQLiteOptions(turnLogBytesMax: 0)

    init() throws {
        folder = try TemporaryFolder()
        file = folder.file("journal.db")
    }

    @Test(arguments: [(Durability.full, UInt64(2)), (.normal, 1)])
    func `synchronous is what was asked for after everything that GRDB sets`(
        durability: Durability, number: UInt64
    ) async throws {
        let journal = try await SQLiteJournal(
            file: file, options: SQLiteOptions(durability: durability))
        for (pragma, value) in [("synchronous", number), ("wal_autocheckpoint", 0)] {
            let found = try await journal.connection.perform("read a pragma") {
                try SQLStatement($0, "PRAGMA \(pragma)").first { $0.integer(0) }
            }
            #expect(found == value, "\(pragma)")
        }
        #expect(SQLiteOptions().durability == .full)
        await journal.close()
    }

    @Test func `a second journal on the file is refused and told who holds it`() async throws {
        let before = ContinuousClock.now
        let journal = try await SQLiteJournal(file: file)
        #expect((before...ContinuousClock.now).contains(journal.heldSince))
        let error = await #expect(throws: JournalError.self) { try await SQLiteJournal(file: file) }
        #expect(error?.code == .held)
        #expect(error?.message.contains("process \(getpid())") == true)
        #expect(error?.message.contains(file) == true)
        let link = folder.file("other-name.db")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: file)
        let other = await #expect(throws: JournalError.self) { try await SQLiteJournal(file: link) }
        #expect(other?.code == .held)
        await journal.close()
        await (try SQLiteJournal(file: file)).close()
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/flock")))
    func `a journal that another process holds is refused until that process ends`() async throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/flock")
        process.arguments = [file + ".lock", "sh", "-c", "echo locked; cat"]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        #expect(output.fileHandleForReading.availableData == Data("locked\n".utf8))
        let error = await #expect(throws: JournalError.self) { try await SQLiteJournal(file: file) }
        #expect(error?.code == .held)
        #expect(!FileManager.default.fileExists(atPath: file), "the lock comes before the file")
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        await (try SQLiteJournal(file: file)).close()
    }

    @Test func `only this user can read the journal`() async throws {
        let journal = try await SQLiteJournal(file: file)
        for name in ["", "-wal", ".lock", "-turns1", "-turns2"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: file + name)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600, "\(name)")
        }
        await journal.close()
    }

    @Test func `a commit that does not fit leaves everything as it was, and a later one works`()
        async throws
    {
        let journal = try await SQLiteJournal(
            file: file, options: SQLiteOptions(pagesMax: 80, turnLogBytesMax: 0))
        let header = try await journal.snapshot().header
        try await journal.commit(Turns.writing(1, 1...9, content: content, header: header))
        let before = try await journal.snapshot()
        var large = Turns.writing(
            2, 10...1_000, content: content, removing: 1...5, header: before.header)
        large.projects = [ProjectRecord(name: .demo, eventNumber: 3)]
        let error = await #expect(throws: JournalError.self) { try await journal.commit(large) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("free space") == true)
        #expect(error?.message.contains(file) == true)
        let after = try await journal.snapshot()
        #expect(after.rows == before.rows)
        #expect(after.header == before.header)
        #expect(after.projects.isEmpty && after.lastTurn == 1)
        #expect(try await journal.contents(of: [EditSequence(3)]).values.first == content)
        try await journal.commit(
            Turns.writing(3, 10...12, content: content, removing: 1...5, header: before.header))
        await journal.close()
        let again = try await SQLiteJournal(file: file)
        #expect(try await again.snapshot().rows.map(\.sequence.value) == Array(6...12))
        await again.close()
    }

    @Test func `a journal that somebody else writes is unavailable, and works again after`()
        async throws
    {
        let journal = try await SQLiteJournal(
            file: file, options: SQLiteOptions(busyTimeout: .milliseconds(30), turnLogBytesMax: 0))
        let header = try await journal.snapshot().header
        let intruder = try await HeldTransaction(file, schema: .journal)
        let turn = Turns.writing(1, 1...3, content: content, header: header)
        let error = await #expect(throws: JournalError.self) { try await journal.commit(turn) }
        #expect(error?.code == .unavailable)
        #expect(try await journal.snapshot().rows.isEmpty)
        try await intruder.end()
        try await journal.commit(turn)
        #expect(try await journal.snapshot().rows.count == 3)
        await journal.close()
    }

    @Test func `a commit whose task is cancelled takes effect and is answered`() async throws {
        let journal = try await SQLiteJournal(file: file)
        let header = try await journal.snapshot().header
        let turn = Turns.writing(1, 1...500, content: content, header: header)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await journal.commit(turn)
        }
        try await task.value
        #expect(try await journal.snapshot().rows.count == 500)
        await journal.close()
    }

    @Test func `what the log holds is written into the database before anything is read`()
        async throws
    {
        let journal = try await SQLiteJournal(file: file, options: Self.plain)
        let header = try await journal.snapshot().header
        try await journal.commit(Turns.writing(1, 1...3, content: content, header: header))
        // As a crash leaves it: the log was not copied.
        let crashed = folder.file("crashed.db")
        for suffix in ["", "-wal"] {
            try FileManager.default.copyItem(atPath: file + suffix, toPath: crashed + suffix)
        }
        #expect(TemporaryFolder.size(crashed + "-wal") > 0)
        let reopened = try await SQLiteJournal(file: crashed, options: Self.plain)
        #expect(TemporaryFolder.size(crashed + "-wal") == 0)
        #expect(try await reopened.snapshot().rows.count == 3)
        await reopened.close()
        await journal.close()
    }

    @Test func `a mistake that memory and disk disagree about is fatal, and stays so`()
        async throws
    {
        let journal = try await SQLiteJournal(file: file, options: Self.plain)
        let header = try await journal.snapshot().header
        try await journal.commit(Turns.writing(1, 1...3, content: content, header: header))
        let repeated = Turns.writing(2, 3...4, content: content, header: header)
        let error = await #expect(throws: JournalError.self) { try await journal.commit(repeated) }
        #expect(error?.code == .fatal)
        let later = Turns.writing(3, 9...9, content: content, header: header)
        let again = await #expect(throws: JournalError.self) { try await journal.commit(later) }
        #expect(again?.code == .fatal)
        await journal.close()
        let reopened = try await SQLiteJournal(file: file, options: Self.plain)
        #expect(try await reopened.snapshot().rows.map(\.sequence.value) == [1, 2, 3])
        await reopened.close()
    }

    @Test func `100,000 edits over 200 files leave a file as large as 200 contents need`()
        async throws
    {
        let journal = try await SQLiteJournal(
            file: file, options: SQLiteOptions(checkpointPages: 200, turnLogBytesMax: 0))
        let header = try await journal.snapshot().header
        var sizeEarly = 0
        for turn in UInt64(1)...500 {
            let first = turn * 200
            let transaction = Turns.writing(
                turn, first..<first + 200, content: content, removing: first - 200..<first,
                header: header)
            try await journal.commit(transaction)
            if turn == 20 { sizeEarly = TemporaryFolder.size(file) }
        }
        // Four times the length, and what one turn adds to it.
        let logMax = 4 * 200 * 8_192 + 3_000_000
        #expect(TemporaryFolder.size(file + "-wal") < logMax, "the log is bounded")
        await journal.close()
        #expect(sizeEarly > 0)
        #expect(TemporaryFolder.size(file) < 3 * 200 * content.count, "pages are used again")
        let again = try await SQLiteJournal(file: file)
        #expect(try await again.snapshot().rows.count == 200)
        await again.close()
    }
}

/// Another connection's write transaction, held until it is ended.
final class HeldTransaction: Sendable {
    private let release = DispatchSemaphore(value: 0)
    private let task: Task<Void, any Error>

    init(_ file: String, schema: Schema) async throws {
        let connection = try await Connection.open(file, schema: schema, options: SQLiteOptions())
        let (started, continuation) = AsyncStream<Void>.makeStream()
        let release = release
        task = Task {
            try await connection.transact("hold a transaction") { _ in
                continuation.finish()
                release.wait()
            }
            await connection.close()
        }
        for await _ in started {}
    }

    /// Commits, and waits until that is done.
    func end() async throws {
        release.signal()
        try await task.value
    }
}
