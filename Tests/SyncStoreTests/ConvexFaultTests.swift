import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

/// What goes wrong between a worker and a deployment.
@Suite(.serialized) struct ConvexFaultTests {
    @Test(
        .timeLimit(.patience),
        arguments: [
            ConvexServer.Fault.dropAfterCommit, .serverErrorAfterCommit, .timeoutAfterCommit,
        ])
    func `an edit whose answer was lost is stored once`(_ fault: ConvexServer.Fault) async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            try await scene.server.play(fault, times: 2, in: "updateFile")
            let edit = SequencedEdit.put(1, .named("a"), expected: 0)
            #expect(try await store.apply([edit]) == [.known(Version(1))])
            #expect(try await store.history(of: .named("a")).map(\.version.value) == [1])
            #expect(try await scene.server.calls(of: "updateFile") == 3)
            #expect(try await store.apply([.put(2, .named("a"))]) == [.applied(Version(2))])
        }
    }

    @Test(
        .timeLimit(.patience),
        arguments: [
            ConvexServer.Fault.dropAfterCommit, .serverErrorAfterCommit, .timeoutAfterCommit,
        ])
    func `a store whose making or binding was not answered is made and bound`(
        _ fault: ConvexServer.Fault
    ) async throws {
        try await ConvexScene.with { scene in
            let journal = JournalID(bits: 7)
            for function in ["identify", "bind"] {
                try await scene.server.play(fault, in: function)
            }
            let store = try await scene.store(idIfNew: 5)
            try await store.bind(to: journal, isAdopted: false)
            let identity = try await store.identity()
            #expect(identity.id == Hexadecimal.digits(of: 5) && identity.journal == journal)
            #expect(try await scene.server.facts().pending == 0)
        }
    }

    @Test(
        .timeLimit(.patience),
        arguments: [
            ConvexServer.Fault.conflict, .tooManyWrites, .tooManyRequests, .overloaded,
            .systemTimeout, .noJSON,
        ])
    func `what was turned away comes again, and passes`(_ fault: ConvexServer.Fault) async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            try await scene.server.play(fault, times: 3, in: "updateFile")
            try await scene.server.play(fault, times: 3, in: "getFile")
            #expect(try await store.apply([.put(1, .named("a"))]) == [.applied(Version(1))])
            #expect(try await store.version(of: .named("a"), nil)?.version == Version(1))
            #expect(try await scene.server.calls(of: "updateFile") == 4)
            #expect(try await scene.server.calls(of: "getFile") == 4)
        }
    }

    @Test(
        .timeLimit(.patience),
        arguments: [
            (ConvexServer.Fault.conflict, "503 (OptimisticConcurrencyControlFailure)"),
            (.tooManyWrites, "429 (TooManyWrites)"), (.noJSON, "502"),
            (.dropAfterCommit, "there is no answer"), (.hang, "there is no answer"),
        ])
    func `what does not pass in time is told, and the store can be called again`(
        _ fault: ConvexServer.Fault, _ words: String
    ) async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.impatient()
            try await scene.server.play(fault, times: 10_000, in: "updateFile")
            let edits = [SequencedEdit.put(1, .named("a"), "secret"), .put(2, .named("b"))]
            let message = try await convexFailure { _ = try await store.apply(edits) }
            #expect(message.contains(words), "\(message)")
            #expect(message.hasPrefix("Could not apply an edit at \(scene.server.url): "))
            // Another function answers all the same.
            let patient = try await scene.store()
            #expect(try await patient.version(of: .named("c"), nil) == nil)
        }
    }

    @Test(.timeLimit(.patience))
    func `a deployment that is gone is unavailable, and says where it was`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.impatient()
            await scene.server.stop()
            let message = try await convexFailure { _ = try await store.identity() }
            #expect(message.contains(scene.server.url), "\(message)")
            #expect(message.contains("there is no answer"), "\(message)")
        }
    }

    @Test(
        .timeLimit(.patience),
        arguments: [
            (ConvexServer.Fault.blocked, "SYNCD_CONVEX_KEY"), (.paused, "resume it"),
            (.gone, "404 (InstanceNotFound)"), (.undeployed, "Deploy the folder deploy/convex"),
        ])
    func `what a person must mend is told at once, and nothing fails for it`(
        _ fault: ConvexServer.Fault, _ words: String
    ) async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            try await scene.server.play(fault, in: "updateFile")
            let message = try await convexFailure {
                _ = try await store.apply([.put(1, .named("a"))])
            }
            #expect(message.contains(words), "\(message)")
            #expect(try await scene.server.calls(of: "updateFile") == 1)
            #expect(try await store.apply([.put(1, .named("a"))]) == [.applied(Version(1))])
        }
    }

    @Test(.timeLimit(.patience))
    func `a wrong key is told without the key`() async throws {
        try await ConvexScene.with { scene in
            _ = try await scene.store()
            let settings = try scene.settings(key: "prod:double|secret-but-wrong")
            let message = try await convexFailure {
                _ = try await ConvexStore(readingOnly: settings)
            }
            #expect(message.contains("401 (BadAdminKey)"), "\(message)")
            #expect(message.contains("SYNCD_CONVEX_KEY"), "\(message)")
            for text in ["\(settings)", String(reflecting: settings), "\(settings.key)"] {
                #expect(!text.contains("secret"), "\(text)")
            }
        }
    }

    @Test(.timeLimit(.patience), arguments: [ConvexServer.Fault.refuse, .olderRefuse])
    func `an edit that the function refuses is refused by its code, and alone`(
        _ fault: ConvexServer.Fault
    ) async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            try await scene.server.play(fault, in: "updateFile")
            let answers = try await store.apply([.put(1, .named("a")), .put(2, .named("b"))])
            let reasons = answers.compactMap { answer -> String? in
                guard case .refused(let reason) = answer else { return nil }
                return reason
            }
            #expect(reasons.count == 1)
            #expect(reasons.first?.contains("(played)") == true, "\(reasons)")
            #expect(reasons.first?.contains("secret") == false, "\(reasons)")
            #expect(answers.contains(.applied(Version(1))))
        }
    }

    @Test(.timeLimit(.patience))
    func `an edit that fails without a reason is refused if the store answers otherwise`()
        async throws
    {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            try await scene.server.play(.throw, in: "updateFile")
            let answers = try await store.apply([.put(1, .named("a"), "secret")])
            guard case .refused(let reason)? = answers.first else {
                Issue.record("\(answers)")
                return
            }
            #expect(reason.contains("without a reason") && !reason.contains("secret"))
            // Where the functions are broken as a whole, the edit waits.
            try await scene.server.play(.throw, in: "updateFile")
            try await scene.server.play(.throw, in: "identity")
            let message = try await convexFailure {
                _ = try await store.apply([.put(2, .named("a"))])
            }
            #expect(message.contains("the function failed"), "\(message)")
        }
    }

    @Test(.timeLimit(.patience))
    func `an answer that makes no sense is told, and the store can be called again`() async throws {
        try await ConvexScene.with { scene in
            let store = try await scene.store()
            try await scene.server.play(.nonsense, in: "history")
            let message = try await convexFailure {
                _ = try await store.history(of: .named("a"))
            }
            #expect(message.contains("it answers what makes no sense"), "\(message)")
            #expect(try await store.history(of: .named("a")).isEmpty)
        }
    }
}
