package import SyncCore
internal import Synchronization
package import ZeroMQ

/// Sends edits of one project, resends them over reconnects and restarts of the coordinator with
/// the same ids, and asks questions over the same connection.
///
/// An actor pinned to the loop that owns its socket.
package actor Producer: SocketLoopClient {
    /// A question that got no answer in time.
    package struct Silence: Error, CustomStringConvertible {
        /// How long it was waited for.
        package let waited: Duration
        /// Whom it was asked of.
        package let endpoint: String

        /// Describes a silence.
        package init(waited: Duration, endpoint: String) {
            self.waited = waited
            self.endpoint = endpoint
        }

        /// As text, for people and logs.
        package var description: String {
            "The coordinator at \(endpoint) did not answer within \(waited); check that it runs "
                + "and that --intake (or SYNCD_INTAKE) names its endpoint."
        }
    }

    /// A question to a producer whose loop has ended.
    package struct Closed: Error, CustomStringConvertible {
        /// As text, for people and logs.
        package var description: String {
            "The connection to the coordinator was closed on this side; open a new one."
        }
    }

    private struct Question {
        let request: ClientRequest
        let deadline: Instant
        var dueAt: Instant
        let answer: CheckedContinuation<ClientReply, any Error>

        /// Wait before it is asked again: the coordinator may have started anew (trace B11).
        ///
        /// Barriers take their time; the rest is answered at once.
        var askAgainWait: Duration {
            switch request {
            case .flush, .wait, .project: .seconds(10)
            case .edits, .queue, .replay, .snapshot, .failed, .order, .died: .seconds(2)
            }
        }
    }

    /// Edits that may be pending before ``submit(_:)`` waits for room.
    private static let pendingEditsMax = 8_192
    private static let pendingBytesMax = 64 << 20

    nonisolated package let loop: SocketLoop
    nonisolated package var unownedExecutor: UnownedSerialExecutor {
        loop.asUnownedSerialExecutor()
    }

    /// Who pushes: the name and this life.
    nonisolated package let id: ProducerID
    /// Whose paths it edits.
    nonisolated package let project: ProjectName
    /// What becomes of each edit, in order.
    nonisolated package let updates: AsyncStream<ProducerMachine.Update>

    /// Whom it talks to.
    nonisolated package let endpoint: String
    private let reconnectWait: Duration
    private let clock = ProcessClock()
    private let limits = WireLimits()
    private let updatesIn: AsyncStream<ProducerMachine.Update>.Continuation
    private var machine: ProducerMachine
    private var socket: LoopSocket?
    /// Whether a connection stands.
    ///
    /// Nothing is handed to libzmq while there is none: it would queue
    /// every resend, and deliver all of them when the coordinator comes back.
    private var isConnected = false
    private var requestCount: UInt64 = 0
    private var messages: [UInt64: [UInt64]] = [:]
    private var questions: [UInt64: Question] = [:]
    private var waitingForRoom: [CheckedContinuation<Void, Never>] = []
    private var isClosed = false
    /// Questions whose askers were cancelled, until the next turn.
    private nonisolated let withdrawn = Mutex<[UInt64]>([])
    /// Somebody who waits for room was cancelled.
    private nonisolated let givesUpRoom = Mutex(false)
    /// Takes over what the coordinator says of the largest content.
    package func allow(contentBytes: Int) { machine.allow(contentBytes: contentBytes) }

    /// When the coordinator's last answer was read; nil before the first.
    package private(set) var heardAt: ContinuousClock.Instant?

    /// Describes a producer; ``open()`` connects it.
    ///
    /// - Parameters:
    ///   - name: For people; the life beside it is drawn here, at the edge.
    ///   - reconnectWait: First pause before connecting again; it doubles up to 2 s.
    package init(
        endpoint: String, project: ProjectName, name: Name, on loop: SocketLoop,
        settings: ProducerMachine.Settings = ProducerMachine.Settings(),
        reconnectWait: Duration = .milliseconds(100)
    ) {
        self.endpoint = endpoint
        self.reconnectWait = reconnectWait
        self.project = project
        self.loop = loop
        id = ProducerID(name: name, life: .random(in: .min ... .max))
        machine = ProducerMachine(settings: settings)
        (updates, updatesIn) = AsyncStream.makeStream()
    }

    /// Connects; the coordinator may start later.
    package func open() throws(ZeroMQError) {
        let socket = try LoopSocket(
            .dealer, on: loop,
            options: SocketDefaults.connected(limits: limits)
                + [.reconnectInterval(reconnectWait)])
        try socket.monitor()
        try socket.connect(endpoint)
        self.socket = socket
        loop.attach(self)
    }

    /// Takes an edit; waits while too much is pending, unless the task is cancelled.
    ///
    /// - Returns: The edit's number.
    package func submit(_ edit: Edit) async -> UInt64 {
        while !isClosed,
            machine.pendingCount >= Self.pendingEditsMax
                || machine.pendingBytes >= Self.pendingBytesMax
        {
            if Task.isCancelled { break }
            await withTaskCancellationHandler {
                await withCheckedContinuation { waitingForRoom.append($0) }
            } onCancel: {
                givesUpRoom.withLock { $0 = true }
                loop.wake()
            }
        }
        return machine.submit(edit, at: clock.now)
    }

    /// Asks, again after every reconnect, until answered.
    ///
    /// - Throws: ``Silence`` after `patience`, ``Closed`` when the loop has ended,
    ///   `CancellationError` when the task was cancelled.
    package func ask(_ request: ClientRequest, patience: Duration) async throws -> ClientReply {
        if isClosed { throw Closed() }
        requestCount += 1
        let number = requestCount
        let now = clock.now
        do {
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    questions[number] = Question(
                        request: request, deadline: now + patience, dueAt: now,
                        answer: continuation)
                    loop.wake()
                }
            } onCancel: {
                withdrawn.withLock { $0.append(number) }
                loop.wake()
            }
        } catch is Timeout {
            throw Silence(waited: patience, endpoint: endpoint)
        }
    }

    private struct Timeout: Error {}

    // MARK: The loop

    nonisolated package func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { $0.turn(at: now) }
    }

    nonisolated package func loopWillStop() { assumeIsolated { $0.close() } }

    private func close() {
        socket?.close()
        socket = nil
        updatesIn.finish()
        isClosed = true
        for question in questions.values { question.answer.resume(throwing: Closed()) }
        questions = [:]
        for waiting in waitingForRoom { waiting.resume() }
        waitingForRoom = []
    }

    private func turn(at instant: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        guard let socket else { return nil }
        let now = clock.instant(instant)
        noteConnection(socket, at: now)
        var count = 0
        while count < 1_024, let received = try? socket.receive(limit: limits.receiveLimit) {
            count += 1
            guard case .message(let frames) = received,
                let (id, reply) = ClientCodec.reply(frames)
            else { continue }
            heardAt = instant
            take(reply, to: FrameReader.number(String(decoding: id, as: UTF8.self)), at: now)
        }
        for batch in machine.due(at: now) where isConnected { send(batch, over: socket) }
        ask(over: socket, at: now)
        for update in machine.takeUpdates() { updatesIn.yield(update) }
        makeRoom()
        if count == 1_024 { return instant }
        let next = [
            machine.nextDeadline, questions.values.map { min($0.dueAt, $0.deadline) }.min(),
        ]
        return next.compactMap(\.self).min().map { clock.continuous($0) }
    }

    private func noteConnection(_ socket: LoopSocket, at now: Instant) {
        while let event = try? socket.nextEvent() {
            if event.kind == .disconnected { isConnected = false }
            guard event.kind == .handshakeSucceeded else { continue }
            isConnected = true
            machine.reconnected(at: now)
            for number in questions.keys { questions[number]?.dueAt = now }
        }
    }

    private func take(_ reply: ClientReply, to request: UInt64?, at now: Instant) {
        switch reply {
        case .edits(let answers):
            if let request { messages[request] = nil }
            for answer in answers { machine.answered(answer, at: now) }
        case .end(let ended, let sequence, let end):
            if let request, let question = questions.removeValue(forKey: request) {
                question.answer.resume(returning: reply)
            } else if ended.producer == id {
                machine.ended(ended.number, sequence: sequence, end)
            }
        case .rejected(let rejection):
            guard let request else { return }
            if let numbers = messages.removeValue(forKey: request) {
                machine.rejected(numbers, rejection, at: now)
            } else if let question = questions.removeValue(forKey: request) {
                question.answer.resume(returning: reply)
            }
        case .queue, .flushed, .blocked, .events, .gap, .snapshot, .failed, .ordered, .project,
            .done:
            guard let request, let question = questions.removeValue(forKey: request) else { return }
            question.answer.resume(returning: reply)
        }
    }

    private func send(_ batch: [EditItem], over socket: LoopSocket) {
        requestCount += 1
        messages[requestCount] = batch.map(\.number)
        if messages.count > 4_096, let oldest = messages.keys.min() { messages[oldest] = nil }
        let request = ClientRequest.edits(project: project, producer: id, batch)
        // Not sent is as good as lost: the batch is due again.
        _ = try? socket.send(
            ClientCodec.encode(request, id: Array(String(requestCount).utf8)))
    }

    private func ask(over socket: LoopSocket, at now: Instant) {
        for number in withdrawn.withLock({ numbers in
            defer { numbers = [] }
            return numbers
        }) {
            questions.removeValue(forKey: number)?.answer.resume(throwing: CancellationError())
        }
        for (number, question) in questions {
            if now >= question.deadline {
                questions[number] = nil
                question.answer.resume(throwing: Timeout())
            } else if now >= question.dueAt {
                questions[number]?.dueAt = now + question.askAgainWait
                guard isConnected else { continue }
                _ = try? socket.send(
                    ClientCodec.encode(question.request, id: Array(String(number).utf8)))
            }
        }
    }

    private func makeRoom() {
        let isRoom =
            machine.pendingCount < Self.pendingEditsMax
            && machine.pendingBytes < Self.pendingBytesMax
        let isGivenUp = givesUpRoom.withLock { isGivenUp in
            defer { isGivenUp = false }
            return isGivenUp
        }
        guard !waitingForRoom.isEmpty, isRoom || isGivenUp else { return }
        let waiting = waitingForRoom
        waitingForRoom = []
        for one in waiting { one.resume() }
    }
}
