import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// P2 against real processes: the newest edit wins in each waiting state.
@Suite(.serialized) struct WaitingStateTests {
    /// Pushes one text and waits for its acceptance.
    private static func push(
        _ text: String, to path: String = "f", _ producer: Producer, _ book: ProducerBook
    ) async {
        let edit = MachineCluster.put(path, text)
        await book.pushed(await producer.submit(edit), edit)
        await book.reach(await book.edits.count)
    }

    private static func text(_ cluster: DaemonCluster, _ path: String = "f") -> String? {
        FileManager.default.contents(atPath: cluster.sandboxes + "/p1/" + path)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// Asks until a file of the project is in a state; gives up after a minute.
    private static func file(
        in state: String, _ cluster: DaemonCluster
    ) async throws -> FileStatus {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            let files = try await cluster.queue("p1").files
            if let found = files.first(where: { $0.state == state }) { return found }
        }
        throw KitError("no file became \(state)")
    }

    /// Asks until nothing of the project is left to do; gives up after a minute.
    private static func rest(_ cluster: DaemonCluster) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while try await cluster.queue("p1").counts.pending > 0 {
            if ContinuousClock.now > end { throw KitError("the project does not come to rest") }
        }
    }

    private func withCluster(
        workers: Int, flags: [String] = [],
        _ body: (DaemonCluster, Producer, ProducerBook) async throws -> Void
    ) async throws {
        let cluster = try await DaemonCluster.start(workers: workers, coordinatorFlags: flags)
        let producer = try await cluster.producer()
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        try await body(cluster, producer, book)
        keeping.cancel()
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `waiting for its turn`() async throws {
        try await withCluster(workers: 0) { cluster, producer, book in
            for text in ["one", "two", "three"] { await Self.push(text, producer, book) }
            try cluster.startWorker("w")
            try await cluster.flush()
            #expect(Self.text(cluster) == "three")
            let history = try await cluster.command(["history", "--project", "p1", "f", "--json"])
            #expect(history.output.split(separator: "\n").count == 1)
        }
    }

    @Test(.timeLimit(.patience))
    func `in flight with a worker that is stopped`() async throws {
        try await withCluster(workers: 1) { cluster, producer, book in
            await Self.push("zero", producer, book)
            try await cluster.flush()
            let worker = try #require(cluster.workers["w0"])
            worker.process.signal(SIGSTOP)
            for text in ["one", "two", "three"] { await Self.push(text, producer, book) }
            #expect(Self.text(cluster) == "zero")
            worker.process.signal(SIGCONT)
            try await cluster.flush()
            #expect(Self.text(cluster) == "three")
        }
    }

    @Test(.timeLimit(.patience))
    func `waiting for a retry`() async throws {
        try await withCluster(workers: 1, flags: ["--retry-ms", "60000,60000,60000"]) {
            cluster, producer, book in
            await Self.push("file", to: "d/leaf", producer, book)
            try await cluster.flush()
            // Something of another shape in the way is tried again until it has gone.
            await Self.push("shape", to: "d", producer, book)
            _ = try await Self.file(in: "retrying", cluster)
            try FileManager.default.removeItem(atPath: cluster.sandboxes + "/p1/d")
            await Self.push("newest", to: "d", producer, book)
            try await cluster.flush()
            #expect(Self.text(cluster, "d") == "newest")
        }
    }

    @Test(.timeLimit(.patience))
    func `failed for good, until a newer edit comes`() async throws {
        try await withCluster(workers: 1) { cluster, producer, book in
            await Self.push("zero", to: "x/f", producer, book)
            try await cluster.flush()
            let link = cluster.sandboxes + "/p1/out"
            try FileManager.default.createSymbolicLink(
                atPath: link, withDestinationPath: "/tmp")
            await Self.push("escape", to: "out/f", producer, book)
            let failed = try await Self.file(in: "failed", cluster)
            #expect(failed.path.text == "out/f")
            #expect(!failed.reason.isEmpty)
            try FileManager.default.removeItem(atPath: link)
            await Self.push("mended", to: "out/f", producer, book)
            try await cluster.flush()
            #expect(Self.text(cluster, "out/f") == "mended")
        }
    }

    @Test(.timeLimit(.patience))
    func `waiting for a target that is away`() async throws {
        try await withCluster(workers: 1) { cluster, producer, book in
            // Before the first write: later on, open stage directories would go on working below
            // a root that was only moved.
            let root = cluster.sandboxes
            try await cluster.joined()
            try FileManager.default.moveItem(atPath: root, toPath: root + ".gone")
            for text in ["one", "two", "three"] { await Self.push(text, producer, book) }
            _ = try await Self.file(in: "parked", cluster)
            try FileManager.default.moveItem(atPath: root + ".gone", toPath: root)
            try await Self.rest(cluster)
            #expect(Self.text(cluster) == "three")
            let kinds = try await cluster.events().map(\.kind)
            #expect(kinds.contains(.away) && kinds.contains(.back))
            #expect(!kinds.contains(.failed))
        }
    }
}
