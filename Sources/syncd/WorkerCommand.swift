import ArgumentParser
import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import SyncCore
import SyncSandbox
import SyncStore
import SyncTransport
import SyncWorker
import UnixSignals

/// `syncd worker`: applies edits to the store and writes them into sandboxes.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Applies edits to the store and writes them into sandboxes.",
        discussion: """
            EXAMPLE
              syncd worker --store sqlite:/var/lib/syncd/store.db \
            --local-root /var/lib/syncd/sandboxes --id w1

            SIGTERM drains: nothing new is taken, what is in hand is finished and told, exit 0.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var log: LogOptions
    @OptionGroup var limits: LimitOptions

    @Option(help: "The coordinator's endpoint for workers (SYNCD_COORDINATOR).")
    var coordinator: String?

    @Option(
        help: "Where versions live: sqlite:FILE, postgres://… or convex:https://… (SYNCD_STORE).")
    var store: String?

    @Option(help: "Directory whose subdirectories are the local sandboxes (SYNCD_LOCAL_ROOT).")
    var localRoot: String?

    @Option(help: "Label, unique among the living workers (SYNCD_ID; host name and process id).")
    var id: String?

    @Option(help: "Assignments at once, 1 to 4096 (SYNCD_CAPACITY; 256).")
    var capacity: Int?

    @Option(help: "Time for one write in milliseconds, 100 to 600000 (SYNCD_ATTEMPT_MS; 30000).")
    var attemptMs: Int?

    @Option(help: "Versions kept of each file, 1 to 1000 (SYNCD_VERSIONS; 10).")
    var versions: Int?

    @Flag(help: "Fsync files in local sandboxes; else they are refilled after a machine restart.")
    var fsync = false

    @Flag(help: "Allow a coordinator on another machine, without keys.")
    var insecure = false

    @Option(help: .hidden) var parentFd: Int32?
    @Option(help: .hidden) var life: String?

    func run() async throws {
        try await reporting {
            let settings = try await common.settings().setting(limits.pairs)
            var logger = try log.logger("worker", settings)
            ParentPipe.watch(parentFd)
            MemoryAllocator.keep()
            DescriptorLimit.raise(logger)
            let endpoint =
                try settings.endpoint("coordinator", coordinator) ?? "tcp://127.0.0.1:7462"
            if let refusal = EndpointPolicy.refusal(
                of: endpoint, isInsecureAllowed: try settings.flag("insecure", insecure))
            {
                throw Trouble(refusal, code: .configuration)
            }
            let label = try label(settings)
            logger[metadataKey: "worker"] = "\(label)"
            for limit in SettingCatalog.worker { try limit.check(settings) }
            var sizes = PortSizes()
            for limit in SettingCatalog.ports {
                let flag = limit.key == "versions" ? versions : nil
                try limit.apply(settings, to: &sizes, flag: flag)
            }
            let drift = try SettingCatalog.drift.value(settings)
            let e2bDrift = try SettingCatalog.e2bDrift.value(settings)
            var e2bSettings = try E2BSettings.configuration(settings, sizes)
            e2bSettings?.drift = e2bDrift
            let store = try await openStore(settings, sizes)
            let root = try settings.required("local-root", localRoot, for: "The local root")
            let isSynced = try settings.flag("fsync", fsync)
            let local = sizes.localProvider(root: root, fsync: isSynced, drift: drift)
            let schemes = local.schemes + (e2bSettings == nil ? [] : [E2BProvider.scheme])
            let worker = WorkerSettings(
                label: label, life: drawnLife(), bootID: try bootID(settings),
                localRootID: try await local.localRootID(), schemes: schemes)
            var configuration = WorkerConfiguration(
                coordinator: endpoint, settings: worker, isLocalSynced: isSynced)
            for limit in SettingCatalog.worker {
                let flags = ["capacity": capacity, "attempt-ms": attemptMs]
                try limit.apply(settings, to: &configuration, flag: flags[limit.key] ?? nil)
            }
            let e2b = e2bSettings.map { E2BProvider($0) }
            let sandboxes = SandboxProviders([local] + [e2b].compactMap(\.self))
            let exit = Mutex<WorkerExit?>(nil)
            let service = WorkerService(
                configuration, store: store, sandboxes: sandboxes, logger: logger,
                onExit: { reason in exit.withLock { $0 = reason } },
                onOverdue: { [logger] in
                    let code = Self.trouble(of: exit.withLock { $0 })?.code.rawValue ?? 0
                    logger.warning(
                        "a call into store or sandbox hangs; the process ends without it",
                        metadata: ["exit": .stringConvertible(code)])
                    _exit(code)
                })
            let services = ServiceGroup(
                configuration: .init(
                    services: [
                        .init(
                            service: service, successTerminationBehavior: .gracefullyShutdownGroup,
                            failureTerminationBehavior: .gracefullyShutdownGroup)
                    ],
                    logger: logger))
            let served = await outcome { try await serve(services, atSecondSignal: endLikeACrash) }
            await e2b?.close()
            try served.get()
            await store.close()
            if let trouble = Self.trouble(of: exit.withLock { $0 }) { throw trouble }
            logger.info("drained")
        }
    }

    /// What a call came to, so that something can be closed before it is told.
    private func outcome(
        _ call: () async throws -> Void
    ) async -> Result<Void, any Error> {
        do {
            return .success(try await call())
        } catch {
            return .failure(error)
        }
    }

    /// What ended the worker; nil when all is well.
    private static func trouble(of reason: WorkerExit?) -> Trouble? {
        switch reason {
        case nil: Trouble("The worker ended without having been drained.", code: .failed)
        case .drained: nil
        case .replaced(let sentence): Trouble(sentence, code: .replaced)
        case .refused(let code, let sentence):
            Trouble("The pool refuses this worker (\(code)): \(sentence)", code: .configuration)
        }
    }

    private func label(_ settings: Settings) throws -> WorkerLabel {
        let fallback = "\(ProcessInfo.processInfo.hostName)-\(getpid())"
        let text = settings.text("id", id) ?? fallback
        guard let label = Name(text) else {
            throw Trouble(
                "'\(text)' is no worker label; give --id of A-Z a-z 0-9 _ - and '.'.", code: .usage)
        }
        return label
    }

    private func drawnLife() -> UInt64 {
        life.flatMap { Hexadecimal.value(of: $0) } ?? .random(in: .min ... .max)
    }

    private func openStore(
        _ settings: Settings, _ sizes: PortSizes
    ) async throws -> any OpenStore {
        let url = try storeURL(settings.required("store", store, for: "The store"))
        return try await url.open(try ConvexAccess.storeSettings(url, settings, sizes))
    }

    /// The kernel's id of this boot: local files that were not fsynced are doubted after another
    /// one.
    ///
    /// `SYNCD_BOOT_ID` stands for another one, so that a restart of the machine can be rehearsed.
    private func bootID(_ settings: Settings) throws -> String {
        if let rehearsed = settings.text("boot-id", nil) { return rehearsed }
        let file = "/proc/sys/kernel/random/boot_id"
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
            throw Trouble("\(file) can't be read; mount /proc.", code: .configuration)
        }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// The store that a text names.
func storeURL(_ text: String) throws -> StoreURL {
    do throws(StoreURL.Flaw) {
        return try StoreURL(text)
    } catch {
        throw Trouble("--store: \(error.sentence)", code: .configuration)
    }
}
