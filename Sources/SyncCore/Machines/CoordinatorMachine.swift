import DequeModule
import HeapModule

/// Everything that a coordinator decides: events and time in, directives out.
///
/// Two kinds of state. *Durable* tables (rows, windows, projects, incarnations, numbers) change
/// only when a turn's transaction has committed (``Turn``). *Volatile* tables (leases, queues,
/// credit, who waits for what) can be rebuilt and change at once. Inputs that touch durable state
/// are collected in the inbox and staged, in the order of their arrival, when the former turn has
/// come back from the disk:
///
///     inbox ──stage──▶ turn ──commit──▶ disk ──committed──▶ tables, answers, events
///                                            ──failed─────▶ dropped, `busy`
///
/// A file that a turn changes is not dispatched until that has come back, so staged values can
/// replace table entries as a whole. Edits are staged while the former turn is on its way, on top
/// of what it will change (`CoordinatorMachine+Ahead.swift`).
package struct CoordinatorMachine: Sendable {
    /// How far the refilling of a target is.
    struct Refill: Sendable {
        /// The page that was asked for: its question, who was asked, until when to wait.
        struct Page: Sendable {
            let question: FilesQuestion
            let lister: Incarnation
            let until: Instant
        }

        let project: ProjectName
        var after: EditPath?
        var asked: Page?
        /// Not before this, after a page that failed.
        var askAt: Instant?
        /// Pages that failed or were not answered, in a row.
        var failures = 0
        /// Who did not answer in time; asked again only when nobody else can be.
        var silent: Set<Incarnation> = []
        var isListed = false
        /// Files of all pages so far.
        var listedCount = 0
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
    /// The last turn of a log that has ended, until that is journaled.
    var logEndsAt: UInt64?
    var logEvents = 0
    var logBytes = 0
    var lastTurn: UInt64

    // The turn.
    var inbox = IntakeInbox()
    var active = ActiveProjects()
    var turn: Turn?
    /// Edits that stand on it, while it is on its way to disk.
    var ahead: Turn?
    /// Answers to the parts of a message that were staged so far.
    var gathered: [UInt64: [EditAnswer]] = [:]
    /// When the turn on its way to disk was closed.
    var turnClosedAt: Instant?
    /// While projects share: not before this, but for one that comes with nothing waiting.
    var turnPacedUntil: Instant?
    /// Not before this, after a commit that failed.
    var turnRetryAt: Instant?
    /// Whether the last commit failed: what may make room goes first, without new edits.
    var isJournalShort = false

    // Volatile tables.
    var membership = Membership()
    var leases: LeaseTable
    var holds: [AssignmentID: Hold] = [:]
    var lastSerial: UInt64 = 0
    var board: TargetBoard
    var openFiles: [ProjectName: Set<FileIndex>] = [:]
    /// The failed list.
    var failedFiles: [ProjectName: OrderedPaths] = [:]
    var trees: [ProjectName: PathTree] = [:]
    var arriving: [ReadyQueue] = []
    var placed: [WorkerLabel: ReadyQueue] = [:]
    var owners = OwnerTables()
    var stranded: [FileIndex] = []
    /// Suspects that wait until their worker has none in hand.
    var suspects: [WorkerLabel: Deque<ReadyEntry>] = [:]
    var delayed: Heap<DelayedEntry> = []
    var holdOffs = HoldOffs()
    var parked: [TargetURL: Set<FileIndex>] = [:]
    var blockedBy: [FileIndex: [FileIndex]] = [:]
    var loadingBytes = 0
    /// How often contents that had been read back have left the memory.
    var unloadCount: UInt64 = 0
    var projectLoading: [ProjectName: Int] = [:]
    var loads: [EditSequence: FileIndex] = [:]
    var stuck = StuckBoard()
    /// Passes in which files were handed out.
    var dispatchTurn: UInt64 = 0
    var flushHints: [FileIndex] = []
    /// Files that wait because something of another shape is in their way.
    var shaped: Set<FileIndex> = []
    var targetCredit: [TargetURL: Int] = [:]
    /// Assignments that a target of a flood may have in hand now.
    var floodShare = 0
    /// By scheme.
    var rates: [String: EditRate]
    /// When the first of those that wait for their scheme's rate may go.
    var rateOpensAt: Instant?
    var refills: [TargetURL: Refill] = [:]
    /// Files that are to be written again, per target.
    var refreshCounts: [TargetURL: Int] = [:]
    /// How many of them were tried in vain; they hold up no other.
    var failingRefreshes: [TargetURL: Int] = [:]
    var lastQuestion: UInt64 = 0
    var markers = MarkerChecks()
    /// Targets whose marker was read since the coordinator started, and since a worker of a machine
    /// that was not known came: until then nobody knows what they hold (trace B6).
    var verified: Set<TargetURL> = []
    var bootIDs: Set<String> = []
    /// When something last became visible, or was found to be, in a sandbox.
    var visibleAt: [TargetURL: Timestamp] = [:]
    var startedAt: Timestamp?
    var pendingFiles = 0
    var pendingBytes = 0
    /// What contents weigh that are in memory.
    var memoryBytes = 0
    var projectPending: [ProjectName: (files: Int, bytes: Int)] = [:]
    var flushes = FlushBoard()
    /// Flushes that wait for their turn.
    var inboxFlushes = 0
    var endWaiters: [ProducerKey: [UInt64: [ClientRoute]]] = [:]
    var endWaiterCount = 0
    /// Incarnations of a former epoch that have not been heard, and until when to wait for them.
    var awaited: Set<Incarnation> = []
    var recoversUntil: Instant?
    /// Whether workers that the journal does not know may act until then.
    var awaitsStrangers = false
    var isEndingAwaited = false
    /// Whether the ends of older edits that nobody has in hand are under way.
    var isEndingOrphans = false
    var hasAdopted = false
    /// When it wanted to be called again at the end of the last ``pass(at:wall:isDrained:)``.
    package private(set) var expectedPassAt: Instant?
    var passedAt: Instant?
    var forgetsAt: Instant

    var directives: [CoordinatorDirective] = []

    /// Rebuilds the tables from what the journal holds.
    ///
    /// - Parameters:
    ///   - epoch: 64 fresh random bits.
    ///   - now: Monotonic clock; the wait for incarnations of former epochs starts here. It may
    ///     lie before the call, but not before the time from which on no other coordinator granted
    ///     a lease.
    /// - Throws: A `fatal` ``JournalError`` when the journal makes no sense.
    package init(
        settings: CoordinatorSettings, snapshot: JournalSnapshot, epoch: Epoch, at now: Instant
    ) throws(JournalError) {
        self.settings = settings
        self.epoch = epoch
        header = snapshot.header
        lastTurn = snapshot.lastTurn
        leases = LeaseTable(duration: settings.lease)
        rates = settings.editsPerSecond.mapValues { EditRate(perSecond: max(1, $0)) }
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
        var first = Earliest()
        if let next = leases.nextDeadline {
            first.note(next)
            // Often enough that a pause of this process is noticed as one (see `pass`).
            first.note(passedAt.map { $0 + settings.lease / 10 })
        }
        first.note(delayed.min?.dueAt)
        if let until = recoversUntil {
            // Once it is over, whoever ends the wait has its own time.
            if passedAt.map({ until > $0 }) ?? true { first.note(until) }
            // As above: after a pause those who could not register meanwhile have time to.
            first.note(passedAt.map { $0 + settings.lease / 10 })
        }
        for at in membership.handOns { first.note(at) }
        if !isRecovering {
            first.note(rateOpensAt)
            first.note(board.nextDeadline)
            first.note(nextAbsenceEnd)
            first.note(markers.nextDeadline)
            for refill in refills.values { first.note(refill.asked?.until ?? refill.askAt) }
        }
        if canStageAhead { first.note(passedAt) }
        if turn == nil {
            first.note(forgetsAt)
            first.note(holdOffs.nextEnd)
            if hasTurn { first.note(nextTurnAt) }
        }
        return first.at
    }

    /// When what waits may go; at once if it does so only because a turn had nothing for the disk,
    /// whose return would have begun the next one.
    private var nextTurnAt: Instant? {
        if let turnRetryAt { return turnRetryAt }
        guard let turnPacedUntil, !inbox.hasFresh else { return passedAt }
        return turnPacedUntil
    }

    /// Whether nothing is dispatched because workers of a former epoch may still act.
    package var isRecovering: Bool { recoversUntil != nil }

    /// Number of the last event that was told.
    package var eventNumber: UInt64 { header.lastEvent }

    /// Number of a project's last event that was told.
    package func eventNumber(of project: ProjectName) -> UInt64 {
        (projects[project] ?? newProject(project, in: nil)).eventNumber
    }

    /// Whether a turn is on its way to disk.
    package var isCommitting: Bool { turn != nil }

    /// Whether edits stand on that turn that are not on their way yet.
    package var isAhead: Bool { ahead != nil }

    /// How many reports of a worker wait for the disk.
    package func waitingReportCount(of incarnation: Incarnation) -> Int {
        inbox.waitingReports(of: incarnation, besides: turn?.kept ?? []).count
    }

    // MARK: Inputs

    /// Takes a client's request.
    package mutating func receive(
        _ request: ClientRequest, from route: ClientRoute, at now: Instant
    ) {
        switch request {
        case .edits(let project, let producer, let items):
            collect(route, project, producer, items, at: now)
        case .wait(let project, let id): wait(for: id, in: project, route)
        case .queue(let project, let prefix, let after, let countMax):
            reportQueue(project, prefix: prefix, after: after, countMax: countMax, route, at: now)
        case .flush(let project, let prefix): collectFlush(project, prefix: prefix, route)
        case .replay(let from, let project, let countMax):
            replay(from: from, project: project, countMax: countMax, route)
        case .snapshot(let project, let prefix, let after, let countMax):
            reportSnapshot(
                project, prefix: prefix, after: after, countMax: countMax, route, at: now)
        case .failed(let query): reportFailed(query, route)
        case .order(let order): collect(order, route)
        case .project(let project, let action):
            inbox.append(.project(route, project, action))
        case .died(let life, let isKilled):
            hearDeath(ofLife: life, isKilled: isKilled)
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
            let fresh =
                isCommitLate(at: now)
                ? inbox.without(
                    waiting: reports, of: stamp.incarnation, besides: turn?.kept ?? [])
                : reports
            if !fresh.isEmpty { inbox.append(.reports(stamp.incarnation, fresh)) }
        case .drain(let stamp): drain(stamp, from: route)
        case .leave(let stamp): leave(stamp, from: route)
        case .files(let stamp, let question, let listed, let isLast):
            guard member(stamp, from: route) != nil else { return }
            inbox.append(.files(question, listed, isLast: isLast))
        case .filesFailed(let stamp, let question, _):
            guard member(stamp, from: route) != nil else { return }
            listingFailed(question.number, at: now)
        }
    }

    /// Goes on: ends leases, closes a turn, dispatches.
    ///
    /// - Parameters:
    ///   - now: Monotonic clock, never earlier than in any former call.
    ///   - wall: For people.
    ///   - isDrained: Whether the workers' socket was read until nothing was left.
    package mutating func pass(at now: Instant, wall: Timestamp, isDrained: Bool) {
        if passedAt == nil { leaveTimeToRegister(at: now) }
        if let expected = expectedPassAt, now > expected + settings.latenessTolerance {
            leases.extendAll(by: now - expected)
            recoversUntil = recoversUntil.map { $0 + (now - expected) }
        }
        if isDrained {
            endLeases(at: now)
            finishRecovery(at: now)
        }
        beginLogAnew(wall: wall)
        backdateAbsences(wall: wall)
        wakeDelayed(at: now)
        forgetProducers(at: now)
        endHoldOffs(at: now)
        noteSharing(at: now)
        closeTurn(at: now, wall: wall)
        if !isRecovering {
            probeTargets(at: now)
            endAbsences(at: now)
            listForRefills(at: now)
            dispatch(at: now)
        }
        tellFlushHints(at: now)
        passedAt = now
        // What is overdue waits for the next drained pass: the time until now is counted already.
        expectedPassAt = nextDeadline.map { max($0, now) }
    }
}

/// The earliest of several moments, without a list of them: this is asked in every pass.
struct Earliest {
    private(set) var at: Instant?

    mutating func note(_ moment: Instant?) {
        guard let moment else { return }
        if let at, at <= moment { return }
        at = moment
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
