import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

/// Contents past one request, and more requests than a plan allows.
@Suite(.serialized) struct ConvexLimitTests {
    /// Bytes by chance, repeated after a prime number of them, so that no two pieces are equal.
    private static func content(_ byteCount: Int, seed: UInt64) -> Content {
        var random = SeededGenerator(seed: seed)
        let block = (0..<65_521).map { _ in UInt8.random(in: 0...255, using: &random) }
        var bytes: [UInt8] = []
        while bytes.count < byteCount { bytes += block.prefix(byteCount - bytes.count) }
        return Content(bytes)
    }

    /// Repeats nothing: the first wait would be longer than the call may take.
    private static func giveUp(_ settings: inout ConvexSettings) {
        settings.repeatWait = settings.patience * 3
    }

    @Test(
        .timeLimit(.patience),
        arguments: [
            (999_999, 1, 0), (1_000_001, 2, 0), (4_000_000, 4, 0), (4_000_001, 5, 2),
            (9_000_000, 9, 3),
        ])
    func `a content goes in as many documents and requests as it needs`(
        byteCount: Int, documents: Int, parts: Int
    ) async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            let content = Self.content(byteCount, seed: 1)
            let edit = SequencedEdit.put(1, .named("a"), content: content)
            #expect(try await store.apply([edit]) == [.applied(Version(1))])
            let change = try await store.version(of: .named("a"), nil)?.change
            #expect(change == .put(content, isExecutable: false))
            let facts = try await scene.server.facts()
            #expect(facts.documents["syncdContents"] == documents)
            #expect(facts.documents["syncdUploads"] == 0)
            #expect(facts.calls["syncd:putPart"] ?? 0 == parts)
            #expect(facts.calls["syncd:updateFile"] == 1)
            #expect(try await store.apply([edit]) == [.known(Version(1))])
        }
    }

    @Test(
        .timeLimit(.patience),
        arguments: [ConvexServer.Fault.dropAfterCommit, .serverErrorAfterCommit, .conflict])
    func `an upload that is cut off goes on where it was`(
        _ fault: ConvexServer.Fault
    ) async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            for _ in 0..<2 { try await scene.server.play(fault, in: "putPart") }
            try await scene.server.play(fault, in: "updateFile")
            let content = Self.content(9_000_000, seed: 2)
            let answers = try await store.apply([.put(1, .named("a"), content: content)])
            #expect(answers == [fault == .conflict ? .applied(Version(1)) : .known(Version(1))])
            let change = try await store.version(of: .named("a"), nil)?.change
            #expect(change == .put(content, isExecutable: false))
            #expect(try await scene.server.calls(of: "putPart") == 5)
        }
    }

    @Test(.timeLimit(.patience))
    func `another worker goes on with an upload, and versions are read while others come`()
        async throws
    {
        try await ConvexScene.with { scene in
            let first = try await scene.store { Self.giveUp(&$0) }
            let content = Self.content(10_000_000, seed: 3)
            let edit = SequencedEdit.put(1, .named("a"), content: content)
            try await scene.server.play(.dropAfterCommit, in: "putPart")
            _ = try await convexFailure { _ = try await first.apply([edit]) }
            #expect(try await first.files(of: .demo, after: nil, countMax: 9).isEmpty)
            let second = try await scene.store()
            #expect(try await second.apply([edit]) == [.applied(Version(1))])
            // The first part again, which tells what is there, then the other two.
            #expect(try await scene.server.calls(of: "putPart") == 1 + 3)
            #expect(
                try await first.version(of: .named("a"), nil)?.change
                    == .put(content, isExecutable: false))
        }
    }

    @Test(.timeLimit(.patience))
    func `what was uploaded for nothing goes with the next edit`() async throws {
        try await ConvexScene.with { scene in
            let impatient = try await scene.store { Self.giveUp(&$0) }
            let content = Self.content(9_000_000, seed: 4)
            try await scene.server.play(.dropAfterCommit, in: "putPart")
            let edit = SequencedEdit.put(1, .named("a"), content: content)
            _ = try await convexFailure { _ = try await impatient.apply([edit]) }
            #expect(try await scene.server.facts().documents["syncdUploads"] == 1)
            let store = try await scene.store()
            #expect(try await store.apply([.put(2, .named("a"))]) == [.applied(Version(1))])
            var facts = try await scene.server.facts()
            #expect(facts.documents["syncdUploads"] == 0)
            #expect(facts.documents["syncdContents"] == 1)
            #expect(try await store.apply([edit]) == [.stale(by: EditSequence(2))])
            // A condition is looked at before anything is brought in.
            let late = SequencedEdit.put(3, .named("a"), content: content, expected: 9)
            #expect(try await store.apply([late]) == [.conflict(current: Version(1))])
            facts = try await scene.server.facts()
            #expect(facts.documents["syncdContents"] == 1)
        }
    }

    @Test(.timeLimit(.patience))
    func `old versions of large contents go in several transactions`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            for sequence in UInt64(1)...5 {
                let content = Self.content(12_000_000, seed: sequence)
                let edit = SequencedEdit.put(sequence, .named("a"), content: content)
                #expect(try await store.apply([edit]) == [.applied(Version(sequence))])
            }
            let facts = try await scene.server.facts()
            #expect(facts.documents["syncdVersions"] == 3)
            #expect(facts.documents["syncdContents"] == 36)
            #expect((facts.calls["syncd:clearFile"] ?? 0) >= 2)
            #expect(try await store.history(of: .named("a")).map(\.version.value) == [5, 4, 3])
        }
    }

    @Test(.timeLimit(.patience))
    func `a content over the limit is refused without a request`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            let content = Content(Array(repeating: 0, count: ConvexStore.contentBytesMax + 1))
            let answers = try await store.apply([
                .put(1, .named("a"), content: content), .put(2, .named("b")),
            ])
            guard case .refused(let reason)? = answers.first else {
                Issue.record("\(answers)")
                return
            }
            #expect(reason.contains("\(ConvexStore.contentBytesMax)"), "\(reason)")
            #expect(answers.last == .applied(Version(1)))
            #expect(try await scene.server.calls(of: "updateFile") == 1)
        }
    }

    @Test(.timeLimit(.patience))
    func `the double refuses what Convex refuses: large documents, bodies, no JSON`() async throws {
        try await ConvexScene.with { scene in
            let heads = [
                "content-type": "application/json",
                "authorization": "Convex \(ConvexServer.key)",
            ]
            let tooLong = String(repeating: "a", count: 1 << 20)
            let identify = #"{"path":"syncd:identify","args":{"store":"\#(tooLong)"}}"#
            let document = try await scene.server.send("/api/mutation", identify, headers: heads)
            #expect(document.status == 200 && document.body.contains("\"status\":\"error\""))
            let endless = String(repeating: " ", count: (16 << 20) + 2_001)
            let body = try await scene.server.send("/api/mutation", endless, headers: heads)
            #expect(body.status == 400 && body.body.contains("BadJsonBody"))
            let plain = try await scene.server.send("/api/mutation", identify)
            #expect(plain.status == 400 && plain.body.contains("BadJsonBody"))
            let nobody = #"{"path":"nonsense","args":{}}"#
            let path = try await scene.server.send("/api/query", nobody, headers: heads)
            #expect(path.status == 400 && path.body.contains("BadConvexFunctionIdentifier"))
        }
    }

    @Test(.timeLimit(.patience))
    func `a batch runs with as many requests at once as the settings allow`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store { $0.requestsMax = 5 }
            let edits = (1...200).map { SequencedEdit.put(UInt64($0), .named("f\($0)")) }
            #expect(
                try await store.apply(edits)
                    == Array(repeating: .applied(Version(1)), count: 200))
            let most = try await scene.server.facts().runningMax
            #expect((2...5).contains(most), "\(most)")
        }
    }

    @Test(.timeLimit(.patience))
    func `workers that ask for more than the plan allows slow down and all get through`()
        async throws
    {
        try await ConvexScene.with { scene in
            try await scene.server.allow(requests: 4)
            let stores = [try await scene.store(), try await scene.store()]
            try await withThrowingTaskGroup(of: [Applied].self) { group in
                for (index, store) in stores.enumerated() {
                    let base = UInt64(index) * 300
                    let edits = (1...300).map {
                        SequencedEdit.put(base + $0, .named("f\(base + $0)"))
                    }
                    group.addTask { try await store.apply(edits) }
                }
                for try await answers in group {
                    #expect(answers == Array(repeating: .applied(Version(1)), count: 300))
                }
            }
            let facts = try await scene.server.facts()
            #expect(facts.runningMax == 4)
            #expect(facts.turnedAway > 0)
        }
    }
}
