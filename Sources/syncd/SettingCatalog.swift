import Foundation
import SyncCoordinator
import SyncCore
import SyncSandbox
import SyncStore
import SyncTransport
import SyncWorker

/// Sizes of what a worker gets as ports: its store and its sandboxes.
struct PortSizes {
    var versions = SQLiteStore.versionsKeptDefault
    var threads = LocalDirectoryProvider.threadsDefault
    var openStages = LocalDirectoryProvider.openStagesMaxDefault
    var e2bLife: Duration = .seconds(300)
    var convexRequests = ConvexSettings.requestsMaxDefault

    /// Local sandboxes of these sizes.
    func localProvider(
        root: String, fsync: Bool, drift: DriftPolicy
    ) -> LocalDirectoryProvider {
        LocalDirectoryProvider(
            root: root, fsync: fsync, drift: drift, threads: threads, openStagesMax: openStages)
    }
}

/// One limit or time: its key, what is allowed, what it is when nobody says anything.
struct Limit<Root>: Sendable {
    /// How a number is meant.
    enum Unit: String, Sendable {
        case count = ""
        case kibibytes = "KiB"
        case mebibytes = "MiB"
        case milliseconds = "ms"
        case seconds = "s"

        var bytes: Int {
            switch self {
            case .count, .milliseconds, .seconds: 1
            case .kibibytes: 1 << 10
            case .mebibytes: 1 << 20
            }
        }
    }

    let key: String
    let unit: Unit
    let range: ClosedRange<Int>
    let meaning: String
    fileprivate let get: @Sendable (Root) -> Int
    fileprivate let set: @Sendable (inout Root, Int) -> Void

    /// A number or a size.
    init(
        _ key: String, _ unit: Unit, _ range: ClosedRange<Int>, _ meaning: String,
        _ path: any WritableKeyPath<Root, Int> & Sendable
    ) {
        self.key = key
        self.unit = unit
        self.range = range
        self.meaning = meaning
        get = { $0[keyPath: path] / unit.bytes }
        set = { $0[keyPath: path] = $1 * unit.bytes }
    }

    /// A time.
    init(
        _ key: String, _ unit: Unit, _ range: ClosedRange<Int>, _ meaning: String,
        _ path: any WritableKeyPath<Root, Duration> & Sendable
    ) {
        self.key = key
        self.unit = unit
        self.range = range
        self.meaning = meaning
        get = { root in
            let value = root[keyPath: path]
            let seconds = Int(value.components.seconds)
            return unit == .seconds ? seconds : Int(value.wholeMilliseconds)
        }
        set = { root, value in
            root[keyPath: path] = unit == .seconds ? .seconds(value) : .milliseconds(value)
        }
    }

    /// Takes the setting over, if somebody gives it.
    func apply(_ settings: Settings, to root: inout Root, flag: Int? = nil) throws {
        if let value = try settings.number(key, flag, in: range) { set(&root, value) }
    }

    /// Complains of a bad value before anything is opened.
    func check(_ settings: Settings) throws { _ = try settings.number(key, nil, in: range) }

    /// What it is when nobody gives it.
    func standard(of root: Root) -> Int { get(root) }
}

extension CoordinatorConfiguration {
    /// The rate of E2B's scheme; 0: none.
    fileprivate var e2bEditsPerSecond: Int {
        get { settings.editsPerSecond[E2BProvider.scheme] ?? 0 }
        set { settings.editsPerSecond[E2BProvider.scheme] = newValue == 0 ? nil : newValue }
    }
}

