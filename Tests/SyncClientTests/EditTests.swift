import Foundation
import SyncClient
import SyncTestKit
import Testing

/// Edits through the library, against real processes.
@Suite(.serialized, .timeLimit(.patience)) struct EditTests {
    @Test func `an edit is accepted, then synced under its version`() async throws {
        try await withClient { client, cluster in
            let first = try await client.editFile("src/a.txt", text: "one")
            let sequence = try await first.accepted()
            #expect(try await first.ended() == .synced(version: 1))
            let second = try await client.editFile("src/a.txt", text: "two", isExecutable: true)
            #expect(try await second.accepted() > sequence)
            #expect(try await second.ended() == .synced(version: 2))
            #expect(cluster.sandboxText("src/a.txt") == "two")
            #expect(
                FileManager.default.isExecutableFile(atPath: cluster.sandboxes + "/p1/src/a.txt"))
            let removal = try await client.deleteFile("src/a.txt")
            #expect(try await removal.ended() == .synced(version: 3))
            #expect(cluster.sandboxText("src/a.txt") == nil)
        }
    }

    @Test func `each edit that waits is superseded by the next one, the last is synced`()
        async throws
    {
        try await withClient(workers: 0) { client, cluster in
            var edits: [SyncEdit] = []
            var sequences: [UInt64] = []
            for number in 1...5 {
                let edit = try await client.editFile("f", text: "\(number)")
                sequences.append(try await edit.accepted())
                edits.append(edit)
            }
            try cluster.startWorker("w")
            for place in 0..<4 {
                #expect(
                    try await edits[place].ended() == .superseded(by: sequences[place + 1]))
            }
            #expect(try await edits[4].ended() == .synced(version: 1))
            #expect(cluster.sandboxText("f") == "5")
        }
    }

    @Test func `without a coordinator edits wait, and of one file only the newest goes out`()
        async throws
    {
        try await withClient(startsCoordinator: false) { client, cluster in
            let older = try await client.editFile("f", text: "older")
            let newer = try await client.editFile("f", text: "newer")
            let other = try await client.editFile("g", text: "other")
            try cluster.startCoordinator()
            #expect(try await newer.ended() == .synced(version: 1))
            #expect(try await other.ended() == .synced(version: 1))
            guard case .superseded = try await older.ended() else {
                Issue.record("the older edit ended otherwise: \(String(describing: older.outcome))")
                return
            }
            #expect(cluster.sandboxText("f") == "newer")
        }
    }

    @Test func `over restarts of the coordinator every edit has one end, the newest wins`()
        async throws
    {
        try await withClient(workers: 2, flags: ["--lease-ms", "1000"]) { client, cluster in
            var edits: [SyncEdit] = []
            for number in 0..<600 {
                edits.append(
                    try await client.editFile("d\(number % 3)/f\(number % 40)", text: "\(number)"))
                if number == 200 || number == 400 {
                    try await edits[number - 100].accepted()
                    cluster.crashCoordinator()
                    try cluster.startCoordinator()
                }
            }
            var last: [String: Int] = [:]
            for (number, edit) in edits.enumerated() {
                switch try await edit.ended() {
                case .synced, .superseded: last[edit.path] = number
                case .failed(let failure): Issue.record("\(edit.path): \(failure)")
                case .discarded: Issue.record("\(edit.path) was discarded by nobody")
                }
            }
            for (path, number) in last {
                #expect(cluster.sandboxText(path) == "\(number)")
                guard case .synced = edits[number].outcome else {
                    Issue.record("the newest edit of \(path) is not synced")
                    continue
                }
            }
            #expect(try await client.queueStatus().isSyncing == false)
        }
    }

    @Test func `what can't be an edit is refused before it is sent`() async throws {
        try await withClient(workers: 0, startsCoordinator: false) { client, _ in
            func code(_ body: () async throws -> Void) async -> SyncError.Code? {
                do {
                    try await body()
                    return nil
                } catch {
                    return (error as? SyncError)?.code
                }
            }
            for path in ["", "/etc/passwd", "a//b", "a/../b", ".syncd/x", "a\u{7}b"] {
                #expect(
                    await code { try await client.editFile(path, text: "x") } == .invalidPath,
                    "\(path)")
            }
            let large = [UInt8](repeating: 0, count: (16 << 20) + 1)
            do throws(SyncError) {
                _ = try await client.editFile("large", large)
                Issue.record("content over the limit was sent")
            } catch {
                #expect(error.code == .tooLarge)
                OperatingArticle.expectQuoted(error.description)
            }
            #expect(
                await code { try await client.editFile("f", text: "x", targets: ["nowhere"]) }
                    == .invalidArgument)
            #expect(
                await code { _ = try await SyncClient.connect(project: "no/project") }
                    == .invalidArgument)
            #expect(
                await code { _ = try await SyncClient.connect(.init(intake: "no"), project: "p") }
                    == .transport)
        }
    }

    @Test func `a refusal of the coordinator has its code and a sentence`() async throws {
        try await withClient(workers: 1) { client, _ in
            let edit = try await client.editFile("f", text: "one")
            try await edit.ended()
            let conflict = try await client.editFile("f", text: "two", expectedVersion: 7)
            guard case .failed(let failure) = try await conflict.ended() else {
                Issue.record("an edit on the wrong version went through")
                return
            }
            #expect(failure.code == "conflict")
            #expect(!failure.sentence.isEmpty)
        }
    }

    @Test func `closed without a coordinator, an edit ends as unknown`() async throws {
        try await withClient(workers: 0, startsCoordinator: false) { client, _ in
            let edit = try await client.editFile("f", text: "x")
            await client.close(patience: .zero)
            await #expect(throws: SyncError.self) { try await edit.accepted() }
            do throws(SyncError) {
                try await edit.ended()
                Issue.record("an edit without an answer has an end")
            } catch {
                #expect(error.code == .unknown)
            }
            do throws(SyncError) {
                _ = try await client.editFile("f", text: "y")
                Issue.record("a closed client takes edits")
            } catch {
                #expect(error.code == .closed)
            }
            do throws(SyncError) {
                _ = try await client.queueStatus()
                Issue.record("a closed client answers")
            } catch {
                #expect(error.code == .closed)
            }
        }
    }

    @Test func `closing waits for answers, and what was accepted goes on without the client`()
        async throws
    {
        let cluster = try await DaemonCluster.start(workers: 0)
        let client = try await SyncClient.connect(cluster.clientSettings, project: "p1")
        var edits: [SyncEdit] = []
        for number in 0..<200 {
            edits.append(try await client.editFile("f\(number)", text: "x"))
        }
        await client.close(patience: .seconds(60))
        for edit in edits {
            try await edit.accepted()
            do throws(SyncError) {
                try await edit.ended()
                Issue.record("an edit has ended without a worker")
            } catch {
                #expect(error.code == .closed)
            }
        }
        try cluster.startWorker("w")
        try await cluster.flush()
        #expect(cluster.sandboxText("f199") == "x")
        // Another client can ask for the end by the edit's name.
        try await SyncClient.with(cluster.clientSettings, project: "p1") { later in
            let outcome = try await later.outcome(of: edits[7].id, timeout: .seconds(60))
            #expect(outcome == .synced(version: 1))
            let stranger = EditReference(producer: edits[7].id.producer, number: 4_000)
            do throws(SyncError) {
                _ = try await later.outcome(of: stranger, timeout: .seconds(60))
                Issue.record("an edit that never was has an end")
            } catch {
                #expect(error.code == .unknown)
            }
        }
        await cluster.stop()
    }

    @Test func `a cancelled task stops waiting, the edit goes on`() async throws {
        try await withClient(workers: 0) { client, cluster in
            let edit = try await client.editFile("f", text: "x")
            try await edit.accepted()
            let waiting = Task { () -> SyncError.Code? in
                do throws(SyncError) {
                    try await edit.ended()
                    return nil
                } catch {
                    return error.code
                }
            }
            waiting.cancel()
            #expect(await waiting.value == .cancelled)
            try cluster.startWorker("w")
            #expect(try await edit.ended() == .synced(version: 1))
        }
    }
}
