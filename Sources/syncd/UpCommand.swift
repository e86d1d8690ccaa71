import ArgumentParser
import Foundation
import Logging
import ServiceLifecycle
import SyncCore
import SyncStore
import SyncTransport
import UnixSignals

/// `syncd up`: coordinator and workers on this machine, as children of one process.
struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Runs a coordinator and workers on this machine.",
        discussion: """
            Children that die are started again; an expelled worker is killed and its death reported, \
            so that its files move on at once. One Ctrl-C stops all, in order; a second one does not \
            wait.

            EXAMPLE
              syncd up --data /var/lib/syncd --workers 4

            The pieces are DIR/journal.db, DIR/store.db (or the store that is named) and \
            DIR/sandboxes/.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var log: LogOptions
    @OptionGroup var limits: LimitOptions

    @Option(help: "Directory that holds everything (SYNCD_DATA).")
    var data: String?

    @Option(
        help: """
            Where versions live: sqlite:FILE, postgres://… or convex:https://… (SYNCD_STORE; \
            DIR/store.db).
            """)
    var store: String?

    @Option(help: "How many workers, 1 to 256 (SYNCD_WORKERS; 2).")
    var workers: Int?

    @Option(help: "Endpoint for producers (SYNCD_INTAKE; tcp://127.0.0.1:7461).")
    var intake: String?

    @Option(help: "Endpoint for workers (SYNCD_WORKER_ENDPOINT; tcp://127.0.0.1:7462).")
    var workerEndpoint: String?

    @Option(help: "Endpoint for monitors (SYNCD_STATUS; tcp://127.0.0.1:7463).")
    var status: String?

    @Option(help: "Lease of a worker in milliseconds, 200 to 60000 (SYNCD_LEASE_MS; 2500).")
    var leaseMs: Int?

    @Option(help: "Waits before the retries in milliseconds, by commas (SYNCD_RETRY_MS).")
    var retryMs: String?

    @Option(help: "Time for one write in milliseconds, 100 to 3600000 (SYNCD_ATTEMPT_MS; 30000).")
    var attemptMs: Int?

    @Flag(help: "Fsync files in local sandboxes; else they are refilled after a machine restart.")
    var fsync = false

    @Flag(help: "Allow endpoints that other machines can reach, without keys.")
    var insecure = false

    @Option(help: .hidden) var parentFd: Int32?

    func run() async throws {
        try await reporting {
            let settings = try await common.settings().setting(limits.pairs)
            let logger = try log.logger("up", settings)
            ParentPipe.watch(parentFd)
            let data = try settings.required("data", data, for: "The data directory")
            try makeDirectory(data)
            try makeDirectory(data + "/sandboxes")
            let plan = SupervisorPlan(
                coordinator: try coordinatorArguments(data, settings),
                worker: try workerArguments(data, settings),
                workerCount: try settings.number("workers", workers, in: 1...256) ?? 2,
                intake: try settings.endpoint("intake", intake) ?? "tcp://127.0.0.1:7461",
                status: try settings.endpoint("status", status) ?? "tcp://127.0.0.1:7463")
            try Settings.checkDistinct([plan.intake, try workersEndpoint(settings), plan.status])
            let supervisor = Supervisor(plan, logger: logger)
            let lock = try await hold(data)
            defer { lock.release() }
            let services = ServiceGroup(
                configuration: .init(
                    services: [
                        .init(
                            service: supervisor,
                            successTerminationBehavior: .gracefullyShutdownGroup,
                            failureTerminationBehavior: .gracefullyShutdownGroup)
                    ],
                    logger: logger))
            try await serve(services) {
                logger.warning("a second signal: ending without waiting")
                supervisor.killAll()
            }
            if supervisor.wasForced {
                throw Trouble(
                    "Stopped by a second signal before everything was drained; nothing is lost, "
                        + "and the next start goes on.")
            }
        }
    }

    /// Makes sure that nobody else runs in the directory before any child is started: workers of a
    /// second `up` would take the labels of the first one's.
    private func hold(_ data: String) async throws -> LockFile {
        let lock = try lock("\(data)/up.lock", data, nobody: "another 'syncd up'")
        // Children of an `up` that was killed alone are ending; a coordinator that somebody started
        // by itself stays.
        let end = ContinuousClock.now + .seconds(3)
        while true {
            do {
                try self.lock("\(data)/journal.db.lock", data, nobody: "a coordinator").release()
                return lock
            } catch {
                guard ContinuousClock.now < end else { throw error }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    private func lock(_ file: String, _ data: String, nobody: String) throws -> LockFile {
        do {
            return try LockFile(file)
        } catch {
            switch error {
            case .held(let process):
                let holder = process.map { "\(nobody) (process \($0))" } ?? nobody
                throw Trouble(
                    "The data directory \(data) is in use by \(holder). Stop that first, or give "
                        + "--data another directory.", code: .configuration)
            case .failed(let code):
                throw Trouble(
                    "Could not lock \(file): \(String(cString: strerror(code))). Give --data a "
                        + "place that can be written.", code: .configuration)
            }
        }
    }

    private func makeDirectory(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        } catch {
            throw Trouble(
                "The directory \(path) can't be made: \(error.localizedDescription). Give --data a "
                    + "place that can be written.", code: .configuration)
        }
    }

    private func sharedArguments(_ settings: Settings) throws -> [String] {
        var arguments: [String] = []
        if let format = settings.text("log-format", log.logFormat) {
            arguments += ["--log-format", format]
        }
        if let level = settings.text("log-level", log.logLevel) {
            arguments += ["--log-level", level]
        }
        if let file = common.config { arguments += ["--config", file] }
        if try settings.flag("insecure", insecure) { arguments.append("--insecure") }
        return arguments + limits.arguments
    }

    private func coordinatorArguments(_ data: String, _ settings: Settings) throws -> [String] {
        var arguments = ["coordinator", "--journal", "sqlite:\(data)/journal.db"]
        if let intake { arguments += ["--intake", intake] }
        if let workerEndpoint { arguments += ["--worker-endpoint", workerEndpoint] }
        if let status { arguments += ["--status", status] }
        if let leaseMs { arguments += ["--lease-ms", String(leaseMs)] }
        if let retryMs { arguments += ["--retry-ms", retryMs] }
        return try arguments + sharedArguments(settings)
    }

    private func workersEndpoint(_ settings: Settings) throws -> String {
        try settings.endpoint("worker-endpoint", workerEndpoint) ?? "tcp://127.0.0.1:7462"
    }

    private func workerArguments(_ data: String, _ settings: Settings) throws -> [String] {
        let endpoint = try workersEndpoint(settings)
        var arguments = ["worker", "--coordinator", endpoint, "--local-root", "\(data)/sandboxes"]
        // A URL can hold a password, and everybody may read the arguments of a process.
        let named = settings.text("store", store) ?? "sqlite:\(data)/store.db"
        _ = try ConvexAccess.storeSettings(storeURL(named), settings)
        setenv("SYNCD_STORE", named, 1)
        if try settings.flag("fsync", fsync) { arguments.append("--fsync") }
        if let attemptMs { arguments += ["--attempt-ms", String(attemptMs)] }
        return try arguments + sharedArguments(settings)
    }
}
