import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// Sandboxes that go away, come back, lose their files, come and go by command.
@Suite(.serialized) struct TargetTests {
    private static let target = TargetURL(defaultOf: MachineCluster.name("p1"))

    /// A cluster, a producer, and its book.
    private struct Scene {
        let cluster: DaemonCluster
        let producer: Producer
        let book: ProducerBook

        /// Pushes texts and waits for their acceptance.
        func push(_ texts: [String: String], targets: [TargetURL] = []) async {
            for (path, text) in texts.sorted(by: { $0.key < $1.key }) {
                let edit = MachineCluster.put(path, text, targets: targets)
                await book.pushed(await producer.submit(edit), edit)
            }
            await book.reach(await book.edits.count)
        }

        func text(_ path: String, in sandbox: String = "p1") -> String? {
            FileManager.default.contents(atPath: "\(cluster.sandboxes)/\(sandbox)/\(path)")
                .map { String(decoding: $0, as: UTF8.self) }
        }

        /// Asks until the pool is as wanted.
        func until(
            _ what: String, _ isSo: (QueueReport) async throws -> Bool
        ) async throws {
            try await Patience.until(what) { try await isSo(cluster.queue("p1")) }
        }

        func state(of target: TargetURL) async throws -> String? {
            try await cluster.queue("p1").projects.first?.targets.first { $0.url == target }?.state
        }

        /// Events of a sandbox as a whole, in words.
        func story(of target: TargetURL) async throws -> [String] {
            try await cluster.events().filter { $0.target == target && $0.path == nil }
                .map(\.kind.word)
        }
    }

    private func withScene(
        workers: Int = 2, flags: [String] = [], workerFlags: [String] = [],
        _ body: (Scene) async throws -> Void
    ) async throws {
        let cluster = try await DaemonCluster.start(
            workers: workers,
            coordinatorFlags: ["--marker-ms", "300", "--probe-ms", "300"] + flags,
            workerFlags: workerFlags)
        let producer = try await cluster.producer()
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        do {
            try await body(Scene(cluster: cluster, producer: producer, book: book))
        } catch {
            keeping.cancel()
            await cluster.stop()
            throw error
        }
        keeping.cancel()
        await cluster.stop()
    }

    private static let files = Dictionary(
        uniqueKeysWithValues: (0..<60).map { ("d\($0 % 4)/f\($0)", "text \($0)") })

