import ArgumentParser
import Foundation
import Logging
import ServiceLifecycle
import SyncCore
import SyncTransport
import UnixSignals

/// `syncd up`: coordinator and workers on this machine, as children of one process.
struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Runs a coordinator and workers on this machine.",
        discussion: """
            Children that die are started again; an expelled worker is killed and its death reported, \
            so that its files move on at once. One Ctrl-C stops all, in order.

            EXAMPLE
              syncd up --data /var/lib/syncd --workers 4

            The pieces are DIR/journal.db, DIR/store.db and DIR/sandboxes/.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var log: LogOptions

    @Option(help: "Directory that holds everything (SYNCD_DATA).")
    var data: String?

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

    @Flag(help: "Fsync files in local sandboxes; else they are refilled after a machine restart.")
    var fsync = false

    @Flag(help: "Allow endpoints that other machines can reach, without keys.")
    var insecure = false

    @Option(help: .hidden) var parentFd: Int32?

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let logger = try log.logger("up", settings)
            ParentPipe.watch(parentFd)
            let data = try settings.required("data", data, for: "The data directory")
            try makeDirectory(data)
            try makeDirectory(data + "/sandboxes")
            let plan = SupervisorPlan(
                coordinator: try coordinatorArguments(data, settings),
                worker: workerArguments(data, settings),
                workerCount: try settings.number("workers", workers, in: 1...256) ?? 2,
                intake: settings.text("intake", intake) ?? "tcp://127.0.0.1:7461",
                status: settings.text("status", status) ?? "tcp://127.0.0.1:7463")
            let supervisor = Supervisor(plan, logger: logger)
            try await ServiceGroup(
                configuration: .init(
                    services: [
                        .init(
                            service: supervisor,
                            successTerminationBehavior: .gracefullyShutdownGroup,
                            failureTerminationBehavior: .gracefullyShutdownGroup)
                    ],
                    gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
            ).run()
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

    private func logArguments(_ settings: Settings) -> [String] {
        var arguments: [String] = []
        if let format = settings.text("log-format", log.logFormat) {
            arguments += ["--log-format", format]
        }
        if let level = settings.text("log-level", log.logLevel) {
            arguments += ["--log-level", level]
        }
        if let file = common.config { arguments += ["--config", file] }
        if settings.flag("insecure", insecure) { arguments.append("--insecure") }
        return arguments
    }

    private func coordinatorArguments(_ data: String, _ settings: Settings) throws -> [String] {
        var arguments = ["coordinator", "--journal", "sqlite:\(data)/journal.db"]
        if let intake { arguments += ["--intake", intake] }
        if let workerEndpoint { arguments += ["--worker-endpoint", workerEndpoint] }
        if let status { arguments += ["--status", status] }
        if let leaseMs { arguments += ["--lease-ms", String(leaseMs)] }
        if let retryMs { arguments += ["--retry-ms", retryMs] }
        return arguments + logArguments(settings)
    }

    private func workerArguments(_ data: String, _ settings: Settings) -> [String] {
        let endpoint =
            settings.text("worker-endpoint", workerEndpoint) ?? "tcp://127.0.0.1:7462"
        var arguments = [
            "worker", "--coordinator", endpoint, "--store", "sqlite:\(data)/store.db",
            "--local-root", "\(data)/sandboxes",
        ]
        if settings.flag("fsync", fsync) { arguments.append("--fsync") }
        return arguments + logArguments(settings)
    }
}
