/// Where an answer goes: the connection and the request's own envelope, opaque to the machine.
package struct ClientRoute: Hashable, Sendable {
    /// The transport's envelope frames, the routing id first.
    package let envelope: [[UInt8]]
    /// The request id that the client chose; echoed.
    package let request: [UInt8]

    /// Describes a way back.
    package init(envelope: [[UInt8]], request: [UInt8]) {
        self.envelope = envelope
        self.request = request
    }
}

/// Stable words of refusal.
package enum RejectionCode: String, Sendable, CaseIterable {
    case badRequest = "bad-request"
    case unsupportedVersion = "unsupported-version"
    case invalidPath = "invalid-path"
    case tooLarge = "too-large"
    case busy
    case staleNumber = "stale-number"
    case overtaken
    case targetTaken = "target-taken"
    case targetDetached = "target-detached"
    case forbidden
    case conflict
    case numberReused = "number-reused"
    case unknown

    /// Whether it follows from what was accepted before.
    var isOfTables: Bool {
        [.staleNumber, .overtaken, .targetTaken, .targetDetached, .conflict, .numberReused]
            .contains(self)
    }
}

/// A refusal: a stable word, a sentence for a person, and when to come again.
package struct Rejection: Error, Sendable, Equatable {
    /// Stable word.
    package let code: RejectionCode
    /// What is wrong and what to do.
    package let sentence: String
    /// When to try again (`busy`).
    package let retryAfter: Duration?
    /// The edit that overtook (`overtaken`).
    package let by: EditSequence?

    /// Describes a refusal.
    package init(
        _ code: RejectionCode, _ sentence: String, retryAfter: Duration? = nil,
        by: EditSequence? = nil
    ) {
        self.code = code
        self.sentence = sentence
        self.retryAfter = retryAfter
        self.by = by
    }
}

/// One edit of an EDIT message, valid or already refused by the codec.
package struct EditItem: Sendable {
    /// The producer's number; 0 when it could not be read.
    package let number: UInt64
    /// The edit, or why it is none.
    package let edit: Result<Edit, Rejection>

    /// Describes an item.
    package init(number: UInt64, edit: Result<Edit, Rejection>) {
        self.number = number
        self.edit = edit
    }
}

/// What clients ask over intake.
package enum ClientRequest: Sendable {
    /// One or many edits of one producer.
    case edits(project: ProjectName, producer: ProducerID, [EditItem])
    /// Tell the edit's end, when it comes.
    case wait(project: ProjectName, EditID)
    /// The pool now.
    case queue(project: ProjectName?, prefix: String, after: String, countMax: Int)
    /// Barrier under a prefix.
    case flush(project: ProjectName, prefix: String)
    /// Events from a number on, of one project or of all.
    case replay(from: UInt64, project: ProjectName?, countMax: Int)
    /// A page of the failed list.
    case failed(FailedQuery)
    /// Entries of the failed list are retried or discarded.
    case order(FailedOrder)
    /// State of every file not at rest, paged.
    case snapshot(project: ProjectName, prefix: String, after: EditPath?, countMax: Int)
    /// An operator's command about the targets of a project.
    case project(ProjectName, ProjectAction)
    /// A child of `syncd up` has died, or was killed because it had been expelled.
    case died(life: UInt64, isKilled: Bool = false)
}

/// What an operator asks of a project.
package enum ProjectAction: Sendable, Equatable {
    /// Say what there is.
    case show
    /// Write into these from now on, all files first.
    case attach([TargetURL])
    /// Write into these no longer.
    case detach([TargetURL])
    /// Write all files again into these, or into all if none is named.
    case hydrate([TargetURL])
}

/// The answer to one edit.
package struct EditAnswer: Sendable, Equatable {
    /// The producer's number.
    package let number: UInt64
    /// Accepted with a sequence (and the end, if it is known), or refused.
    package let result: Result<Acceptance, Rejection>

    /// Describes an answer.
    package init(number: UInt64, result: Result<Acceptance, Rejection>) {
        self.number = number
        self.result = result
    }
}

