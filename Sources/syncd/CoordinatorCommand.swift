import ArgumentParser
import Foundation
import Logging
import ServiceLifecycle
import SyncCoordinator
import SyncCore
import SyncStore
import SyncTransport
import UnixSignals

/// `syncd coordinator`: makes edits durable and hands them to workers.
struct CoordinatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator",
        abstract: "Takes edits, makes them durable, hands them to workers, tells what happens.",
        discussion: """
            EXAMPLE
              syncd coordinator --journal sqlite:/var/lib/syncd/journal.db
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var log: LogOptions
    @OptionGroup var limits: LimitOptions

    @Option(help: "Where accepted edits wait, as sqlite:FILE (SYNCD_JOURNAL).")
    var journal: String?

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

    @Option(help: "Memory for pending content, in MiB (SYNCD_MEMORY_MIB; 256).")
    var memoryMib: Int?

    @Option(help: "Events that the log keeps for replays (SYNCD_EVENT_LOG_MAX; 1000000).")
    var eventLogMax: Int?

    @Option(
        help: "Time between readings of a sandbox's marker in ms (SYNCD_MARKER_INTERVAL_MS; 30000)."
    )
    var markerMs: Int?

    @Option(
        help: "Longest time between probes of a sandbox that is away (SYNCD_PROBE_WAIT_MAX_MS)."
    )
    var probeMs: Int?

    @Option(help: "Detach a sandbox that is away for so many hours (SYNCD_AWAY_S; 24 h).")
    var awayHours: Int?

    @Flag(help: "Take over a store of another journal, or one that is ahead of this one.")
    var adopt = false

    @Flag(help: "Allow endpoints that other machines can reach, without keys.")
    var insecure = false

    @Option(help: .hidden) var parentFd: Int32?

    func run() async throws {
        try await reporting {
            let settings = try await common.settings().setting(
                limits.pairs + ownFlag("lease-ms", leaseMs) + ownFlag("memory-mib", memoryMib)
                    + ownFlag("event-log-max", eventLogMax)
                    + ownFlag("marker-interval-ms", markerMs)
                    + ownFlag("probe-wait-max-ms", probeMs)
                    + ownFlag("probe-wait-ms", probeMs.map { min($0, 1_000) })
                    + ownFlag("away-s", awayHours.map { $0 * 3_600 }))
            let logger = try log.logger("coordinator", settings)
            ParentPipe.watch(parentFd)
            MemoryAllocator.keep()
            let descriptors = DescriptorLimit.raise(logger)
            var configuration = CoordinatorConfiguration()
            configuration.intake =
                try settings.endpoint("intake", intake, isBound: true) ?? configuration.intake
            configuration.workers =
                try settings.endpoint("worker-endpoint", workerEndpoint, isBound: true)
                ?? configuration.workers
            configuration.status =
                try settings.endpoint("status", status, isBound: true) ?? configuration.status
            try tune(&configuration, settings)
            try DescriptorLimit.check(descriptors, covers: configuration.connectionsMax)
            let isInsecure = try settings.flag("insecure", insecure)
            let endpoints = [configuration.intake, configuration.workers, configuration.status]
            try Settings.checkDistinct(endpoints)
            for endpoint in endpoints {
                if let refusal = EndpointPolicy.refusal(
                    of: endpoint, isInsecureAllowed: isInsecure)
                {
                    throw Trouble(refusal, code: .configuration)
                }
                if !EndpointPolicy.isLocal(endpoint) {
                    logger.warning(
                        "\(endpoint) is open to everybody who can reach it: there are no keys yet")
                }
            }
            var options = SQLiteOptions()
            for limit in SettingCatalog.journal { try limit.apply(settings, to: &options) }
            let url = try settings.required("journal", journal, for: "The journal")
            let journal = try await open(url, options)
            let service = CoordinatorService(
                configuration, journal: journal, heldSince: journal.heldSince,
                epoch: Epoch(bits: .random(in: .min ... .max)), logger: logger)
            let services = ServiceGroup(
                configuration: .init(
                    services: [
                        .init(
                            service: service, successTerminationBehavior: .gracefullyShutdownGroup,
                            failureTerminationBehavior: .gracefullyShutdownGroup)
                    ],
                    logger: logger))
            try await serve(services, atSecondSignal: endLikeACrash)
        }
    }

    /// Opens the journal.
    ///
    /// It is locked before anything is bound: binding an `ipc://` endpoint would unlink the socket
    /// of a coordinator that runs (trace A7).
    private func open(_ url: String, _ options: SQLiteOptions) async throws -> SQLiteJournal {
        let file: String
        do {
            switch try StoreURL(url) {
            case .sqlite(let named): file = named
            case .postgres, .convex:
                throw Trouble(
                    "--journal: the journal lies in SQLite only; write 'sqlite:FILE'. PostgreSQL "
                        + "and Convex can hold the workers' store.", code: .configuration)
            }
        } catch let error as StoreURL.Flaw {
            throw Trouble("--journal: \(error.sentence)", code: .configuration)
        }
        return try await SQLiteJournal(file: file, options: options)
    }

    private func tune(
        _ configuration: inout CoordinatorConfiguration, _ settings: Settings
    ) throws {
        try SettingCatalog.tune(&configuration, by: settings)
        if let text = settings.text("retry-ms", retryMs) {
            let waits = text.split(separator: ",").map { Int($0) }
            guard !waits.isEmpty, waits.allSatisfy({ $0.map { 0...3_600_000 ~= $0 } ?? false })
            else {
                throw Trouble(
                    "retry-ms is '\(text)'; give milliseconds by commas, such as 1000,2000,4000.",
                    code: .configuration)
            }
            configuration.settings.retry.waits = waits.compactMap { $0.map { .milliseconds($0) } }
        }
        configuration.settings.isAdopting = try settings.flag("adopt", adopt)
    }

    /// The flag of its own that a limit has when it is often set.
    private func ownFlag(_ key: String, _ value: Int?) -> [String] {
        value.map { ["\(key)=\($0)"] } ?? []
    }
}
