internal import SyncCore
internal import SyncTransport
internal import ZeroMQ

/// A connection of one project to a coordinator: pushes edits, and tells what becomes of them.
///
/// The coordinator may start later, and may restart at any time: edits are sent again under their
/// own numbers until they are answered, at most two minutes; questions are asked again. Close the
/// client at the end, or use ``with(_:project:name:_:)``, which does.
public final class SyncClient: Sendable {
    /// Where the coordinator listens.
    public struct Settings: Sendable, Hashable {
        /// Endpoint for edits and questions.
        public var intake: String
        /// Endpoint of the status channel.
        public var status: String

        /// The endpoints of a coordinator that was started without any.
        public init(
            intake: String = "tcp://127.0.0.1:7461", status: String = "tcp://127.0.0.1:7463"
        ) {
            self.intake = intake
            self.status = status
        }
    }

    /// The project, whose files this client edits.
    public let project: String
    /// This life of the client: the name for people, and 64 random bits.
    public var producer: String { core.producer.id.text }

    private let core: ClientCore
    private let running: Task<Void, Never>

    private init(project: String, core: ClientCore) {
        self.project = project
        self.core = core
        // The one task of a client, awaited by `close`: a library has no caller to run in.
        running = Task { await core.run() }
    }

    // MARK: Life

    /// Connects; returns at once, whether or not a coordinator is there.
    ///
    /// - Parameters:
    ///   - settings: Where the coordinator listens.
    ///   - project: Letters, digits, `_`, `-` and `.`, at most 128, not beginning with `.`.
    ///   - name: A name for people, shown beside this client's edits; of the same letters.
    /// - Throws: ``SyncError/Code/invalidArgument``, or ``SyncError/Code/transport``.
    public static func connect(
        _ settings: Settings = Settings(), project: String, name: String = "swift"
    ) async throws(SyncError) -> SyncClient {
        guard let projectName = Name(project), let personName = Name(name) else {
            throw SyncError(
                .invalidArgument,
                "Project and name must be 1 to \(Name.bytesMax) of A-Z a-z 0-9 _ - and '.', and "
                    + "not begin with '.'.")
        }
        do {
            let core = try ClientCore(settings, project: projectName, name: personName)
            try await core.connect()
            return SyncClient(project: project, core: core)
        } catch {
            throw SyncError(
                .transport,
                "\(error) Check the endpoints \(settings.intake) and \(settings.status).")
        }
    }

    /// Connects, runs a body, and closes, whatever the body does.
    public static func with<Value: Sendable>(
        _ settings: Settings = Settings(), project: String, name: String = "swift",
        _ body: (SyncClient) async throws -> Value
    ) async throws -> Value {
        let client = try await connect(settings, project: project, name: name)
        do {
            let value = try await body(client)
            await client.close()
            return value
        } catch {
            await client.close()
            throw error
        }
    }

    /// Closes, once every edit is answered, or after some time.
    ///
    /// An edit without an answer by then ends with ``SyncError/Code/unknown``; one that was
    /// accepted goes on without this client, and only its end is not told here.
    ///
    /// - Parameter patience: How long answers are waited for.
    public func close(patience: Duration = .seconds(5)) async {
        let unanswered = await core.unanswered(below: "")
        if !unanswered.isEmpty { _ = await Self.answered(unanswered, within: patience) }
        await core.close()
        await running.value
    }

    // MARK: Edits

    /// Pushes the whole state of a file.
    ///
    /// Returns as soon as the edit has its number, which fixes its order; waits before that only
    /// while 8,192 edits or 64 MiB of this client have no answer. A newer edit of the file replaces
    /// an older one wherever it waits, in this client too.
    ///
    /// - Parameters:
    ///   - path: Relative to the project, with `/`.
    ///   - content: All of it, at most 16 MiB.
    ///   - isExecutable: What the file is from now on; not "as before".
    ///   - targets: Sandboxes to attach to the project, as `local:NAME`.
    ///   - expectedVersion: Take the edit only on top of this version of the store.
    /// - Throws: ``SyncError/Code/invalidPath``, ``SyncError/Code/tooLarge``,
    ///   ``SyncError/Code/invalidArgument`` or ``SyncError/Code/closed``; nothing was sent then.
    @discardableResult
    public func editFile(
        _ path: String, _ content: [UInt8], isExecutable: Bool = false, targets: [String] = [],
        expectedVersion: UInt64? = nil
    ) async throws(SyncError) -> SyncEdit {
        guard content.count <= core.contentBytesMax else {
            throw SyncError(
                .tooLarge,
                "The content has \(content.count) bytes, more than the \(core.contentBytesMax) "
                    + "allowed; nothing was sent.")
        }
        return try await push(
            path, .put(Content(content), isExecutable: isExecutable), targets, expectedVersion)
    }

    /// Pushes the whole state of a text file, as UTF-8.
    @discardableResult
    public func editFile(
        _ path: String, text: String, isExecutable: Bool = false, targets: [String] = [],
        expectedVersion: UInt64? = nil
    ) async throws(SyncError) -> SyncEdit {
        try await editFile(
            path, Array(text.utf8), isExecutable: isExecutable, targets: targets,
            expectedVersion: expectedVersion)
    }

    /// Pushes the removal of a file.
    @discardableResult
    public func deleteFile(
        _ path: String, expectedVersion: UInt64? = nil
    ) async throws(SyncError) -> SyncEdit {
        try await push(path, .delete, [], expectedVersion)
    }

