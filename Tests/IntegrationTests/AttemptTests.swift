import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// The class table of the design (§3, trace C8) against real processes; needs root, as the mounts
/// do.
@Suite(.serialized) struct AttemptTests {
    private struct Bench {
        let cluster: DaemonCluster
        let producer: Producer
        let book: ProducerBook

        var sandbox: String { cluster.sandboxes + "/p1" }

        func push(_ path: String, _ text: String) async {
            let edit = MachineCluster.put(path, text)
            await book.pushed(await producer.submit(edit), edit)
            await book.reach(await book.edits.count)
        }

        func text(_ path: String) -> String? {
            FileManager.default.contents(atPath: sandbox + "/" + path)
                .map { String(decoding: $0, as: UTF8.self) }
        }

        /// Asks until one of the project's files is in a state.
        func file(_ path: String, in state: String) async throws -> FileStatus {
            try await Patience.value("\(path) is \(state)") {
                try await cluster.queue("p1").files
                    .first { $0.path.text == path && $0.state == state }
            }
        }

        /// Asks until nothing of the project is left to do.
        func rest() async throws {
            try await Patience.until("the project rests") {
                try await cluster.queue("p1").counts.pending == 0
            }
        }

        func kinds(of path: String) async throws -> [EventKind] {
            try await cluster.events().filter { $0.path?.text == path }.map(\.kind)
        }
    }

    /// A coordinator and one worker, started when `prepare` has made the sandbox; `end` undoes
    /// that.
    private func withBench(
        coordinator: [String] = [], worker: [String] = [],
        prepare: (DaemonCluster) throws -> Void = { _ in }, end: () -> Void = {},
        _ body: (Bench) async throws -> Void
    ) async throws {
        let cluster = try await DaemonCluster.start(
            workers: 0, coordinatorFlags: ["--lease-ms", "30000"] + coordinator,
            workerFlags: worker)
        let producer = try await cluster.producer()
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        let result: Result<Void, any Error>
        do {
            try prepare(cluster)
            try cluster.startWorker("w0")
            try await body(Bench(cluster: cluster, producer: producer, book: book))
            result = .success(())
        } catch {
            result = .failure(error)
        }
        keeping.cancel()
        // Before the processes are ended and the folder is removed.
        end()
        await cluster.stop()
        try result.get()
    }

    private func makeFolder(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    // MARK: This file

    @Test(
        .enabled(if: Capability.immutableFolders, "chattr +i is refused here"),
        .timeLimit(.patience)
    )
    func `a folder that can't be changed fails its file at once, a retry after the repair syncs`()
        async throws
    {
        try await withBench { bench in
            await bench.push("locked/first", "one")
            try await bench.cluster.flush()
            let folder = bench.sandbox + "/locked"
            try SystemTool.run("chattr", ["+i", folder])
            defer { _ = try? SystemTool.run("chattr", ["-i", folder]) }
            await bench.push("locked/second", "kept")
            _ = try await bench.file("locked/second", in: "failed")
            let list = try await bench.cluster.command(
                ["failed", "list", "--project", "p1", "--json"])
            #expect(list.code == 0)
            #expect(list.output.contains("\"path\":\"locked/second\""))
            #expect(list.output.contains("\"attempts\":1,"))
            #expect(list.output.contains("\"code\":\"EPERM\""))
            #expect(try await bench.kinds(of: "locked/second") == [.accepted, .failed])
            try SystemTool.run("chattr", ["-i", folder])
            let retry = try await bench.cluster.command(
                ["failed", "retry", "--project", "p1", "--prefix", "locked", "--by", "alice"])
            #expect(retry.output == "1 failed edit retried by alice\n")
            try await bench.rest()
            #expect(bench.text("locked/second") == "kept")
            #expect(
                try await bench.kinds(of: "locked/second")
                    == [.accepted, .failed, .retried, .synced])
        }
    }

