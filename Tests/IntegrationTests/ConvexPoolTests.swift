import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import SyncTransport
import Testing

/// The production binaries with their store in a double of Convex.
@Suite(.serialized) struct ConvexPoolTests {
    private static let environment = ["SYNCD_CONVEX_KEY": ConvexServer.key]

    /// Runs a test's body with a pool whose workers keep versions in a deployment.
    private static func withPool(
        workers: Int, _ body: (DaemonCluster, ConvexServer) async throws -> Void
    ) async throws {
        try await ConvexServer.with { server in
            var places = DaemonCluster.Places()
            places.storeURL = "convex:\(server.url)"
            let cluster = try DaemonCluster(folder: nil, places: places)
            try cluster.startCoordinator()
            for number in 0..<workers {
                try cluster.startWorker("w\(number)", environment: environment)
            }
            do {
                try await cluster.joined(workers)
                try await body(cluster, server)
                let children = [cluster.coordinator].compactMap(\.self) + cluster.workers.values
                for child in children {
                    #expect(!child.text.contains("secret"), "\(child.log.lastPathComponent)")
                }
            } catch {
                await cluster.stop()
                throw error
            }
            await cluster.stop()
        }
    }

    private static func storeSettings() -> StoreSettings {
        var settings = StoreSettings()
        settings.convexKey = ConvexKey(ConvexServer.key)
        return settings
    }

    @Test(.timeLimit(.patience))
    func `answers lost, requests turned away and a killed worker lose and double nothing`()
        async throws
    {
        try await Self.withPool(workers: 2) { cluster, server in
            let load = try await LoadedProducer("p1", of: cluster, seed: 1)
            try await withThrowingTaskGroup(of: Void.self) { keeping in
                keeping.addTask { await load.keep() }
                // A sandbox that nobody has marked gets one file first, which would meet every
                // fault alone.
                await load.push(1...1)
                await load.book.reach(1)
                try await cluster.flush()
                let faults: [ConvexServer.Fault] = [
                    .dropAfterCommit, .serverErrorAfterCommit, .conflict, .tooManyWrites, .noJSON,
                ]
                for (round, fault) in faults.enumerated() {
                    try await server.play(fault, times: 10, in: "updateFile")
                    let places = round * 60 + 2...(round + 1) * 60 + 1
                    await load.push(places)
                    await load.book.reach(places.lowerBound + 20)
                    if fault == .conflict {
                        cluster.crashWorker("w0")
                        try cluster.startWorker("w2", environment: Self.environment)
                    }
                    await load.book.reach(places.upperBound)
                    try await Patience.until("the faults were played") {
                        try await server.facts().pending == 0
                    }
                }
                try await cluster.flush()
                keeping.cancelAll()
            }
            try await load.check(cluster, Self.storeSettings())
            let events = try await cluster.events()
            let burnt = events.filter { $0.kind == .retrying || $0.kind == .failed }
            #expect(burnt.map(\.sequence) == [], "attempts were burnt")
        }
    }

    @Test(.timeLimit(.patience))
    func `get, history and ls read what workers of up have stored there`() async throws {
        try await ConvexServer.with { server in
            let key = FileManager.default.temporaryDirectory
                .appendingPathComponent("syncd-key-\(UUID().uuidString)")
            try Data((ConvexServer.key + "\n").utf8).write(to: key)
            defer { try? FileManager.default.removeItem(at: key) }
            let variables = [
                "SYNCD_STORE": "convex:\(server.url)", "SYNCD_CONVEX_KEY_FILE": key.path,
            ]
            let cluster = try await DaemonCluster.up(workers: 1, environment: variables)
            let producer = try await cluster.producer("p1")
            let book = ProducerBook()
            let keeping = Task { await book.keep(producer.updates) }
            defer { keeping.cancel() }
            for (count, text) in zip(1..., ["one", "two"]) {
                let edit = MachineCluster.put("dir/file", text)
                await book.pushed(await producer.submit(edit), edit)
                // Else the second would take the first one's place before it is stored.
                await book.reach(count)
                try await cluster.flush()
            }
            // Opening: who is it, make it. Starting: who is it. Binding: who is it, bind it.
            let calls = try await server.facts().calls
            #expect(calls["syncd:identity"] == 3 && calls["syncd:identify"] == 1, "\(calls)")
            #expect(calls["syncd:bind"] == 1 && calls["syncd:updateFile"] == 2, "\(calls)")
            func said(_ words: String...) async throws -> String {
                let (code, output) = try await CommandRun.outcome(
                    of: DaemonCluster.binary, words + ["--project", "p1"],
                    environment: cluster.environment.merging(variables) { $1 })
                #expect(code == 0, "\(output)")
                #expect(!output.contains("secret"))
                return output
            }
            #expect(try await said("get", "dir/file") == "two")
            #expect(try await said("get", "dir/file", "--version", "1") == "one")
            #expect(try await said("ls").hasSuffix("  dir/file\n"))
            #expect(try await said("history", "dir/file").contains("by tester/"))
            #expect(!FileManager.default.fileExists(atPath: cluster.storeFile))
            #expect(cluster.supervisor?.text.contains("secret") == false)
            await cluster.stop()
        }
    }

    @Test(.timeLimit(.patience))
    func `a store that can't be opened ends the worker with a sentence, a journal there too`()
        async throws
    {
        try await ConvexServer.with { server in
            let worker = ["worker", "--local-root", "/nowhere", "--store"]
            let key = ["SYNCD_CONVEX_KEY": "secret-but-wrong"]
            for (words, variables, code, part) in [
                (worker + ["convex:\(server.url)"], key, 69, "401 (BadAdminKey)"),
                (worker + ["convex:\(server.url)"], [:], 78, "wants a deploy key"),
                (
                    worker + ["convex:\(server.url)"], ["SYNCD_CONVEX_KEY": "secret with spaces"],
                    78, "holds no deploy key"
                ),
                (
                    worker + ["convex:\(server.url)"], ["SYNCD_CONVEX_KEY_FILE": "/nowhere/key"],
                    78, "can't be read"
                ),
                (worker + ["convex:http://example.com"], key, 78, "must be an https:// address"),
                (worker + ["convex:https://h/?key=secret"], key, 78, "can't be read"),
                (
                    ["coordinator", "--journal", "convex:\(server.url)"], key, 78,
                    "the journal lies in SQLite only"
                ),
            ] as [([String], [String: String], Int32, String)] {
                let environment = ProcessInfo.processInfo.environment.merging(variables) { $1 }
                let found = try await CommandRun.outcome(
                    of: DaemonCluster.binary, words, environment: environment)
                #expect(found.code == code && found.output.contains(part), "\(found)")
                #expect(!found.output.contains("secret"), "\(found.output)")
            }
        }
    }
}
