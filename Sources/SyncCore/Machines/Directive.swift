/// One step that a coordinator's shell must take, in the order given; a turn may go to disk before
/// what stands in front of it is sent.
package enum CoordinatorDirective: Sendable {
    /// Make a turn durable; tell the machine by `committed`. One at a time.
    case commit(JournalTransaction)
    /// Answer a client; dropped when there is no way back.
    case reply(ClientRoute, ClientReply)
    /// Send to a worker.
    case send(WorkerRoute, CoordinatorMessage)
    /// Publish numbered events, in order.
    case publish([StatusEvent])
    /// Publish an unnumbered hint about a worker.
    case hint(WorkerHint)
    /// Read contents back; tell the machine by `loaded`.
    case load([EditSequence])
    /// Read events; tell the machine by `eventsRead`.
    case readEvents(EventQuery)
    /// End the process: what is on disk must be read back.
    case halt(String)
}

/// An unnumbered hint for monitors and `syncd up`.
package struct WorkerHint: Sendable, Equatable {
    /// Whose.
    package let label: WorkerLabel
    /// Which life of its process.
    package let life: UInt64
    /// `joined`, `draining`, `left`, `expelled`, `replaced`, `ended`.
    package let state: String

    /// Describes a hint.
    package init(label: WorkerLabel, life: UInt64, state: String) {
        self.label = label
        self.life = life
        self.state = state
    }
}

/// A page of events that somebody asked for.
package struct EventQuery: Sendable {
    /// Who asked.
    package let route: ClientRoute
    /// First number wanted.
    package let from: UInt64
    /// Only this project's.
    package let project: ProjectName?
    /// Most events in the page.
    package let countMax: Int
}

/// One step that a worker's shell must take, in the order given.
package enum WorkerDirective: Sendable {
    /// Send to the coordinator.
    case send(WorkerMessage)
    /// Make the store belong to the journal; tell by `storeBound`.
    case bind(JournalID, isAdopted: Bool)
    /// Apply a batch; tell by `stored`.
    case apply([Assignment])
    /// Read the newest version of a file for a refresh; tell by `read`.
    case read(Assignment)
    /// Make a target ready for a stage; tell by `prepared`.
    case prepare(Preparation)
    /// Write into a target; tell by `wrote`.
    case write(AssignmentID, TargetURL, SandboxEdit, StageName)
    /// Read a marker; tell by `probed`.
    case probe(AssignedTarget, WorkerStamp)
    /// Read a page of files; tell by `listed`, and which coordinator had asked.
    case list(FilesQuestion, of: Epoch)
    /// Until when writes of an incarnation may start, now; no other one's.
    case lease(Incarnation?, until: Instant)
    /// The process is done.
    case exit(WorkerExit)
}

/// What must be done at a target before the first write of an incarnation there.
package struct Preparation: Sendable {
    /// Where, and what is owed there.
    package let target: AssignedTarget
    /// The marker to find, or to write when none was written yet.
    package let marker: SandboxMarker
    /// The stage to enter.
    package let stage: StageName

    /// Describes a preparation.
    package init(target: AssignedTarget, marker: SandboxMarker, stage: StageName) {
        self.target = target
        self.marker = marker
        self.stage = stage
    }
}

/// Why a worker ends.
package enum WorkerExit: Sendable, Equatable {
    /// Drained: nothing is owed. Exit code 0.
    case drained
    /// A newer process bears the label. Exit code 75.
    case replaced(String)
    /// Refused: configuration. Exit code 78.
    case refused(code: String, sentence: String)
}
