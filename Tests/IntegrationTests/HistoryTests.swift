import Foundation
import SyncTestKit
import Testing

/// Real history through real processes: the sandbox equals the commit's blobs.
@Suite(.serialized) struct HistoryTests {
    private static func fixture(_ commits: Int, _ files: Int) throws -> GitFixture {
        let folder = "/tmp/syncd-git-\(UInt32.random(in: .min ... .max))"
        return try GitFixture(at: folder, seed: 7, commits: commits, files: files)
    }

    @Test(.timeLimit(.patience))
    func `a thousand commits compare equal every twenty, with four workers`() async throws {
        let repository = try Self.fixture(1_000, 2_000)
        defer { try? FileManager.default.removeItem(atPath: repository.folder) }
        let cluster = try await DaemonCluster.start(workers: 4)
        try await Replay(cluster: cluster, repository: repository, project: "p1").run(every: 20)
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `as fast as it goes, with workers added and drained in the middle`() async throws {
        let repository = try Self.fixture(1_000, 2_000)
        defer { try? FileManager.default.removeItem(atPath: repository.folder) }
        let cluster = try await DaemonCluster.start(workers: 2)
        try await Replay(cluster: cluster, repository: repository, project: "p1").run(every: nil) {
            switch $0 {
            case 200: try cluster.startWorker("late")
            case 400: #expect(cluster.drainWorker("w0") == 0)
            case 600: try cluster.startWorker("later")
            case 800: #expect(cluster.drainWorker("w1") == 0)
            default: break
            }
        }
        await cluster.stop()
    }

    // Trace C2.
    @Test(.timeLimit(.patience))
    func `one worker alone brings the same tree`() async throws {
        let repository = try Self.fixture(300, 400)
        defer { try? FileManager.default.removeItem(atPath: repository.folder) }
        let cluster = try await DaemonCluster.start(workers: 1)
        try await Replay(cluster: cluster, repository: repository, project: "p1").run(every: nil)
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `this project's own history is replayed`() async throws {
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { root.deleteLastPathComponent() }
        guard FileManager.default.fileExists(atPath: root.path + "/.git") else { return }
        let cluster = try await DaemonCluster.start(workers: 4)
        let repository = GitFixture(existing: root.path)
        try await Replay(cluster: cluster, repository: repository, project: "own").run(every: 20)
        await cluster.stop()
    }
}
