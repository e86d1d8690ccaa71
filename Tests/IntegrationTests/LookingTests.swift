import Foundation
import SyncCore
import SyncTestKit
import Testing

/// What an operator reads of a file that failed and of a process that is refused, line by line as
/// the article *Operating* has it.
@Suite(.serialized, .timeLimit(.patience)) struct LookingTests {
    /// Expects that every line is quoted.
    private func expectAll(_ text: String, _ cluster: DaemonCluster) {
        for line in text.split(separator: "\n") {
            OperatingArticle.expectQuoted(String(line), folders: [cluster.folder.path])
        }
    }

    @Test func `push, flush, queue and status tell of a file that failed, and of its repair`()
        async throws
    {
        try await DaemonCluster.start(workers: 0).use { cluster in
            for label in ["worker-1", "worker-2"] { try cluster.startWorker(label) }
            try await cluster.joined(2)
            func push(_ path: String) async throws -> (code: Int32, output: String) {
                try await cluster.command(["push", "--project", "site", "--stdin", path, "--wait"])
            }
            #expect(try await push("a").code == 0)
            let link = cluster.sandboxes + "/site/out"
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "/tmp")
            let pushed = try await push("out/f")
            #expect(pushed.code == 1)
            expectAll(pushed.output, cluster)
            let flushed = try await cluster.command(["flush", "--project", "site"])
            #expect(flushed.code == 3)
            expectAll(flushed.output, cluster)
            expectAll(try await cluster.command(["queue", "--project", "site"]).output, cluster)
            try FileManager.default.removeItem(atPath: link)
            #expect(try await push("out/f").code == 0)
            let told = try await cluster.statusLines().split(separator: "\n").filter {
                $0.contains("site/out/f")
            }
            #expect(told.count == 5)
            expectAll(told.joined(separator: "\n"), cluster)
        }
    }

    @Test func `a second coordinator, another store and another journal are refused`()
        async throws
    {
        try await DaemonCluster.start(workers: 1).use { cluster in
            // Binds store and journal to each other.
            #expect(
                try await cluster.command(["push", "--project", "p1", "--stdin", "a", "--wait"])
                    .code
                    == 0)
            let second = try await cluster.command([
                "coordinator", "--journal", "sqlite:\(cluster.journalFile)",
                "--intake", "ipc://\(cluster.folder.path)/j",
            ])
            #expect(second.code == 78)
            let complaint = second.output.split(separator: "\n").filter { $0.hasPrefix("syncd: ") }
            #expect(complaint.count == 1)
            expectAll(complaint.joined(separator: "\n"), cluster)

            func worker(of pool: DaemonCluster, store: String) async throws -> String {
                let run = try await pool.command([
                    "worker", "--coordinator", pool.workerEndpoint, "--store", "sqlite:\(store)",
                    "--local-root", cluster.sandboxes, "--id", "another",
                ])
                #expect(run.code == 78, "\(run.output)")
                let said = run.output.split(separator: "\n").last { $0.hasPrefix("syncd: ") }
                return String(try #require(said))
            }
            let differs = try await worker(of: cluster, store: cluster.folder.path + "/other.db")
            #expect(differs.contains("(store-differs)"))
            expectAll(differs, cluster)
            try await DaemonCluster.start(workers: 0).use { other in
                let foreign = try await worker(of: other, store: cluster.storeFile)
                #expect(foreign.contains("(store-foreign)"))
                expectAll(foreign, cluster)
            }
        }
    }
}
