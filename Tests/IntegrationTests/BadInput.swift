import SyncCore
import SyncTestKit
import ZeroMQ

/// What a client should not send, and the codes that it gets.
enum BadInput {
    static let producer = "tester/00000000000000aa"

    /// One wrong edit.
    struct Edit {
        /// Nil: the path of the edits around it.
        var path: Frame? = Frame("f")
        var options = Frame("")
        var content = Frame("x")
        let code: RejectionCode

        /// A message with a good edit before and behind, numbered from a number on.
        func message(_ place: Int) -> Message {
            let good = [Frame("good \(place)"), Frame(""), Frame("before and after")]
            let edits = [good, [path ?? good[0], options, content], good]
            return ["syncd/1", "EDIT", "\(place)", "p1", BadInput.producer].map { Frame($0) }
                + edits.enumerated().flatMap { offset, edit in
                    [Frame("\(place * 3 + offset + 1)")] + edit
                }
        }
    }

    /// Wrong edits; for the last ones another project must have a sandbox, and this one have lost
    /// one (`preparation`).
    static let edits: [Edit] = {
        let paths = [
            "", "/etc/passwd", "a//b", "a/", ".", "..", "./a", "a/../b", "a\u{0}b", "a\nb",
            ".syncd/stage", String(repeating: "x", count: 256),
            String(repeating: "d/", count: 512) + "f",
        ]
        let options = [
            "{", "[]", "null", "{\"delete\":\"yes\"}", "{\"targets\":\"local:a\"}",
            "{\"targets\":[\"ftp:x\"]}", "{\"expected_version\":-1}",
            "{\"expected_version\":9007199254740992}", "{\"executable\":3}", "{\"delete\":true}",
            "{\"targets\":[\(targets(17))]}", String(repeating: "[", count: 100_000),
        ]
        var edits = paths.map { Edit(path: Frame($0), code: .invalidPath) }
        edits.append(Edit(path: Frame([0x66, 0xff, 0xfe]), code: .invalidPath))
        edits += options.map { Edit(options: Frame($0), code: .badRequest) }
        edits.append(Edit(options: Frame([0x7b, 0xff, 0x7d]), code: .badRequest))
        let large = Frame([UInt8](repeating: 7, count: 16 << 20 + 1))
        edits.append(Edit(content: large, code: .tooLarge))
        let conflict = Frame("{\"expected_version\":7}")
        edits.append(Edit(path: nil, options: conflict, code: .conflict))
        let taken = Frame("{\"targets\":[\"local:healthy\"]}")
        edits.append(Edit(options: taken, code: .targetTaken))
        let detached = Frame("{\"targets\":[\"local:gone\"]}")
        edits.append(Edit(options: detached, code: .targetDetached))
        return edits
    }()

    static let preparation = [
        ["EDIT", "1", "healthy", "owner/00000000000000bb", "1", "f", "", "x"],
        [
            "PROJECT", "2", "p1",
            "{\"action\":\"attach\",\"targets\":[\"local:p1\",\"local:gone\"]}",
        ],
        ["PROJECT", "3", "p1", "{\"action\":\"detach\",\"targets\":[\"local:gone\"]}"],
    ].map { ["syncd/1"] + $0 }

    private static func targets(_ count: Int) -> String {
        (0..<count).map { "\"local:t\($0)\"" }.joined(separator: ",")
    }

    /// A wrong message as a whole.
    struct Whole {
        let message: Message
        let code: RejectionCode

        init(_ words: [String], _ code: RejectionCode = .badRequest) {
            self.init(words.map { Frame($0) }, code)
        }

        init(_ message: Message, _ code: RejectionCode = .badRequest) {
            self.message = message
            self.code = code
        }
    }

    static let head = ["syncd/1", "EDIT", "r", "p1", producer]
    static let edit = ["1", "f", "", "x"]

    /// Messages that break the grammar.
    static let messages: [Whole] = {
        let request = { (words: [String]) in Whole(["syncd/1"] + words) }
        return [
            Whole([""], .unsupportedVersion), Whole(["syncd/9", "EDIT", "r"], .unsupportedVersion),
            Whole(["GET / HTTP/1.1"], .unsupportedVersion),
            Whole(["a", "b", "c", "d"] + head + edit, .unsupportedVersion),
            Whole([Frame([0xff])]), Whole([Frame("syncd/1"), Frame([0xff]), Frame("r")]),
            request([]), request(["EDIT"]), request(["PUSH", "r"]),
            request(["QUEUE", String(repeating: "r", count: 256), ""]),
            request(["EDIT", "r", "a/b", producer] + edit),
            request(["EDIT", "r", "p1", "tester"] + edit),
            Whole(head), Whole(head + edit.dropLast()), Whole(head + edit + edit.prefix(2)),
            request(["FLUSH", "r", "p1", "", "more"]),
            Whole(["syncd/1", "FLUSH", "r", "p1", "../.."], .invalidPath),
            request(["REPLAY", "r", "x", ""]), request(["SNAPSHOT", "r", "p1", "{"]),
            request(["QUEUE", "r", "{\"project\":\"..\"}"]), request(["DIED", "r", "who"]),
            Whole(["syncd/1", "WAIT", "r", "p1", producer, "99"], .unknown),
            Whole(["syncd/1", "PROJECT", "r", "nobody", ""], .unknown),
        ] + largeMessages
    }()

    /// Messages that are too long or too large, each frame of an allowed size.
    static let largeMessages: [Whole] = {
        let block = Frame([UInt8](repeating: 7, count: 11 << 20))
        return [
            Whole(head + (1...1_025).flatMap { ["\($0)", "f", "", ""] }, .tooLarge),
            Whole(head + [String](repeating: "x", count: 10_000), .tooLarge),
            // 33 MiB.
            Whole(head.map { Frame($0) } + [block, block, block], .tooLarge),
        ]
    }()

    /// Numbers of edits, one after the other, that break the rules of the window or keep them.
    static let numbers: [(number: String, path: String, content: String, code: RejectionCode?)] =
        ["", "0", "-1", "01", "1.5", "9007199254740992", "one"].map { ($0, "f", "x", .badRequest) }
        + [
            ("5000", "f", "x", nil), ("5000", "f", "x", nil), ("5000", "f", "y", .numberReused),
            ("5000", "g", "x", .numberReused), ("4999", "f", "older", .overtaken),
            ("904", "g", "x", .staleNumber), ("905", "g", "x", nil),
        ]
}
