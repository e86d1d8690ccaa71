import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// What disks and contents do rarely, played inside real processes by a library that is loaded
/// before all others.
@Suite(.serialized) struct PlayedFaultTests {
    private static func folder() throws -> URL {
        let id = String(UInt32.random(in: .min ... .max), radix: 36)
        let folder = URL(fileURLWithPath: "/tmp/syncd-test-\(id)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    private static func push(_ paths: [String], _ text: String, _ load: LoadedProducer) async {
        for path in paths {
            let edit = MachineCluster.put(path, text)
            await load.book.pushed(await load.producer.submit(edit), edit)
        }
    }

    /// Every turn goes into the journal's database at once.
    private static let plainJournal = [
        "--lease-ms", "60000", "--set", "journal-front-mib=0",
    ]
    /// Turns go into small files first.
    private static let smallFront = ["--lease-ms", "60000", "--set", "journal-front-mib=1"]

    // Trace A8.
    @Test(.timeLimit(.patience))
    func `a coordinator whose fsync fails ends, promises nothing, and reads back what is there`()
        async throws
    {
        let folder = try Self.folder()
        let shim = try FaultShim(in: folder)
        let cluster = try DaemonCluster(
            folder: folder, coordinatorFlags: Self.plainJournal, workerFlags: [])
        try cluster.startCoordinator(environment: shim.environment)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1)
        let keeping = Task { await load.keep() }
        let before = (0..<50).map { "before/\($0)" }
        await Self.push(before, "1", load)
        await load.book.reach(50)
        try shim.begin(.syncFails, of: "journal.db-wal")
        await Self.push(["a", "before/1"], "2", load)
        let coordinator = try #require(cluster.coordinator)
        let code = try await coordinator.ending()
        #expect(code == 1)
        #expect(await load.book.accepted.count == 50, "nothing was promised after the failure")
        let end = coordinator.text.split(separator: "\n").filter { $0.contains("SQLite 1034") }
        #expect(end.isEmpty == false, "\(coordinator.text)")
        cluster.expectQuoted("SQLite 1034", of: coordinator.text)
        // Started again on a disk that still fails, it ends again and promises nothing: what can be
        // read back need not be on the disk.
        try cluster.startCoordinator(environment: shim.environment)
        let again = try #require(cluster.coordinator)
        #expect(try await again.ending() != 0)
        cluster.expectQuoted("copy the log into the database", of: again.text)
        #expect(await load.book.accepted.count == 50)
        try shim.end(.syncFails)
        try cluster.startCoordinator(environment: shim.environment)
        await load.book.reach(52)
        try cluster.startWorker("w0")
        try await cluster.flush()
        try await load.check(cluster)
        keeping.cancel()
        await cluster.stop()
    }

