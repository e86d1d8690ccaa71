internal import Foundation
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Testing

private let stage = SandboxConformance.stage(1)

/// Refills of E2B's sandboxes: many files in one upload.
struct E2BBulkTests {
    private static func put(_ path: String, _ text: String) throws -> SandboxEdit {
        try SandboxConformance.put(path, text, isRefresh: true)
    }

    /// Writes files at once, of which all but the first go together.
    private static func refill(
        _ sandbox: E2BSandbox, _ writer: any SandboxWriter, _ texts: [String: String],
        isHeld: Bool = true
    ) async throws {
        let paths = texts.keys.sorted()
        if isHeld { sandbox.double.fail(.upload, times: 1, with: .hold) }
        try await withThrowingTaskGroup { group in
            group.addTask {
                try await writer.apply(put(paths[0], texts[paths[0]] ?? ""), through: stage)
            }
            try await Patience.until("the first upload is held") {
                sandbox.double.heldCount == 1
            }
            for path in paths.dropFirst() {
                group.addTask {
                    try await writer.apply(put(path, texts[path] ?? ""), through: stage)
                }
            }
            let bulk = try #require(writer as? E2BWriter)
            try await Patience.until("the others wait") {
                bulk.waitingUploads == paths.count - 1
            }
            sandbox.double.release()
            try await group.waitForAll()
        }
    }

