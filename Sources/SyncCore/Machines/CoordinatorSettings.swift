/// Limits and times of a coordinator; the defaults are the design's (§5).
package struct CoordinatorSettings: Sendable {
    /// Edits in one turn.
    package var turnEditsMax = 1_000
    /// Bytes of content in one turn.
    package var turnBytesMax = 4 << 20
    /// Edits and ready files that a project may have waiting and still counts as quiet; so does one
    /// with less than a quarter of the most that waits of any project.
    package var quietEditsMax = 128
    /// Edits in one turn while a quiet project has work beside a flood.
    package var sharedTurnEditsMax = 16
    /// Bytes of content in one turn likewise.
    package var sharedTurnBytesMax = 256 << 10
    /// Pause between two turns likewise, in times of the former's length.
    package var sharedTurnPauses = 6
    /// Longest pause between two turns likewise.
    package var sharedTurnPauseMax: Duration = .milliseconds(50)
    /// Edits that may wait for the turn on its way to disk; more get `busy`.
    package var inboxEditsMax = 16_384
    /// Bytes of content that may wait likewise.
    package var inboxBytesMax = 96 << 20
    /// Content of one edit, in bytes.
    package var contentBytesMax = 16 << 20
    /// Memory that pending content may take, in bytes (``Content/weight``); what is beyond it is
    /// read back from the journal.
    package var memoryBytesMax = 256 << 20
    /// Pending content on disk, in bytes.
    package var pendingBytesMax = 8 << 30
    /// Pending files, the failed ones included.
    package var pendingFilesMax = 1_000_000
    /// Producers that are remembered.
    package var producersMax = 10_000
    /// A producer is forgotten this long after its last message.
    package var producerMemory: Duration = .seconds(600)
    /// Assignments in hand, per worker.
    package var workerAssignmentsMax = 256
    /// Content in hand, per worker, in bytes; one edit always fits.
    package var workerBytesMax = 64 << 20
    /// Assignments in hand, per target; how many of them are written at once is the worker's.
    package var targetAssignmentsMax = 256
    /// Likewise of a target that is reached over a network, and of what is written again.
    package var remoteTargetAssignmentsMax = 32
    /// Assignments in hand, per target of a flood and worker, while a quiet project has work.
    package var sharedTargetAssignmentsMax = 16
    /// Edits a second that are handed to all sandboxes of a scheme together; others have no limit.
    package var editsPerSecond: [String: Int] = [:]
    /// Edits of a turn that replace others of the same project, from which on it is under load.
    package var holdOffEditsMin = 32
    /// How long a file of a project under load waits after it was handed over, at first.
    package var holdOffWait: Duration = .milliseconds(100)
    /// Likewise at most.
    package var holdOffWaitMax: Duration = .seconds(2)
    /// Contents that are being read back, in bytes; one always fits.
    package var loadingBytesMax = 32 << 20
    /// Clients that wait for an end or a flush.
    package var waitersMax = 10_000
    /// Files that all flushes together may wait for.
    package var flushFilesMax = 4_000_000
    /// Events that the log keeps.
    package var logEventsMax = 1_000_000
    /// Bytes of the events that the log keeps.
    package var logBytesMax = 256 << 20
    /// How long a lease lasts.
    package var lease: Duration = .milliseconds(2_500)
    /// Time after a lease before its files move on.
    package var margin: Duration = .milliseconds(500)
    /// What a client is told to wait after `busy`.
    package var busyWait: Duration = .milliseconds(200)
    /// When an attempt is made again.
    package var retry = RetrySchedule()
    /// Deaths of worker processes with the same edit in hand before it fails as poison.
    package var poisonDeathsMax = 3
    /// First and longest wait between probes of a target that is away.
    package var probeWait: Duration = .seconds(1)
    /// Longest wait between probes.
    package var probeWaitMax: Duration = .seconds(30)
    /// A target that is away for so long is detached.
    package var awayMax: Duration = .seconds(86_400)
    /// One that does not exist any more is detached after this.
    package var goneMax: Duration = .seconds(600)
    /// A probe, or a page of files, that is not answered within this is asked of another worker.
    package var answerWait: Duration = .seconds(30)
    /// Longest wait before a file that can't be written again into a refilled sandbox is tried
    /// again.
    package var refreshWaitMax: Duration = .seconds(60)
    /// How often the marker of each attached target is read while all is well.
    package var markerInterval: Duration = .seconds(30)
    /// A pass that comes later than this after its deadline moves all leases.
    package var latenessTolerance: Duration = .milliseconds(100)
    /// Take over a store that belongs to another journal, or is ahead of this one.
    package var isAdopting = false

    /// The design's defaults.
    package init() {}

    /// From when a coordinator that starts counts its wait for the leases of a former life.
    ///
    /// No lease was granted since this process held the journal, so the time in which it is read
    /// counts. A journal that was restored says nothing of who held the lost one.
    ///
    /// - Parameters:
    ///   - heldSince: When this process held the journal already.
    ///   - now: When the journal has been read.
    package func recoveryStart(heldSince: Instant, at now: Instant) -> Instant {
        isAdopting ? now : heldSince
    }

    /// Assignments that a target may have in hand.
    func assignmentsMax(of target: TargetURL) -> Int {
        target.scheme == "local"
            ? targetAssignmentsMax : min(targetAssignmentsMax, remoteTargetAssignmentsMax)
    }
}
