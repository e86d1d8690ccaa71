import Logging
import SyncCore
import SyncTransport
import ZeroMQ

/// The shell around ``WorkerMachine``: reads the link, steps the machine, runs its directives.
///
/// Pinned to the loop that owns the link. All input is read before the machine goes on, so that a
/// worker that wakes from a long pause learns first what happened meanwhile. Store and sandboxes
/// are awaited in tasks of the service, never here.
actor Worker: SocketLoopClient {
    /// Messages read in one pass at most.
    private static let messagesPerPassMax = 4_096

    nonisolated let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private var machine: WorkerMachine
    private var link: WorkerLink?
    private let clock: ProcessClock
    private let lease: LeaseClock
    private let landings: Landings
    private let steps: AsyncStream<WorkerStep>.Continuation
    private let exits: AsyncStream<WorkerExit>.Continuation
    private let logger: Logger
    private var journal: JournalID?
    private let bootID: String
    private var longestBatch: Duration = .zero

    init(
        machine: WorkerMachine, bootID: String, on loop: SocketLoop, clock: ProcessClock,
        lease: LeaseClock, landings: Landings, steps: AsyncStream<WorkerStep>.Continuation,
        exits: AsyncStream<WorkerExit>.Continuation, logger: Logger
    ) {
        self.machine = machine
        self.bootID = bootID
        self.loop = loop
        self.clock = clock
        self.lease = lease
        self.landings = landings
        self.steps = steps
        self.exits = exits
        self.logger = logger
    }

    /// Connects and takes part in the loop from now on.
    func open(_ configuration: WorkerConfiguration) throws {
        link = try WorkerLink(configuration.coordinator, on: loop, limits: configuration.limits)
        loop.attach(self)
    }

    /// Takes nothing new any more; the machine leaves when everything is told.
    func drain() {
        logger.info("draining", metadata: ["assignments": .stringConvertible(machine.jobCount)])
        machine.drain()
        loop.wake()
    }

    // MARK: The loop

    nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { $0.turn(at: now) }
    }

    nonisolated func loopWillStop() {
        assumeIsolated {
            $0.link?.close()
            $0.link = nil
        }
    }

    private func turn(at instant: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        guard let link else { return nil }
        let now = clock.instant(instant)
        let heard = link.receive(countMax: Self.messagesPerPassMax)
        if link.takeConnectedAnew() { machine.connected(at: now) }
        for message in heard {
            note(message)
            machine.hear(message, at: now)
        }
        for landing in landings.take() {
            machine.wrote(landing.id, landing.target, landing.result, at: now)
        }
        if heard.count == Self.messagesPerPassMax { return instant }
        machine.pass(at: now)
        run(machine.takeDirectives(), link)
        for notice in link.takeNotices() { logger.warning("\(notice)") }
        return machine.nextDeadline.map { clock.continuous($0) }
    }

    private func note(_ message: CoordinatorMessage) {
        switch message {
        case .welcome(let welcome):
            journal = welcome.journal
            logger.info(
                "registered",
                metadata: [
                    "incarnation": "\(welcome.stamp.incarnation)",
                    "registration": .stringConvertible(welcome.stamp.registration),
                    "kept": "\(welcome.isKept)",
                ])
        case .registerAgain: logger.info("the coordinator asks to register again")
        case .refused, .replaced, .grant, .assign, .acknowledge, .probe, .list, .left: break
        }
    }

    private func run(_ directives: [WorkerDirective], _ link: WorkerLink) {
        var writes: [SandboxWrites] = []
        for directive in directives {
            switch directive {
            case .send(let message): link.send(message)
            case .lease(let incarnation, let until): lease.set(until, of: incarnation)
            case .exit(let reason): exits.yield(reason)
            case .bind, .apply, .read, .prepare, .probe, .list: steps.yield(.one(directive))
            case .write(let id, let target, let edit, let stage):
                // The last that fits: one that hangs keeps the contents of its batch.
                let place =
                    writes.lastIndex {
                        $0.target == target && $0.stage == stage && $0.hasRoom
                    } ?? writes.count
                if place == writes.count { writes.append(SandboxWrites(target, through: stage)) }
                writes[place].add(id, edit)
            }
        }
        for batch in writes { steps.yield(.writes(batch)) }
    }

    // MARK: Results

    /// The store is bound to the journal, or not.
    func storeBound(_ error: StoreError?) { machine.storeBound(error, at: clock.now) }

    /// A batch came back from the store after a while.
    func stored(
        _ ids: [AssignmentID], _ result: Result<[Applied], StoreError>, after took: Duration
    ) {
        if took > longestBatch {
            longestBatch = took
            logger.debug(
                "the longest batch of the store so far",
                metadata: [
                    "ms": .stringConvertible(took.wholeMilliseconds),
                    "edits": .stringConvertible(ids.count),
                ])
        }
        machine.stored(ids, result, at: clock.now)
    }

    /// A file was read for a refresh.
    func read(_ id: AssignmentID, _ result: Result<StoredVersion?, StoreError>) {
        machine.read(id, result, at: clock.now)
    }

    /// A target is ready, or not.
    func prepared(_ preparation: Preparation, _ result: Result<TargetFinding, SandboxError>) {
        if case .failure(let error) = result {
            logger.warning(
                "\(error.message)",
                metadata: ["target": "\(preparation.target.url)", "code": "\(error.code)"])
        }
        machine.prepared(preparation, result, at: clock.now)
    }

    /// A probe came back.
    func probed(_ target: AssignedTarget, _ result: Result<TargetFinding, SandboxError>) {
        if target.isTriedByWriting {
            let finding =
                switch result {
                case .success(let found): "\(found)"
                case .failure(let error): error.code
                }
            logger.debug(
                "probed a sandbox that is away",
                metadata: ["target": "\(target.url)", "finding": "\(finding)"])
        }
        machine.probed(target, result, at: clock.now)
    }

    /// A page of files was read.
    func listed(
        _ question: FilesQuestion, of epoch: Epoch, _ result: Result<[StoredFile], StoreError>
    ) {
        machine.listed(question, of: epoch, result)
    }

    /// The marker that a target of this pool is to have; nil before the first welcome.
    func marker(for target: AssignedTarget) -> SandboxMarker? {
        journal.map {
            SandboxMarker(
                journal: $0, project: target.project, generation: target.generation,
                bootID: bootID)
        }
    }
}
