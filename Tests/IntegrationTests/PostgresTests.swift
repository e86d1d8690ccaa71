import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import SyncTransport
import Testing

/// The production binaries with their store in a real PostgreSQL.
@Suite(.serialized) struct PostgresTests {
    private static let leaseFlags = ["--lease-ms", "1000"]

    private static func places(_ url: String) -> DaemonCluster.Places {
        var places = DaemonCluster.Places()
        places.storeURL = url
        return places
    }

    /// No attempt was burnt, nothing failed, and every accepted edit has exactly one end.
    private static func checkEvents(_ cluster: DaemonCluster) async throws {
        let events = try await cluster.events()
        #expect(events.map(\.number) == Array(1...UInt64(events.count)))
        let burnt = events.filter { $0.kind == .retrying || $0.kind == .failed }
        #expect(burnt.map(\.sequence) == [], "attempts were burnt")
        var ends: [EditSequence: Int] = [:]
        for event in events where event.kind.isEnd { ends[event.sequence, default: 0] += 1 }
        for event in events where event.kind == .accepted { #expect(ends[event.sequence] == 1) }
    }

    /// Whether the password stands in anything that the processes said.
    private static func checkSecrets(_ cluster: DaemonCluster) throws {
        let children = [cluster.coordinator].compactMap(\.self) + cluster.workers.values
        for child in children {
            #expect(!child.text.contains("secret"), "\(child.log.lastPathComponent)")
        }
    }

    @Test(.timeLimit(.patience))
    func `the server killed under load burns no attempt, loses and doubles nothing`() async throws {
        let server = try PostgresServer()
        defer { server.remove() }
        let url = server.tcpURL(try server.makeDatabase())
        let cluster = try await DaemonCluster.start(
            workers: 2, places: Self.places(url), coordinatorFlags: Self.leaseFlags)
        try await cluster.joined(2)
        let loads = [
            try await LoadedProducer("p1", of: cluster, seed: 1),
            try await LoadedProducer("p2", of: cluster, seed: 2),
        ]
        let perRound = 150
        try await withThrowingTaskGroup(of: Void.self) { keeping in
            for load in loads { keeping.addTask { await load.keep() } }
            for round in 0..<3 {
                let places = round * perRound + 1...(round + 1) * perRound
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for load in loads { group.addTask { await load.push(places) } }
                    for load in loads { await load.book.reach(places.lowerBound + perRound / 3) }
                    try server.crash()
                    // What is accepted meanwhile waits, all of it.
                    for load in loads { await load.book.reach(places.upperBound) }
                    #expect(try await cluster.queue().counts.pending > 0)
                    try server.start()
                    try await group.waitForAll()
                }
            }
            keeping.cancelAll()
        }
        for load in loads {
            try await cluster.flush(load.project)
            try await load.check(cluster)
        }
        try await Self.checkEvents(cluster)
        try Self.checkSecrets(cluster)
        await cluster.stop()
    }

