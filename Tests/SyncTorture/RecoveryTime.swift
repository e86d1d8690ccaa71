import Foundation
import SyncCore
import SyncTestKit
import SyncTransport

/// How long a coordinator needs after its death until it answers again, and until the first file is
/// written, with so many files that wait.
struct RecoveryTime {
    let fileCount: Int
    let restarts: Int

    func measure(in folder: URL, _ sums: Sums) async throws {
        let cluster = try DaemonCluster(folder: folder)
        defer { for pid in cluster.pids { kill(pid, SIGKILL) } }
        try cluster.startCoordinator()
        let producer = try await cluster.producer("dirty", name: "many")
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        for number in 0..<fileCount {
            let path = "d\(number / 1_000)/f\(number)"
            _ = await producer.submit(MachineCluster.put(path, "\(number)"))
        }
        await book.reach(fileCount)
        keeping.cancel()
        let sandbox = cluster.sandboxes + "/dirty"
        for restart in 1...restarts {
            cluster.crashCoordinator()
            let start = ContinuousClock.now
            try cluster.startCoordinator()
            let report = try await cluster.queue()
            sums.record(
                "recovery with \(fileCount) files, until it answers", ContinuousClock.now - start)
            if report.counts.pending != fileCount {
                sums.complain([
                    "\(report.counts.pending) of \(fileCount) files wait after a restart"
                ])
            }
            guard restart == restarts else { continue }
            // The last time a worker waits for it.
            cluster.crashCoordinator()
            try cluster.startWorker("w0")
            let again = ContinuousClock.now
            try cluster.startCoordinator()
            try await Patience.until("the first file is written") { hasFiles(sandbox) }
            sums.record(
                "recovery with \(fileCount) files, until the first is written",
                ContinuousClock.now - again)
        }
        sums.count("kills: the coordinator", restarts + 1)
        await cluster.stop()
    }

    private func hasFiles(_ sandbox: String) -> Bool {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: sandbox)) ?? []
        return folders.contains { name in
            guard name != ".syncd" else { return false }
            let files = try? FileManager.default.contentsOfDirectory(atPath: sandbox + "/" + name)
            return files?.isEmpty == false
        }
    }
}