    private func expectAll(_ scene: Scene, in sandbox: String = "p1") {
        for (path, text) in Self.files { #expect(scene.text(path, in: sandbox) == text) }
    }

    /// What is waited for is the minute itself; with a hand-moved clock: AwayTests.
    // Trace B1.
    @Test(.timeLimit(.patience))
    func `a minute away with 1,000 files burns no attempt, one worker probes, all are synced`()
        async throws
    {
        try await withScene(
            // One that is thought dead would be followed by another prober.
            flags: ["--lease-ms", "60000", "--set", "probe-wait-max-ms=300"],
            workerFlags: ["--log-level", "debug"]
        ) { scene in
            let root = scene.cluster.sandboxes
            try await scene.cluster.joined(2)
            let gone = ContinuousClock.now
            try FileManager.default.moveItem(atPath: root, toPath: root + ".gone")
            let files = Dictionary(
                uniqueKeysWithValues: (0..<1_000).map { ("d\($0 % 10)/f\($0)", "\($0)") })
            await scene.push(files)
            try await scene.until("all files are parked") { $0.counts.parked == 1_000 }
            let flush = try await scene.cluster.command([
                "flush", "--project", "p1", "--prefix", "d1",
            ])
            #expect(flush.code == 3)
            #expect(flush.output.contains("d1/f1 is parked: root-missing"))
            let queue = try await Patience.value("the queue tells between two probes") {
                let output = try await scene.cluster.command(["queue", "--project", "p1", "d1/f1"])
                    .output
                return output.contains("next probe in") ? output : nil
            }
            for part in ["(away)", "away since", "parked  d1/f1", "    root-missing:"] {
                scene.cluster.expectQuoted(part, of: queue)
            }
            try await Patience.until("a minute is over; it was probed by one worker") {
                let probes = scene.cluster.workers.values.map {
                    $0.text.components(separatedBy: "probed a sandbox that is away").count - 1
                }
                #expect(probes.min() == 0)
                return probes.max() ?? 0 >= 10 && ContinuousClock.now - gone >= .seconds(60)
            }
            try FileManager.default.moveItem(atPath: root + ".gone", toPath: root)
            let back = ContinuousClock.now
            try await scene.until("nothing is left to do") { $0.counts.pending == 0 }
            print("targets: 1,000 files synced \(ContinuousClock.now - back) after its return")
            for (path, text) in files { #expect(scene.text(path) == text) }
            let events = try await scene.cluster.events()
            #expect(!events.contains { $0.kind == .failed || $0.kind == .retrying })
            #expect(events.allSatisfy { $0.attempts == 0 })
            #expect(events.count { $0.kind == .away } == 1)
            #expect(events.count { $0.kind == .back } == 1)
        }
    }

    // Trace C9: removed while running, found with no edit coming in.
    @Test(.timeLimit(.patience))
    func `a sandbox that is removed is filled again with no edit coming in`() async throws {
        try await withScene { scene in
            await scene.push(Self.files)
            try await scene.cluster.flush()
            try FileManager.default.removeItem(atPath: scene.cluster.sandboxes + "/p1")
            try await scene.until("refreshed is told") { _ in
                try await scene.story(of: Self.target).last == "refreshed"
            }
            try await scene.cluster.flush()
            expectAll(scene)
            let story = try await scene.story(of: Self.target)
            #expect(story.filter { $0 == "refreshing" }.count == 1)
            let told = try await scene.cluster.events().first { $0.kind == .refreshing }
            #expect(told?.code == "blank")
        }
    }

    @Test(.timeLimit(.patience))
    func `a sandbox whose marker is removed is filled again`() async throws {
        try await withScene { scene in
            await scene.push(Self.files)
            try await scene.cluster.flush()
            let sandbox = scene.cluster.sandboxes + "/p1"
            try FileManager.default.removeItem(atPath: sandbox + "/d1/f1")
            try FileManager.default.removeItem(atPath: sandbox + "/.syncd/marker")
            try await scene.until("refreshed is told") { _ in
                try await scene.story(of: Self.target).last == "refreshed"
            }
            expectAll(scene)
        }
    }

    @Test(.timeLimit(.patience))
    func `an older copy put in the place of a sandbox is brought up to date`() async throws {
        try await withScene { scene in
            await scene.push(Self.files)
            await scene.push(["gone": "to be deleted", "old": "old"])
            try await scene.cluster.flush()
            let sandbox = scene.cluster.sandboxes + "/p1"
            try FileManager.default.copyItem(atPath: sandbox, toPath: sandbox + ".copy")
            await scene.push(["old": "new", "late": "late"])
            let delete = MachineCluster.delete("gone")
            await scene.book.pushed(await scene.producer.submit(delete), delete)
            await scene.book.reach(await scene.book.edits.count)
            try await scene.cluster.flush()
            // Swapped in one step, so that the sandbox is never missing.
            try FileManager.default.moveItem(atPath: sandbox, toPath: sandbox + ".former")
            try FileManager.default.moveItem(atPath: sandbox + ".copy", toPath: sandbox)
            try await scene.until("refreshed is told") { _ in
                try await scene.story(of: Self.target).last == "refreshed"
            }
            expectAll(scene)
            #expect(scene.text("old") == "new")
            #expect(scene.text("late") == "late")
            #expect(scene.text("gone") == nil)
        }
    }

    // Trace B6: the machine was restarted, files that were not fsynced are empty.
    @Test(.timeLimit(.patience))
    func `after another boot emptied files are repaired and flush waits for it`() async throws {
        try await withScene(workers: 1) { scene in
            await scene.push(Self.files)
            try await scene.cluster.flush()
            #expect(scene.cluster.drainWorker("w0") == 0)
            for path in Self.files.keys {
                try Data().write(
                    to: URL(fileURLWithPath: "\(scene.cluster.sandboxes)/p1/\(path)"))
            }
            try scene.cluster.startWorker("w1", environment: ["SYNCD_BOOT_ID": "another-boot"])
            try await scene.until("the restart is found") { _ in
                try await scene.story(of: Self.target).contains("refreshing")
            }
            try await scene.cluster.flush()
            expectAll(scene)
            let told = try await scene.cluster.events().first { $0.kind == .refreshing }
            #expect(told?.code == "rebooted")
            scene.cluster.expectQuoted(
                "refreshing", "rebooted", of: try await scene.cluster.statusLines())
        }
    }

    // Trace B12.
    @Test(.timeLimit(.patience))
    func `two sandboxes converge, and each is seen for itself`() async throws {
        let second = try #require(TargetURL("local:second"))
        try await withScene { scene in
            await scene.push(Self.files, targets: [Self.target, second])
            try await scene.cluster.flush()
            expectAll(scene, in: "second")
            // A file where the sandbox should be: away as a whole.
            let place = scene.cluster.sandboxes + "/second"
            try FileManager.default.moveItem(atPath: place, toPath: place + ".kept")
            try Data().write(to: URL(fileURLWithPath: place))
            try await scene.until("the second is away") { _ in
                try await scene.state(of: second) == "away"
            }
            await scene.push(["d1/f1": "changed"])
            try await scene.until("visible in one, parked for the other") { report in
                report.files.first { $0.path.text == "d1/f1" }.map {
                    $0.state == "parked" && $0.visible == [Self.target] && $0.missing == [second]
                        && $0.stored == Version(2)
                } ?? false
            }
            #expect(scene.text("d1/f1") == "changed")
            try FileManager.default.removeItem(atPath: place)
            try FileManager.default.moveItem(atPath: place + ".kept", toPath: place)
            try await scene.until("nothing is left to do") { $0.counts.pending == 0 }
            try await scene.cluster.flush()
            #expect(scene.text("d1/f1", in: "second") == "changed")
            #expect(try await scene.story(of: Self.target) == ["attached"])
        }
    }

    @Test(.timeLimit(.patience))
    func `sandboxes come and go by command`() async throws {
        try await withScene { scene in
            await scene.push(Self.files)
            try await scene.cluster.flush()
            let project = { (arguments: [String]) in
                try await scene.cluster.command(["project"] + arguments + ["--project", "p1"])
            }
            let shown = try await project(["show", "--json"])
            #expect(shown.code == 0)
            #expect(shown.output.contains("\"in_sync_since\""))
            #expect(try await project(["attach", "--target", "local:late"]).code == 0)
            try await scene.cluster.flush()
            expectAll(scene, in: "late")
            let detached = try await project(["detach", "--target", "local:late"])
            #expect(detached.code == 0)
            #expect(detached.output.contains("local:late  detached"))
            #expect(try await project(["detach", "--target", "local:late"]).code == 0)
            #expect(try await project(["detach", "--target", "local:never"]).code == 1)
            await scene.push(["d1/f1": "later"])
            try await scene.cluster.flush()
            #expect(scene.text("d1/f1", in: "late") == "text 1")
            let late = try #require(TargetURL("local:late"))
            await scene.push(["d1/f2": "refused"], targets: [late])
            #expect(await scene.book.refused.values.map(\.code) == [.targetDetached])
            #expect(try await project(["attach", "--target", "local:late"]).code == 0)
            try await scene.cluster.flush()
            #expect(scene.text("d1/f1", in: "late") == "later")
            let taken = try await scene.cluster.command(
                ["project", "attach", "--project", "p2", "--target", "local:late"])
            #expect(taken.code == 1)
            #expect(taken.output.contains("belongs to project p1"))
        }
    }

    @Test(.timeLimit(.patience))
    func `hydrate repairs what somebody else has changed`() async throws {
        try await withScene { scene in
            await scene.push(Self.files)
            try await scene.cluster.flush()
            for path in ["d1/f1", "d2/f2"] {
                try Data("broken".utf8).write(
                    to: URL(fileURLWithPath: "\(scene.cluster.sandboxes)/p1/\(path)"))
            }
            let done = try await scene.cluster.command(["hydrate", "--project", "p1", "--wait"])
            #expect(done.code == 0)
            #expect(done.output.contains("all files are written"))
            expectAll(scene)
            let unknown = try await scene.cluster.command(["hydrate", "--project", "nobody"])
            #expect(unknown.code == 1)
            #expect(unknown.output.contains("is not known"))
        }
    }
}
