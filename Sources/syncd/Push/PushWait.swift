import SyncCore
import SyncTransport

/// Waits until the edits of a push are visible in the sandboxes, or can't become so now.
///
/// The barrier answers for the whole project. When somebody's file stands against it, it is looked
/// whether it is one of this push: only those count.
struct PushWait {
    /// How it ended.
    struct Outcome: Sendable {
        var isVisible: Bool
        var causes: [Barrier.Cause] = []
        var count = 0
    }

    private static let listedMax = 100
    private static let pause: Duration = .milliseconds(300)

    let producer: Producer
    /// Per path: the newest accepted edit of the push.
    let newest: [EditPath: EditSequence]
    let patience: Duration
    let silenceMax: Duration

    /// Waits.
    ///
    /// - Throws: `silent` when the coordinator does not answer.
    func wait() async throws -> Outcome {
        if newest.isEmpty { return Outcome(isVisible: true) }
        return try await withThrowingTaskGroup(of: Outcome?.self) { group in
            group.addTask { try await ask() }
            group.addTask {
                try await watch()
                return nil
            }
            defer { group.cancelAll() }
            while let outcome = try await group.next() {
                if let outcome { return outcome }
            }
            throw CancellationError()
        }
    }

    private func ask() async throws -> Outcome {
        let end = ContinuousClock.now + patience
        while true {
            let left = end - ContinuousClock.now
            guard left > .zero else {
                return Self.outcome(of: try await causes(of: try await own()))
            }
            let reply: ClientReply
            do {
                reply = try await producer.ask(
                    .flush(project: producer.project, prefix: ""), patience: left)
            } catch is Producer.Silence {
                continue
            }
            switch reply {
            case .flushed: return Outcome(isVisible: true)
            case .blocked:
                let open = try await own()
                if open.allSatisfy({ Self.isHopeless($0) }) { return Self.outcome(of: open) }
                try await Task.sleep(for: Self.pause)
            case .rejected(let rejection) where rejection.code == .busy:
                try await Task.sleep(for: rejection.retryAfter ?? Self.pause)
            case .rejected(let rejection): throw Trouble(rejection.sentence)
            case .edits, .end, .queue, .events, .gap, .snapshot, .failed, .ordered, .project,
                .done:
                throw Trouble("The coordinator gave an answer that does not fit a flush.")
            }
        }
    }

    /// Files of this push that are not at rest because of an edit of this push.
    private func own() async throws -> [FileStatus] {
        var own: [FileStatus] = []
        var after: EditPath?
        while true {
            let reply = try await producer.ask(
                .snapshot(project: producer.project, prefix: "", after: after, countMax: 1_000),
                patience: silenceMax)
            guard case .snapshot(let files, _, _, let next) = reply else {
                throw Trouble("The coordinator gave an answer that does not fit a snapshot.")
            }
            own += files.filter { file in
                guard let sequence = newest[file.path] else { return false }
                return file.sequence == sequence || file.open == sequence
            }
            guard let next else { return own }
            after = next
        }
    }

    /// The files with what the pool says of them where they only wait: that no worker is there, for
    /// instance, which is no trouble of the file's own.
    private func causes(of files: [FileStatus]) async throws -> [FileStatus] {
        guard files.contains(where: \.code.isEmpty) else { return files }
        let reply = try await producer.ask(
            .queue(project: producer.project, prefix: "", after: "", countMax: 1_000),
            patience: silenceMax)
        guard case .queue(let report) = reply else { return files }
        let told = Dictionary(
            report.files.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
        return files.map { file in
            guard file.code.isEmpty, let other = told[file.path] else { return file }
            var file = file
            (file.code, file.reason) = (other.code, other.reason)
            return file
        }
    }

    /// Neither on its way nor between two attempts: waiting does not help.
    private static func isHopeless(_ file: FileStatus) -> Bool {
        switch file.state {
        case "waiting", "blocked", "retrying", "in-hand", "refreshing": false
        default: true
        }
    }

    private static func outcome(of files: [FileStatus]) -> Outcome {
        Outcome(
            isVisible: files.isEmpty,
            causes: files.prefix(listedMax).map {
                Barrier.Cause(
                    path: $0.path.text, state: $0.state, code: $0.code, reason: $0.reason)
            }, count: files.count)
    }

    /// Asks for the queue again and again: a coordinator that is silent is noticed, and a person
    /// sees how much is left.
    private func watch() async throws {
        var bar = ProgressBar("wait")
        defer { bar.finish() }
        var most = 0
        while true {
            let reply = try await producer.ask(
                .queue(project: producer.project, prefix: "", after: "", countMax: 1),
                patience: silenceMax)
            if case .queue(let report) = reply {
                let left = report.counts.pending
                most = max(most, left)
                bar.draw(done: most - left, total: most, note: "visible")
            }
            try await Task.sleep(for: Terminal.isInteractive ? .milliseconds(200) : .seconds(2))
        }
    }
}