/// Every setting that `--set`, the environment and the configuration file know.
enum SettingCatalog {
    /// Limits and times of a coordinator.
    static let coordinator: [Limit<CoordinatorConfiguration>] = [
        Limit(
            "lease-ms", .milliseconds, 200...60_000,
            "lease of a worker: so long a silent one keeps its files", \.settings.lease),
        Limit(
            "margin-ms", .milliseconds, 10...60_000,
            "time after a lease before its files move on", \.settings.margin),
        Limit(
            "content-mib", .mebibytes, 1...256,
            "content of one edit; give workers and clients the same", \.limits.contentBytesMax),
        Limit("message-mib", .mebibytes, 2...1_024, "one message in all", \.limits.messageBytesMax),
        Limit(
            "message-edits", .count, 1...65_536, "edits in one message", \.limits.editsMax),
        Limit(
            "memory-mib", .mebibytes, 1...1_048_576,
            "memory for pending content; more is read back from the journal",
            \.settings.memoryBytesMax),
        Limit(
            "pending-mib", .mebibytes, 1...16_777_216, "pending content on disk",
            \.settings.pendingBytesMax),
        Limit(
            "pending-files", .count, 1...100_000_000, "pending files, the failed ones included",
            \.settings.pendingFilesMax),
        Limit(
            "turn-edits", .count, 1...100_000, "edits in one turn (one commit)",
            \.settings.turnEditsMax),
        Limit(
            "turn-kib", .kibibytes, 64...1_048_576, "content in one turn",
            \.settings.turnBytesMax),
        Limit(
            "quiet-edits", .count, 1...100_000, "waiting edits up to which a project is no flood",
            \.settings.quietEditsMax),
        Limit(
            "shared-turn-edits", .count, 1...100_000,
            "edits in one turn while a quiet project is beside a flood",
            \.settings.sharedTurnEditsMax),
        Limit(
            "shared-turn-kib", .kibibytes, 16...1_048_576, "content in one such turn",
            \.settings.sharedTurnBytesMax),
        Limit(
            "shared-turn-pause-ms", .milliseconds, 0...1_000, "longest pause after one such turn",
            \.settings.sharedTurnPauseMax),
        Limit(
            "inbox-edits", .count, 1...1_000_000, "edits that wait for their turn",
            \.settings.inboxEditsMax),
        Limit(
            "inbox-mib", .mebibytes, 1...65_536, "content that waits for its turn",
            \.settings.inboxBytesMax),
        Limit(
            "worker-assignments", .count, 1...65_536, "files in hand per worker",
            \.settings.workerAssignmentsMax),
        Limit(
            "worker-mib", .mebibytes, 1...65_536, "content in hand per worker",
            \.settings.workerBytesMax),
        Limit(
            "target-assignments", .count, 1...65_536, "files in hand per sandbox",
            \.settings.targetAssignmentsMax),
        Limit(
            "remote-target-assignments", .count, 1...65_536,
            "likewise per sandbox that is reached over a network, or is being refilled",
            \.settings.remoteTargetAssignmentsMax),
        Limit(
            "hold-off-edits", .count, 1...100_000,
            "edits of a turn over others: so many hold the files of their project off",
            \.settings.holdOffEditsMin),
        Limit(
            "hold-off-ms", .milliseconds, 0...60_000,
            "how long a file that is held off waits after it was handed over, at first",
            \.settings.holdOffWait),
        Limit(
            "hold-off-max-ms", .milliseconds, 0...60_000, "likewise at most",
            \.settings.holdOffWaitMax),
        Limit(
            "shared-target-assignments", .count, 1...65_536,
            "likewise per worker, of a flood beside a quiet project",
            \.settings.sharedTargetAssignmentsMax),
        Limit(
            "e2b-edits-per-s", .count, 0...1_000_000,
            "edits a second to all sandboxes of E2B together; 0: no limit",
            \.e2bEditsPerSecond),
        Limit(
            "loading-mib", .mebibytes, 1...65_536, "content being read back at once",
            \.settings.loadingBytesMax),
        Limit(
            "producers", .count, 1...10_000_000, "producers that are remembered",
            \.settings.producersMax),
        Limit(
            "producer-memory-s", .seconds, 1...604_800,
            "a producer is forgotten so long after its last message", \.settings.producerMemory),
        Limit(
            "waiters", .count, 1...10_000_000, "clients that wait for an end or a flush",
            \.settings.waitersMax),
        Limit(
            "flush-files", .count, 1...1_000_000_000, "files that all flushes may wait for",
            \.settings.flushFilesMax),
        Limit(
            "receive-messages", .count, 1...100_000,
            "messages that may wait per connection on the way in", \.limits.receivedMax),
        Limit(
            "connections", .count, 4...1_000_000,
            "connections: half for clients, a quarter each for workers and monitors",
            \.connectionsMax),
        Limit(
            "event-log-max", .count, 100...100_000_000, "events in the log",
            \.settings.logEventsMax),
        Limit("log-mib", .mebibytes, 1...1_048_576, "bytes of the log", \.settings.logBytesMax),
        Limit(
            "shape-wait-ms", .milliseconds, 10...3_600_000,
            "wait while something of another shape is in the way", \.settings.retry.shapeWait),
        Limit(
            "shape-patience-ms", .milliseconds, 0...86_400_000,
            "so long that burns no attempt", \.settings.retry.shapePatience),
        Limit(
            "blameless-wait-ms", .milliseconds, 10...3_600_000,
            "wait after the store did not answer", \.settings.retry.blamelessWait),
        Limit(
            "poison-deaths", .count, 1...1_000,
            "deaths of workers with the same edit in hand before it fails",
            \.settings.poisonDeathsMax),
        Limit(
            "busy-wait-ms", .milliseconds, 1...600_000,
            "what a client is told to wait after busy", \.settings.busyWait),
        Limit(
            "probe-wait-ms", .milliseconds, 10...3_600_000,
            "first wait between probes of a sandbox that is away", \.settings.probeWait),
        Limit(
            "probe-wait-max-ms", .milliseconds, 10...3_600_000, "longest wait between probes",
            \.settings.probeWaitMax),
        Limit(
            "marker-interval-ms", .milliseconds, 10...3_600_000,
            "how often a sandbox's marker is read while all is well", \.settings.markerInterval),
        Limit(
            "away-s", .seconds, 1...315_360_000,
            "a sandbox that is away for so long is detached", \.settings.awayMax),
        Limit(
            "gone-s", .seconds, 1...31_536_000,
            "a sandbox that is gone for so long is detached", \.settings.goneMax),
        Limit(
            "answer-wait-ms", .milliseconds, 100...3_600_000,
            "a worker that does not answer a probe or a page for so long is passed over",
            \.settings.answerWait),
        Limit(
            "refresh-wait-max-ms", .milliseconds, 100...86_400_000,
            "longest wait before a file is tried again in a sandbox that is refilled",
            \.settings.refreshWaitMax),
    ]