    /// Bytes of a file.
    private static func size(_ file: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: file)
        return (attributes[.size] as? NSNumber)?.intValue ?? 0
    }

    @Test(.timeLimit(.patience))
    func `a disk that hangs while the journal's long log is copied holds up no commit`()
        async throws
    {
        let folder = try Self.folder()
        let shim = try FaultShim(in: folder)
        let cluster = try DaemonCluster(
            folder: folder, coordinatorFlags: Self.plainJournal, workerFlags: [])
        try cluster.startCoordinator(environment: shim.environment)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1, contentBytes: 100_000)
        let keeping = Task { await load.keep() }
        await load.push(1...1)
        await load.book.reach(1)
        // Of the database only: commits sync the log.
        try shim.begin(.syncHangs, of: "journal.db")
        let before = try Self.size(cluster.journalFile)
        // More than 8 MiB, past which the log is copied.
        await load.push(2...120)
        await load.book.reach(120)
        try await Patience.until("the copy has begun") {
            try Self.size(cluster.journalFile) > before
        }
        // Not so much that commits wait for the copy, lest the log grow without end.
        await load.push(121...150)
        await load.book.reach(150)
        try shim.end(.syncHangs)
        try cluster.startWorker("w0")
        try await cluster.flush()
        try await load.check(cluster)
        keeping.cancel()
        await cluster.stop()
    }

    // Trace A8.
    @Test(.timeLimit(.patience))
    func `an fsync that fails while the journal's log is copied ends the coordinator, too`()
        async throws
    {
        let folder = try Self.folder()
        let shim = try FaultShim(in: folder)
        let cluster = try DaemonCluster(
            folder: folder, coordinatorFlags: Self.plainJournal, workerFlags: [])
        try cluster.startCoordinator(environment: shim.environment)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1, contentBytes: 100_000)
        let keeping = Task { await load.keep() }
        await load.push(1...1)
        await load.book.reach(1)
        try shim.begin(.syncFails, of: "journal.db")
        let coordinator = try #require(cluster.coordinator)
        var count = 1
        try await Patience.until("the coordinator ends") {
            count += 1
            await load.push(count...count)
            return !coordinator.process.isRunning
        }
        #expect(coordinator.status == 1)
        cluster.expectQuoted("copy the log into the database", of: coordinator.text)
        try shim.end(.syncFails)
        try cluster.startCoordinator(environment: shim.environment)
        try cluster.startWorker("w0")
        await load.book.reach(count)
        try await cluster.flush()
        try await load.check(cluster)
        keeping.cancel()
        await cluster.stop()
    }

    // Trace A8.
    @Test(.timeLimit(.patience))
    func `an fsync that fails in front of the journal's database ends the coordinator`()
        async throws
    {
        let folder = try Self.folder()
        let shim = try FaultShim(in: folder)
        let cluster = try DaemonCluster(
            folder: folder, coordinatorFlags: ["--lease-ms", "60000"], workerFlags: [])
        try cluster.startCoordinator(environment: shim.environment)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1)
        let keeping = Task { await load.keep() }
        await load.push(1...50)
        await load.book.reach(50)
        try shim.begin(.syncFails, of: "journal.db-turns1")
        await load.push(51...52)
        let coordinator = try #require(cluster.coordinator)
        #expect(try await coordinator.ending() == 1)
        #expect(await load.book.accepted.count == 50, "nothing was promised after the failure")
        cluster.expectQuoted("Could not commit a turn to the journal", of: coordinator.text)
        // What it had written is read back, and is on the disk before anything is answered.
        try shim.end(.syncFails)
        try cluster.startCoordinator(environment: shim.environment)
        await load.book.reach(52)
        try cluster.startWorker("w0")
        try await cluster.flush()
        try await load.check(cluster)
        keeping.cancel()
        await cluster.stop()
    }

    // Trace A8.
    @Test(.timeLimit(.patience), arguments: ["journal.db-wal", "journal.db"])
    func `an fsync that fails while turns are copied ends the coordinator, too`(
        file: String
    ) async throws {
        let folder = try Self.folder()
        let shim = try FaultShim(in: folder)
        let cluster = try DaemonCluster(
            folder: folder, coordinatorFlags: Self.smallFront, workerFlags: [])
        try cluster.startCoordinator(environment: shim.environment)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1, contentBytes: 100_000)
        let keeping = Task { await load.keep() }
        await load.push(1...1)
        await load.book.reach(1)
        try shim.begin(.syncFails, of: file)
        let coordinator = try #require(cluster.coordinator)
        var count = 1
        try await Patience.until("the coordinator ends") {
            count += 1
            await load.push(count...count)
            return !coordinator.process.isRunning
        }
        #expect(coordinator.status == 1)
        #expect(coordinator.text.contains("SQLite 1034"))
        try shim.end(.syncFails)
        try cluster.startCoordinator(environment: shim.environment)
        try cluster.startWorker("w0")
        await load.book.reach(count)
        try await cluster.flush()
        try await load.check(cluster)
        keeping.cancel()
        await cluster.stop()
    }

    // Trace B3.
    @Test(.timeLimit(.patience))
    func `a file that kills every worker fails as poison under up, the others are written`()
        async throws
    {
        let folder = try Self.folder()
        let shim = try FaultShim(in: folder)
        try shim.begin(.renameKills, of: "poison")
        let cluster = try await DaemonCluster.up(
            workers: 2, folder: folder, flags: ["--lease-ms", "30000"],
            environment: shim.environment)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1)
        let keeping = Task { await load.keep() }
        await Self.push((0..<20).map { "d\($0 % 3)/f\($0)" }, "1", load)
        await Self.push(["d1/poison"], "deadly", load)
        await Self.push((0..<20).map { "e\($0 % 3)/f\($0)" }, "1", load)
        await load.book.reach(41)
        var story: [StatusEvent] = []
        try await Patience.until("the file has failed") {
            story = try await cluster.events().filter { $0.path?.text == "d1/poison" }
            return story.last?.kind == .failed
        }
        #expect(story.last?.code == "poison")
        #expect(story.last?.attempts == 3)
        try await Patience.until("the others are synced") {
            try await cluster.queue().counts.pending == 1
        }
        let listed = try await cluster.command(["failed", "list", "--project", "p1"])
        #expect(listed.output.contains("d1/poison"))
        #expect(listed.output.contains("3 worker processes died"))
        cluster.expectQuoted("poison", of: listed.output)
        for number in 0..<20 {
            for folder in ["d", "e"] {
                let path = "\(cluster.sandboxes)/p1/\(folder)\(number % 3)/f\(number)"
                #expect(FileManager.default.contents(atPath: path) == Data("1".utf8))
            }
        }
        let deaths = cluster.supervisor?.text.components(separatedBy: "worker ended").count ?? 0
        print("played: \(deaths - 1) workers died")
        #expect(deaths - 1 == 3)
        // A newer edit, of a name that harms nobody, and the old one given up: all is well again.
        #expect(
            try await cluster.command(["failed", "discard", "--project", "p1", "--prefix", "d1"])
                .code
                == 0)
        try await cluster.flush()
        keeping.cancel()
        await cluster.stop()
    }
}
