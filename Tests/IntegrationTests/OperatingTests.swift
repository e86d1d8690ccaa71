import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// What people read when something is wrong stands in the article *Operating*, word for word.
@Suite(.serialized) struct OperatingTests {
    private struct Scene {
        let cluster: DaemonCluster
        let shim: FaultShim
        let load: LoadedProducer

        func push(_ path: String, _ text: String) async {
            let edit = MachineCluster.put(path, text)
            await load.book.pushed(await load.producer.submit(edit), edit)
            await load.book.reach(await load.book.edits.count)
        }

        func file(_ path: String, in state: String, code: String = "") async throws {
            try await Patience.until("\(path) is \(state)") {
                try await cluster.queue("p1").files.contains {
                    $0.path.text == path && $0.state == state && (code.isEmpty || $0.code == code)
                }
            }
        }

        func queue(_ path: String) async throws -> String {
            try await cluster.command(["queue", "--project", "p1", path]).output
        }

        func rest() async throws {
            try await Patience.until("nothing is left to do") {
                try await cluster.queue("p1").counts.pending == 0
            }
        }
    }

    /// A coordinator and one worker with faults to play.
    ///
    /// - Parameters:
    ///   - attempt: After how many milliseconds a write is said to hang.
    ///   - flags: More flags of the worker.
    private func withScene(
        attempt: Int = 1_000, flags: [String] = [], _ body: (Scene) async throws -> Void
    ) async throws {
        let id = String(UInt32.random(in: .min ... .max), radix: 36)
        let folder = URL(fileURLWithPath: "/tmp/syncd-test-\(id)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let shim = try FaultShim(in: folder)
        let cluster = try DaemonCluster(
            folder: folder,
            coordinatorFlags: [
                "--lease-ms", "60000", "--retry-ms", "1000,100,100", "--marker-ms", "500",
            ],
            workerFlags: ["--attempt-ms", "\(attempt)"] + flags)
        try cluster.startCoordinator()
        try cluster.startWorker("worker-1", environment: shim.environment)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1)
        let keeping = Task { await load.keep() }
        let result: Result<Void, any Error>
        do {
            let scene = Scene(cluster: cluster, shim: shim, load: load)
            await scene.push("a.txt", "one")
            try await scene.rest()
            try await body(scene)
            try await load.check(cluster)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        keeping.cancel()
        await cluster.stop()
        try result.get()
    }

    @Test(.timeLimit(.patience))
    func `a file that fails is told from its first try to its repair`() async throws {
        try await withScene { scene in
            let cluster = scene.cluster
            try scene.shim.begin(.renameFails, of: "broken")
            await scene.push("broken.txt", "x")
            try await scene.file("broken.txt", in: "failed")
            let list = try await cluster.command(["failed", "list", "--project", "p1"]).output
            cluster.expectQuoted("broken.txt", of: list)
            try scene.shim.end(.renameFails)
            let retry = try await cluster.command([
                "failed", "retry", "--project", "p1", "--by", "alice",
            ])
            cluster.expectQuoted("retried", of: retry.output)
            try await scene.rest()
            let told = try await cluster.statusLines()
            for kind in ["retrying", "failed", "retried", "synced"] {
                cluster.expectQuoted(kind, "p1/broken.txt", of: told)
            }
        }
    }

    @Test(.timeLimit(.patience))
    func `a write that hangs is told, and its end`() async throws {
        try await withScene { scene in
            let cluster = scene.cluster
            try scene.shim.begin(.renameHangs, of: "slow")
            await scene.push("slow.txt", "x")
            try await scene.file("slow.txt", in: "parked")
            cluster.expectQuoted("local:p1", "away", of: try await scene.queue("slow.txt"))
            cluster.expectQuoted("parked  slow.txt", of: try await scene.queue("slow.txt"))
            try scene.shim.end(.renameHangs)
            try await scene.rest()
            let told = try await cluster.statusLines()
            for kind in ["away", "parked", "back  "] { cluster.expectQuoted(kind, of: told) }
        }
    }

    @Test(.timeLimit(.patience))
    func `a store that hangs is named as the cause, and the worker can leave`() async throws {
        try await withScene { scene in
            let cluster = scene.cluster
            try scene.shim.begin(.syncHangs, of: "store.db-wal")
            await scene.push("a.txt", "two")
            try await Patience.until("the cause is told") {
                try await cluster.queue("p1").files.contains { $0.code == "timeout" }
            }
            cluster.expectQuoted("timeout:", of: try await scene.queue("a.txt"))
            // Its last call never returns: it ends all the same, in order.
            let worker = try #require(cluster.workers["worker-1"])
            worker.process.signal(SIGTERM)
            #expect(try await worker.ending() == 0)
            cluster.expectQuoted("a call into store or sandbox hangs", of: worker.text)
            try scene.shim.end(.syncHangs)
            try cluster.startWorker("worker-2", environment: scene.shim.environment)
            try await scene.rest()
            #expect(try await !cluster.events().contains { $0.kind == .retrying })
        }
    }

    @Test(.timeLimit(.patience))
    func `what a sandbox goes through is told`() async throws {
        try await withScene(attempt: 60_000) { scene in
            let cluster = scene.cluster
            let sandbox = cluster.sandboxes + "/p1"
            // Moved while a stage in it is open: the next write says so.
            try FileManager.default.moveItem(atPath: sandbox, toPath: sandbox + ".moved")
            await scene.push("b.txt", "x")
            try await scene.rest()
            try await cluster.flushed()
            #expect(FileManager.default.contents(atPath: sandbox + "/a.txt") == Data("one".utf8))
            #expect(FileManager.default.contents(atPath: sandbox + "/b.txt") == Data("x".utf8))
            let attach = ["attach", "--project", "p1", "--target", "local:preview"]
            cluster.expectQuoted(
                "local:preview", of: try await cluster.command(["project"] + attach).output)
            let hydrate = try await cluster.command(["hydrate", "--project", "p1", "--wait"]).output
            cluster.expectQuoted("all files are written", of: hydrate)
            let detach = ["detach", "--project", "p1", "--target", "local:preview"]
            cluster.expectQuoted(
                "local:preview", of: try await cluster.command(["project"] + detach).output)
            let told = try await cluster.statusLines()
            cluster.expectQuoted("refreshing", "blank", of: told)
            for kind in ["attached", "refreshed", "detached"] {
                cluster.expectQuoted(kind, of: told)
            }
        }
    }

    @Test(.timeLimit(.patience))
    func `how far a refill is is told`() async throws {
        try await withScene(attempt: 60_000) { scene in
            let cluster = scene.cluster
            await scene.push("broken.txt", "x")
            try await scene.rest()
            try scene.shim.begin(.renameFails, of: "broken")
            let asked = try await cluster.command(["hydrate", "--project", "p1"])
            #expect(asked.code == 0, "\(asked.output)")
            try await Patience.until("one file is written again, one can't be") {
                try await cluster.queue("p1").projects.first?.targets.first?.refill
                    == QueueReport.Refill(written: 1, waiting: 1, isListed: true)
            }
            let show = try await cluster.command(["project", "show", "--project", "p1"]).output
            cluster.expectQuoted("local:p1", "written again", of: show)
            try scene.shim.end(.renameFails)
            try await Patience.until("the refill is over") {
                try await cluster.queue("p1").projects.first?.targets.first?.state == "well"
            }
        }
    }

    @Test(.timeLimit(.patience))
    func `what a program in the sandbox has changed is told`() async throws {
        try await withScene(attempt: 60_000) { scene in
            let cluster = scene.cluster
            let file = cluster.sandboxes + "/p1/a.txt"
            try Data("by a program".utf8).write(to: URL(fileURLWithPath: file))
            await scene.push("a.txt", "two")
            try await scene.rest()
            #expect(FileManager.default.contents(atPath: file) == Data("two".utf8))
            cluster.expectQuoted("drifted", "p1/a.txt", of: try await cluster.statusLines())
            // The journal's log is read back with it.
            cluster.crashCoordinator()
            try cluster.startCoordinator()
            cluster.expectQuoted("drifted", "p1/a.txt", of: try await cluster.statusLines())
        }
    }

    @Test(.timeLimit(.patience))
    func `what a program in the sandbox has changed is kept when it is to be`() async throws {
        try await withScene(attempt: 60_000, flags: ["--set", "drift=keep"]) { scene in
            let cluster = scene.cluster
            let file = cluster.sandboxes + "/p1/a.txt"
            let kept = Data("by a program".utf8)
            try kept.write(to: URL(fileURLWithPath: file))
            await scene.push("a.txt", "two")
            try await scene.file("a.txt", in: "failed", code: "drifted")
            #expect(FileManager.default.contents(atPath: file) == kept)
            let list = try await cluster.command(["failed", "list", "--project", "p1"]).output
            cluster.expectQuoted("a.txt", "drifted", of: list)
            // A retry meets it again, unless it was moved away or written over.
            let retry = ["failed", "retry", "--project", "p1"]
            #expect(try await cluster.command(retry).code == 0)
            try await Patience.until("it failed again") {
                try await cluster.events().count { $0.kind == .failed } == 2
            }
            #expect(FileManager.default.contents(atPath: file) == kept)
            try FileManager.default.moveItem(atPath: file, toPath: file + ".kept")
            #expect(try await cluster.command(retry).code == 0)
            try await scene.rest()
            #expect(FileManager.default.contents(atPath: file) == Data("two".utf8))
            #expect(FileManager.default.contents(atPath: file + ".kept") == kept)
        }
    }
}

extension DaemonCluster {
    /// Runs `syncd flush` and expects that everything is visible.
    fileprivate func flushed() async throws {
        let (code, output) = try await command(["flush", "--project", "p1"])
        #expect(code == 0, "\(output)")
    }
}
