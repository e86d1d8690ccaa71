import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// Disks that fill up, can't be written or don't answer, and come back, without any restart.
@Suite(.serialized, .enabled(if: Capability.mounts, "mounts need root"))
struct DiskTests {
    /// Runs a load in two halves; between them and the end the body does harm and mends it.
    private static func withLoad(
        _ cluster: DaemonCluster, projects: [String], contentBytes: Int, half: Int,
        harm: () async throws -> Void, mend: () async throws -> Void
    ) async throws {
        let pids = cluster.pids
        var loads: [LoadedProducer] = []
        for (place, project) in projects.enumerated() {
            loads.append(
                try await LoadedProducer(
                    project, of: cluster, seed: UInt64(place + 1), contentBytes: contentBytes))
        }
        try await withThrowingTaskGroup(of: Void.self) { keeping in
            for load in loads { keeping.addTask { await load.keep() } }
            for load in loads { await load.push(1...half) }
            for load in loads { await load.book.reach(half) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                // Not before the harm: some of the edits must meet it.
                try await harm()
                for load in loads { group.addTask { await load.push(half + 1...2 * half) } }
                try await mend()
                try await group.waitForAll()
            }
            for load in loads { await load.book.reach(2 * half) }
            keeping.cancelAll()
        }
        for load in loads {
            try await Self.rest(load.project, cluster)
            try await load.check(cluster)
        }
        // A command that is just ending, or a child before its exec, may be there as well.
        #expect(Set(pids).isSubset(of: cluster.pids), "nothing was restarted")
    }

    /// Waits until nothing of a project is left to do.
    private static func rest(_ project: String, _ cluster: DaemonCluster) async throws {
        try await Patience.until("\(project) comes to rest") {
            try await cluster.queue(project).projects
                .first { $0.name.text == project }?.counts.pending ?? 0 == 0
        }
    }

    /// Whether some file of a project waits for this reason.
    private static func waits(
        _ project: String, for reason: String, _ cluster: DaemonCluster
    ) async throws -> Bool {
        try await cluster.queue(project).files.contains { $0.reason.contains(reason) }
    }

