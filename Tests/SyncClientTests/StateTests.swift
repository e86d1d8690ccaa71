import Foundation
import SyncClient
import SyncCore
import SyncTestKit
import Testing

/// Loading state and error of each file, queue, flush, and events.
@Suite(.serialized, .timeLimit(.patience)) struct StateTests {
    @Test func `a file is syncing until it is visible`() async throws {
        try await withClient(workers: 0) { client, cluster in
            let states = await client.fileStates()
            let edit = try await client.editFile("f", text: "x")
            let first = try #require(
                await states.first(where: { $0.path == "f" }))
            #expect(first.isSyncing)
            #expect(first.version == nil)
            try cluster.startWorker("w")
            try await edit.ended()
            let last = try #require(
                await states.first(where: { !$0.isSyncing }))
            #expect(last.version == 1)
            #expect(last.lastError == nil)
        }
    }

    @Test func `a failure is shown at its file until a newer edit mends it`() async throws {
        try await withClient { client, cluster in
            try await client.editFile("well", text: "x").ended()
            let link = cluster.sandboxes + "/p1/out"
            try FileManager.default.createSymbolicLink(
                atPath: link, withDestinationPath: "/tmp")
            let states = await client.fileStates(prefix: "out")
            let edit = try await client.editFile("out/f", text: "escape")
            guard case .failed(let failure) = try await edit.ended() else {
                Issue.record("a link out of the sandbox was followed")
                return
            }
            #expect(!failure.sentence.isEmpty)
            let failed = try #require(
                await states.first(where: { !$0.isSyncing && $0.lastError != nil }))
            #expect(failed.lastError?.code == failure.code)
            #expect(try await client.fileState(of: "well").lastError == nil)
            #expect(try await client.queueStatus().failed == 1)
            let blocked = try await client.flush(timeout: .seconds(60))
            guard case .blocked(let files, count: 1) = blocked else {
                Issue.record("a failed file does not stand against a flush: \(blocked)")
                return
            }
            #expect(files.map(\.path) == ["out/f"])
            #expect(files.first?.cause.code == failure.code)

            // A client that comes late learns it from the snapshot.
            try await SyncClient.with(cluster.clientSettings, project: "p1") { late in
                let seen = try #require(
                    await late.fileStates().first(where: { $0.lastError != nil }))
                #expect(seen.path == "out/f")
                #expect(!seen.isSyncing)
            }

            try FileManager.default.removeItem(atPath: link)
            let mended = try await client.editFile("out/f", text: "mended")
            try await mended.ended()
            let well = try #require(
                await states.first(where: { !$0.isSyncing && $0.lastError == nil }))
            #expect(well.path == "out/f")
            guard case .visible = try await client.flush(timeout: .seconds(60)) else {
                Issue.record("the flush is still blocked")
                return
            }
        }
    }

    @Test func `edits of others are seen`() async throws {
        try await withClient { client, cluster in
            let states = await client.fileStates(prefix: "theirs")
            try await SyncClient.with(cluster.clientSettings, project: "p1", name: "agent") {
                try await $0.editFile("mine", text: "x").ended()
                // Again and again: what ended before the first snapshot is nobody's news.
                repeat {
                    try await $0.editFile("theirs/f", text: "x").ended()
                } while try await client.fileState(of: "theirs/f").version == nil
            }
            let seen = try #require(
                await states.first(where: { !$0.isSyncing && $0.version != nil }))
            #expect(seen.path == "theirs/f")
        }
    }

    @Test func `a sandbox that is away is shown, and its return`() async throws {
        try await withClient { client, cluster in
            let root = cluster.sandboxes
            try await cluster.joined()
            try FileManager.default.moveItem(atPath: root, toPath: root + ".gone")
            let states = await client.fileStates()
            let edit = try await client.editFile("f", text: "x")
            let parked = try #require(
                await states.first(where: { $0.lastError != nil }))
            #expect(parked.isSyncing)
            let target = try #require(try await client.queueStatus().targets.first)
            #expect(target.state == "away")
            #expect(target.reason?.isEmpty == false)
            try FileManager.default.moveItem(atPath: root + ".gone", toPath: root)
            #expect(try await edit.ended() == .synced(version: 1))
            let well = try #require(
                await states.first(where: { $0.path == "f" && !$0.isSyncing }))
            #expect(well.lastError == nil)
        }
    }

    @Test func `a flush without a coordinator says so in time`() async throws {
        try await withClient(workers: 0, startsCoordinator: false) { client, _ in
            do throws(SyncError) {
                _ = try await client.flush(timeout: .milliseconds(200))
                Issue.record("nobody was there to answer")
            } catch {
                #expect(error.code == .timedOut)
            }
        }
    }

    @Test func `events begin where they are asked to, and none is missing over a restart`()
        async throws
    {
        try await withClient(workers: 1, flags: ["--lease-ms", "1000"]) { client, cluster in
            for number in 0..<50 {
                try await client.editFile("a/f\(number % 10)", text: "\(number)").accepted()
            }
            cluster.crashCoordinator()
            try cluster.startCoordinator()
            for number in 0..<50 {
                try await client.editFile("b/f\(number % 10)", text: "\(number)").accepted()
            }
            _ = try await client.flush(timeout: .seconds(120))
            let count = try await cluster.queue("p1").projects.first?.eventNumber ?? 0
            #expect(count > 200)
            var all: [FileEvent] = []
            for try await item in await client.events(from: 1) {
                guard case .event(let event) = item else { continue }
                all.append(event)
                if event.projectNumber == count { break }
            }
            #expect(all.map(\.projectNumber) == Array(1...count))
            let middle = try #require(all.first { $0.projectNumber == count / 2 })
            var below: [FileEvent] = []
            for try await item in await client.events(from: middle.number, prefix: "b") {
                guard case .event(let event) = item else { continue }
                below.append(event)
                if event.projectNumber >= count - 1 { break }
            }
            #expect(
                below.map(\.number)
                    == all.filter { event in
                        event.number >= middle.number
                            && event.projectNumber <= (below.last?.projectNumber ?? 0)
                            && event.path?.hasPrefix("b/") ?? true
                    }.map(\.number))
            #expect(
                all.filter { $0.kind == .accepted }.allSatisfy {
                    $0.editID?.producer == client.producer
                })
        }
    }
}
