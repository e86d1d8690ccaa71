import Foundation
import SyncTestKit

/// Store and sandboxes that are somebody else's servers: PostgreSQL, and a double of E2B.
final class Hosting {
    /// Sandboxes of the first and of the second project.
    static let sandboxes = ["box1", "box2"]

    let server: PostgresServer
    let double: E2BDouble
    private let database: String

    /// Starts both.
    static func start() async throws -> Hosting {
        let server = try PostgresServer()
        do {
            return Hosting(
                server, try server.makeDatabase(), try await E2BDouble.start(sandboxes))
        } catch {
            server.remove()
            throw error
        }
    }

    private init(_ server: PostgresServer, _ database: String, _ double: E2BDouble) {
        self.server = server
        self.database = database
        self.double = double
    }

    /// Ends both.
    func stop() async {
        await double.stop()
        server.remove()
    }

    /// The store, as workers and readers name it.
    var storeURL: String { server.url(database) }

    /// How workers reach the double.
    var environment: [String: String] {
        ["E2B_API_KEY": double.key, "E2B_API_URL": double.url, "E2B_SANDBOX_URL": double.url]
    }

    /// Folders that hold what it keeps.
    var places: [String] { [server.folder, double.folder.path] }

    /// A sandbox's files, on this machine.
    func folder(of sandbox: String) -> String { double.home(of: sandbox).path }
}
