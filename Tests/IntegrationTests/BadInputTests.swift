import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing
import ZeroMQ

/// P8 and P9 against a real coordinator: whatever comes, the answer is a code and a sentence, and
/// nobody else notices.
@Suite(.serialized) struct BadInputTests {
    private static let producer = "tester/00000000000000aa"

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
        #expect(try cluster.coordinatorMemory() < before + 256 << 20)
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

    /// Edits that are wrong: path, options, content and the code they get.
    private static let wrongEdits: [(path: [UInt8], options: String, size: Int, code: String)] = {
        let long = String(repeating: "x", count: 256)
        let paths = [
            "", "/etc/passwd", "a//b", "a/", ".", "..", "./a", "a/../b", "a\u{0}b", "a\nb",
            ".syncd/stage", long, String(repeating: "d/", count: 512) + "f",
        ]
        var wrong = paths.map { (path: Array($0.utf8), options: "", size: 1, code: "invalid-path") }
        wrong.append((path: [0x66, 0xff, 0xfe], options: "", size: 1, code: "invalid-path"))
        let options = [
            "{", "[]", "null", "{\"delete\":\"yes\"}", "{\"targets\":\"local:a\"}",
            "{\"targets\":[\"ftp:x\"]}", "{\"expected_version\":-1}", "{\"executable\":3}",
            String(repeating: "[", count: 100_000),
        ]
        for option in options {
            wrong.append((path: [0x66], options: option, size: 1, code: "bad-request"))
        }
        wrong.append((path: [0x66], options: "", size: 16 << 20 + 1, code: "too-large"))
        wrong.append(
            (
                path: [0x66], options: "{\"targets\":[\"local:healthy\"]}", size: 1,
                code: "target-taken"
            )
        )
        return wrong
    }()

    // Trace C5.
    @Test(.timeLimit(.patience))
    func `each wrong edit gets its code, and the others of its message are accepted`() async throws
    {
        try await Self.withClients { cluster, client, context in
            // So that its target is taken.
            let owner = try RawClient(to: cluster.intake, in: context)
            try owner.send([
                "syncd/1", "EDIT", "1", "healthy", "owner/00000000000000bb", "1", "f", "", "x",
            ])
            _ = try owner.reply()
            var number = 0
            for (place, wrong) in Self.wrongEdits.enumerated() {
                let head = ["syncd/1", "EDIT", "\(place)", "p1", Self.producer].map { Frame($0) }
                let good = [Frame("good \(place)"), Frame(""), Frame("before and after")]
                let bad = [
                    Frame(wrong.path), Frame(wrong.options),
                    Frame([UInt8](repeating: 7, count: wrong.size)),
                ]
                let edits = [good, bad, good].enumerated().flatMap { offset, edit in
                    [Frame("\(number + offset + 1)")] + edit
                }
                number += 3
                try client.send(head + edits)
                let results = try Self.answers(client.reply().reply)
                #expect(results.map { Self.refusal($0)?.code.rawValue } == [nil, wrong.code, nil])
                #expect(Self.refusal(results[1]).map { $0.sentence.count > 20 } ?? false)
            }
            try await cluster.flush()
            let tree = try DirectoryTree.read(at: cluster.sandboxes + "/p1")
            #expect(tree.keys.sorted() == Self.wrongEdits.indices.map { "good \($0)" }.sorted())
        }
    }

    @Test(.timeLimit(.patience))
    func `each wrong message is answered and the next one is served`() async throws {
        try await Self.withClients { _, client, _ in
            let head = ["syncd/1", "EDIT", "r", "p1", Self.producer]
            let edit = ["1", "f", "", "x"]
            var wrong: [(message: [String], code: RejectionCode)] = [
                ([""], .unsupportedVersion), (["syncd/9", "EDIT", "r"], .unsupportedVersion),
                (["GET / HTTP/1.1"], .unsupportedVersion), (["syncd/1"], .badRequest),
                (["syncd/1", "PUSH", "r"], .badRequest), (head, .badRequest),
                (head + edit.dropLast(), .badRequest), (head + edit + edit.prefix(2), .badRequest),
                (["a", "b", "c", "d"] + head + edit, .unsupportedVersion),
                (["syncd/1", "WAIT", "r", "p1", Self.producer, "99"], .unknown),
                (["syncd/1", "FLUSH", "r", "p1", "../.."], .invalidPath),
                (["syncd/1", "REPLAY", "r", "x", ""], .badRequest),
                (["syncd/1", "SNAPSHOT", "r", "p1", "{"], .badRequest),
                (["syncd/1", "DIED", "r", "who"], .badRequest),
            ]
            wrong.append(
                (head + (0..<1_025).flatMap { ["\($0 + 1)", "f", "", ""] }, .tooLarge))
            wrong.append((head + [String](repeating: "x", count: 10_000), .tooLarge))
            for (message, code) in wrong {
                try client.send(message)
                guard case .rejected(let rejection) = try client.reply().reply else {
                    Issue.record("\(message.prefix(3)) was not refused")
                    continue
                }
                #expect(rejection.code == code, "\(message.prefix(3))")
                #expect(rejection.sentence.count > 20)
            }
            // Over 32 MiB in all, in frames that are allowed.
            let block = Frame([UInt8](repeating: 7, count: 11 << 20))
            for _ in 0..<3 {
                try client.send(head.map { Frame($0) } + [block, block, block])
                guard case .rejected(let rejection) = try client.reply().reply else { continue }
                #expect(rejection.code == .tooLarge)
            }
            try client.send(head + edit)
            let results = try Self.answers(client.reply().reply)
            #expect(results.compactMap(Self.refusal) == [])
        }
    }

    @Test(.timeLimit(.patience))
    func `numbers that break the window's rules get their codes`() async throws {
        try await Self.withClients { _, client, _ in
            let wrong = ["", "0", "-1", "01", "1.5", "9007199254740992", "one"]
            let cases: [(number: String, path: String, content: String, code: String?)] =
                wrong.map { ($0, "f", "x", "bad-request") } + [
                    ("5000", "f", "x", nil), ("5000", "f", "x", nil),
                    ("5000", "f", "y", "number-reused"), ("5000", "g", "x", "number-reused"),
                    ("4999", "f", "older", "overtaken"), ("904", "g", "x", "stale-number"),
                    ("905", "g", "x", nil),
                ]
            for one in cases {
                try client.send([
                    "syncd/1", "EDIT", "r", "p1", Self.producer, one.number, one.path, "",
                    one.content,
                ])
                let code = try Self.answers(client.reply().reply).first.flatMap {
                    Self.refusal($0)?.code.rawValue
                }
                #expect(code == one.code, "\(one)")
            }
        }
    }

    @Test(.timeLimit(.patience))
    func `two thousand damaged messages on both sockets leave the coordinator well`() async throws {
        try await Self.withClients { cluster, client, context in
            let worker = try RawClient(to: cluster.workerEndpoint, in: context)
            var random = SeededGenerator(seed: 5)
            let words = [
                "syncd/1", "EDIT", "QUEUE", "REGISTER", "HEARTBEAT", "REPORTS", "LEAVE", "FILES",
                "p1", Self.producer, "1", "", "{}", "{\"label\":\"w\"}", "0000000000000001", "last",
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
        }
    }
}