    private func push(
        _ path: String, _ change: FileChange, _ targets: [String], _ version: UInt64?
    ) async throws(SyncError) -> SyncEdit {
        var urls: [TargetURL] = []
        for target in targets {
            guard let url = TargetURL(target) else {
                throw SyncError(
                    .invalidArgument,
                    "A target must be SCHEME:NAME with a scheme of "
                        + "\(TargetURL.schemes.joined(separator: ", ")).")
            }
            urls.append(url)
        }
        return try await core.submit(
            Edit(
                path: try Self.path(path), change: change, targets: urls,
                expectedVersion: version.map { Version($0) }))
    }

    private static func path(_ text: String) throws(SyncError) -> EditPath {
        do throws(EditPath.Flaw) {
            return try EditPath(text)
        } catch {
            throw SyncError(.invalidPath, error.sentence)
        }
    }

    /// Waits for the end of an edit, also of another client or an earlier life.
    ///
    /// - Throws: ``SyncError/Code/unknown`` when no such edit is remembered,
    ///   ``SyncError/Code/timedOut`` when it has not ended in time.
    public func outcome(
        of id: EditReference, timeout: Duration
    ) async throws(SyncError) -> EditOutcome {
        guard let producer = ProducerID(id.producer) else {
            throw SyncError(.invalidArgument, "The edit's producer must be NAME/LIFE.")
        }
        let question = ClientRequest.wait(
            project: core.producer.project, EditID(producer: producer, number: id.number))
        let reply = try await ask(question, timeout: timeout, whatFor: "the end of the edit")
        guard case .end(_, _, let end) = reply else { throw Self.unfitting }
        return EditOutcome(end)
    }

    // MARK: Questions

    /// The project's queue now.
    public func queueStatus(timeout: Duration = .seconds(10)) async throws(SyncError) -> QueueStatus
    {
        let project = core.producer.project
        let reply = try await ask(
            .queue(project: project, prefix: "", after: "", countMax: 1), timeout: timeout,
            whatFor: "the queue")
        guard case .queue(let report) = reply else { throw Self.unfitting }
        return QueueStatus(report, project: project)
    }

    /// Waits until everything pushed so far is visible in the sandboxes: what an agent calls before
    /// it runs the tests.
    ///
    /// Own edits are waited for until they are accepted, then the coordinator answers for
    /// everybody's.
    ///
    /// - Parameter prefix: Only this path and what is below it.
    /// - Throws: ``SyncError/Code/timedOut``; what is left is in ``queueStatus(timeout:)``.
    public func flush(
        prefix: String = "", timeout: Duration = .seconds(60)
    ) async throws(SyncError) -> FlushResult {
        let end = ContinuousClock.now + timeout
        let unanswered = await core.unanswered(below: prefix)
        guard await Self.answered(unanswered, within: timeout) else {
            throw SyncError(
                .timedOut,
                "\(unanswered.count) edits had no answer within \(timeout); check that the "
                    + "coordinator runs.")
        }
        let reply = try await ask(
            .flush(project: core.producer.project, prefix: prefix),
            timeout: end - ContinuousClock.now, whatFor: "the flush")
        switch reply {
        case .flushed(let through): return .visible(through: through.value)
        case .blocked(let files, let count):
            return .blocked(files.map { BlockedFile($0) }, count: count)
        case .edits, .end, .queue, .events, .gap, .snapshot, .failed, .ordered, .project, .done,
            .rejected:
            throw Self.unfitting
        }
    }

    /// Waits for answers; false when time is up.
    private static func answered(_ edits: [SyncEdit], within time: Duration) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                for edit in edits { _ = try? await edit.accepted() }
                return !Task.isCancelled
            }
            group.addTask {
                try? await Task.sleep(for: time)
                return false
            }
            let isAnswered = await group.next() ?? false
            group.cancelAll()
            return isAnswered
        }
    }

    private func ask(
        _ request: ClientRequest, timeout: Duration, whatFor purpose: String
    ) async throws(SyncError) -> ClientReply {
        let end = ContinuousClock.now + timeout
        do {
            while true {
                let left = max(.zero, end - ContinuousClock.now)
                let reply = try await core.producer.ask(request, patience: left)
                guard case .rejected(let rejection) = reply else { return reply }
                guard rejection.code == .busy, ContinuousClock.now < end else { throw rejection }
                try await Task.sleep(for: rejection.retryAfter ?? .milliseconds(200))
            }
        } catch is Producer.Silence {
            throw SyncError(
                .timedOut,
                "There was no answer to \(purpose) within \(timeout); check that the coordinator "
                    + "runs, or wait longer.")
        } catch {
            throw SyncError(asking: error)
        }
    }

    private static let unfitting = SyncError(
        .unsupportedVersion, "The coordinator gave an answer that does not fit the question.")

    // MARK: What happens

    /// A file's state now.
    public func fileState(of path: String) async throws(SyncError) -> FileState {
        await core.state(of: try Self.path(path))
    }

    /// States of files as they change: what an editor shows beside each.
    ///
    /// - Parameter prefix: Only this path and what is below it.
    public func fileStates(prefix: String = "") async -> FileStates {
        FileStates(core: core, listener: await core.listen(below: prefix))
    }

    /// Events of the project, without a hole.
    ///
    /// - Parameters:
    ///   - number: Begin with this event, for instance one after the last that was handled; nil:
    ///     with whatever happens next.
    ///   - prefix: Only this path and what is below it, and what concerns the whole project.
    public func events(from number: UInt64? = nil, prefix: String = "") async -> SyncEvents {
        SyncEvents(
            cursor: EventCursor(.project(core.producer.project), from: number),
            notices: await core.ear.listen(), producer: core.producer, prefix: prefix)
    }
}