    @Test(.timeLimit(.patience))
    func `a full journal answers busy, keeps what it accepted, and goes on by itself`()
        async throws
    {
        let disk = try TestDisk.inMemory(byteCount: 32 << 20)
        defer { disk.remove() }
        let cluster = try await DaemonCluster.start(
            workers: 1, places: DaemonCluster.Places(journal: disk.path),
            coordinatorFlags: ["--lease-ms", "60000"])
        let coordinator = try #require(cluster.coordinator)
        try await Self.withLoad(
            cluster, projects: ["p1", "p2", "p3", "p4"], contentBytes: 2_000, half: 250
        ) {
            try disk.fill()
        } mend: {
            // A write-ahead log that was just begun anew may have room for all that is pushed.
            let filler = try await cluster.producer("p5", name: "filler")
            var number = 0
            try await Patience.until("the log tells") {
                number += 1
                let text = String(repeating: "x", count: 2_000)
                _ = await filler.submit(MachineCluster.put("f\(number)", text))
                try disk.fill()
                return coordinator.text.contains("free space on that disk")
            }
            try disk.empty()
        }
        for part in ["free space on that disk", "takes turns again"] {
            cluster.expectQuoted(part, folders: [disk.path], of: coordinator.text)
        }
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a coordinator killed on a full disk starts there, and goes on when there is room`()
        async throws
    {
        let disk = try TestDisk.inMemory(byteCount: 32 << 20)
        defer { disk.remove() }
        let cluster = try await DaemonCluster.start(
            workers: 1, places: DaemonCluster.Places(journal: disk.path))
        let producer = try await cluster.producer("p1", name: "tester")
        _ = await producer.submit(MachineCluster.put("f", "1"))
        try await cluster.flush()
        try disk.fill()
        cluster.crashCoordinator()
        try cluster.startCoordinator()
        // It answers, and knows what it had accepted.
        let known = try await cluster.queue("p1").projects.first?.eventNumber ?? 0
        #expect(known > 0)
        try disk.empty()
        let last = try await cluster.queue("p1").sequence
        _ = await producer.submit(MachineCluster.put("f", "2"))
        // A flush covers what is accepted, and this producer may connect later than the asker.
        try await Patience.until("the edit is accepted") {
            try await cluster.queue("p1").sequence > last
        }
        try await cluster.flush()
        #expect(
            try String(contentsOfFile: cluster.sandboxes + "/p1/f", encoding: .utf8) == "2")
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a full store lets its files wait, burns no attempt, and goes on by itself`()
        async throws
    {
        let disk = try TestDisk.inMemory(byteCount: 32 << 20)
        defer { disk.remove() }
        let cluster = try await DaemonCluster.start(
            workers: 1, places: DaemonCluster.Places(store: disk.path),
            coordinatorFlags: ["--lease-ms", "60000"])
        // A store that is full before its worker has bound it says another sentence.
        let first = ["push", "--project", "p0", "--stdin", "first", "--wait"]
        #expect(try await cluster.command(first).code == 0)
        try await Self.withLoad(
            cluster, projects: ["p1"], contentBytes: 4_000, half: 300
        ) {
            try disk.fill()
        } mend: {
            // A file that is just being tried again shows no cause: one answer tells all.
            var told = ""
            try await Patience.until("a file waits for the store") {
                try disk.fill()
                told = try await cluster.command(["queue", "--project", "p1"]).output
                return told.contains("free space on that disk")
            }
            let page = try await cluster.queue("p1").files
            #expect(page.allSatisfy { $0.attempts == 0 })
            cluster.expectQuoted("free space on that disk", folders: [disk.path], of: told)
            try disk.empty()
        }
        let kinds = Set(try await cluster.events().map(\.kind))
        #expect(!kinds.contains(.failed) && !kinds.contains(.away))
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `a full sandbox is away, burns no attempt, and is filled when it has room`()
        async throws
    {
        let disk = try TestDisk.inMemory(byteCount: 8 << 20)
        defer { disk.remove() }
        let cluster = try await DaemonCluster.start(
            workers: 2, places: DaemonCluster.Places(sandboxes: disk.path),
            coordinatorFlags: ["--lease-ms", "60000"])
        try await Self.withLoad(
            cluster, projects: ["p1"], contentBytes: 1_000, half: 100
        ) {
            try await Self.rest("p1", cluster)
            try disk.fill()
        } mend: {
            try await Patience.until("files are parked") {
                try await Self.waits("p1", for: "ENOSPC", cluster)
            }
            try disk.empty()
        }
        let events = try await cluster.events()
        let kinds = Set(events.map(\.kind))
        #expect(kinds.contains(.away) && kinds.contains(.back))
        #expect(!kinds.contains(.failed) && events.allSatisfy { $0.attempts == 0 })
        cluster.expectQuoted("away", "ENOSPC", of: try await cluster.statusLines())
        print("full sandbox: \(events.count { $0.kind == .away }) times away")
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `what can't be written at start is said, with 69 so that a supervisor tries again`()
        async throws
    {
        let disk = try TestDisk.inMemory(byteCount: 8 << 20)
        defer { disk.remove() }
        let cluster = try await DaemonCluster.start(workers: 0)
        try disk.remount(isReadOnly: true)
        let places = [
            (
                ["coordinator", "--journal", "sqlite:\(disk.path)/journal.db", "--intake"],
                "Could not lock \(disk.path)/journal.db.lock: Read-only file system"
            ),
            (
                ["coordinator", "--journal", "sqlite:\(disk.path)/none/journal.db", "--intake"],
                "Could not lock \(disk.path)/none/journal.db.lock: No such file or directory"
            ),
            (
                [
                    "worker", "--local-root", cluster.sandboxes, "--store",
                    "sqlite:\(disk.path)/store.db", "--coordinator",
                ],
                "Could not open the store at \(disk.path)/store.db"
            ),
            (
                [
                    "worker", "--local-root", disk.path, "--store",
                    "sqlite:\(cluster.folder.path)/store.db", "--coordinator",
                ],
                "Could not write the id of the local root '\(disk.path)': EROFS"
            ),
        ]
        for (arguments, sentence) in places {
            let run = try await cluster.command(arguments + ["ipc://\(cluster.folder.path)/other"])
            #expect(run.code == 69, "\(run.output)")
            #expect(run.output.contains(sentence), "\(run.output)")
        }
        await cluster.stop()
    }
}
