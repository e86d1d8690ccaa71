import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import Testing

/// The functions of `deploy/convex`, run by a double of Convex, keep what a store promises.
@Suite(.serialized) struct ConvexTests {
    @Test(.timeLimit(.patience), arguments: StoreConformance.cases)
    func `the Convex store keeps the contract`(_ promise: StoreConformance) async throws {
        try await ConvexScene.with { scene in
            try await promise.check { try await scene.store() }
        }
    }

    @Test(.timeLimit(.patience))
    func `every byte value comes back, and numbers up to the largest`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            let content = Content((0...255).map { UInt8($0) })
            let edit = SequencedEdit.put(countMax, .named("a"), content: content)
            #expect(try await store.apply([edit]) == [.applied(Version(1))])
            let version = try #require(try await store.version(of: .named("a"), nil))
            #expect(version.change == .put(content, isExecutable: false))
            #expect(version.sequence.value == countMax && version.id.number == countMax)
            let listed = try await store.files(of: .demo, after: nil, countMax: 1).first
            #expect(listed?.digest == content.digest)
        }
    }

    @Test(.timeLimit(.patience))
    func `a version that travels as 3.0 is version 3`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            for sequence in UInt64(1)...3 {
                #expect(
                    try await store.apply([.put(sequence, .named("a"))])
                        == [.applied(Version(sequence))])
            }
            let question = #"{"path":"syncd:history","args":{"project":"demo","path":"a"}}"#
            let (status, body) = try await scene.server.send(
                "/api/query", question,
                headers: [
                    "content-type": "application/json",
                    "authorization": "Convex \(ConvexServer.key)",
                ])
            #expect(status == 200 && body.contains("\"version\":3.0"), "\(body)")
        }
    }

    @Test(.timeLimit(.patience))
    func `two workers that write one file at once leave dense versions`() async throws {
        try await ConvexScene.with { scene in
            let stores = [
                try await scene.store(versionsKept: 100), try await scene.store(versionsKept: 100),
            ]
            let count = UInt64(40)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for sequence in 1...count {
                    group.addTask {
                        let edit = SequencedEdit.put(sequence, .named("hot"))
                        let answers = try await stores[Int(sequence % 2)].apply([edit])
                        switch answers.first {
                        case .applied, .known, .stale: break
                        default: Issue.record("\(answers)")
                        }
                    }
                }
                try await group.waitForAll()
            }
            let history = try await stores[0].history(of: .named("hot"))
            let newest = try #require(history.first)
            #expect(newest.sequence.value == count)
            #expect(
                history.map(\.version.value) == Array((1...newest.version.value).reversed()))
            #expect(history.map(\.sequence) == history.map(\.sequence).sorted(by: >))
            // They did meet: the deployment ran some of them again.
            #expect(try await scene.server.facts().conflicts > 0)
        }
    }

    @Test(.timeLimit(.patience))
    func `edits of different files never conflict`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            for round in UInt64(0)..<5 {
                let edits = (1...40).map { SequencedEdit.put(round * 40 + $0, .named("f\($0)")) }
                #expect(
                    try await store.apply(edits)
                        == Array(repeating: .applied(Version(round + 1)), count: 40))
            }
            let facts = try await scene.server.facts()
            #expect(facts.conflicts == 0 && facts.runningMax > 1, "\(facts)")
            // One request an edit; versions past the third go in it, too.
            #expect(facts.calls["syncd:updateFile"] == 200)
            #expect(facts.calls["syncd:clearFile"] == nil)
            #expect(facts.documents["syncdVersions"] == 120)
            #expect(facts.documents["syncdContents"] == 120)
        }
    }

    @Test(.timeLimit(.patience))
    func `a listing of many files comes in several requests`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store { $0.pageMax = 3 }
            let paths = (10..<20).map { "f\($0)" }
            let edits = zip(UInt64(1)..., paths).map { SequencedEdit.put($0, .named($1)) }
            _ = try await store.apply(edits)
            let all = try await store.files(of: .demo, after: nil, countMax: 10)
            #expect(all.map(\.path.text) == paths)
            let half = try await store.files(of: .demo, after: nil, countMax: 5)
            #expect(half.map(\.path.text) == Array(paths.prefix(5)))
            #expect(try await scene.server.calls(of: "listFiles") == 4 + 2)
        }
    }

    @Test(.timeLimit(.patience))
    func `of workers that make a store at once one gives it its id`() async throws {
        try await ConvexScene.with { scene in
            let missing = try await convexFailure { _ = try await scene.reader() }
            #expect(missing.contains("There is no store at"), "\(missing)")
            let ids = try await withThrowingTaskGroup(of: String.self) { group in
                for id in UInt64(1)...6 {
                    group.addTask { try await scene.store(idIfNew: id).identity().id }
                }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
            #expect(try await scene.reader().identity().id == ids.first)
            #expect(try await scene.server.facts().documents["syncdMeta"] == 1)
        }
    }

    @Test(.timeLimit(.patience))
    func `nobody calls a function without the deploy key`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            _ = try await store.apply([.put(1, .named("a"), "secret")])
            let question = #"{"path":"syncd:getFile","args":{}}"#
            for kind in ["query", "mutation", "function"] {
                let (status, body) = try await scene.server.send(
                    "/api/\(kind)", question, headers: ["content-type": "application/json"])
                #expect(status == 200 && body.contains("Could not find public function"))
            }
        }
    }
}
