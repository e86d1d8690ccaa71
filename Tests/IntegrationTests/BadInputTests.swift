import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing
import ZeroMQ

/// P8 and P9 against a real coordinator: whatever comes, the answer is a code and a sentence, and
/// nobody else notices.
@Suite(.serialized) struct BadInputTests {
    /// A client that speaks to a cluster by frames, and the healthy one beside it.
    private static func withClients(
        intake: String? = nil,
        _ body: (DaemonCluster, borrowing RawClient, Context) async throws -> Void
    ) async throws {
        let cluster = try await DaemonCluster.start(workers: 1, intake: intake)
        let context = try Context()
        let client = try RawClient(to: cluster.intake, in: context)
        let healthy = try await cluster.producer("healthy")
        let book = ProducerBook()
        let keeping = Task { await book.keep(healthy.updates) }
        let before = try cluster.coordinatorMemory()
        try await body(cluster, client, context)
        // Whatever was tried: the coordinator is the same, answers, works, and has not grown.
        for number in 1...20 {
            let edit = MachineCluster.put("f\(number)", "healthy")
            await book.pushed(await healthy.submit(edit), edit)
        }
        await book.reach(20)
        #expect(await book.accepted.count == 20)
        try await cluster.flush("healthy")
        #expect(cluster.coordinator?.process.isRunning == true)
        try cluster.expectMemory(below: before + 256 << 20)
        keeping.cancel()
        await cluster.stop()
    }

    private static func answers(_ reply: ClientReply) throws -> [Result<Acceptance, Rejection>] {
        guard case .edits(let answers) = reply else { throw KitError("answered with \(reply)") }
        return answers.map(\.result)
    }

    private static func refusal(_ result: Result<Acceptance, Rejection>) -> Rejection? {
        guard case .failure(let rejection) = result else { return nil }
        return rejection
    }

    /// Gives one project a sandbox, and takes one from the other.
    private static func prepare(_ cluster: DaemonCluster, _ context: Context) throws {
        let owner = try RawClient(to: cluster.intake, in: context)
        for words in BadInput.preparation {
            try owner.send(words)
            _ = try owner.reply()
        }
    }

    // Trace C5.
    @Test(.timeLimit(.patience))
    func `each wrong edit gets its code, and the others of its message are accepted`() async throws
    {
        try await Self.withClients { cluster, client, context in
            try Self.prepare(cluster, context)
            var refusals: [Rejection] = []
            for (place, wrong) in BadInput.edits.enumerated() {
                try client.send(wrong.message(place))
                let results = try Self.answers(client.reply().reply)
                #expect(results.map { Self.refusal($0)?.code } == [nil, wrong.code, nil])
                refusals += results.compactMap(Self.refusal)
            }
            OperatingArticle.expectQuoted(refusals, inTable: "of an edit")
            try await cluster.flush()
            let tree = try DirectoryTree.read(at: cluster.sandboxes + "/p1")
            #expect(tree.keys.sorted() == BadInput.edits.indices.map { "good \($0)" }.sorted())
        }
    }

    @Test(.timeLimit(.patience))
    func `each wrong message is answered and the next one is served`() async throws {
        try await Self.withClients { _, client, _ in
            var refusals: [Rejection] = []
            for wrong in BadInput.messages {
                try client.send(wrong.message)
                guard case .rejected(let rejection) = try client.reply().reply else {
                    Issue.record("\(wrong.message.prefix(3)) was not refused")
                    continue
                }
                #expect(rejection.code == wrong.code, "\(wrong.message.prefix(3))")
                refusals.append(rejection)
            }
            OperatingArticle.expectQuoted(refusals, inTable: "of a message")
            try client.send(BadInput.head + BadInput.edit)
            let results = try Self.answers(client.reply().reply)
            #expect(results.compactMap(Self.refusal) == [])
        }
    }

    @Test(.timeLimit(.patience))
    func `numbers that break the window's rules get their codes`() async throws {
        try await Self.withClients { _, client, _ in
            var refusals: [Rejection] = []
            for one in BadInput.numbers {
                try client.send(BadInput.head + [one.number, one.path, "", one.content])
                let answers = try Self.answers(client.reply().reply)
                #expect(answers.map { Self.refusal($0)?.code } == [one.code], "\(one)")
                refusals += answers.compactMap(Self.refusal)
            }
            OperatingArticle.expectQuoted(refusals, inTable: "of a number")
        }
    }

    @Test(.timeLimit(.patience))
    func `past a limit the answer is busy, with a time, and pending files stay editable`()
        async throws
    {
        // One project may have half of what is free, and nobody takes anything away.
        let cluster = try await DaemonCluster.start(
            workers: 0, coordinatorFlags: ["--set", "pending-files=4"])
        let context = try Context()
        let client = try RawClient(to: cluster.intake, in: context)
        var results: [Result<Acceptance, Rejection>] = []
        for (place, path) in ["a", "b", "c", "a"].enumerated() {
            try client.send(BadInput.head + ["\(place + 1)", path, "", "x"])
            results += try Self.answers(client.reply().reply)
        }
        #expect(results.map { Self.refusal($0)?.code } == [nil, nil, .busy, nil])
        let busy = try #require(results.compactMap(Self.refusal).first)
        #expect(busy.retryAfter == .milliseconds(200))
        OperatingArticle.expectQuoted("\(busy.code.rawValue): \(busy.sentence)")
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `bad input without end leaves the coordinator's memory where it is`() async throws {
        try await Self.withClients { cluster, client, context in
            try Self.prepare(cluster, context)
            let wrong =
                BadInput.largeMessages.map(\.message)
                + BadInput.edits.enumerated().map { $1.message($0) }
            var peaks: [Int] = []
            for _ in 0..<30 {
                for message in wrong {
                    try client.send(message)
                    _ = try client.reply()
                }
                peaks.append(try cluster.coordinatorMemory(.peak))
            }
            print("bad input: peaks in MiB \(peaks.map { $0 >> 20 })")
            try cluster.expectMemory(.peak, below: peaks[4] + 16 << 20)
        }
    }

    @Test(.timeLimit(.patience))
    func `two thousand damaged messages on both sockets leave the coordinator well`() async throws {
        try await Self.withClients { cluster, client, context in
            let worker = try RawClient(to: cluster.workerEndpoint, in: context)
            var random = SeededGenerator(seed: 5)
            let words = [
                "syncd/1", "EDIT", "QUEUE", "REGISTER", "HEARTBEAT", "REPORTS", "LEAVE", "FILES",
                "p1", BadInput.producer, "1", "", "{}", "{\"label\":\"w\"}", "0000000000000001",
                "last",
                "0000000000000001-1", "f", "ASSIGN", "\u{0}", "9007199254740993",
            ]
            for _ in 0..<2_000 {
                var message = ["syncd/1"]
                for _ in 0..<Int.random(in: 0...9, using: &random) {
                    message.append(words[Int.random(in: 0..<words.count, using: &random)])
                }
                try client.send(message)
                try worker.send(message)
                while try client.next() != nil {}
            }
            // Nobody is answered on the workers' socket: its log tells.
            try worker.send(["syncd/1", "QUEUE", "1", ""])
            let told = try await cluster.logLine(with: [
                "a message was dropped", "verb is unknown",
            ])
            cluster.expectQuoted("a message was dropped", of: told)
        }
    }
}
