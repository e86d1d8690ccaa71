import Synchronization
import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

@Suite struct SQLiteStoreTests {
    let folder: TemporaryFolder
    let file: String

    init() throws {
        folder = try TemporaryFolder()
        file = folder.file("store.db")
    }

    // Trace A7.
    @Test func `synchronous is FULL after everything that GRDB sets`() async throws {
        let store = try await SQLiteStore(file: file)
        let found = try await store.connection.perform("read a pragma") {
            try SQLStatement($0, "PRAGMA synchronous").first { $0.integer(0) }
        }
        #expect(found == 2)
    }

    @Test func `stores that are made at once by many are one store`() async throws {
        for round in 0..<20 {
            let file = folder.file("store-\(round).db")
            let ids = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<8 {
                    group.addTask { try await SQLiteStore(file: file).identity().id }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
        }
    }

    // Trace C10.
    @Test func `two instances that apply 1,000 edits each leave versions dense`() async throws {
        let options = SQLiteOptions(busyTimeout: .seconds(60), checkpointPages: 50)
        let count = SequenceCounter()
        // Open all the time: the last one to close a file takes its log away.
        let store = try await SQLiteStore(file: file)
        let file = file
        let applied = try await withThrowingTaskGroup(of: [String: [UInt64]].self) { group in
            for _ in 0..<2 {
                group.addTask {
                    let store = try await SQLiteStore(file: file, options: options)
                    var versions: [String: [UInt64]] = [:]
                    for turn in 0..<1_000 {
                        let path = "file-\(turn % 10)"
                        let edit = SequencedEdit.put(count.next(), .named(path))
                        switch try await store.apply([edit])[0] {
                        case .applied(let version):
                            versions[path, default: []].append(version.value)
                        case .stale: break
                        case let other: Issue.record("\(other)")
                        }
                    }
                    return versions
                }
            }
            return try await group.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) }
        }
        for (path, versions) in applied {
            #expect(versions.sorted() == Array(1...UInt64(versions.count)), "\(path)")
            let newest = try await store.version(of: .named(path), nil)
            #expect(newest?.version.value == UInt64(versions.count))
        }
        #expect(applied.count == 10)
        #expect(try await store.identity().highestSequence == EditSequence(2_000))
        let log = TemporaryFolder.size(file + "-wal")
        #expect(log < 400 * 8_192, "the log is bounded although writers never pause: \(log)")
    }

    @Test func `a writer that holds the file makes the store unavailable until it lets go`()
        async throws
    {
        let store = try await SQLiteStore(
            file: file, options: SQLiteOptions(busyTimeout: .milliseconds(30)))
        _ = try await store.apply([.put(1, .named("a"))])
        let holder = try await HeldTransaction(file, schema: .store)
        let error = await #expect(throws: StoreError.self) {
            try await store.apply([.put(2, .named("a"))])
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains(file) == true)
        #expect(try await store.version(of: .named("a"), nil)?.version == Version(1))
        let late = try await SQLiteStore(file: file)
        #expect(try await late.history(of: .named("a")).count == 1, "reading needs no turn")
        try await holder.end()
        #expect(try await store.apply([.put(2, .named("a"))]) == [.applied(Version(2))])
    }

    @Test func `a store without space is unavailable, changes nothing, and works again after`()
        async throws
    {
        let store = try await SQLiteStore(file: file, options: SQLiteOptions(pagesMax: 40))
        _ = try await store.apply([.put(1, .named("a"))])
        let large = Content([UInt8](repeating: 1, count: 1 << 20))
        let error = await #expect(throws: StoreError.self) {
            try await store.apply([.put(2, .named("a")), .put(3, .named("b"), content: large)])
        }
        #expect(error?.code == .unavailable)
        #expect(try await store.identity().highestSequence == EditSequence(1))
        #expect(try await store.history(of: .named("a")).map(\.version.value) == [1])
        #expect(try await store.apply([.put(4, .named("a"))]) == [.applied(Version(2))])
    }

    // Trace C7.
    @Test func `one edit that can't be stored harms no other of its batch`() async throws {
        let store = try await SQLiteStore(file: file)
        try await store.connection.perform("set a trap") {
            try SQLStatement(
                $0,
                """
                CREATE TRIGGER trap BEFORE INSERT ON versions WHEN NEW.content = x'62616400'
                BEGIN SELECT RAISE(ABORT, 'secret'); END
                """
            ).run()
        }
        let bad = Content(Array("bad\0".utf8))
        let answers = try await store.apply([
            .put(1, .named("a")), .put(2, .named("b"), content: bad), .put(3, .named("c")),
        ])
        #expect(answers.count == 3)
        #expect(answers[0] == .applied(Version(1)) && answers[2] == .applied(Version(1)))
        guard case .refused(let reason) = answers[1] else {
            Issue.record("not refused: \(answers[1])")
            return
        }
        #expect(reason.contains(file) && !reason.contains("secret") && !reason.contains("bad"))
        #expect(try await store.version(of: .named("b"), nil) == nil)
        #expect(try await store.identity().highestSequence == EditSequence(3))
    }

    @Test func `content larger than SQLite takes is refused, the rest of the batch is stored`()
        async throws
    {
        let store = try await SQLiteStore(file: file)
        let huge = Content(storage: UnreadableBytes(byteCount: 1_000_000_000))
        let answers = try await store.apply([
            .put(1, .named("a"), content: huge), .put(2, .named("b")),
        ])
        guard case .refused(let reason) = answers[0] else {
            Issue.record("not refused: \(answers[0])")
            return
        }
        #expect(reason.contains("1000000000 bytes"))
        #expect(answers[1] == .applied(Version(1)))
    }

    @Test func `keeping fewer versions than before drops the older ones at the next edit`()
        async throws
    {
        let many = try await SQLiteStore(file: file)
        for sequence in UInt64(1)...15 { _ = try await many.apply([.put(sequence, .named("a"))]) }
        #expect(try await many.history(of: .named("a")).map(\.version.value) == (6...15).reversed())
        let few = try await SQLiteStore(file: file, versionsKept: 2)
        _ = try await few.apply([.put(16, .named("a"))])
        #expect(try await few.history(of: .named("a")).map(\.version.value) == [16, 15])
    }

    @Test func `a reader sees what writers of other connections apply, and writes nothing`()
        async throws
    {
        let writer = try await SQLiteStore(file: file)
        let reader = try await SQLiteStore(readingOnly: file)
        for sequence in UInt64(1)...3 {
            _ = try await writer.apply([.put(sequence, .named("a"))])
            #expect(try await reader.version(of: .named("a"), nil)?.sequence.value == sequence)
        }
        #expect(try await reader.files(of: .demo, after: nil, countMax: 5).count == 1)
        let error = await #expect(throws: StoreError.self) {
            try await reader.apply([.put(9, .named("a"))])
        }
        #expect(error?.code == .unavailable)
        await writer.close()
        #expect(try await reader.history(of: .named("a")).count == 3)
        await reader.close()
        let late = try await SQLiteStore(readingOnly: file)
        #expect(try await late.history(of: .named("a")).count == 3)
    }

    @Test func `reading a store that does not exist is refused with a sentence`() async throws {
        let error = await #expect(throws: StoreError.self) {
            try await SQLiteStore(readingOnly: file)
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.hasPrefix("There is no store at \(file).") == true)
        #expect(TemporaryFolder.size(file + "-wal") == 0)
    }
}

private final class SequenceCounter: Sendable {
    private let count = Atomic<UInt64>(0)
    func next() -> UInt64 { count.add(1, ordering: .relaxed).newValue }
}

/// Says how many bytes it has; nobody may look at them.
private final class UnreadableBytes: ByteStorage {
    let byteCount: Int
    init(byteCount: Int) { self.byteCount = byteCount }
    func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) { Issue.record("looked at") }
}
