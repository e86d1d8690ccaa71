import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import SyncTransport
import Testing

/// P1 to P5 over SIGKILL, checked from the producers' own books.
@Suite(.serialized) struct CrashTests {
    /// One producer's load: half of the edits go to files that are edited once.
    private static func load(
        _ cluster: DaemonCluster, _ book: ProducerBook, _ producer: Producer, count: Int,
        seed: UInt64
    ) async {
        var random = SeededGenerator(seed: seed)
        for number in 1...count {
            let path =
                number % 2 == 0
                ? "once/\(seed)-\(number)" : "hot/\(Int.random(in: 0..<20, using: &random))"
            let edit = MachineCluster.put(path, "\(seed):\(number)")
            await book.pushed(await producer.submit(edit), edit)
        }
    }

    @Test(.timeLimit(.minutes(10)))
    func `twenty kills lose nothing, reorder nothing, double nothing`() async throws {
        let cluster = try await DaemonCluster.start(
            workers: 3, coordinatorFlags: ["--lease-ms", "1000"])
        let books = [
            (project: "p1", book: ProducerBook(), producer: try await cluster.producer("p1")),
            (project: "p2", book: ProducerBook(), producer: try await cluster.producer("p2")),
        ]
        let ledgers = books.map(\.book)
        let count = 6_000
        await withTaskGroup(of: Void.self) { group in
            for (place, entry) in books.enumerated() {
                group.addTask { await entry.book.keep(entry.producer.updates) }
                group.addTask {
                    await Self.load(
                        cluster, entry.book, entry.producer, count: count, seed: UInt64(place + 1))
                }
            }
            group.addTask { await Self.kill(cluster, ledgers, times: 20, count: count) }
            for entry in books { await entry.book.reach(count) }
            group.cancelAll()
        }
        for entry in books {
            #expect(await entry.book.unknown.isEmpty)
            #expect(await entry.book.refused.values.allSatisfy { $0.code == .overtaken })
            try await cluster.flush(entry.project)
            try await Self.check(cluster, entry.project, await entry.book.newest)
        }
        let events = try await cluster.events()
        #expect(events.map(\.number) == Array(1...UInt64(events.count)))
        var ends: [EditSequence: Int] = [:]
        for event in events where event.kind.isEnd { ends[event.sequence, default: 0] += 1 }
        for event in events where event.kind == .accepted { #expect(ends[event.sequence] == 1) }
        await cluster.stop()
    }

    /// Kills coordinator, a worker, or all, whenever the answers have come a step further.
    private static func kill(
        _ cluster: DaemonCluster, _ books: [ProducerBook], times: Int, count: Int
    ) async {
        do {
            for round in 1...times {
                if let first = books.first { await first.reach(count * round / (times + 2)) }
                let rows = try await cluster.queue().counts.pending
                print("kill \(round): \(rows) files not at rest")
                switch round % 3 {
                case 0:
                    cluster.crashCoordinator()
                    try cluster.startCoordinator()
                case 1:
                    cluster.crashWorker("w\(round % 2)")
                    try cluster.startWorker("w\(round % 2)")
                default:
                    for label in ["w0", "w1", "w2"] { cluster.crashWorker(label) }
                    cluster.crashCoordinator()
                    try cluster.startCoordinator()
                    for label in ["w0", "w1", "w2"] { try cluster.startWorker(label) }
                }
            }
        } catch {
            Issue.record("the killer failed: \(error)")
        }
    }

    /// Store and sandbox hold each file's last accepted edit; versions are dense.
    static func check(
        _ cluster: DaemonCluster, _ project: String,
        _ newest: [EditPath: (number: UInt64, edit: Edit)]
    ) async throws {
        let sandbox = try DirectoryTree.read(at: cluster.sandboxes + "/" + project)
        let store = try await SQLiteStore(readingOnly: cluster.storeFile)
        for (path, last) in newest {
            let wanted = last.edit.change.content?.bytes
            #expect(sandbox[path.text]?.bytes == wanted, "\(project)/\(path)")
            let key = FileKey(project: MachineCluster.name(project), path: path)
            let stored = try await store.version(of: key, nil)
            #expect(stored?.change.content?.bytes == wanted, "stored \(project)/\(path)")
            let versions = try await store.history(of: key).map(\.version.value)
            if let first = versions.first, let last = versions.last {
                #expect(versions == Array((last...first).reversed()))
            }
        }
        await store.close()
    }

    @Test(.timeLimit(.minutes(10)))
    func `a burst of 100,000 edits leaves the last one of each file`() async throws {
        let cluster = try await DaemonCluster.start(workers: 2)
        let producer = try await cluster.producer()
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        let before = try Self.contentBytes(cluster)
        for number in 0..<100_000 {
            let edit = MachineCluster.put("f\(number % 200)", "content \(number)")
            await book.pushed(await producer.submit(edit), edit)
        }
        await book.reach(100_000)
        try await cluster.flush()
        try await Self.check(cluster, "p1", await book.newest)
        let accepted = await book.accepted.count
        var counts: [EventKind: Int] = [:]
        for event in try await cluster.events() { counts[event.kind, default: 0] += 1 }
        #expect(counts[.accepted] == accepted)
        #expect(accepted == counts[.synced, default: 0] + counts[.superseded, default: 0])
        #expect(try Self.contentBytes(cluster) == before)
        keeping.cancel()
        cluster.crashCoordinator()
        let logBytes = try await Self.logBytes(cluster)
        print("burst: \(accepted) accepted, \(logBytes) bytes of log and window")
        #expect(logBytes <= 64 * accepted)
        await cluster.stop()
    }

    /// Bytes of content that wait in the journal, by its own account.
    private static func contentBytes(_ cluster: DaemonCluster) throws -> Int {
        let (code, output) = try cluster.command(["queue", "--json"])
        guard code == 0,
            let object = try JSONSerialization.jsonObject(with: Data(output.utf8))
                as? [String: Any],
            let bytes = object["pending_bytes"] as? Int
        else { throw KitError("queue --json said: \(output)") }
        return bytes
    }

    /// Bytes of the packed segments on disk.
    private static func logBytes(_ cluster: DaemonCluster) async throws -> Int {
        let journal = try await SQLiteJournal(file: cluster.journalFile)
        let snapshot = try await journal.snapshot()
        await journal.close()
        return (snapshot.events + snapshot.acceptances).reduce(0) { $0 + $1.bytes.count }
    }
}