    // Trace B2.
    @Test(.timeLimit(.patience))
    func `a worker stopped inside a transaction of the store holds up nobody`() async throws {
        let server = try PostgresServer()
        defer { server.remove() }
        let database = try server.makeDatabase()
        let cluster = try await DaemonCluster.start(
            workers: 2, places: Self.places(server.tcpURL(database)),
            coordinatorFlags: Self.leaseFlags)
        try await cluster.joined(2)
        let load = try await LoadedProducer("p1", of: cluster, seed: 3)
        try await withThrowingTaskGroup(of: Void.self) { keeping in
            keeping.addTask { await load.keep() }
            await load.push(1...20)
            await load.book.reach(20)
            try await cluster.flush()
            // Somebody holds every row, so that workers wait inside their transactions.
            let holder = try StoreHolder(server, database)
            try await holder.holds()
            let pushing = Task { await load.push(21...120) }
            let session = try await Patience.value("a worker waits inside its transaction") {
                try server.run(
                    "SELECT client_port FROM pg_stat_activity WHERE datname = '\(database)' AND "
                        + "application_name = 'syncd' AND wait_event_type = 'Lock' LIMIT 1"
                ).split(separator: "\n").first.map(String.init)
            }
            let label = try #require(
                try cluster.workers.first { _, child in
                    try SystemTool.run("ss", ["-tnpH", "sport", "= :\(session)"])
                        .contains("pid=\(child.pid),")
                }?.key)
            let stopped = try #require(cluster.workers[label])
            stopped.process.signal(SIGSTOP)
            try await Patience.until("it is stopped") { ProcessTable.isStopped(stopped.pid) }
            holder.end()
            await pushing.value
            await load.book.reach(120)
            // Its files move to the other worker, which finds no row held.
            try await cluster.flush()
            #expect(ProcessTable.isStopped(stopped.pid))
            try await load.check(cluster)
            stopped.process.signal(SIGCONT)
            keeping.cancelAll()
        }
        try await cluster.flush()
        try await load.check(cluster)
        try await Self.checkEvents(cluster)
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `get, history and ls read what workers of up have stored there`() async throws {
        let server = try PostgresServer.shared()
        let url = server.tcpURL(try server.makeDatabase())
        let cluster = try await DaemonCluster.up(
            workers: 2, environment: ["SYNCD_STORE": url])
        let producer = try await cluster.producer("p1")
        for (number, text) in zip(UInt64(1)..., ["one", "two"]) {
            #expect(await producer.submit(MachineCluster.put("dir/file", text)) == number)
        }
        try await cluster.flush()
        func said(_ words: String...) async throws -> String {
            let (code, output) = try await CommandRun.outcome(
                of: DaemonCluster.binary, words + ["--project", "p1"],
                environment: cluster.environment.merging(["SYNCD_STORE": url]) { $1 })
            #expect(code == 0, "\(output)")
            #expect(!output.contains("secret"))
            return output
        }
        #expect(try await said("get", "dir/file") == "two")
        #expect(try await said("ls").hasSuffix("  dir/file\n"))
        #expect(try await said("history", "dir/file").contains("by tester/"))
        #expect(!FileManager.default.fileExists(atPath: cluster.storeFile))
        let commands = ProcessTable.children(of: try #require(cluster.supervisor).pid)
        #expect(commands.count == 3)
        for child in commands {
            #expect(!child.arguments.joined(separator: " ").contains("secret"))
        }
        #expect(cluster.supervisor?.text.contains("secret") == false)
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a store that can't be opened ends the worker with a sentence, a journal there too`()
        async throws
    {
        let server = try PostgresServer.shared()
        let folder = FileManager.default.temporaryDirectory.path + "/none"
        func outcome(_ words: [String]) async throws -> (code: Int32, output: String) {
            let found = try await CommandRun.outcome(of: DaemonCluster.binary, words)
            #expect(!found.output.contains("secret"), "\(found.output)")
            return found
        }
        let url = server.tcpURL("nowhere")
        let worker = try await outcome(["worker", "--store", url, "--local-root", folder])
        #expect(worker.code == 69)
        #expect(worker.output.contains("database \"nowhere\" does not exist"))
        let journal = try await outcome(["coordinator", "--journal", url])
        #expect(journal.code == 78)
        #expect(journal.output.contains("the journal lies in SQLite only"))
    }
}

/// A session that locks every row of a store until it is ended.
private final class StoreHolder {
    private let process = Process()
    private let server: PostgresServer
    private let database: String

    init(_ server: PostgresServer, _ database: String) throws {
        self.server = server
        self.database = database
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "psql", "-Xq", server.url(database), "-c",
            "BEGIN; SELECT id FROM syncd.files FOR UPDATE; SELECT pg_sleep(3600);",
        ]
        process.environment = ["PATH": "/usr/bin:/bin", "PGAPPNAME": "holder"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    /// Returns when it holds them.
    func holds() async throws {
        try await Patience.until("the rows are held") {
            try server.run(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND "
                    + "datname = '\(database)' AND wait_event = 'PgSleep'") == "1"
        }
    }

    /// Lets go of the rows.
    func end() {
        _ = try? server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                + "'holder' AND datname = '\(database)'")
        process.signal(SIGKILL)
        process.waitUntilExit()
    }
}
