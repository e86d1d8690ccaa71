import Foundation
import SyncCore
import SyncTestKit
import Testing

/// P8: content past the budget waits on disk only, and is written all the same.
@Suite struct MemoryTests {
    @Test(.timeLimit(.patience))
    func `content beyond the memory budget waits in the journal and is read back`() async throws {
        let cluster = try await DaemonCluster.start(
            workers: 0, coordinatorFlags: ["--memory-mib", "1", "--lease-ms", "30000"])
        let load = try await LoadedProducer("p1", of: cluster, seed: 3, contentBytes: 100_000)
        try await withThrowingTaskGroup(of: Void.self) { keeping in
            keeping.addTask { await load.keep() }
            await load.push(1...80)
            await load.book.reach(80)
            let waiting = try await cluster.queue()
            #expect(waiting.pendingBytes > 4 << 20)
            #expect(waiting.memoryBytes <= 1 << 20)
            // Also after a restart, when nothing is in memory.
            cluster.crashCoordinator()
            try cluster.startCoordinator()
            #expect(try await cluster.queue().pendingBytes == waiting.pendingBytes)
            try cluster.startWorker("w")
            try await cluster.flush()
            try await load.check(cluster)
            let rest = try await cluster.queue()
            #expect(rest.pendingBytes == 0 && rest.memoryBytes == 0)
            keeping.cancelAll()
        }
        await cluster.stop()
    }
}
