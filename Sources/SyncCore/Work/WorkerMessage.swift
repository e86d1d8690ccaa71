/// Who speaks, on every message of the workers' socket after registration.
package struct WorkerStamp: Hashable, Sendable {
    /// The coordinator's life that the worker believes in.
    package let epoch: Epoch
    /// The worker's own life.
    package let incarnation: Incarnation
    /// Count of the worker's registrations; messages of an older one are dropped.
    package let registration: UInt64

    /// Describes a speaker.
    package init(epoch: Epoch, incarnation: Incarnation, registration: UInt64) {
        self.epoch = epoch
        self.incarnation = incarnation
        self.registration = registration
    }
}

/// What a worker brings when it registers.
package struct Registration: Sendable, Equatable {
    /// An assignment that the worker still has.
    package struct Held: Sendable, Equatable {
        /// Its name.
        package let assignment: AssignmentID
        /// Which file.
        package let file: FileKey
        /// Which edit.
        package let sequence: EditSequence
        /// Which targets it writes.
        package let targets: [TargetURL]
        /// Whether it is a refresh: the sequence is the listing's then.
        package let isRefresh: Bool

        /// Describes a held assignment.
        package init(
            assignment: AssignmentID, file: FileKey, sequence: EditSequence, targets: [TargetURL],
            isRefresh: Bool = false
        ) {
            self.assignment = assignment
            self.file = file
            self.sequence = sequence
            self.targets = targets
            self.isRefresh = isRefresh
        }
    }

    /// Unique among the living.
    package var label: WorkerLabel
    /// Random token of the process.
    package var life: UInt64
    /// Boot id of its machine.
    package var bootID: String
    /// Its store.
    package var store: StoreIdentity
    /// Its local root, if it has one.
    package var localRootID: String?
    /// Kinds of targets it can reach.
    package var schemes: [String]
    /// Most assignments it wants at once.
    package var capacity: Int
    /// What it was before; nil for a new process.
    package var previous: Incarnation?
    /// Count of its registrations, from 1.
    package var registration: UInt64
    /// Assignments it still works on.
    package var held: [Held]
    /// Writes of reported attempts that have not come back: nobody may touch these files there.
    package var stuck: [Held]
    /// Reports not acknowledged.
    package var reports: [NumberedReport]
    /// Its clock when it sent this; echoed, the lease counts from it.
    package var clock: Instant

    /// Describes a registration.
    package init(
        label: WorkerLabel, life: UInt64, bootID: String, store: StoreIdentity,
        localRootID: String?, schemes: [String], capacity: Int, previous: Incarnation?,
        registration: UInt64, held: [Held], stuck: [Held] = [], reports: [NumberedReport],
        clock: Instant
    ) {
        self.label = label
        self.life = life
        self.bootID = bootID
        self.store = store
        self.localRootID = localRootID
        self.schemes = schemes
        self.capacity = capacity
        self.previous = previous
        self.registration = registration
        self.held = held
        self.stuck = stuck
        self.reports = reports
        self.clock = clock
    }
}

/// From a worker to the coordinator.
package enum WorkerMessage: Sendable {
    /// A process asks for, or renews, its place.
    case register(Registration)
    /// Alive; the clock reading comes back with the grant.
    case heartbeat(WorkerStamp, clock: Instant)
    /// Results, until acknowledged.
    case reports(WorkerStamp, [NumberedReport])
    /// Asks for nothing new any more.
    case drain(WorkerStamp)
    /// Everything is acknowledged: the worker goes.
    case leave(WorkerStamp)
    /// One page of a project's files.
    case files(WorkerStamp, FilesQuestion, [ListedFile], isLast: Bool)
    /// The store could not be listed.
    case filesFailed(WorkerStamp, FilesQuestion, Failure)
}

/// Asks for a page of a project's files.
///
/// Its number comes back with the answer: an answer that was under way when the sandbox was found
/// blank once more may lack files that were written since, so it must be told from the next one.
package struct FilesQuestion: Sendable, Equatable {
    /// Counted over the coordinator's life, from 1.
    package let number: UInt64
    /// Whose files.
    package let project: ProjectName
    /// Only paths after this one; nil: from the beginning.
    package let after: EditPath?
    /// Most files in the answer; one with fewer is the last.
    package let countMax: Int

    /// Describes a question.
    package init(number: UInt64, project: ProjectName, after: EditPath?, countMax: Int) {
        self.number = number
        self.project = project
        self.after = after
        self.countMax = countMax
    }
}

/// One file of a listing.
package struct ListedFile: Sendable, Equatable {
    /// Which.
    package let path: EditPath
    /// The newest sequence applied to it.
    package let sequence: EditSequence

    /// Describes a listed file.
    package init(path: EditPath, sequence: EditSequence) {
        self.path = path
        self.sequence = sequence
    }
}

/// The coordinator's answer to a registration.
package struct Welcome: Sendable, Equatable {
    /// Who the worker is from now on.
    package let stamp: WorkerStamp
    /// The journal that its store must belong to.
    package let journal: JournalID
    /// Whether the store is to be taken over from another journal.
    package let isAdopted: Bool
    /// How long it may act, counted from `clock`.
    package let lease: Duration
    /// The worker's own reading.
    package let clock: Instant
    /// Whether it keeps its incarnation; else what it has in hand is void.
    package let isKept: Bool

    /// Describes a welcome.
    package init(
        stamp: WorkerStamp, journal: JournalID, isAdopted: Bool, lease: Duration, clock: Instant,
        isKept: Bool
    ) {
        self.stamp = stamp
        self.journal = journal
        self.isAdopted = isAdopted
        self.lease = lease
        self.clock = clock
        self.isKept = isKept
    }
}

/// From the coordinator to a worker.
package enum CoordinatorMessage: Sendable {
    /// The worker is a member.
    case welcome(Welcome)
    /// It can't be: a reason for a person. The process ends with 78.
    case refused(code: String, sentence: String)
    /// Another process bears the label now. The process ends with 75.
    case replaced(sentence: String)
    /// The coordinator does not know this connection or life: register (again).
    case registerAgain(Epoch)
    /// The lease runs from the echoed clock.
    case grant(WorkerStamp, lease: Duration, clock: Instant)
    /// Work.
    case assign(WorkerStamp, [Assignment])
    /// These reports are journaled.
    case acknowledge(WorkerStamp, [UInt64])
    /// Look whether a target answers and what its marker says.
    case probe(WorkerStamp, AssignedTarget)
    /// Send a page of a project's files.
    case list(WorkerStamp, FilesQuestion)
    /// Goodbye: nothing is owed.
    case left(WorkerStamp)
}

/// The connection of a worker: the routing id that libzmq gave it, opaque to the machine.
package struct WorkerRoute: Hashable, Sendable {
    /// The id's bytes.
    package let id: [UInt8]

    /// Wraps an id.
    package init(id: [UInt8]) { self.id = id }
}
