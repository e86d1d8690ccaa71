import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import SyncTransport
import Testing

/// `syncd up`: what one process does for its children.
@Suite(.serialized) struct UpTests {
    /// Pushes texts to one file each and waits until all are accepted.
    private static func push(
        _ texts: [String: String], _ cluster: DaemonCluster
    ) async throws {
        let producer = try await cluster.producer()
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        for (path, text) in texts {
            let edit = MachineCluster.put(path, text)
            await book.pushed(await producer.submit(edit), edit)
        }
        await book.reach(texts.count)
        #expect(await book.accepted.count == texts.count)
        keeping.cancel()
    }

    private static func text(_ path: String, _ cluster: DaemonCluster) -> String? {
        FileManager.default.contents(atPath: cluster.sandboxes + "/p1/" + path)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// Waits until none of these processes is left.
    private static func gone(_ pids: [pid_t]) async throws {
        try await Patience.until("children are gone") {
            pids.allSatisfy { !ProcessTable.isAlive($0) }
        }
    }

    @Test(.timeLimit(.patience))
    func `a child that dies is started again, and nothing is lost`() async throws {
        let cluster = try await DaemonCluster.up(workers: 2, flags: ["--lease-ms", "30000"])
        try await Self.push(["a": "1", "b": "1"], cluster)
        let former = try await cluster.worker("worker-1")
        // The death of one that nobody knows yet is no news.
        try await Patience.until("worker-1 has joined") {
            (cluster.supervisor?.text ?? "").split(separator: "\n").contains {
                $0.contains("worker joined") && $0.contains("worker=worker-1")
            }
        }
        kill(former.pid, SIGKILL)
        let died = ContinuousClock.now
        // With a lease of 30 s only the report of its death frees its files.
        let texts = Dictionary(uniqueKeysWithValues: (0..<40).map { ("f\($0)", "2") })
        try await Self.push(texts, cluster)
        try await cluster.flush()
        print("up: 40 files visible \(ContinuousClock.now - died) after a worker's death")
        for path in texts.keys { #expect(Self.text(path, cluster) == "2") }
        let next = try await cluster.worker("worker-1", otherThan: former.pid)
        for part in ["worker ended", "worker died", "worker started", "worker joined"] {
            cluster.expectQuoted(part, of: cluster.supervisor?.text ?? "")
        }
        #expect(next.value(of: "--life") != former.value(of: "--life"))
        let coordinator = try #require(cluster.children("coordinator").first)
        kill(coordinator.pid, SIGKILL)
        try await Self.push(["a": "3"], cluster)
        try await cluster.flush()
        #expect(Self.text("a", cluster) == "3")
        #expect(cluster.children("coordinator").map(\.pid) != [coordinator.pid])
        await cluster.stop()
    }

    // Trace B2.
    @Test(.timeLimit(.patience))
    func `a worker stopped inside a store transaction is killed, and its files go on`()
        async throws
    {
        // Longer than the store's own waits: else the worker is killed before it is found out.
        let cluster = try await DaemonCluster.up(workers: 2, flags: ["--lease-ms", "5000"])
        let load = try await LoadedProducer("p1", of: cluster, seed: 5)
        let keeping = Task { await load.keep() }
        let anchor = MachineCluster.put("anchor", "0")
        await load.book.pushed(await load.producer.submit(anchor), anchor)
        try await Patience.until("the anchor is stored") {
            FileManager.default.fileExists(atPath: cluster.sandboxes + "/p1/anchor")
        }
        // Until one is caught: workers that have nothing to do hold no transaction.
        let pushing = Task {
            var count = 0
            repeat {
                await load.push(count + 1...count + 2_000)
                count += 2_000
                // Only keeps the backlog short; it may end in vain when one is caught.
                try? await cluster.flush()
            } while !Task.isCancelled
            return count
        }
        let stopped = try await Self.stopInTransaction(cluster)
        pushing.cancel()
        let since = ContinuousClock.now
        print("up: worker \(stopped.pid) is stopped and holds the store")
        try await Self.gone([stopped.pid])
        print("up: it was killed \(ContinuousClock.now - since) later")
        try await Patience.until("its end is told") {
            cluster.supervisor?.text.contains("worker killed") ?? false
        }
        for part in ["worker expelled", "worker killed"] {
            cluster.expectQuoted(part, of: cluster.supervisor?.text ?? "")
        }
        await load.book.reach(await pushing.value + 1)
        try await cluster.flush()
        try await load.check(cluster)
        let label = try #require(stopped.value(of: "--id"))
        _ = try await cluster.worker(label, otherThan: stopped.pid)
        let burnt = try await cluster.events().filter {
            $0.kind == .failed || $0.kind == .retrying
        }
        #expect(burnt.isEmpty, "no attempt was burnt")
        keeping.cancel()
        await cluster.stop()
    }

    /// Stops a worker again and again until the store is locked for longer than others need it.
    private static func stopInTransaction(
        _ cluster: DaemonCluster
    ) async throws -> ProcessTable.Entry {
        let store = try await SQLiteStore(
            file: cluster.storeFile, options: SQLiteOptions(busyTimeout: .milliseconds(300)))
        let edit = SequencedEdit(
            sequence: EditSequence(1), file: .named("anchor", in: MachineCluster.project),
            change: .delete, expectedVersion: nil,
            id: EditID(producer: MachineCluster.producer(), number: 1),
            acceptedAt: Timestamp(milliseconds: 0))
        for round in 0..<5_000 {
            let worker = try await cluster.worker("worker-\(round % 2 + 1)")
            kill(worker.pid, SIGSTOP)
            try await Patience.until("it is stopped") {
                ProcessTable.isStopped(worker.pid) || !ProcessTable.isAlive(worker.pid)
            }
            do throws(StoreError) {
                // Known or stale: changes nothing, but waits for its turn to write.
                _ = try await store.apply([edit])
                kill(worker.pid, SIGCONT)
            } catch {
                await store.close()
                return worker
            }
        }
        throw KitError("no worker was caught inside a transaction")
    }

    @Test(.timeLimit(.patience), arguments: [SIGTERM, SIGINT])
    func `one signal drains everything and ends with 0`(signal: Int32) async throws {
        let cluster = try await DaemonCluster.up(workers: 3)
        let texts = Dictionary(uniqueKeysWithValues: (0..<200).map { ("f\($0)", "1") })
        try await Self.push(texts, cluster)
        let up = try #require(cluster.supervisor)
        let children = ProcessTable.children(of: up.pid).map(\.pid)
        #expect(children.count == 4)
        up.process.signal(signal)
        #expect(try await up.ending() == 0)
        #expect(children.allSatisfy { !ProcessTable.isAlive($0) })
        #expect(up.text.components(separatedBy: "drained").count - 1 == 3)
        // What was accepted is there, and the next start finishes what is left.
        try cluster.startUp(workers: 1)
        try await cluster.flush()
        for path in texts.keys { #expect(Self.text(path, cluster) == "1") }
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a second signal does not wait for a worker that can't drain`() async throws {
        let cluster = try await DaemonCluster.up(workers: 2, flags: ["--lease-ms", "60000"])
        try await Self.push(["a": "1"], cluster)
        let up = try #require(cluster.supervisor)
        let children = ProcessTable.children(of: up.pid).map(\.pid)
        let stuck = try await cluster.worker("worker-1")
        kill(stuck.pid, SIGSTOP)
        up.process.signal(SIGTERM)
        try await Patience.until("it drains") { up.text.contains("workers drain first") }
        #expect(ProcessTable.isAlive(stuck.pid) && up.process.isRunning)
        up.process.signal(SIGTERM)
        #expect(try await up.ending() == 1)
        #expect(up.text.contains("second signal"))
        try await Self.gone(children)
        let journal = try await SQLiteJournal(file: cluster.journalFile)
        await journal.close()
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a worker that can't tell anybody ends at the second signal`() async throws {
        let cluster = try await DaemonCluster.start(workers: 1)
        try await Self.push(["a": "1"], cluster)
        try await cluster.flush()
        cluster.crashCoordinator()
        let worker = try #require(cluster.workers["w0"])
        worker.process.signal(SIGTERM)
        try await Patience.until("it drains") { worker.text.contains("draining") }
        #expect(worker.process.isRunning)
        worker.process.signal(SIGTERM)
        #expect(try await worker.ending() == 1)
        #expect(worker.text.contains("second signal"))
        await cluster.stop()
    }

    // Trace C11.
    @Test(.timeLimit(.patience))
    func `children end when their parent is killed, and the place is free again`() async throws {
        let cluster = try await DaemonCluster.up(workers: 2)
        try await Self.push(["a": "1"], cluster)
        let up = try #require(cluster.supervisor)
        let children = ProcessTable.children(of: up.pid).map(\.pid)
        up.crash()
        // At once, while the orphans may still be ending; their ipc sockets lie about.
        try cluster.startUp(workers: 2)
        try await Self.push(["a": "2"], cluster)
        try await cluster.flush()
        #expect(Self.text("a", cluster) == "2")
        try await Self.gone(children)
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a second up in the same directory says who holds it and harms nothing`() async throws {
        let cluster = try await DaemonCluster.up(workers: 1)
        try await Self.push(["a": "1"], cluster)
        let up = try #require(cluster.supervisor)
        let children = ProcessTable.children(of: up.pid).map(\.pid)
        let second = try await cluster.command([
            "up", "--data", cluster.folder.path, "--intake", cluster.intake,
            "--worker-endpoint", cluster.workerEndpoint, "--status", cluster.status,
        ])
        #expect(second.code == 78)
        #expect(second.output.contains("in use by another 'syncd up' (process \(up.pid))"))
        let alone = try await cluster.command([
            "coordinator", "--journal", "sqlite:\(cluster.journalFile)", "--intake",
            cluster.intake, "--worker-endpoint", cluster.workerEndpoint, "--status",
            cluster.status,
        ])
        #expect(alone.code == 78)
        #expect(alone.output.contains("is held by process"))
        #expect(ProcessTable.children(of: up.pid).map(\.pid) == children)
        try await Self.push(["a": "2"], cluster)
        try await cluster.flush()
        #expect(Self.text("a", cluster) == "2")
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a worker whose label was taken is not started again`() async throws {
        let cluster = try await DaemonCluster.up(workers: 2)
        try await Self.push(["a": "1"], cluster)
        let up = try #require(cluster.supervisor)
        // One that has not registered yet would be the one that replaces.
        try await cluster.joined(2)
        let former = try await cluster.worker("worker-1")
        try cluster.startWorker("worker-1")
        try await Self.gone([former.pid])
        try await Patience.until("the log tells") { up.text.contains("it is not started again") }
        try await Self.push(["a": "2", "b": "2", "c": "2"], cluster)
        try await cluster.flush()
        #expect(cluster.children("worker").map { $0.value(of: "--id") } == ["worker-2"])
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a configuration that can't work ends up at once`() async throws {
        let cluster = try await DaemonCluster.up(workers: 1)
        try await Self.push(["a": "1"], cluster)
        // Only a pool that has a store by now can find that another one lies there.
        try await cluster.flush()
        let up = try #require(cluster.supervisor)
        up.process.signal(SIGTERM)
        #expect(try await up.ending() == 0)
        // A store of another pool in the place of this one's.
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: cluster.storeFile + suffix)
        }
        let again = try cluster.startUp(workers: 1)
        #expect(try await again.ending() == 78)
        #expect(again.text.contains("store"))
        await cluster.stop()
    }
}
