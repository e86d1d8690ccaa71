import Logging
import SyncCore
import SyncTransport
import Synchronization
import ZeroMQ

/// The shell around ``StatusPublisher``: its socket, on a loop of its own.
///
/// An event is small, but to encode it takes as long as to accept an edit. On the coordinator's
/// loop everybody who pushes would wait for what monitors are told.
///
/// Events, hints and marks come in the order in which the coordinator told them. A mark says how
/// far the events go that stand before it, so it is the coordinator that gives its numbers.
actor StatusDesk: SocketLoopClient {
    /// What the coordinator tells.
    enum Telling: Sendable {
        case events([StatusEvent])
        case hint(WorkerHint)
        case marks([(question: MarkQuestion, number: UInt64, projectNumber: UInt64)])
    }

    nonisolated let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let gauge: StatusGauge
    private let clock: ProcessClock
    /// Where questions for marks go.
    private let questions: AsyncStream<[MarkQuestion]>.Continuation
    private let logger: Logger
    private var publisher: StatusPublisher?
    /// Whether marks were asked for that have not come: one question at a time.
    private var isAsking = false

    init(
        on loop: SocketLoop, gauge: StatusGauge, clock: ProcessClock,
        questions: AsyncStream<[MarkQuestion]>.Continuation, logger: Logger
    ) {
        self.loop = loop
        self.gauge = gauge
        self.clock = clock
        self.questions = questions
        self.logger = logger
    }

    /// Binds the socket and takes part in the loop from now on.
    ///
    /// - Returns: The endpoint as bound, wildcards resolved.
    func open(_ endpoint: String, connectionsMax: Int) throws -> String {
        let publisher = try StatusPublisher(endpoint, on: loop, connectionsMax: connectionsMax)
        self.publisher = publisher
        loop.attach(self)
        return publisher.endpoint
    }

    nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { $0.turn(at: now) }
    }

    nonisolated func loopWillStop() {
        assumeIsolated { desk in
            desk.publisher?.close()
            desk.publisher = nil
        }
    }

    private func turn(at instant: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        guard let publisher else { return nil }
        let asked = publisher.turn(at: clock.instant(instant), isAnswered: !isAsking)
        // Before the question: what is told once it is answered must come here.
        gauge.note(isHeard: publisher.isHeard, publisher.connections)
        if !asked.isEmpty {
            isAsking = true
            questions.yield(asked)
        }
        for notice in publisher.takeNotices() {
            logger.log(level: notice.isWarning ? .warning : .info, "\(notice.sentence)")
        }
        // A mark that is due while others are owed is asked for when they come.
        let marksAt = isAsking ? nil : publisher.nextDeadline
        return [
            marksAt.map { clock.continuous($0) }, publisher.connectionDeadline,
        ].compactMap(\.self).min()
    }

    /// Tells monitors.
    func tell(_ telling: Telling) {
        switch telling {
        case .events(let events):
            publisher?.publish(events)
            gauge.told(events)
        case .hint(let hint): publisher?.publish(hint)
        case .marks(let marks):
            isAsking = false
            for mark in marks {
                publisher?.mark(
                    mark.question, number: mark.number, projectNumber: mark.projectNumber)
            }
        }
    }
}

/// What the coordinator's loop knows of the status channel without asking its loop.
final class StatusGauge: Sendable {
    /// Events that wait to be encoded, at most.
    ///
    /// As many as libzmq keeps for a subscriber. What comes beyond is not told, which monitors find
    /// out by the numbers.
    static let waitingMax = 100_000

    private let isHeard = Atomic(false)
    private let waiting = Atomic(0)
    private let count = Atomic(0)
    private let refused = Atomic(0)

    /// Connections that stand, and those that were turned away since the start.
    var connections: (count: Int, refused: Int) {
        (count.load(ordering: .relaxed), refused.load(ordering: .relaxed))
    }

    /// Whether events are to be handed over, as somebody listens and not too many wait.
    ///
    /// Then they are counted.
    func takes(_ events: [StatusEvent]) -> Bool {
        guard isHeard.load(ordering: .acquiring),
            waiting.load(ordering: .relaxed) < Self.waitingMax
        else { return false }
        waiting.add(events.count, ordering: .relaxed)
        return true
    }

    /// Notes whether anybody listens, and how many are connected.
    func note(isHeard: Bool, _ connections: (count: Int, refused: Int)) {
        self.isHeard.store(isHeard, ordering: .releasing)
        count.store(connections.count, ordering: .relaxed)
        refused.store(connections.refused, ordering: .relaxed)
    }

    /// Notes that events wait no more.
    func told(_ events: [StatusEvent]) { waiting.subtract(events.count, ordering: .relaxed) }
}
