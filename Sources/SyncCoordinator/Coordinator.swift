import Logging
import SyncCore
import SyncTransport
import ZeroMQ

/// The shell around ``CoordinatorMachine``: reads sockets, steps the machine, runs its directives.
///
/// Pinned to the loop that owns the sockets of clients and workers. The workers' socket is read
/// first, and until nothing is left, so that a lease is never ended while its heartbeat waits. The
/// disk is never touched here: turns and reads go out as streams and come back as calls, and what
/// monitors are told goes to their own loop (``StatusDesk``).
actor Coordinator: SocketLoopClient {
    /// Requests read in one pass at most, so that the workers' socket is looked at in between.
    private static let requestsPerPassMax = 64
    /// Bytes of requests likewise; what one message takes to decode, everybody waits for.
    private static let requestBytesPerPassMax = 256 << 10
    /// Workers' messages read in one pass at most.
    private static let messagesPerPassMax = 4_096

    /// What is read back from the journal beside the commits.
    enum ReadJob: Sendable {
        case contents([EditSequence])
        case events(EventQuery)
    }

    /// Where the shell sends what must be awaited.
    struct Outlets: Sendable {
        let commits: AsyncStream<JournalTransaction>.Continuation
        let reads: AsyncStream<ReadJob>.Continuation
        let tellings: AsyncStream<StatusDesk.Telling>.Continuation
        let halts: AsyncStream<String>.Continuation
    }

    private struct Sockets {
        let intake: IntakeEndpoint
        let workers: AssignmentEndpoint
    }

    nonisolated let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private var machine: CoordinatorMachine
    private var sockets: Sockets?
    private let clock: ProcessClock
    private let outlets: Outlets
    private let status: StatusGauge
    private let logger: Logger
    /// When the journal's trouble was last told; nil while there is none.
    private var troubleToldAt: Instant?
    /// When the pass began that closed the turn which is on its way to disk.
    private var turnBeganAt: Instant?
    private var longestTurn: Duration = .zero
    /// Likewise without the journal's time.
    private var longestWork: Duration = .zero

    init(
        machine: CoordinatorMachine, on loop: SocketLoop, clock: ProcessClock, outlets: Outlets,
        status: StatusGauge, logger: Logger
    ) {
        self.machine = machine
        self.loop = loop
        self.clock = clock
        self.outlets = outlets
        self.status = status
        self.logger = logger
    }

    /// Binds the sockets of clients and workers and takes part in the loop from now on.
    ///
    /// - Returns: The endpoints as bound, wildcards resolved.
    func open(
        _ configuration: CoordinatorConfiguration, _ shares: ConnectionShares
    ) throws -> (intake: String, workers: String) {
        let sockets = Sockets(
            intake: try IntakeEndpoint(
                configuration.intake, on: loop, limits: configuration.limits,
                connectionsMax: shares.intake),
            workers: try AssignmentEndpoint(
                configuration.workers, on: loop, limits: configuration.limits,
                connectionsMax: shares.workers))
        self.sockets = sockets
        loop.attach(self)
        return (sockets.intake.endpoint, sockets.workers.endpoint)
    }

    // MARK: The loop

    nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { $0.turn(at: now) }
    }

    nonisolated func loopWillStop() { assumeIsolated { $0.close() } }

    private func close() {
        sockets?.intake.close()
        sockets?.workers.close()
        sockets = nil
    }

    private func turn(at instant: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        guard let sockets else { return nil }
        let now = clock.instant(instant)
        let heard = sockets.workers.receive(countMax: Self.messagesPerPassMax)
        for (route, message) in heard { machine.hear(message, from: route, at: now) }
        let asked = sockets.intake.receive(
            countMax: Self.requestsPerPassMax, bytesMax: Self.requestBytesPerPassMax)
        for (route, request) in asked.requests { machine.receive(request, from: route, at: now) }
        let isDrained = heard.count < Self.messagesPerPassMax
        machine.pass(at: now, wall: ProcessClock.wall, isDrained: isDrained)
        run(machine.takeDirectives(), sockets, at: now)
        let notices = sockets.intake.takeNotices() + sockets.workers.takeNotices()
        for notice in notices {
            logger.log(level: notice.isWarning ? .warning : .info, "\(notice.sentence)")
        }
        if !isDrained || !asked.isDrained { return instant }
        // Stored: to work it out here, the runtime would copy the whole machine first.
        return [
            machine.expectedPassAt.map { clock.continuous($0) }, sockets.intake.nextDeadline,
            sockets.workers.nextDeadline,
        ].compactMap(\.self).min()
    }

    private func commit(_ transaction: JournalTransaction, at now: Instant) {
        turnBeganAt = now
        outlets.commits.yield(transaction)
    }

    /// Adds to a picture of the pool what only the sockets know.
    private func completed(_ reply: ClientReply, _ sockets: Sockets) -> ClientReply {
        guard case .queue(var report) = reply else { return reply }
        let (intake, workers, status) = (
            sockets.intake.connections, sockets.workers.connections, status.connections
        )
        report.connections = QueueReport.Connections(
            intake: intake.count, workers: workers.count, status: status.count,
            refused: intake.refused + workers.refused + status.refused)
        return .queue(report)
    }

    private func run(
        _ directives: [CoordinatorDirective], _ sockets: Sockets, at now: Instant
    ) {
        // The turn first: the disk works while the rest is sent.
        for case .commit(let transaction) in directives { commit(transaction, at: now) }
        for directive in directives {
            switch directive {
            case .commit: break
            case .reply(let route, let reply):
                sockets.intake.reply(completed(reply, sockets), to: route)
            case .send(let route, let message): sockets.workers.send(message, to: route)
            case .publish(let events):
                if status.takes(events) { outlets.tellings.yield(.events(events)) }
            case .hint(let hint):
                logger.info(
                    "worker \(hint.state)",
                    metadata: [
                        "worker": "\(hint.label)", "life": "\(Hexadecimal.digits(of: hint.life))",
                    ])
                outlets.tellings.yield(.hint(hint))
            case .load(let sequences): outlets.reads.yield(.contents(sequences))
            case .readEvents(let query): outlets.reads.yield(.events(query))
            case .halt(let reason): outlets.halts.yield(reason)
            }
        }
    }

    /// Tells how far events go, behind all that were handed over so far.
    func answer(_ questions: [MarkQuestion]) {
        outlets.tellings.yield(
            .marks(
                questions.map { question in
                    (
                        question, machine.eventNumber,
                        question.project.map { machine.eventNumber(of: $0) } ?? 0
                    )
                }))
    }

    // MARK: Back from the disk

    /// A turn's transaction is on disk, or failed; the journal took so long for it.
    func committed(_ error: JournalError?, after disk: Duration) {
        note(error)
        noteTurn(disk)
        let now = clock.now
        turnBeganAt = nil
        machine.committed(error, at: now) { transaction in
            commit(transaction, at: now)
            return true
        }
        guard let sockets else { return }
        run(machine.takeDirectives(), sockets, at: now)
    }

    /// Logs how long a turn took from the pass that closed it until it was back, when none took
    /// longer; likewise of that what was not the journal's.
    private func noteTurn(_ disk: Duration) {
        guard let began = turnBeganAt else { return }
        let took = clock.now - began
        note(took, "turn", over: &longestTurn)
        note(took - disk, "work for a turn", over: &longestWork)
    }

    private func note(_ took: Duration, _ what: String, over longest: inout Duration) {
        guard took > longest else { return }
        longest = took
        logger.debug(
            "the longest \(what) so far",
            metadata: ["ms": .stringConvertible(took.wholeMilliseconds)])
    }

    /// Logs a failed commit, again every ten seconds while it goes on, and the end of the trouble.
    private func note(_ error: JournalError?) {
        let now = clock.now
        guard let error else {
            if troubleToldAt != nil { logger.info("the journal takes turns again") }
            troubleToldAt = nil
            return
        }
        if let told = troubleToldAt, now < told + .seconds(10), error.code == .unavailable {
            return
        }
        troubleToldAt = now
        logger.error("\(error.message)", metadata: ["code": "\(error.code)"])
    }

    /// Contents were read back.
    func loaded(_ asked: [EditSequence], _ contents: [EditSequence: Content]?) {
        machine.loaded(asked, contents, at: clock.now)
    }

    /// Events were read.
    func eventsRead(_ query: EventQuery, _ segments: [JournalSegment]?) {
        machine.eventsRead(query, segments)
    }
}

/// Endpoints as bound.
package struct BoundEndpoints: Sendable {
    /// For producers and operators.
    package let intake: String
    /// For workers.
    package let workers: String
    /// For monitors.
    package let status: String
}
