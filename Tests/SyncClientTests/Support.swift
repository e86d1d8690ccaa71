import Foundation
import SyncClient
import SyncTestKit
import Testing

/// A cluster and a client of it, both ended whatever the body does.
func withClient(
    workers: Int = 1, startsCoordinator: Bool = true, flags: [String] = [],
    _ body: (SyncClient, DaemonCluster) async throws -> Void
) async throws {
    let cluster = try await DaemonCluster.start(workers: workers, coordinatorFlags: flags)
    if !startsCoordinator { cluster.crashCoordinator() }
    do {
        try await SyncClient.with(cluster.clientSettings, project: "p1", name: "editor") {
            try await body($0, cluster)
        }
    } catch {
        await cluster.stop()
        throw error
    }
    await cluster.stop()
}

extension DaemonCluster {
    var clientSettings: SyncClient.Settings { SyncClient.Settings(intake: intake, status: status) }

    /// A file of the sandbox as text; nil when there is none.
    func sandboxText(_ path: String) -> String? {
        try? String(contentsOfFile: sandboxes + "/p1/" + path, encoding: .utf8)
    }
}