    /// Sizes of a coordinator's journal.
    static let journal: [Limit<SQLiteOptions>] = [
        Limit(
            "journal-front-mib", .mebibytes, 0...1_024,
            "each of the two files that turns go into before the journal's database; 0: none",
            \.turnLogBytesMax)
    ]

    /// Limits and times of a worker.
    static let worker: [Limit<WorkerConfiguration>] = [
        Limit(
            "capacity", .count, 1...4_096, "files in hand at once", \.settings.capacity),
        Limit(
            "content-mib", .mebibytes, 1...256, "content of one edit, as the coordinator has it",
            \.limits.contentBytesMax),
        Limit(
            "batch-edits", .count, 1...10_000, "edits in one transaction of the store",
            \.settings.batchEditsMax),
        Limit(
            "batch-mib", .mebibytes, 1...1_024, "content in one transaction of the store",
            \.settings.batchBytesMax),
        Limit(
            "sandbox-writes", .count, 1...4_096, "writes under way at one sandbox",
            \.settings.writesPerTargetMax),
        Limit(
            "attempt-ms", .milliseconds, 100...3_600_000,
            "a write that takes longer is stuck, its sandbox away", \.settings.attemptDeadline),
        Limit(
            "heartbeat-ms", .milliseconds, 10...60_000, "time between heartbeats",
            \.settings.heartbeat),
        Limit(
            "bind-wait-ms", .milliseconds, 10...600_000,
            "time until a store that did not answer is asked again", \.settings.bindWait),
        Limit(
            "register-wait-ms", .milliseconds, 10...600_000,
            "time until an unanswered registration is sent again",
            \.settings.registerWait),
        Limit(
            "report-wait-ms", .milliseconds, 10...600_000,
            "time until an unacknowledged report is sent again",
            \.settings.reportWait),
        Limit(
            "drain-s", .seconds, 1...86_400, "a drain that takes longer ends like a crash",
            \.drainPatience),
    ]

    /// Sizes of a worker's store and sandboxes.
    static let ports: [Limit<PortSizes>] = [
        Limit("versions", .count, 1...1_000, "versions kept of each file", \.versions),
        Limit(
            "threads", .count, 4...1_024,
            "calls that may block in the file system; one sandbox has a quarter", \.threads),
        Limit(
            "open-stages", .count, 1...65_536, "stage directories kept open, two descriptors each",
            \.openStages),
        Limit(
            "e2b-life-s", .seconds, 15...86_400,
            "a sandbox of E2B lives on for so long after an edit, at least half of it", \.e2bLife),
        Limit(
            "convex-requests", .count, 1...1_024, "requests at once to a store in Convex",
            \.convexRequests),
    ]

    /// Settings that are no limits: where things are, who one is, how one logs.
    static let others: Set<String> = [
        "adopt", "boot-id", "convex-key-file", "coordinator", "data", "e2b-api-url", "e2b-domain",
        "e2b-key-file", "e2b-sandbox-url", "fsync", "id", "insecure", "intake", "journal",
        "local-root", "log-format", "log-level", "project", "retry-ms", "status", "store",
        "worker-endpoint", "workers",
    ]

    /// What becomes of a file in a sandbox that somebody else has changed.
    static let drift = Choice(
        "drift", DriftPolicy.report,
        "a file changed by somebody else in a folder: overwrite, report (and overwrite), keep")
    /// Likewise in a sandbox of E2B.
    static let e2bDrift = Choice(
        "e2b-drift", DriftPolicy.overwrite,
        "likewise in a sandbox of E2B; looking costs one or two requests an edit")

    /// Keys that `--set` takes.
    static let limitKeys = Set(
        coordinator.map(\.key) + journal.map(\.key) + worker.map(\.key) + ports.map(\.key)
            + [drift.key, e2bDrift.key])

    /// Keys that the configuration file takes.
    static let keys = limitKeys.union(others)

    /// A coordinator's limits, as they are given.
    static func tune(
        _ configuration: inout CoordinatorConfiguration, by settings: Settings
    ) throws {
        for limit in coordinator { try limit.apply(settings, to: &configuration) }
        let limits = configuration.limits
        guard limits.messageBytesMax >= limits.contentBytesMax + 1 << 20 else {
            throw Trouble(
                "message-mib must be above content-mib: a message carries a content and its head.",
                code: .configuration)
        }
        if settings.text("margin-ms", nil) == nil, settings.text("lease-ms", nil) != nil {
            let lease = configuration.settings.lease
            configuration.settings.margin = max(lease / 5, .milliseconds(100))
        }
        configuration.settings.contentBytesMax = limits.contentBytesMax
    }
}
