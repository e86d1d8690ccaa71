import DequeModule
import HeapModule

/// Everything that a coordinator decides: events and time in, directives out.
///
/// Two kinds of state. *Durable* tables (rows, windows, projects, incarnations, numbers) change only
/// when a turn's transaction has committed (``Turn``). *Volatile* tables (leases, queues, credit,
/// who waits for what) can be rebuilt and change at once. Inputs that touch durable state are
/// collected in the inbox and staged, in the order of their arrival, when the former turn has come
/// back from the disk:
///
///     inbox ──stage──▶ turn ──commit──▶ disk ──committed──▶ tables, answers, events
///                                            ──failed─────▶ dropped, `busy`
///
/// A file that the turn on disk changes is not dispatched until it has come back, so staged values
/// can replace table entries as a whole.
package struct CoordinatorMachine: Sendable {
    /// What waits for the next turn.
    enum Input: Sendable {
        case edits(ClientRoute, ProjectName, ProducerID, [EditItem])
        case reports(Incarnation, [NumberedReport])
        case register(WorkerRoute, Registration)
        case ended(Incarnation, state: String)
        case park(FileIndex)
        case files(ProjectName, after: EditPath?, [ListedFile], isLast: Bool)
        case refreshed(TargetURL, ProjectName)
    }

    /// How far the refilling of a target is.
    struct Refill: Sendable {
        let project: ProjectName
        var after: EditPath?
        var lister: Incarnation?
        var isListed = false
        var isEnding = false
    }

    let settings: CoordinatorSettings
    let epoch: Epoch

    // Durable tables.
    var header: JournalHeader
    var files = FileTable()
    var projects: [ProjectName: ProjectRecord] = [:]
    var targetOwners: [TargetURL: ProjectName] = [:]
    var windows: [ProducerKey: ProducerWindow] = [:]
    var acceptanceLog = AcceptanceLog()
    var logSegments: Deque<(turn: UInt64, first: UInt64, count: Int, byteCount: Int)> = []
    var logEvents = 0
    var logBytes = 0
    var lastTurn: UInt64

    // The turn.
    var inbox: Deque<Input> = []
    var inboxEdits = 0
    var inboxBytes = 0
    var turn: Turn?
    /// Not before this, after a commit that failed.
    var turnRetryAt: Instant?

    // Volatile tables.
    var membership = Membership()
    var leases: LeaseTable
    var holds: [AssignmentID: Hold] = [:]
    var lastSerial: UInt64 = 0
    var board: TargetBoard
    var openFiles: [ProjectName: Set<FileIndex>] = [:]
    var trees: [ProjectName: PathTree] = [:]
    var arriving: [ReadyQueue] = []
    var placed: [WorkerLabel: ReadyQueue] = [:]
    var stranded: [FileIndex] = []
    var delayed: Heap<DelayedEntry> = []
    var parked: [TargetURL: Set<FileIndex>] = [:]
    var blockedBy: [FileIndex: [FileIndex]] = [:]
    var loadingBytes = 0
    var loads: [EditSequence: (index: FileIndex, byteCount: Int)] = [:]
    var postponedLoads: Deque<(sequence: EditSequence, index: FileIndex)> = []
    var targetCredit: [TargetURL: Int] = [:]
    var refills: [TargetURL: Refill] = [:]
    var markerCheckedAt: [TargetURL: Instant] = [:]
    var pendingFiles = 0
    var pendingBytes = 0
    var memoryBytes = 0
    var projectPending: [ProjectName: (files: Int, bytes: Int)] = [:]
    var flushes = FlushBoard()
    var endWaiters: [ProducerKey: [UInt64: [ClientRoute]]] = [:]
    var endWaiterCount = 0
    /// Incarnations of a former epoch that have not been heard, and until when to wait for them.
    var awaited: Set<Incarnation> = []
    var recoversUntil: Instant?
    var isEndingAwaited = false
    var hasAdopted = false
    var expectedPassAt: Instant?
    var passedAt: Instant?
    var forgetsAt: Instant

    var directives: [CoordinatorDirective] = []

    /// Rebuilds the tables from what the journal holds.
    ///
    /// - Parameters:
    ///   - epoch: 64 fresh random bits.
    ///   - now: Monotonic clock; the wait for incarnations of former epochs starts here.
    /// - Throws: A `fatal` ``JournalError`` when the journal makes no sense.
    package init(
        settings: CoordinatorSettings, snapshot: JournalSnapshot, epoch: Epoch, at now: Instant
    ) throws(JournalError) {
        self.settings = settings
        self.epoch = epoch
        header = snapshot.header
        lastTurn = snapshot.lastTurn
        leases = LeaseTable(duration: settings.lease)
        board = TargetBoard(waitFirst: settings.probeWait, waitMax: settings.probeWaitMax)
        forgetsAt = now + settings.producerMemory
        try recover(snapshot, at: now)
    }

    /// Takes the directives since the last call, in order.
    package mutating func takeDirectives() -> [CoordinatorDirective] {
        defer { directives = [] }
        return directives
    }

    /// When the machine wants to be called again at the latest; nil when nothing is due.
    package var nextDeadline: Instant? {
        var deadlines: [Instant] = []
        if let next = leases.nextDeadline {
            deadlines.append(next)
            // Often enough that a pause of this process is noticed as one (see `pass`).
            if let passedAt { deadlines.append(passedAt + settings.lease / 10) }
        }
        if let next = delayed.min?.dueAt { deadlines.append(next) }
        if let next = board.nextDeadline { deadlines.append(next) }
        if let recoversUntil { deadlines.append(recoversUntil) }
        for member in membership.members.values {
            if let next = member.handOnAt { deadlines.append(next) }
        }
        if let next = markerCheckedAt.values.min() {
            deadlines.append(next + settings.markerInterval)
        }
        if turn == nil {
            deadlines.append(forgetsAt)
            if let turnRetryAt { deadlines.append(turnRetryAt) }
        }
        return deadlines.min()
    }

    /// Whether nothing is dispatched because workers of a former epoch may still act.
    package var isRecovering: Bool { recoversUntil != nil }

    /// Number of the last event that was told.
    package var eventNumber: UInt64 { header.lastEvent }

    /// Number of a project's last event that was told.
    package func eventNumber(of project: ProjectName) -> UInt64 {
        projects[project]?.eventNumber ?? 0
    }

    /// Whether a turn is on its way to disk.
    package var isCommitting: Bool { turn != nil }

    // MARK: Inputs

    /// Takes a client's request.
    package mutating func receive(
        _ request: ClientRequest, from route: ClientRoute, at now: Instant
    ) {
        switch request {
        case .edits(let project, let producer, let items):
            collect(route, project, producer, items)
        case .wait(let project, let id): wait(for: id, in: project, route)
        case .queue(let project, let prefix, let after, let countMax):
            reportQueue(project, prefix: prefix, after: after, countMax: countMax, route, at: now)
        case .flush(let project, let prefix): flush(project, prefix: prefix, route, at: now)
        case .replay(let from, let project, let countMax):
            replay(from: from, project: project, countMax: countMax, route)
        case .snapshot(let project, let prefix, let after, let countMax):
            reportSnapshot(
                project, prefix: prefix, after: after, countMax: countMax, route, at: now)
        case .died(let life):
            died(life: life)
            directives.append(.reply(route, .done))
        }
    }

    /// Takes a worker's message.
    package mutating func hear(_ message: WorkerMessage, from route: WorkerRoute, at now: Instant) {
        switch message {
        case .register(let registration): inbox.append(.register(route, registration))
        case .heartbeat(let stamp, let clock): heartbeat(stamp, clock: clock, from: route, at: now)
        case .reports(let stamp, let reports):
            guard member(stamp, from: route) != nil else { return }
            inbox.append(.reports(stamp.incarnation, reports))
        case .drain(let stamp): drain(stamp, from: route)
        case .leave(let stamp): leave(stamp, from: route)
        case .files(let stamp, let project, let after, let listed, let isLast):
            guard member(stamp, from: route) != nil else { return }
            inbox.append(.files(project, after: after, listed, isLast: isLast))
        case .filesFailed(let stamp, let project, _):
            guard member(stamp, from: route) != nil else { return }
            for (target, refill) in refills where refill.project == project {
                refills[target]?.lister = nil
            }
        }
    }

    /// Goes on: ends leases, closes a turn, dispatches.
    ///
    /// - Parameters:
    ///   - now: Monotonic clock, never earlier than in any former call.
    ///   - wall: For people.
    ///   - isDrained: Whether the workers' socket was read until nothing was left.
    package mutating func pass(at now: Instant, wall: Timestamp, isDrained: Bool) {
        if let expected = expectedPassAt, now > expected + settings.latenessTolerance {
            leases.extendAll(by: now - expected)
            recoversUntil = recoversUntil.map { $0 + (now - expected) }
        }
        if isDrained {
            endLeases(at: now)
            finishRecovery(at: now)
        }
        wakeDelayed(at: now)
        forgetProducers(at: now)
        closeTurn(at: now, wall: wall)
        if !isRecovering {
            probeTargets(at: now)
            listForRefills(at: now)
            dispatch(at: now)
        }
        passedAt = now
        expectedPassAt = nextDeadline
    }
}

/// A file that waits for its next try.
struct DelayedEntry: Comparable, Sendable {
    let dueAt: Instant
    let index: FileIndex
    let stamp: UInt32

    static func < (left: DelayedEntry, right: DelayedEntry) -> Bool {
        (left.dueAt, left.index) < (right.dueAt, right.index)
    }
}
