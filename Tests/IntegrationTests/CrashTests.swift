import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import SyncTransport
import Testing

/// P1 to P5 over SIGKILL, checked from the producers' own books.
@Suite(.serialized) struct CrashTests {
    @Test(.timeLimit(.patience))
    func `twenty kills lose nothing, reorder nothing, double nothing`() async throws {
        let cluster = try await DaemonCluster.start(
            workers: 3, coordinatorFlags: ["--lease-ms", "1000"])
        let loads = [
            try await LoadedProducer("p1", of: cluster, seed: 1),
            try await LoadedProducer("p2", of: cluster, seed: 2),
        ]
        let perKill = 200
        try await withThrowingTaskGroup(of: Void.self) { keeping in
            for load in loads { keeping.addTask { await load.keep() } }
            for round in 0..<20 {
                let places = round * perKill + 1...(round + 1) * perKill
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for load in loads { group.addTask { await load.push(places) } }
                    // Some of the round's edits are answered, the others are on their way.
                    for load in loads { await load.book.reach(places.lowerBound + perKill / 3) }
                    try await Self.kill(cluster, loads, round: round)
                    try await group.waitForAll()
                }
            }
            for load in loads { await load.book.reach(20 * (perKill + 1)) }
            keeping.cancelAll()
        }
        for load in loads {
            try await cluster.flush(load.project)
            try await load.check(cluster)
        }
        let events = try await cluster.events()
        #expect(events.map(\.number) == Array(1...UInt64(events.count)))
        var ends: [EditSequence: Int] = [:]
        for event in events where event.kind.isEnd { ends[event.sequence, default: 0] += 1 }
        for event in events where event.kind == .accepted { #expect(ends[event.sequence] == 1) }
        await cluster.stop()
    }

    /// Kills the coordinator, a worker, or all while rows are in flight, and starts them again.
    ///
    /// The workers are stopped first, wherever they are, so that what is in flight stays there.
    private static func kill(
        _ cluster: DaemonCluster, _ loads: [LoadedProducer], round: Int
    ) async throws {
        let workers = cluster.workers.values.map(\.pid)
        for pid in workers { Glibc.kill(pid, SIGSTOP) }
        let place = 1_000_000 + round
        for load in loads { await load.push(place...place) }
        var pending = 0
        try await Patience.until("rows are in flight") {
            pending = try await cluster.queue().counts.pending
            return pending > 0
        }
        let labels = ["w0", "w1", "w2"]
        switch round % 3 {
        case 0:
            print("kill \(round + 1): the coordinator, \(pending) rows in flight")
            cluster.crashCoordinator()
            try cluster.startCoordinator()
        case 1:
            let label = labels[round % labels.count]
            print("kill \(round + 1): worker \(label), \(pending) rows in flight")
            cluster.crashWorker(label)
            try cluster.startWorker(label)
        default:
            print("kill \(round + 1): everything, \(pending) rows in flight")
            for label in labels { cluster.crashWorker(label) }
            cluster.crashCoordinator()
            try cluster.startCoordinator()
            for label in labels { try cluster.startWorker(label) }
        }
        for pid in workers { Glibc.kill(pid, SIGCONT) }
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

    @Test(.timeLimit(.patience))
    func `a burst of 100,000 edits leaves the last one of each file`() async throws {
        let cluster = try await DaemonCluster.start(workers: 2)
        let producer = try await cluster.producer()
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        let before = try await Self.contentBytes(cluster)
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
        #expect(try await Self.contentBytes(cluster) == before)
        keeping.cancel()
        cluster.crashCoordinator()
        let logBytes = try await Self.logBytes(cluster)
        print("burst: \(accepted) accepted, \(logBytes) bytes of log and window")
        #expect(logBytes <= 64 * accepted)
        await cluster.stop()
    }

    /// Bytes of content that wait in the journal, by its own account.
    private static func contentBytes(_ cluster: DaemonCluster) async throws -> Int {
        let (code, output) = try await cluster.command(["queue", "--json"])
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
