internal import Foundation
internal import Glibc
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit

/// A double of E2B with one sandbox, and workers that reach it; ``stop()`` ends both.
final class E2BSandbox: @unchecked Sendable {
    // Unchecked: `providers` is guarded by its lock.

    /// The double.
    let double: E2BDouble
    /// The directory of the project, on this machine.
    let path: String

    private let directory: String?
    private let lock = NSLock()
    private var providers: [E2BProvider] = []

    static let id = "sbx1"

    /// - Parameter directory: The project's directory in the home; nil for the home.
    init(directory: String? = nil) async throws {
        double = try await E2BDouble.start([Self.id])
        self.directory = directory
        let home = double.home(of: Self.id).path
        path = directory.map { "\(home)/\($0)" } ?? home
    }

    /// Runs a test's body with a sandbox of its own.
    static func with(
        directory: String? = nil, _ body: (E2BSandbox) async throws -> Void
    ) async throws {
        let sandbox = try await E2BSandbox(directory: directory)
        do {
            try await body(sandbox)
        } catch {
            await sandbox.stop()
            throw error
        }
        await sandbox.stop()
    }

    /// Closes all connections and stops the double.
    func stop() async {
        for provider in lock.withLock({ providers }) { await provider.close() }
        await double.stop()
    }

    /// How the double is reached.
    func configuration() throws -> E2BConfiguration {
        guard let key = E2BKey(double.key) else { throw SandboxComplaint("no key") }
        var configuration = E2BConfiguration(key: key)
        configuration.apiURL = double.url
        configuration.sandboxURL = double.url
        configuration.settleWait = .milliseconds(20)
        configuration.requestDeadline = Patience.stretched(configuration.requestDeadline)
        configuration.uploadDeadline = Patience.stretched(configuration.uploadDeadline)
        return configuration
    }

    /// One more worker process.
    func provider(
        _ change: (inout E2BConfiguration) -> Void = { _ in }
    ) throws -> E2BProvider {
        var configuration = try configuration()
        change(&configuration)
        let provider = E2BProvider(configuration)
        lock.withLock { providers.append(provider) }
        return provider
    }

    /// The target's URL.
    var target: TargetURL {
        get throws {
            let text = "e2b:\(Self.id)" + (directory.map { ".\($0)" } ?? "")
            guard let target = TargetURL(text) else { throw SandboxComplaint("no target") }
            return target
        }
    }

    /// The sandbox as one more worker process sees it.
    func writer(
        _ change: (inout E2BConfiguration) -> Void = { _ in }
    ) throws -> any SandboxWriter {
        try provider(change).writer(for: target)
    }

    /// A writer that has entered stage 1.
    func entered(
        _ change: (inout E2BConfiguration) -> Void = { _ in }
    ) async throws -> any SandboxWriter {
        let writer = try writer(change)
        try await writer.enter(SandboxConformance.stage(1))
        return writer
    }

    /// What stands under a path of the project.
    func entry(_ path: String) throws -> SandboxEntry? {
        let full = self.path + "/" + path
        var status = stat()
        guard lstat(full, &status) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw SandboxComplaint("lstat: \(String(cString: strerror(errno)))")
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return .directory
        case S_IFREG:
            let data = try Data(contentsOf: URL(filePath: full))
            return .file([UInt8](data), isExecutable: status.st_mode & S_IXUSR != 0)
        default: return .other
        }
    }

    /// Names in a directory of the project.
    func names(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: self.path + "/" + path).sorted()
    }

    /// Makes a directory in the project, parents included.
    func makeDirectory(_ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: self.path + "/" + path, withIntermediateDirectories: true)
    }

    /// What the suite needs.
    func harness() -> SandboxHarness {
        SandboxHarness(
            open: { try self.writer() }, entry: { try self.entry($0) },
            makeDirectory: { try self.makeDirectory($0) },
            removeAll: {
                for name in try FileManager.default.contentsOfDirectory(atPath: self.path) {
                    try FileManager.default.removeItem(atPath: self.path + "/" + name)
                }
            })
    }
}
