internal import SyncCore

/// The project's queue at one moment.
public struct QueueStatus: Sendable, Hashable {
    /// A sandbox of the project.
    public struct Target: Sendable, Hashable {
        /// `local:NAME` or another scheme.
        public let url: String
        /// `well`, `away`, `refreshing` or `detached`.
        public let state: String
        /// Why it is away.
        public let reason: String?
        /// Since when it holds everything, in milliseconds since 1970; nil while it does not.
        public let inSyncSince: UInt64?
    }

    /// Files that wait for a worker, for their turn, or for a related path.
    public let waiting: Int
    /// Files that a worker has in hand.
    public let inHand: Int
    /// Files between two attempts.
    public let retrying: Int
    /// Files that wait for a sandbox that is away.
    public let parked: Int
    /// Files in the failed list.
    public let failed: Int
    /// Files that are written again because a sandbox came back empty or was attached late.
    public let refreshing: Int
    /// The project's sandboxes.
    public let targets: [Target]
    /// Workers that are alive, of the whole pool.
    public let workerCount: Int
    /// Last accepted edit, over all projects.
    public let sequence: UInt64
    /// Last event, over all projects.
    public let eventNumber: UInt64

    /// Whether anything is on its way.
    public var isSyncing: Bool { waiting + inHand + retrying + parked + refreshing > 0 }

    init(_ report: QueueReport, project: ProjectName) {
        let line = report.projects.first { $0.name == project }
        let counts = line?.counts ?? QueueReport.Counts()
        waiting = counts.waiting + counts.blocked
        inHand = counts.inHand
        retrying = counts.retrying
        parked = counts.parked
        failed = counts.failed
        refreshing = counts.refreshing
        targets = (line?.targets ?? []).map {
            Target(
                url: $0.url.text, state: $0.state, reason: $0.reason.isEmpty ? nil : $0.reason,
                inSyncSince: $0.inSyncSince?.milliseconds)
        }
        workerCount = report.workers.count { $0.state == "live" }
        sequence = report.sequence.value
        eventNumber = report.eventNumber
    }
}

/// How a flush ended.
public enum FlushResult: Sendable, Hashable {
    /// Every file is visible at or above what it was when the flush came.
    case visible(through: UInt64)
    /// Some can't become visible now; the first hundred of them, and how many there are.
    case blocked([BlockedFile], count: Int)
}

/// A file that can't become visible now.
public struct BlockedFile: Sendable, Hashable {
    /// Which.
    public let path: String
    /// `failed`, `parked` or another word of the queue.
    public let state: String
    /// Why.
    public let cause: SyncFailure

    init(_ status: FileStatus) {
        path = status.path.text
        state = status.state
        cause = SyncFailure(
            code: status.code, sentence: status.reason, attempts: status.attempts)
    }
}