    @Test(.timeLimit(.patience))
    func `a link out of the sandbox fails, outlives a restart and can be discarded`() async throws {
        try await withBench { bench in
            await bench.push("a", "one")
            try await bench.cluster.flush()
            try FileManager.default.createSymbolicLink(
                atPath: bench.sandbox + "/out", withDestinationPath: "/tmp")
            await bench.push("out/f", "escape")
            let failed = try await bench.file("out/f", in: "failed")
            #expect(failed.code == "EXDEV")
            bench.cluster.crashCoordinator()
            try bench.cluster.startCoordinator()
            _ = try await bench.file("out/f", in: "failed")
            let discard = try await bench.cluster.command(
                ["failed", "discard", "--project", "p1", "--by", "bob", "--json"])
            #expect(
                discard.output
                    == "{\"action\":\"discard\",\"by\":\"bob\",\"done\":1,\"gone\":0,"
                    + "\"more\":false,\"newer\":0}\n")
            try await bench.rest()
            #expect(try await bench.kinds(of: "out/f") == [.accepted, .failed, .discarded])
            #expect(try await bench.cluster.command(["failed", "list"]).output.isEmpty)
        }
    }

    @Test(.timeLimit(.patience))
    func `an order that names an older edit changes nothing of the newer one`() async throws {
        try await withBench { bench in
            await bench.push("a", "one")
            try await bench.cluster.flush()
            let link = bench.sandbox + "/out"
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "/tmp")
            await bench.push("out/f", "older")
            let older = try await bench.file("out/f", in: "failed").sequence
            func order(_ action: FailedAction) async throws -> [FailedResult] {
                let item = FailedOrder.Item(path: MachineCluster.path("out/f"), sequence: older)
                let reply = try await bench.producer.ask(
                    .order(
                        FailedOrder(
                            action: action, project: MachineCluster.project,
                            by: MachineCluster.name("alice"), items: [item])),
                    patience: Patience.stretched(.seconds(60)))
                guard case .ordered(let results) = reply else { throw KitError("\(reply)") }
                return results
            }
            await bench.push("out/f", "newer")
            try await Patience.until("the newer one has failed, too") {
                try await bench.file("out/f", in: "failed").sequence > older
            }
            #expect(try await order(.discard) == [.newer])
            #expect(try await order(.retry) == [.newer])
            try FileManager.default.removeItem(atPath: link)
            await bench.push("out/f", "newest")
            try await bench.rest()
            #expect(try await order(.retry) == [.gone])
            try await bench.cluster.flush()
            #expect(bench.text("out/f") == "newest")
            #expect(
                try await bench.kinds(of: "out/f") == [
                    .accepted, .failed, .accepted, .superseded, .failed, .accepted, .superseded,
                    .synced,
                ])
        }
    }

    // MARK: This try

    @Test(
        .enabled(if: Capability.bindMounts, "mounts are refused here"),
        .timeLimit(.patience)
    )
    func `a busy path is tried four times, then fails with its content kept`() async throws {
        try await withBench(coordinator: ["--retry-ms", "50,100,200"]) { bench in
            await bench.push("busy", "one")
            try await bench.cluster.flush()
            let other = bench.cluster.folder.path + "/other"
            try Data("other".utf8).write(to: URL(fileURLWithPath: other))
            // What is mounted on can't be renamed over: EBUSY.
            let mount = try BindMount(other, at: bench.sandbox + "/busy")
            defer { mount.close() }
            await bench.push("busy", "two")
            let failed = try await bench.file("busy", in: "failed")
            #expect(failed.code == "EBUSY")
            #expect(failed.attempts == 4)
            let events = try await bench.cluster.events().filter { $0.kind == .retrying }
            #expect(events.map(\.delayMilliseconds) == [50, 100, 200])
            mount.close()
            let retry = try await bench.cluster.command(["failed", "retry", "--project", "p1"])
            #expect(retry.code == 0)
            try await bench.rest()
            #expect(bench.text("busy") == "two")
        }
    }

    // MARK: Shape

    @Test(.timeLimit(.patience))
    func `another shape on the path burns no attempt, and the file is there when it has gone`()
        async throws
    {
        try await withBench { bench in
            await bench.push("a", "one")
            try await bench.cluster.flush()
            try makeFolder(bench.sandbox + "/full/below")
            try Data("x".utf8).write(to: URL(fileURLWithPath: bench.sandbox + "/plain"))
            try makeFolder(bench.sandbox + "/empty")
            await bench.push("full", "file")
            await bench.push("plain/below", "file")
            await bench.push("empty", "file")
            let full = try await bench.file("full", in: "retrying")
            #expect(full.code == "EISDIR")
            let plain = try await bench.file("plain/below", in: "retrying")
            #expect(plain.code == "ENOTDIR")
            #expect(full.attempts == 0 && plain.attempts == 0)
            let told = try await Patience.value("the queue tells between two tries") {
                let queue = ["queue", "--project", "p1", "full"]
                let output = try await bench.cluster.command(queue).output
                return output.contains("retrying  full") ? output : nil
            }
            for part in ["retrying  full", "EISDIR"] {
                bench.cluster.expectQuoted(part, of: told)
            }
            try FileManager.default.removeItem(atPath: bench.sandbox + "/full")
            try FileManager.default.removeItem(atPath: bench.sandbox + "/plain")
            try await bench.rest()
            #expect(bench.text("full") == "file")
            #expect(bench.text("plain/below") == "file")
            #expect(bench.text("empty") == "file")
            #expect(try await !bench.cluster.events().contains { $0.kind == .failed })
        }
    }

    // MARK: Target

    @Test(
        .enabled(if: Capability.bindMounts, "mounts are refused here"),
        .timeLimit(.patience)
    )
    func `a read-only sandbox is away; written to again it gets what is newest`() async throws {
        var mount: BindMount?
        try await withBench { cluster in
            let sandbox = cluster.sandboxes + "/p1"
            try makeFolder(sandbox)
            mount = try BindMount(sandbox, at: sandbox)
        } end: {
            mount?.close()
        } _: { bench in
            await bench.push("f", "zero")
            try await bench.cluster.flush()
            try mount?.setReadOnly(true)
            await bench.push("f", "one")
            await bench.push("f", "two")
            _ = try await bench.file("f", in: "parked")
            let away = try await bench.cluster.events().first { $0.kind == .away }
            #expect(away?.code == "EROFS")
            try mount?.setReadOnly(false)
            try await bench.rest()
            #expect(bench.text("f") == "two")
            let kinds = try await bench.kinds(of: "f")
            #expect(!kinds.contains(.failed) && !kinds.contains(.retrying))
        }
    }

    // Trace B9.
    @Test(
        .enabled(if: Capability.freezing, "a frozen disk needs root and loop devices"),
        .timeLimit(.patience)
    )
    func `a sandbox that hangs is away, others go on, nothing passes the write that hangs`()
        async throws
    {
        var image: FrozenImage?
        try await withBench(worker: ["--attempt-ms", "5000"]) { cluster in
            image = try FrozenImage(
                image: cluster.folder.appendingPathComponent("image"),
                at: cluster.sandboxes + "/p1")
        } end: {
            image?.close()
        } _: { bench in
            await bench.push("f", "zero")
            try await bench.cluster.flush()
            try image?.freeze()
            await bench.push("f", "one")
            _ = try await bench.file("f", in: "parked")
            let away = try await bench.cluster.events().first { $0.kind == .away }
            #expect(away?.code == "stuck")
            await bench.push("f", "two")
            await bench.push("f/below", "late")
            let other = try await bench.cluster.producer("p2")
            _ = await other.submit(MachineCluster.put("g", "healthy"))
            try await bench.cluster.flush("p2")
            #expect(bench.text("f") == "zero")
            try image?.thaw()
            _ = try await bench.file("f/below", in: "retrying")
            #expect(bench.text("f") == "two")
            let kinds = try await bench.kinds(of: "f")
            #expect(!kinds.contains(.failed) && !kinds.contains(.retrying))
            #expect(kinds.last == .synced)
        }
    }
}
