import DequeModule
import SyncCore
import SyncTransport
import ZeroMQ

/// A producer that keeps a window of unanswered edits full, or sends edits one by one.
///
/// Unlike the client library it never drops its own older edit, so that every edit is measured.
actor Pusher: SocketLoopClient {
    /// Edits pushed as fast as they are answered.
    struct Run: Sendable {
        /// How many edits.
        let count: Int
        /// Edits in one message.
        let batch: Int
        /// Unanswered edits at most; below the protocol's 4,096.
        let window: Int
        /// The edit of a place.
        let edit: @Sendable (Int) -> Edit
    }

    nonisolated let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let endpoint: String
    private let project: ProjectName
    private let id: ProducerID
    private var link: ClientLink?
    private var lastNumber: UInt64 = 0
    private var requests: UInt64 = 0
    private var unanswered: [UInt64: (edit: Edit, at: ContinuousClock.Instant)] = [:]
    private var retries: Deque<(at: ContinuousClock.Instant, numbers: [UInt64])> = []
    private var run: (run: Run, next: Int)?
    private var idleWaiter: CheckedContinuation<Void, Never>?
    private var failure: BenchError?
    private(set) var acceptedCount = 0
    private(set) var busyCount = 0
    /// From sending to the answer.
    private(set) var acceptLatency = LatencyHistogram()

    init(_ endpoint: String, project: ProjectName, on loop: SocketLoop) {
        self.endpoint = endpoint
        self.project = project
        self.loop = loop
        id = ProducerID(name: project, life: .random(in: .min ... .max))
    }

    func open() throws {
        link = try ClientLink(endpoint, on: loop)
        loop.attach(self)
    }

    /// Pushes a run and returns when every edit is accepted.
    func push(_ run: Run) async throws {
        self.run = (run, 0)
        loop.wake()
        try await settle()
    }

    /// Sends one edit at once, whatever is unanswered.
    func send(_ edit: Edit) {
        lastNumber += 1
        unanswered[lastNumber] = (edit, .now)
        send([lastNumber])
    }

    /// How long answers took since this was asked last.
    func takeAcceptLatency() -> LatencyHistogram {
        defer { acceptLatency = LatencyHistogram() }
        return acceptLatency
    }

    /// Waits until every edit is answered.
    func settle() async throws {
        if run != nil || !unanswered.isEmpty {
            await withCheckedContinuation { idleWaiter = $0 }
        }
        if let failure { throw failure }
    }

    // MARK: The loop

    nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { $0.turn(at: now) }
    }

    nonisolated func loopWillStop() {
        assumeIsolated { pusher in
            pusher.link?.close()
            pusher.link = nil
            pusher.end()
        }
    }

    private func turn(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        guard let link else { return nil }
        let replies = link.receive(countMax: 256)
        for reply in replies { take(reply, at: now) }
        while let next = retries.first, next.at <= now {
            retries.removeFirst()
            send(next.numbers)
        }
        fill()
        if run == nil, unanswered.isEmpty { end() }
        return replies.count == 256 ? now : retries.first?.at
    }

    private func fill() {
        guard case (let run, var next)? = run else { return }
        while next < run.count, unanswered.count + run.batch <= max(run.window, run.batch),
            retries.isEmpty
        {
            var numbers: [UInt64] = []
            for place in next..<min(next + run.batch, run.count) {
                lastNumber += 1
                unanswered[lastNumber] = (run.edit(place), .now)
                numbers.append(lastNumber)
            }
            next += numbers.count
            send(numbers)
        }
        self.run = next < run.count ? (run, next) : nil
    }

    private func send(_ numbers: [UInt64]) {
        let items = numbers.compactMap { number in
            unanswered[number].map { EditItem(number: number, edit: .success($0.edit)) }
        }
        requests += 1
        let isSent =
            link?.send(.edits(project: project, producer: id, items), id: requests) ?? false
        if !isSent { retries.append((.now + .milliseconds(1), numbers)) }
    }

    private func take(_ reply: ClientReply, at now: ContinuousClock.Instant) {
        guard case .edits(let answers) = reply else {
            if case .rejected(let rejection) = reply { fail(rejection.sentence) }
            return
        }
        var busy: [UInt64] = []
        for answer in answers {
            guard let sent = unanswered[answer.number] else { continue }
            switch answer.result {
            case .success:
                unanswered[answer.number] = nil
                acceptedCount += 1
                acceptLatency.record(now - sent.at)
            case .failure(let rejection) where rejection.code == .busy:
                busyCount += 1
                busy.append(answer.number)
            case .failure(let rejection): fail(rejection.sentence)
            }
        }
        if !busy.isEmpty { retries.append((now + .milliseconds(200), busy)) }
    }

    private func fail(_ reason: String) {
        failure = BenchError("an edit was refused: \(reason)")
        run = nil
        end()
    }

    private func end() {
        idleWaiter?.resume()
        idleWaiter = nil
    }
}