/// What an accepted edit's producer is told.
package struct Acceptance: Sendable, Equatable {
    /// The edit's place in the order of all.
    package let sequence: EditSequence
    /// Its end, if it has one already.
    package let end: EditEnd?

    /// Describes an acceptance.
    package init(sequence: EditSequence, end: EditEnd?) {
        self.sequence = sequence
        self.end = end
    }
}

/// One file as `queue`, `snapshot` and flush causes show it.
package struct FileStatus: Sendable, Equatable {
    /// Which file.
    package var path: EditPath
    /// `waiting`, `blocked`, `retrying`, `parked`, `in-hand`, `failed`, `refreshing`.
    package var state: String
    /// The newest edit; 0 for a refresh.
    package var sequence: EditSequence
    /// An older one still in hand.
    package var open: EditSequence?
    /// Attempts made.
    package var attempts: Int
    /// Who has it in hand.
    package var worker: WorkerLabel?
    /// Milliseconds until the next try.
    package var dueMilliseconds: UInt64?
    /// Stable word for the cause.
    package var code: String
    /// Sentence for a person.
    package var reason: String
    /// When the newest edit was accepted.
    package var acceptedAt: Timestamp
    /// The version that the store gave it; nil while it is not known to be stored.
    package var stored: Version?
    /// Sandboxes in which it is visible.
    package var visible: [TargetURL] = []
    /// Sandboxes in which it is not.
    package var missing: [TargetURL] = []

    /// Describes a file's state.
    package init(
        path: EditPath, state: String, sequence: EditSequence, open: EditSequence? = nil,
        attempts: Int = 0, worker: WorkerLabel? = nil, dueMilliseconds: UInt64? = nil,
        code: String = "", reason: String = "", acceptedAt: Timestamp
    ) {
        self.path = path
        self.state = state
        self.sequence = sequence
        self.open = open
        self.attempts = attempts
        self.worker = worker
        self.dueMilliseconds = dueMilliseconds
        self.code = code
        self.reason = reason
        self.acceptedAt = acceptedAt
    }
}

