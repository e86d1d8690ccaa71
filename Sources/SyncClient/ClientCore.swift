internal import SyncCore
internal import SyncTransport
internal import ZeroMQ

/// What stands behind a ``SyncClient``: one producer, one ear, the edits that are open, and what is
/// known of every file.
actor ClientCore {
    /// An edit whose end is not known yet.
    private struct OpenEdit {
        let edit: SyncEdit
        let path: EditPath
        /// Submitted before the snapshot was taken: its end may have been told before.
        var isEarly: Bool
        var sequence: EditSequence?
        /// The end, told before the acceptance was (trace C13).
        var outcome: EditOutcome?
    }

    /// Ends that are asked for at once.
    private static let checksMax = 64
    private static let checkPatience: Duration = .seconds(10)

    let producer: Producer
    let ear: StatusEar
    let contentBytesMax = WireLimits().contentBytesMax
    private let context: Context
    private let loop: SocketLoop
    private let checks: AsyncStream<Void>
    private let checksIn: AsyncStream<Void>.Continuation
    /// Edits whose ends must be asked for.
    private var toCheck: Set<UInt64> = []

    private var open: [UInt64: OpenEdit] = [:]
    private var submitting = 0
    /// What was heard of edits that are not registered yet.
    private var strays: [UInt64: (updates: [ProducerMachine.Update], outcome: EditOutcome?)] = [:]
    private var newestUnanswered: [EditPath: UInt64] = [:]
    private var refusals: [EditPath: SyncError] = [:]
    private var board = StatusBoard()
    private var isLoaded = false
    /// Edits that the snapshot showed as open: their ends come as events.
    private var openAtSnapshot: Set<EditSequence> = []
    private var listeners: [StateListener] = []
    private var isClosed = false

    init(_ settings: SyncClient.Settings, project: ProjectName, name: Name) throws(ZeroMQError) {
        context = try Context()
        loop = try SocketLoop(name: "sync-client", context: context)
        producer = Producer(endpoint: settings.intake, project: project, name: name, on: loop)
        ear = StatusEar(
            settings.status, prefix: EventCursor.Scope.project(project).prefix, on: loop)
        (checks, checksIn) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Connects; the coordinator may start later.
    func connect() async throws(ZeroMQError) {
        do throws(ZeroMQError) {
            try await producer.open()
            try await ear.open()
        } catch {
            await end()
            throw error
        }
    }

    /// Listens until the loop is stopped.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await update in self.producer.updates { await self.take(update) } }
            group.addTask { await self.follow() }
            group.addTask { await self.checkEnds() }
        }
    }

    // MARK: Edits

    /// Takes an edit; waits while too many are unanswered.
    func submit(_ edit: Edit) async throws(SyncError) -> SyncEdit {
        if isClosed { throw .closed }
        refusals[edit.path] = nil
        submitting += 1
        let number = await producer.submit(edit)
        submitting -= 1
        let handle = SyncEdit(
            path: edit.path.text,
            id: EditReference(EditID(producer: producer.id, number: number)),
            acceptance: Promise(), ending: Promise())
        open[number] = OpenEdit(edit: handle, path: edit.path, isEarly: !isLoaded)
        newestUnanswered[edit.path] = max(newestUnanswered[edit.path] ?? 0, number)
        if isClosed { fail(number, .closed) }
        if let stray = strays.removeValue(forKey: number) {
            if let outcome = stray.outcome { open[number]?.outcome = outcome }
            for update in stray.updates { take(update) }
        }
        if submitting == 0 { strays = [:] }
        changed(edit.path)
        return handle
    }

    /// Own edits below a prefix that have no answer yet.
    func unanswered(below prefix: String) -> [SyncEdit] {
        open.values.filter { $0.sequence == nil && $0.path.isCovered(by: prefix) }.map(\.edit)
    }

    private func take(_ update: ProducerMachine.Update) {
        switch update {
        case .accepted(let number, let sequence, let end):
            guard known(number, update) else { return }
            accepted(number, sequence, end.map { EditOutcome($0) })
        case .rejected(let number, let rejection):
            guard known(number, update) else { return }
            let error = SyncError(rejection)
            if rejection.code == .overtaken {
                replaced(number, error, by: rejection.by?.value)
            } else {
                fail(number, error)
            }
        case .dropped(let number, _):
            guard known(number, update) else { return }
            let error = SyncError(
                .superseded, "A newer edit of the file took its place before it was sent.")
            replaced(number, error, by: nil)
        case .unknown(let number):
            guard known(number, update) else { return }
            fail(
                number,
                SyncError(
                    .unknown,
                    "The coordinator did not answer for two minutes; the edit may or may not have "
                        + "been accepted. Push the file again when it answers."))
        case .ended(let number, _, let end): finish(number, EditOutcome(end))
        }
    }

    /// Whether an edit is registered; keeps the update for later when it is about to be.
    private func known(_ number: UInt64, _ update: ProducerMachine.Update) -> Bool {
        if open[number] != nil { return true }
        if submitting > 0 { strays[number, default: ([], nil)].updates.append(update) }
        return false
    }

    private func accepted(_ number: UInt64, _ sequence: EditSequence, _ end: EditOutcome?) {
        guard let entry = open[number] else { return }
        open[number]?.sequence = sequence
        entry.edit.acceptance.resolve(.success(sequence.value))
        _ = board.accepted(sequence, of: entry.path)
        answered(number, entry.path)
        if let outcome = end ?? entry.outcome {
            finish(number, outcome)
        } else if entry.isEarly, isLoaded, !openAtSnapshot.contains(sequence) {
            check(number)
        }
    }

    private func finish(_ number: UInt64, _ outcome: EditOutcome) {
        guard let entry = open[number] else {
            if submitting > 0 { strays[number, default: ([], nil)].outcome = outcome }
            return
        }
        guard entry.sequence != nil else {
            open[number]?.outcome = outcome
            return
        }
        open[number] = nil
        if case .synced(let version) = outcome, let sequence = entry.sequence,
            board.synced(sequence, of: entry.path, version: Version(version))
        {
            changed(entry.path)
        }
        entry.edit.ending.resolve(.success(outcome))
    }

    private func replaced(_ number: UInt64, _ error: SyncError, by sequence: UInt64?) {
        guard let entry = open.removeValue(forKey: number) else { return }
        entry.edit.acceptance.resolve(.failure(error))
        entry.edit.ending.resolve(.success(.superseded(by: sequence)))
        answered(number, entry.path)
    }

    private func fail(_ number: UInt64, _ error: SyncError) {
        guard let entry = open.removeValue(forKey: number) else { return }
        if newestUnanswered[entry.path] == number { refusals[entry.path] = error }
        entry.edit.acceptance.resolve(.failure(error))
        entry.edit.ending.resolve(.failure(error))
        answered(number, entry.path)
    }

    private func answered(_ number: UInt64, _ path: EditPath) {
        if newestUnanswered[path] == number { newestUnanswered[path] = nil }
        changed(path)
    }

    // MARK: Ends that no event will tell

    /// Asks for ends of edits that may have ended before this client could hear it.
    private func checkEnds() async {
        for await _ in checks {
            while !toCheck.isEmpty, !isClosed {
                let batch = toCheck.prefix(Self.checksMax)
                toCheck.subtract(batch)
                await withTaskGroup(of: Void.self) { group in
                    for number in batch { group.addTask { await self.checkEnd(of: number) } }
                }
            }
        }
    }

    private func check(_ number: UInt64) {
        toCheck.insert(number)
        checksIn.yield()
    }

    private func checkEnd(of number: UInt64) async {
        guard let entry = open[number] else { return }
        let id = EditID(producer: producer.id, number: number)
        do {
            let reply = try await producer.ask(
                .wait(project: producer.project, id), patience: Self.checkPatience)
            if case .end(_, _, let end) = reply { finish(number, EditOutcome(end)) }
            if case .rejected(let rejection) = reply, rejection.code == .unknown,
                open.removeValue(forKey: number) != nil
            {
                entry.edit.ending.resolve(.failure(SyncError(rejection)))
            }
        } catch {
            // No answer: it has not ended yet, or the coordinator is away.
        }
        if open[number] != nil { toCheck.insert(number) }
    }

    // MARK: What happens in the project

    private func follow() async {
        while !isClosed {
            let notices = await ear.listen()
            guard await isMarked(notices), let cursor = await load() else { return }
            var follower = EventFollower(cursor, notices: notices, producer: producer)
            do {
                while let item = try await follower.next() {
                    guard take(item) else { break }
                }
            } catch {
                // The log was refused; a new snapshot tells where everything stands.
            }
            forgetSnapshot()
        }
    }

    private func isMarked(_ notices: AsyncStream<StatusSubscriber.Notice>) async -> Bool {
        for await notice in notices {
            if case .mark = notice { return true }
        }
        return false
    }

    /// Takes a snapshot, page by page, each with its own number.
    private func load() async -> EventCursor? {
        board.beginSnapshot()
        openAtSnapshot = []
        var cursor: EventCursor?
        var after: EditPath?
        while !isClosed {
            let request = ClientRequest.snapshot(
                project: producer.project, prefix: "", after: after, countMax: 1_000)
            let reply: ClientReply
            do {
                reply = try await producer.ask(request, patience: .seconds(30))
            } catch is Producer.Silence {
                continue
            } catch {
                return nil
            }
            guard case .snapshot(let files, let number, let projectNumber, let next) = reply else {
                // Busy, most likely; a pause keeps the questions from becoming a flood.
                try? await Task.sleep(for: .seconds(1))
                continue
            }
            if cursor == nil {
                cursor = EventCursor(
                    .project(producer.project), after: number, own: projectNumber)
            }
            for path in board.take(page: files, number: number, next: next) { changed(path) }
            for file in files {
                openAtSnapshot.insert(file.sequence)
                if let older = file.open { openAtSnapshot.insert(older) }
            }
            after = next
            if next == nil { break }
        }
        loaded()
        return cursor
    }

    private func loaded() {
        isLoaded = true
        for (number, entry) in open where entry.isEarly {
            guard let sequence = entry.sequence, !openAtSnapshot.contains(sequence) else {
                continue
            }
            check(number)
        }
    }

    private func forgetSnapshot() {
        isLoaded = false
        for number in open.keys { open[number]?.isEarly = true }
    }

    /// Takes what the follower tells; false when a new snapshot is needed.
    private func take(_ item: EventFollower.Item) -> Bool {
        switch item {
        case .event(let event):
            if event.kind.isEnd, let id = event.id, id.producer == producer.id {
                finish(id.number, EditOutcome(event))
            }
            if let path = board.take(event) { changed(path) }
            return true
        case .connection: return true
        case .gap: return false
        case .rewound:
            board = StatusBoard()
            return false
        }
    }

    // MARK: File states

    /// A file as it is now.
    func state(of path: EditPath) -> FileState {
        FileState(
            board[path], isOwnUnanswered: newestUnanswered[path] != nil, refusal: refusals[path])
    }

    /// Has a listener told of every change; at first of what is not at rest.
    func listen(below prefix: String) -> StateListener {
        let listener = StateListener(prefix: prefix)
        if isClosed { listener.finish() }
        for view in board.restless { listener.changed(view.path) }
        for path in newestUnanswered.keys { listener.changed(path) }
        listeners.append(listener)
        return listener
    }

    private func changed(_ path: EditPath) {
        if listeners.isEmpty { return }
        listeners.removeAll { !$0.changed(path) }
    }

    // MARK: The end

    /// Takes no more edits and ends the sockets; what has no answer by then never gets one.
    func close() async {
        if isClosed { return }
        isClosed = true
        checksIn.finish()
        await end()
        let unanswered = SyncError(
            .unknown,
            "The client was closed before the coordinator answered; the edit may or may not have "
                + "been accepted.")
        for number in open.keys.sorted() {
            guard let entry = open.removeValue(forKey: number) else { continue }
            entry.edit.acceptance.resolve(.failure(unanswered))
            entry.edit.ending.resolve(.failure(entry.sequence == nil ? unanswered : .closed))
        }
        for listener in listeners { listener.finish() }
        listeners = []
    }

    /// Takes no more edits from now on.
    func refuseEdits() { isClosed = true }

    private func end() async {
        await loop.stop()
        context.shutdown()
        _ = context.terminate(within: .seconds(2))
    }
}