    @Test func `files that come while one is on its way are uploaded together`() async throws {
        try await E2BSandbox.with(directory: "project") { sandbox in
            let writer = try await sandbox.entered()
            var texts: [String: String] = [:]
            for number in 1...40 { texts["d\(number % 3)/f\(number)"] = "text \(number)\r\n--" }
            texts["empty"] = ""
            // Two that make the same folder at once may be repeated.
            for number in 0..<3 { try sandbox.makeDirectory("d\(number)") }
            let (uploads, moves) = (sandbox.double.count(.upload), sandbox.double.count(.move))
            try await Self.refill(sandbox, writer, texts)
            for (path, text) in texts { #expect(try sandbox.entry(path) == .text(text)) }
            #expect(sandbox.double.count(.upload) == uploads + 2)
            #expect(sandbox.double.count(.move) == moves + 41)
            #expect(try sandbox.names(".syncd/stage/\(stage)") == [])
        }
    }

    @Test func `a large file goes by itself, an executable one gets its bit`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            let large = String(repeating: "x", count: (64 << 10) + 1)
            try await writer.apply(Self.put("large", large), through: stage)
            #expect(try sandbox.entry("large") == .text(large))
            let program = try SandboxConformance.put("p", "1", isExecutable: true, isRefresh: true)
            try await writer.apply(program, through: stage)
            #expect(try sandbox.entry("p") == .file(Array("1".utf8), isExecutable: true))
        }
    }

    @Test(arguments: [(413, "too large"), (500, "file name too long")])
    func `what is refused for one file's sake is uploaded one by one`(
        _ status: Int, _ words: String
    ) async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(.upload, times: 1, with: .refuse(status, words))
            try await writer.apply(Self.put("a", "1"), through: stage)
            #expect(try sandbox.entry("a") == .text("1"))
            try await Patience.until("the stage is empty") {
                try sandbox.names(".syncd/stage/\(stage)") == []
            }
        }
    }

    @Test(arguments: [
        (429, "slow down", "rate-limited"), (507, "not enough disk space available", "ENOSPC"),
        (500, "no space left on device", "ENOSPC"),
    ])
    func `what concerns all is told to each, and nothing is repeated at once`(
        _ status: Int, _ words: String, _ code: String
    ) async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            let before = sandbox.double.count(.upload)
            sandbox.double.fail(
                .upload, times: 1, with: .refuse(status, words, retryAfter: 7))
            let error = try await failure {
                try await writer.apply(Self.put("a", "1"), through: stage)
            }
            #expect(error.failureClass == .target)
            #expect(error.code == code)
            #expect(error.retryAfter == .seconds(7))
            #expect(sandbox.double.count(.upload) == before + 1)
        }
    }

    @Test func `an upload whose answer is lost, or that comes late, harms no file`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            for fault in [E2BDouble.Fault.loseAnswer, .late] {
                sandbox.double.fail(.upload, times: 1, with: fault)
                let error = try await failure {
                    try await writer.apply(Self.put("a", "1"), through: stage)
                }
                #expect(error.code == "no-answer")
                #expect(try sandbox.entry("a") == nil)
                // What an upload without an answer has left is cleared away.
                try await Patience.until("the stage is empty") {
                    try sandbox.names(".syncd/stage/\(stage)") == []
                }
            }
            try await writer.apply(Self.put("a", "2"), through: stage)
            #expect(sandbox.double.executeLate() == [200])
            #expect(try sandbox.entry("a") == .text("2"))
        }
    }

    @Test func `files whose upload nobody answered go by themselves the next time`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(.upload, times: 1, with: .late)
            let error = try await failure {
                try await writer.apply(Self.put("poison", "1"), through: stage)
            }
            #expect(error.code == "no-answer")
            // Beside a request that is on its way it does not wait, and takes nobody along.
            sandbox.double.fail(.upload, times: 1, with: .hold)
            let other = Task { try await writer.apply(Self.put("other", "1"), through: stage) }
            try await Patience.until("the other one is held") { sandbox.double.heldCount == 1 }
            try await writer.apply(Self.put("poison", "2"), through: stage)
            #expect(try sandbox.entry("poison") == .text("2"))
            sandbox.double.release()
            _ = try await other.value
        }
    }

    @Test func `without metadata every file goes by itself`() async throws {
        try await E2BSandbox.with { sandbox in
            sandbox.double.forgetMetadata()
            let writer = try await sandbox.entered()
            let before = sandbox.double.count(.upload)
            try await writer.apply(Self.put("a", "1"), through: stage)
            #expect(sandbox.double.count(.upload) == before + 2)
            try await writer.apply(Self.put("b", "1"), through: stage)
            #expect(sandbox.double.count(.upload) == before + 3)
            for path in ["a", "b"] { #expect(try sandbox.entry(path) == .text("1")) }
        }
    }

    @Test func `one file that is refused keeps none of the others`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(.upload, times: 1, with: .hold)
            sandbox.double.fail(.upload, times: 1, with: .refuse(413, "too large"))
            let texts = ["a": "1", "b": "2", "c": "3", "d": "4"]
            try await Self.refill(sandbox, writer, texts, isHeld: false)
            for (path, text) in texts { #expect(try sandbox.entry(path) == .text(text)) }
            try await Patience.until("the stage is empty") {
                try sandbox.names(".syncd/stage/\(stage)") == []
            }
        }
    }

    @Test func `a file that waits ends with its worker`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(.upload, times: 1, with: .hold)
            let first = Task { try await writer.apply(Self.put("a", "1"), through: stage) }
            try await Patience.until("the first upload is held") {
                sandbox.double.heldCount == 1
            }
            let second = Task { try await writer.apply(Self.put("b", "1"), through: stage) }
            let bulk = try #require(writer as? E2BWriter)
            try await Patience.until("the second waits") { bulk.waitingUploads == 1 }
            second.cancel()
            let error = try await failure { _ = try await second.value }
            #expect(error.code == "ended")
            sandbox.double.release()
            _ = try await first.value
            #expect(try sandbox.entry("b") == nil)
        }
    }

    @Test func `a revoked stage takes no upload, however late`() async throws {
        try await E2BSandbox.with { sandbox in
            let zombie = try await sandbox.entered()
            sandbox.double.fail(.upload, times: 1, with: .late)
            let error = try await failure {
                try await zombie.apply(Self.put("a", "1"), through: stage)
            }
            #expect(error.code == "no-answer")
            let next = SandboxConformance.stage(2)
            let successor = try sandbox.writer()
            try await successor.revoke([stage], others: false, keeping: next)
            #expect(sandbox.double.executeLate() == [500])
            let end = try await failure {
                try await zombie.apply(Self.put("a", "1"), through: stage)
            }
            #expect(end.code == SandboxError.revokedCode)
            #expect(try sandbox.entry("a") == nil)
        }
    }
}
