import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing
import ZeroMQ

/// P8: connections have a limit, the process has descriptors for it, and nobody inside is harmed.
@Suite(.serialized) struct ConnectionLimitTests {
    // Trace B5.
    @Test(.timeLimit(.patience))
    func `past the limit of connections who comes is hung up on, who is in is served`()
        async throws
    {
        // Eight for clients, four each for workers and monitors.
        let cluster = try await DaemonCluster.start(
            workers: 0, places: DaemonCluster.Places(intake: try FaultyProxy.freeEndpoint()),
            coordinatorFlags: ["--set", "connections=16", "--lease-ms", "60000"])
        try await cluster.withProducers((0..<40).map { "crowd\($0)" }) { _ in
            let line = try await cluster.logLine(with: ["intake: all 8 connections", "are taken"])
            #expect(line.contains("warning"))
            #expect(line.contains("--set connections=N"))
            cluster.expectQuoted("connections", of: line)
            // The one client that was there first asks on, and workers are no clients.
            try cluster.startWorker("w0")
            try await cluster.joined()
            try await Patience.until("the others are hung up on") {
                let own = try await cluster.queue().connections
                return own?.refused ?? 0 >= 33 && own?.intake == 8 && own?.workers == 1
            }
        }
        // Whoever comes when there is room again is served.
        let room = try await cluster.logLine(with: ["intake: there is room for connections again"])
        cluster.expectQuoted("room", of: room)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1)
        let keeping = Task { await load.keep() }
        let edit = MachineCluster.put("f", "x")
        await load.book.pushed(await load.producer.submit(edit), edit)
        await load.book.reach(1)
        try await cluster.flush()
        try await load.check(cluster)
        keeping.cancel()
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a coordinator whose descriptors do not cover its connections is refused`() async throws {
        let folder = URL(fileURLWithPath: "/tmp/syncd-test-\(UInt32.random(in: .min ... .max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func start(_ limit: Int) async throws -> (code: Int32, text: String) {
            let (code, text) = try await CommandRun.outcome(of: [
                "prlimit", "--nofile=\(limit):\(limit)", DaemonCluster.binary.path, "coordinator",
                "--journal", "sqlite:\(folder.path)/journal.db",
            ])
            return (code, text)
        }
        let some = try await start(3_000)
        #expect(some.code == 78)
        #expect(some.text.contains("may have 3000 files open, but 4096 connections"))
        #expect(some.text.contains("--set connections=1976"))
        for line in some.text.split(separator: "\n") where line.hasPrefix("syncd: This process") {
            OperatingArticle.expectQuoted(String(line))
        }
        let few = try await start(512)
        #expect(few.code == 78)
        #expect(few.text.contains("LimitNOFILE="))
        #expect(!few.text.contains("--set connections"))
        // Refused before anything was made.
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/journal.db"))
    }
}
