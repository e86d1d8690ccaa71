/// Limits and times of a worker; the defaults are the design's (§5).
package struct WorkerSettings: Sendable {
    /// Unique among the living.
    package let label: WorkerLabel
    /// Random token of the process.
    package let life: UInt64
    /// Boot id of the machine.
    package let bootID: String
    /// Identity of the local root.
    package let localRootID: String?
    /// Kinds of targets it can reach.
    package let schemes: [String]
    /// Most assignments at once.
    package var capacity = 256
    /// Edits in one transaction of the store.
    package var batchEditsMax = 256
    /// Bytes of content in one transaction of the store.
    package var batchBytesMax = 16 << 20
    /// Writes under way at one target; the others wait, and their time has not begun.
    package var writesPerTargetMax = 32
    /// Time for one write of an attempt; past it the file is stuck on that target.
    package var attemptDeadline: Duration = .seconds(30)
    /// Time until the store is bound again after it did not answer.
    package var bindWait: Duration = .seconds(1)
    /// Time between heartbeats.
    package var heartbeat: Duration = .milliseconds(500)
    /// Time until an unanswered registration is sent again.
    package var registerWait: Duration = .seconds(1)
    /// Time until an unacknowledged report is sent again.
    package var reportWait: Duration = .seconds(2)
    /// Reports in one message.
    package var reportsMax = 1_024

    /// Describes a worker.
    package init(
        label: WorkerLabel, life: UInt64, bootID: String, localRootID: String?, schemes: [String]
    ) {
        self.label = label
        self.life = life
        self.bootID = bootID
        self.localRootID = localRootID
        self.schemes = schemes
    }
}
