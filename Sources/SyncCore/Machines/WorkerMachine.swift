import DequeModule
import OrderedCollections

/// Everything that a worker decides: events and time in, directives out.
///
///     apart ──register──▶ apart ──welcome──▶ member ──register again──▶ apart …
///                                            member ──drain, all told──▶ leaving ──left──▶ exit
///
/// An assignment walks from the store to its targets and becomes an outcome, which stays in the
/// ``Outbox`` until it is acknowledged. Nothing is begun without a lease, which runs from the
/// worker's own clock reading in the heartbeat that the grant answers (trace A6). A worker that
/// comes back as a new incarnation drops what it had: its old stage directories are revoked.
package struct WorkerMachine: Sendable {
    /// How far one assignment is.
    struct Job: Sendable {
        let assignment: Assignment
        let takenAt: Instant
        var version: Version?
        /// What is to be written, once the store has answered.
        var edit: SandboxEdit?
        var results: [TargetURL: TargetResult] = [:]
        var drifts: [TargetURL: Drift] = [:]
        var isDone = false

        /// Whether the store has not answered yet.
        var isAtStore: Bool { edit == nil }

        var held: Registration.Held {
            Registration.Held(
                assignment: assignment.id, file: assignment.file, sequence: assignment.sequence,
                targets: assignment.targets.map(\.url), isRefresh: assignment.isRefresh)
        }
    }

    /// What this incarnation has done at a target.
    struct Place: Sendable {
        let generation: UInt64
        var isReady = false
        var isPreparing = true
        var revoked: Set<Incarnation> = []
        var othersRevoked = false
        /// Writes that wait for the preparation.
        var waiting: [AssignmentID] = []
    }

    let settings: WorkerSettings
    var identity: StoreIdentity

    var registration: UInt64 = 0
    var registeredAt: Instant?
    /// Registrations since the last welcome, or the last connection.
    var unansweredCount = 0
    /// Who this worker is; nil before the first welcome and after a revocation.
    package internal(set) var stamp: WorkerStamp?
    /// Whether the coordinator knows this connection; else the worker registers.
    package internal(set) var isMember = false
    var leaseUntil = Instant(nanoseconds: 0)
    var heartbeatAt: Instant?
    var journal: JournalID?
    var isStoreBound = false
    var isDraining = false
    var leaveAt: Instant?
    var hasExited = false

    var jobs: OrderedDictionary<AssignmentID, Job> = [:]
    var toStore: Deque<AssignmentID> = []
    var storing: Set<AssignmentID> = []
    var toWrite: Deque<(id: AssignmentID, target: TargetURL)> = []
    var places: [TargetURL: Place] = [:]
    var outbox = Outbox()
    /// Targets whose marker is being read.
    var probing: Set<TargetURL> = []
    /// Writes that were begun and have not come back, over all incarnations of this process.
    var flights: [WriteStep: Flight] = [:]
    /// How many of them count against the most that one target takes at a time.
    var flying: [TargetURL: Int] = [:]
    /// Writes that wait for one of those to come back.
    var crowded: [TargetURL: Deque<AssignmentID>] = [:]
    /// How many of them hang, or belong to a former incarnation.
    var orphans: [TargetURL: Int] = [:]
    var deadlines = Deadlines()
    /// Sandboxes made ready so far: no two of their markers are the same.
    var preparationCount: UInt64 = 0
    /// Writes reported as stuck and not yet as settled.
    var stuckWrites: [WriteStep: StuckWrite] = [:]
    /// Writes that wait for one that hangs.
    var behind: [TargetURL: [AssignmentID]] = [:]
    var isAdopting = false
    /// When the store is bound again, after it did not answer.
    var bindAt: Instant?
    /// When the binding that is under way is overdue; nil when none is.
    var bindDue: Instant?
    /// When the batch at the store is overdue; nil when none is.
    var storingDue: Instant?
    /// Files that are being read for a refresh, in the order in which that began.
    var reading: Deque<(id: AssignmentID, due: Instant)> = []
    var directives: [WorkerDirective] = []

    /// A worker that has not said anything yet.
    package init(settings: WorkerSettings, identity: StoreIdentity) {
        self.settings = settings
        self.identity = identity
    }

    /// Takes the directives since the last call, in order.
    package mutating func takeDirectives() -> [WorkerDirective] {
        defer { directives = [] }
        return directives
    }

    /// Boot id of the worker's machine.
    package var bootID: String { settings.bootID }

    /// Assignments not yet reported.
    package var jobCount: Int { jobs.count }

    /// Whether a write may begin now.
    func mayAct(at now: Instant) -> Bool { stamp != nil && isStoreBound && now < leaseUntil }

    /// When the machine wants to be called again at the latest.
    package var nextDeadline: Instant? {
        if hasExited { return nil }
        guard isMember else {
            return [
                registeredAt.map { $0 + registerPause }, deadlines.nextDeadline,
                storeDeadline,
            ].compactMap(\.self).min()
        }
        return [
            heartbeatAt, outbox.nextDeadline(wait: settings.reportWait), leaveAt,
            deadlines.nextDeadline, storeDeadline, bindAt,
        ].compactMap(\.self).min()
    }

    // MARK: Time

    /// Goes on: registers, sends heartbeats, begins what the lease allows, reports.
    package mutating func pass(at now: Instant) {
        guard !hasExited else { return }
        if isMember {
            if heartbeatAt.map({ now >= $0 }) ?? true { heartbeat(at: now) }
        } else if registeredAt.map({ now >= $0 + registerPause }) ?? true {
            register(at: now)
        }
        bindAgain(at: now)
        endOverdue(at: now)
        endHungStore(at: now)
        if mayAct(at: now) {
            beginStore(at: now)
            beginWrites(at: now)
        }
        report(at: now)
        leaveIfDone(at: now)
    }

    /// Takes nothing new any more and leaves when all is told.
    package mutating func drain() { isDraining = true }

    /// A connection stands (again): what was dropped while there was none goes at once.
    ///
    /// A member only asks, by a heartbeat, whether it still is one: the coordinator may be the
    /// same.
    package mutating func connected(at now: Instant) {
        if isMember {
            heartbeatAt = now
        } else {
            registeredAt = nil
            unansweredCount = 0
        }
    }

    private mutating func heartbeat(at now: Instant) {
        guard let stamp else { return }
        heartbeatAt = now + settings.heartbeat
        directives.append(.send(.heartbeat(stamp, clock: now)))
        if isDraining { directives.append(.send(.drain(stamp))) }
    }

    /// How long an answer is waited for.
    ///
    /// It doubles: a registration goes to the coordinator's disk first, and one that is sent again
    /// before it is answered makes that answer void.
    private var registerPause: Duration {
        settings.registerWait * (1 << min(max(unansweredCount - 1, 0), 4))
    }

    private mutating func register(at now: Instant) {
        registration += 1
        registeredAt = now
        unansweredCount += 1
        outbox.sentAll(at: now)
        for step in stuckWrites.keys { stuckWrites[step]?.isTold = true }
        directives.append(
            .send(
                .register(
                    Registration(
                        label: settings.label, life: settings.life, bootID: settings.bootID,
                        store: identity, localRootID: settings.localRootID,
                        schemes: settings.schemes, capacity: settings.capacity,
                        previous: stamp?.incarnation, registration: registration,
                        held: jobs.values.map(\.held) + outbox.held,
                        stuck: stuckWrites.values.map(\.held), reports: outbox.all,
                        clock: now))))
    }

    private mutating func report(at now: Instant) {
        guard isMember, let stamp else { return }
        while true {
            let due = outbox.due(
                at: now, wait: settings.reportWait, countMax: settings.reportsMax)
            if due.isEmpty { return }
            directives.append(.send(.reports(stamp, due)))
        }
    }

    private mutating func leaveIfDone(at now: Instant) {
        guard isDraining, isMember, let stamp, jobs.isEmpty, outbox.isEmpty,
            stuckWrites.isEmpty
        else {
            leaveAt = nil
            return
        }
        guard leaveAt.map({ now >= $0 }) ?? true else { return }
        leaveAt = now + settings.heartbeat
        directives.append(.send(.drain(stamp)))
        directives.append(.send(.leave(stamp)))
    }

    // MARK: Messages

    /// Takes a message of the coordinator.
    ///
    /// All that waits must be taken before ``pass(at:)``.
    package mutating func hear(_ message: CoordinatorMessage, at now: Instant) {
        guard !hasExited else { return }
        switch message {
        case .welcome(let welcome): hear(welcome, at: now)
        case .refused(let code, let sentence):
            exit(.refused(code: code, sentence: sentence))
        case .replaced(let sentence): exit(.replaced(sentence))
        case .registerAgain(let epoch): registerAgain(epoch, at: now)
        case .grant(let granted, let lease, let clock):
            guard granted == stamp, isMember else { return }
            extendLease(from: clock, by: lease)
        case .assign(let to, let assignments):
            guard to == stamp, isMember else { return }
            for assignment in assignments where jobs[assignment.id] == nil {
                take(assignment, at: now)
            }
        case .acknowledge(let to, let numbers):
            guard to.epoch == stamp?.epoch, to.incarnation == stamp?.incarnation else { return }
            outbox.acknowledge(numbers)
        case .probe(let to, let target):
            guard to == stamp, isMember else { return }
            // One that hangs is not begun again: its answer, or another worker, will come.
            guard probing.insert(target.url).inserted else { return }
            directives.append(.probe(target, to))
        case .list(let to, let question):
            guard to == stamp, isMember else { return }
            directives.append(.list(question, of: to.epoch))
        case .left(let to):
            guard to == stamp, isDraining else { return }
            exit(.drained)
        }
    }

    private mutating func hear(_ welcome: Welcome, at now: Instant) {
        guard welcome.stamp.registration == registration else { return }
        let isSame = welcome.isKept && welcome.stamp.incarnation == stamp?.incarnation
        if !isSame { startOver() }
        stamp = welcome.stamp
        isMember = true
        unansweredCount = 0
        heartbeatAt = now
        leaseUntil = isSame ? leaseUntil : Instant(nanoseconds: 0)
        extendLease(from: welcome.clock, by: welcome.lease)
        if journal != welcome.journal || !isStoreBound {
            journal = welcome.journal
            isStoreBound = false
            isAdopting = welcome.isAdopted
            bindAt = nil
            bindDue = now + settings.attemptDeadline
            directives.append(.bind(welcome.journal, isAdopted: welcome.isAdopted))
        }
    }

    private mutating func bindAgain(at now: Instant) {
        guard let bindAt, now >= bindAt, let journal else { return }
        self.bindAt = nil
        bindDue = now + settings.attemptDeadline
        directives.append(.bind(journal, isAdopted: isAdopting))
    }

    private mutating func registerAgain(_ epoch: Epoch, at now: Instant) {
        // An answer to a heartbeat sent before the last registration says nothing new.
        if let registeredAt, !isMember, now < registeredAt + registerPause { return }
        isMember = false
        register(at: now)
    }

    private mutating func extendLease(from clock: Instant, by lease: Duration) {
        leaseUntil = max(leaseUntil, clock + lease)
        directives.append(.lease(stamp?.incarnation, until: leaseUntil))
    }

    /// Drops everything: the incarnation that had it is revoked, or will be.
    mutating func startOver() {
        jobs = [:]
        toStore = []
        storing = []
        storingDue = nil
        reading = []
        toWrite = []
        places = [:]
        orphanAll()
        outbox.removeAll()
        leaseUntil = Instant(nanoseconds: 0)
        directives.append(.lease(stamp?.incarnation, until: leaseUntil))
    }

    /// Asks for a new incarnation (this one was revoked at a target).
    mutating func becomeNew(at now: Instant) {
        startOver()
        stamp = nil
        isMember = false
        register(at: now)
    }

    private mutating func exit(_ reason: WorkerExit) {
        hasExited = true
        leaseUntil = Instant(nanoseconds: 0)
        directives.append(.lease(stamp?.incarnation, until: leaseUntil))
        directives.append(.exit(reason))
    }
}
