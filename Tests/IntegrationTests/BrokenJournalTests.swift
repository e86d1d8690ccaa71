import Foundation
import Logging
import SyncCoordinator
import SyncCore
import SyncStore
import SyncTestKit
import SyncTransport
import Testing
import ZeroMQ

/// What a coordinator does when its disk can't be trusted any more.
@Suite struct BrokenJournalTests {
    // Trace A8.
    @Test(.timeLimit(.patience))
    func `a coordinator ends when an fsync failed, and the next one reads back what is there`()
        async throws
    {
        let folder = "/tmp/syncd-broken-\(UInt32.random(in: .min ... .max))"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let configuration = CoordinatorConfiguration(
            intake: "ipc://\(folder)/i", workers: "ipc://\(folder)/w",
            status: "ipc://\(folder)/s")
        let disk = InMemoryJournal.Disk()
        disk.failCommits(with: [JournalError(.fatal, "An fsync failed; look at the disk.")])
        let context = try Context()
        let loop = try SocketLoop(name: "producer", context: context)
        let producer = Producer(
            endpoint: configuration.intake, project: MachineCluster.project,
            name: MachineCluster.name("tester"), on: loop)
        try await producer.open()
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        let edit = MachineCluster.put("f", "1")
        await book.pushed(await producer.submit(edit), edit)

        let broken = try InMemoryJournal(disk: disk)
        let error = await #expect(throws: JournalError.self) {
            try await Self.service(configuration, broken, epoch: 1).run()
        }
        #expect(error?.code == .fatal)
        #expect(error?.message == "An fsync failed; look at the disk.")
        #expect(await book.accepted.isEmpty && disk.commitCount == 0)
        await broken.close()

        let mended = try InMemoryJournal(disk: disk)
        let service = Self.service(configuration, mended, epoch: 2)
        let running = Task { try await service.run() }
        await book.reach(1)
        #expect(await book.accepted == [1: EditSequence(1)])
        #expect(disk.commitCount == 1)
        running.cancel()
        _ = await running.result
        keeping.cancel()
        await loop.stop()
        context.shutdown()
        _ = context.terminate(within: .seconds(5))
    }

    @Test(.timeLimit(.patience))
    func `a journal whose files do not belong together is refused`() async throws {
        let cluster = try await DaemonCluster.start(workers: 0)
        let file = cluster.folder.path + "/other.db"
        func turn(_ number: UInt64, _ header: JournalHeader) -> JournalTransaction {
            var turn = JournalTransaction(turn: number, header: header)
            turn.header.lastEvent = number
            return turn
        }
        let journal = try await SQLiteJournal(file: file)
        let header = try await journal.snapshot().header
        try await journal.commit(turn(1, header))
        await journal.close()
        try FileManager.default.copyItem(atPath: file, toPath: file + ".backup")
        for number in UInt64(2)...3 {
            // Each takes the former one's place, which the database has.
            let later = try await SQLiteJournal(file: file)
            try await later.commit(turn(number, header))
            await later.close()
        }
        // The backup alone, over what it is a copy of.
        try FileManager.default.removeItem(atPath: file)
        try FileManager.default.copyItem(atPath: file + ".backup", toPath: file)
        let arguments = ["coordinator", "--journal", "sqlite:\(file)", "--intake"]
        let run = try await cluster.command(arguments + ["ipc://\(cluster.folder.path)/other"])
        #expect(run.code == 1, "\(run.output)")
        cluster.expectQuoted("do not go on where", of: run.output)
        await cluster.stop()
    }

    private static func service(
        _ configuration: CoordinatorConfiguration, _ journal: InMemoryJournal, epoch: UInt64
    ) -> CoordinatorService {
        CoordinatorService(
            configuration, journal: journal, epoch: Epoch(bits: epoch),
            logger: Logger(label: "coordinator") { _ in SwiftLogNoOpLogHandler() })
    }
}
