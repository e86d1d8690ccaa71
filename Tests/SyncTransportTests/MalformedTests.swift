import SyncCore
import SyncTestKit
import Testing
import ZeroMQ

@testable import SyncTransport

/// Frames that are no message: a code and a sentence, or nothing, never a crash.
@Suite struct MalformedTests {
    private static let head = ["syncd/1", "EDIT", "7", "p1", "tester/0000000000000001"]

    private func refusal(_ frames: Message) throws -> Rejection? {
        let decoded = try #require(
            ClientCodec.request([Frame("route")] + frames, limits: WireLimits()))
        switch decoded.request {
        case .failure(let rejection): return rejection
        case .success(.edits(_, _, let items)):
            for item in items {
                if case .failure(let rejection) = item.edit { return rejection }
            }
            return nil
        case .success: return nil
        }
    }

    private func check(
        _ frames: Message, _ code: RejectionCode?, _ comment: Comment,
        location: SourceLocation = #_sourceLocation
    ) throws {
        let rejection = try refusal(frames)
        #expect(rejection?.code == code, comment, sourceLocation: location)
        // A sentence: what is wrong, and what to do.
        if let rejection { #expect(rejection.sentence.count > 20, sourceLocation: location) }
    }

    private func message(_ words: [String]) -> Message { words.map { Frame($0) } }

    @Test func `a message that breaks the grammar is refused with a code`() throws {
        let edit = ["1", "f", "", "content"]
        try check(message(Self.head + edit), nil, "the message that all others vary")
        try check(message([""]), .unsupportedVersion, "an empty message")
        try check(message(["syncd/2", "EDIT", "7"]), .unsupportedVersion, "another version")
        try check(message(["http/1.1", "EDIT", "7"]), .unsupportedVersion, "another protocol")
        try check(message(["syncd/1"]), .badRequest, "no verb")
        try check(message(["syncd/1", "EDIT"]), .badRequest, "no request id")
        try check(message(["syncd/1", "edit", "7"]), .badRequest, "a verb in small letters")
        try check([Frame("syncd/1"), Frame([0xff]), Frame("7")], .badRequest, "no UTF-8 verb")
        try check(message(Self.head), .badRequest, "no edit")
        for count in 1...3 {
            try check(
                message(Self.head + edit.prefix(count)), .badRequest, "\(count) frames of four")
        }
        try check(message(Self.head + edit + ["2"]), .badRequest, "a frame too many")
        for project in ["", ".p", "a/b", "p 1", String(repeating: "p", count: 129)] {
            var words = Self.head + edit
            words[3] = project
            try check(message(words), .badRequest, "project '\(project)'")
        }
        for producer in ["", "tester", "tester/1", "/0000000000000001", "t/000000000000000G"] {
            var words = Self.head + edit
            words[4] = producer
            try check(message(words), .badRequest, "producer '\(producer)'")
        }
        let long = [Frame("syncd/1"), Frame("QUEUE"), Frame([UInt8](repeating: 1, count: 256))]
        try check(long + [Frame("")], .badRequest, "a request id that is too long")
    }

    @Test(arguments: ["", "-1", "+1", "01", "1.0", "1e3", "x", " 1", "9007199254740992", "１"])
    func `what is no number is refused, and the other edits are not`(_ number: String) throws {
        let words = Self.head + [number, "f", "", "one"] + ["2", "g", "", "two"]
        let decoded = try #require(
            ClientCodec.request([Frame("r")] + message(words), limits: WireLimits()))
        guard case .edits(_, _, let items) = try decoded.request.get() else { return }
        #expect(throws: Rejection.self) { try items[0].edit.get() }
        try #expect(items[1].edit.get().path.text == "g")
    }

    @Test func `wrong paths are refused with a sentence each`() throws {
        let long = String(repeating: "x", count: 256)
        let deep = String(repeating: "d/", count: 512) + "f"
        let wrong = [
            "", "/etc/passwd", "a//b", "a/", ".", "..", "./a", "a/../b", "a/..", "a\u{0}b", "a\nb",
            "a\u{7f}", ".syncd", ".syncd/stage/x", long, "a/" + long, deep,
        ]
        for path in wrong {
            try check(message(Self.head + ["1", path, "", ""]), .invalidPath, "'\(path)'")
        }
        try check(
            message(Self.head + ["1"]) + [Frame([0x61, 0xff])] + message(["", ""]), .invalidPath,
            "no UTF-8")
        for path in ["a", "..a", ".syncd2", "d/.syncd", "…", "a b", "con\\x"] {
            try check(message(Self.head + ["1", path, "", ""]), nil, "'\(path)'")
        }
    }

    @Test func `options are an object of the documented fields`() throws {
        let wrong = [
            "{", "[]", "null", "7", "\"delete\"", "{\"delete\":\"yes\"}", "{\"delete\":1}",
            "{\"targets\":\"local:a\"}", "{\"targets\":[7]}", "{\"targets\":[\"ftp:a\"]}",
            "{\"targets\":[\"local:../a\"]}", "{\"expected_version\":-1}",
            "{\"expected_version\":\"1\"}", "{\"expected_version\":9007199254740992}",
            "{\"executable\":{}}", "{\"end\":[]}", String(repeating: "[", count: 60_000),
            "{\"x\":\"" + String(repeating: "y", count: 70_000) + "\"}",
        ]
        for options in wrong {
            try check(
                message(Self.head + ["1", "f", options, ""]), .badRequest,
                "options \(options.prefix(40))")
        }
        let targets = (0..<17).map { "\"local:t\($0)\"" }.joined(separator: ",")
        try check(
            message(Self.head + ["1", "f", "{\"targets\":[\(targets)]}", ""]), .badRequest,
            "17 targets")
        try check(
            message(Self.head + ["1", "f", "{\"delete\":true}", "x"]), .badRequest,
            "a delete with content")
        try check(
            message(Self.head + ["1", "f", "{\"color\":\"red\",\"end\":true}", "x"]), nil,
            "a field of a later version")
    }

    @Test func `sizes have limits, and the limits themselves are allowed`() throws {
        var limits = WireLimits()
        limits.contentBytesMax = 100
        limits.editsMax = 4
        func code(_ contents: [Int]) throws -> [RejectionCode?] {
            var frames = message(["r"] + Self.head)
            for (place, count) in contents.enumerated() {
                frames += message(["\(place + 1)", "f\(place)", ""])
                frames.append(Frame([UInt8](repeating: 0, count: count)))
            }
            let decoded = try #require(ClientCodec.request(frames, limits: limits))
            switch decoded.request {
            case .failure(let rejection): return [rejection.code]
            case .success(.edits(_, _, let items)):
                return items.map { item in
                    guard case .failure(let rejection) = item.edit else { return nil }
                    return rejection.code
                }
            case .success: return []
            }
        }
        #expect(try code([100, 101, 0]) == [nil, .tooLarge, nil])
        #expect(try code([1, 1, 1, 1]) == [nil, nil, nil, nil])
        #expect(try code([1, 1, 1, 1, 1]) == [.tooLarge])
    }

    @Test func `questions are checked like edits`() throws {
        let wrong: [(words: [String], code: RejectionCode)] = [
            (["WAIT", "7", "p1", "tester/0000000000000001"], .badRequest),
            (["WAIT", "7", "p1", "tester/0000000000000001", "x"], .badRequest),
            (["WAIT", "7", "p1", "tester/0000000000000001", "1", "2"], .badRequest),
            (["QUEUE", "7"], .badRequest),
            (["QUEUE", "7", "{\"project\":\"..\"}"], .badRequest),
            (["QUEUE", "7", "{\"max\":\"many\"}"], .badRequest),
            (["QUEUE", "7", "{\"after\":\"/x\"}"], .invalidPath),
            (["FLUSH", "7", "p1"], .badRequest),
            (["FLUSH", "7", "p1", "../x"], .invalidPath),
            (["FLUSH", "7", "p1", "/"], .invalidPath),
            (["REPLAY", "7", "-1", ""], .badRequest),
            (["REPLAY", "7", "1", "{\"project\":\"a/b\"}"], .badRequest),
            (["SNAPSHOT", "7", "p1", "{\"after\":\"a//b\"}"], .invalidPath),
            (["SNAPSHOT", "7", "", ""], .badRequest),
            (["DIED", "7", "12"], .badRequest),
        ]
        for (words, code) in wrong {
            try check(message(["syncd/1"] + words), code, "\(words)")
        }
        // NFD, and a folder's slash: the prefix is compared with normalised paths.
        let flush = message(["r", "syncd/1", "FLUSH", "7", "p1", "e\u{301}/"])
        let decoded = try #require(ClientCodec.request(flush, limits: WireLimits()))
        guard case .flush(_, let prefix) = try decoded.request.get() else { return }
        #expect(Array(prefix.utf8) == [0xc3, 0xa9])
    }

    @Test func `an envelope has at most two short frames`() throws {
        func route(_ envelope: Message) throws -> (ClientRoute, Rejection?) {
            let frames = [Frame("route")] + envelope + message(["syncd/1", "QUEUE", "7", ""])
            let decoded = try #require(ClientCodec.request(frames, limits: WireLimits()))
            guard case .failure(let rejection) = decoded.request else {
                return (decoded.route, nil)
            }
            return (decoded.route, rejection)
        }
        #expect(try route([]).0.envelope.count == 1)
        #expect(try route([Frame("")]).0.envelope.count == 2)
        #expect(try route([Frame("\u{1}abc"), Frame("")]).0.envelope.count == 3)
        let three = try route([Frame("a"), Frame("b"), Frame("c")])
        #expect(three.1?.code == .unsupportedVersion)
        let large = try route([Frame([UInt8](repeating: 0, count: 256))])
        #expect(large.1?.code == .unsupportedVersion)
        #expect(large.0.envelope.count == 1)
    }
}