/// The pool at one moment.
package struct QueueReport: Sendable, Equatable {
    /// Sums over some files.
    package struct Counts: Sendable, Equatable {
        /// Ready, waiting for a worker or for credit.
        package var waiting = 0
        /// Waiting for a related path.
        package var blocked = 0
        /// Waiting for the next try.
        package var retrying = 0
        /// Waiting for a target.
        package var parked = 0
        /// With a worker.
        package var inHand = 0
        /// In the failed list.
        package var failed = 0
        /// To be written again.
        package var refreshing = 0

        /// Nothing.
        package init() {}

        /// Files that are not at rest, the failed ones included.
        package var pending: Int {
            waiting + blocked + retrying + parked + inHand + failed + refreshing
        }
    }

    /// One project's line.
    package struct Project: Sendable, Equatable {
        /// Which.
        package var name: ProjectName
        /// Its files by state.
        package var counts: Counts
        /// Its last event.
        package var eventNumber: UInt64
        /// Its targets.
        package var targets: [Target]

        /// Describes a project.
        package init(
            name: ProjectName, counts: Counts, eventNumber: UInt64, targets: [Target]
        ) {
            self.name = name
            self.counts = counts
            self.eventNumber = eventNumber
            self.targets = targets
        }
    }

    /// One target's line.
    package struct Target: Sendable, Equatable {
        /// Which.
        package var url: TargetURL
        /// `well`, `away`, `detached`, `refreshing`.
        package var state: String
        /// Why it is away.
        package var reason: String
        /// Files that are not visible in it as they should be.
        package var waiting = 0
        /// Which filling.
        package var generation: UInt64 = 0
        /// Since when it is away.
        package var since: Timestamp?
        /// Milliseconds until the next probe; nil while one is under way.
        package var probeMilliseconds: UInt64?
        /// Since when it holds everything; nil when it does not.
        package var inSyncSince: Timestamp?
        /// How far it is filled again; nil when it is not being filled.
        package var refill: Refill?

        /// Describes a target.
        package init(url: TargetURL, state: String, reason: String) {
            self.url = url
            self.state = state
            self.reason = reason
        }
    }

    /// How far a target is filled again.
    package struct Refill: Sendable, Equatable {
        /// Files that were listed and are written.
        package var written: Int
        /// Files that were listed and are not.
        package var waiting: Int
        /// Whether no more are to be listed.
        package var isListed: Bool

        /// Describes a refill.
        package init(written: Int, waiting: Int, isListed: Bool) {
            self.written = written
            self.waiting = waiting
            self.isListed = isListed
        }
    }

    /// One worker's line.
    package struct Worker: Sendable, Equatable {
        /// Which.
        package var label: WorkerLabel
        /// Which life.
        package var incarnation: Incarnation
        /// `live`, `draining`, `expelled`, `replaced`, `awaited`.
        package var state: String
        /// Assignments in hand.
        package var inHand: Int

        /// Describes a worker.
        package init(
            label: WorkerLabel, incarnation: Incarnation, state: String, inHand: Int
        ) {
            self.label = label
            self.incarnation = incarnation
            self.state = state
            self.inHand = inHand
        }
    }

    /// Connections of the coordinator's sockets.
    package struct Connections: Sendable, Equatable {
        /// Clients.
        package var intake: Int
        /// Workers.
        package var workers: Int
        /// Monitors.
        package var status: Int
        /// Turned away since the start, because a socket's limit was reached.
        package var refused: Int

        /// Describes them.
        package init(intake: Int, workers: Int, status: Int, refused: Int) {
            self.intake = intake
            self.workers = workers
            self.status = status
            self.refused = refused
        }
    }

    /// The coordinator's life.
    package var epoch: Epoch
    /// Last sequence accepted.
    package var sequence: EditSequence
    /// Last event.
    package var eventNumber: UInt64
    /// Whether the coordinator waits for workers of its former life.
    package var isRecovering: Bool
    /// Sums over all.
    package var counts: Counts
    /// Bytes of pending content on disk.
    package var pendingBytes: Int
    /// Memory taken by the part of it that is held in memory, as `memory-mib` counts.
    package var memoryBytes: Int
    /// Projects, by name.
    package var projects: [Project]
    /// Workers, by label.
    package var workers: [Worker]
    /// Files, when a project was asked for.
    package var files: [FileStatus]
    /// Where the next page starts; nil at the end.
    package var next: String?
    /// What the sockets know; nil where there are none.
    package var connections: Connections?
    /// Most bytes of a content; nil: a coordinator that does not tell.
    package var contentBytesMax: Int?

    /// Describes a pool.
    package init(
        epoch: Epoch, sequence: EditSequence, eventNumber: UInt64, isRecovering: Bool,
        counts: Counts, pendingBytes: Int, memoryBytes: Int, projects: [Project],
        workers: [Worker], files: [FileStatus], next: String?
    ) {
        self.epoch = epoch
        self.sequence = sequence
        self.eventNumber = eventNumber
        self.isRecovering = isRecovering
        self.counts = counts
        self.pendingBytes = pendingBytes
        self.memoryBytes = memoryBytes
        self.projects = projects
        self.workers = workers
        self.files = files
        self.next = next
    }
}

/// What the coordinator answers over intake.
package enum ClientReply: Sendable {
    /// One answer per edit, in order.
    case edits([EditAnswer])
    /// An edit's end.
    case end(EditID, sequence: EditSequence, EditEnd)
    /// The pool.
    case queue(QueueReport)
    /// Every file under the prefix is visible.
    case flushed(through: EditSequence)
    /// Some can't be: causes, capped.
    case blocked([FileStatus], count: Int)
    /// Events from the log; `next` is the first number not in the page, `last` the newest there is.
    case events([StatusEvent], next: UInt64, last: UInt64)
    /// The log begins later.
    case gap(first: UInt64, last: UInt64)
    /// A page of a snapshot, true at these numbers.
    case snapshot([FileStatus], number: UInt64, projectNumber: UInt64, next: EditPath?)
    /// A page of the failed list; `next` starts the following one.
    case failed([FailedEntry], next: String?)
    /// What became of the entries of an order, in its order.
    case ordered([FailedResult])
    /// A project and its targets, after a command; a sentence says what was done.
    case project(QueueReport.Project, sentence: String)
    /// Done, nothing to say.
    case done
    /// Refused as a whole.
    case rejected(Rejection)
}
