import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// Descriptors that are used up, and that do not grow.
@Suite(.serialized) struct DescriptorTests {
    /// Sets how many files a process may have open; nil: no more than it has.
    private static func limit(_ pid: pid_t, to count: Int?) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")
        let open = Set(names.compactMap { Int($0) })
        // The lowest free number would be the next one; those above it stay as they are.
        let count = count ?? (0...open.count).first { !open.contains($0) } ?? open.count
        try SystemTool.run("prlimit", ["--pid", String(pid), "--nofile=\(count):"])
    }

    private static func push(_ paths: [String], _ text: String, _ load: LoadedProducer) async {
        for path in paths {
            let edit = MachineCluster.put(path, text)
            await load.book.pushed(await load.producer.submit(edit), edit)
        }
    }

    @Test(.timeLimit(.patience))
    func `a worker without descriptors gives files back, and no attempt is burnt`() async throws {
        let cluster = try await DaemonCluster.start(
            workers: 1, coordinatorFlags: ["--lease-ms", "60000"])
        let worker = try #require(cluster.workers["w0"])
        #expect(cluster.coordinator?.text.contains("open files") == true)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1)
        let keeping = Task { await load.keep() }
        await Self.push(["d/a", "d/b"], "1", load)
        await load.book.reach(2)
        try await cluster.flush()
        try Self.limit(worker.pid, to: nil)
        await Self.push(["d/a", "e/c"], "2", load)
        try await Patience.until("a file waits") {
            try await cluster.queue("p1").files.contains { $0.code == "EMFILE" }
        }
        cluster.expectQuoted(
            "EMFILE:", of: try await cluster.command(["queue", "--project", "p1"]).output)
        try Self.limit(worker.pid, to: 1_024)
        try await cluster.flush()
        try await load.check(cluster)
        let events = try await cluster.events()
        #expect(events.allSatisfy { $0.kind != .failed && $0.attempts == 0 })
        keeping.cancel()
        await cluster.stop()
    }

    // Over TCP: libzmq's listener for ipc:// ends the process instead (Operating says so).
    @Test(.timeLimit(.patience))
    func `a coordinator without descriptors says so, works on, and lets people in again`()
        async throws
    {
        let cluster = try await DaemonCluster.start(
            workers: 1, places: DaemonCluster.Places(intake: try freeEndpoint()),
            coordinatorFlags: ["--lease-ms", "60000"])
        let coordinator = try #require(cluster.coordinator)
        let load = try await LoadedProducer("p1", of: cluster, seed: 1)
        let keeping = Task { await load.keep() }
        await Self.push(["a"], "1", load)
        await load.book.reach(1)
        try await cluster.flush()
        try Self.limit(coordinator.pid, to: nil)
        let late = try await LoadedProducer("p2", of: cluster, seed: 2)
        let keepingLate = Task { await late.keep() }
        await Self.push(["b"], "1", late)
        try await Patience.until("the log tells") {
            coordinator.text.contains("a connection could not be accepted")
        }
        cluster.expectQuoted("a connection could not be accepted", of: coordinator.text)
        // Whoever is in already is served.
        await Self.push(["a"], "2", load)
        await load.book.reach(2)
        try Self.limit(coordinator.pid, to: 1_024)
        await late.book.reach(1)
        try await cluster.flush("p2")
        try await late.check(cluster)
        try await cluster.flush()
        try await load.check(cluster)
        let lines = coordinator.text.components(separatedBy: "could not be accepted").count - 1
        print("descriptors: \(lines) lines in the log")
        #expect(coordinator.process.isRunning)
        keeping.cancel()
        keepingLate.cancel()
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `descriptors of a worker do not grow with the sandboxes it has seen`() async throws {
        let cluster = try await DaemonCluster.start(
            workers: 1, coordinatorFlags: ["--lease-ms", "60000"])
        let worker = try #require(cluster.workers["w0"])
        var counts: [Int] = []
        for round in 0..<4 {
            let projects = (0..<80).map { "p\(round)-\($0)" }
            try await cluster.withProducers(projects) { producers in
                for producer in producers {
                    _ = await producer.submit(MachineCluster.put("d/f", "1"))
                }
                for producer in producers { try await Self.acceptance(producer) }
            }
            try await Patience.until("everything is synced") {
                try await cluster.queue().counts.pending == 0
            }
            counts.append(try ProcessTable.descriptorCount(of: worker.pid))
        }
        print("descriptors of a worker after 80, 160, 240 and 320 sandboxes: \(counts)")
        // 128 stages stay open, two descriptors each.
        #expect(counts.allSatisfy { $0 < 2 * 128 + 64 })
        #expect(counts[3] <= counts[2] + 8)
        await cluster.stop()
    }

    private static func acceptance(_ producer: Producer) async throws {
        for await update in producer.updates {
            guard case .accepted = update else { throw KitError("not accepted: \(update)") }
            return
        }
    }
}
