import Foundation
import SyncCore
import SyncTransport
import ZeroMQ

/// A command's connection to a coordinator: context, loop and producer, ended in order.
enum CommandLink {
    /// Runs a body with an open producer.
    static func with<R: Sendable>(
        _ endpoint: String, project: ProjectName, name: String = "syncd",
        _ body: (Producer) async throws -> R
    ) async throws -> R {
        let context = try Context()
        let loop = try SocketLoop(name: "command", context: context)
        guard let person = Name(name) else { throw Trouble("'\(name)' is no producer name.") }
        let producer = Producer(endpoint: endpoint, project: project, name: person, on: loop)
        do {
            try await producer.open()
            let result = try await body(producer)
            await end(loop, context)
            return result
        } catch {
            await end(loop, context)
            throw error
        }
    }

    /// Runs a body with a producer whose project does not matter.
    static func with<R: Sendable>(
        _ endpoint: String, _ body: (Producer) async throws -> R
    ) async throws -> R {
        try await with(endpoint, project: projectName("syncd"), body)
    }

    /// A question that is answered at once, however much waits; barriers are not.
    static let sign = ClientRequest.queue(project: nil, prefix: "", after: "", countMax: 0)

    /// Whether the coordinator has ever heard of a project.
    static func knows(
        _ project: ProjectName, _ producer: Producer, patience: Duration = .seconds(10)
    ) async throws -> Bool {
        let reply = try await producer.ask(
            .queue(project: project, prefix: "", after: "", countMax: 1), patience: patience)
        guard case .queue(let report) = reply else { return true }
        return !report.projects.isEmpty
    }

    private static func end(_ loop: SocketLoop, _ context: Context) async {
        await loop.stop()
        context.shutdown()
        _ = context.terminate(within: .seconds(2))
    }
}

/// For a project that the coordinator has never heard of: a typing error, or simply new.
func unknown(_ project: ProjectName) -> String {
    "nothing is known of project \(project): nobody has pushed to it yet"
}

/// Waits until everything under a prefix is visible.
struct Barrier {
    /// How it ended.
    struct Outcome: Codable, Sendable {
        var visible: Bool
        var through: UInt64?
        var causes: [Cause]
        /// How many there are; nil when the time was over.
        var count: Int?
        /// The time was over before anything was decided.
        var timedOut = false
    }

    /// Why a file is not visible.
    struct Cause: Codable, Sendable {
        var path: String
        var state: String
        var code: String
        var reason: String

        /// For a person; a file that only waits for its turn has no cause.
        var sentence: String {
            code.isEmpty ? "\(path) is \(state)" : "\(path) is \(state): \(code): \(reason)"
        }
    }

    let project: ProjectName
    let prefix: String
    let patience: Duration

    /// Asks, and draws how much is left meanwhile.
    ///
    /// - Throws: `silent` when no coordinator answers.
    func wait(_ producer: Producer) async throws -> Outcome {
        let end = ContinuousClock.now + patience
        return try await withThrowingTaskGroup(of: Outcome?.self) { group in
            group.addTask { try await ask(producer, until: end) }
            group.addTask {
                try await complainOfSilence(producer)
                return nil
            }
            if Terminal.isInteractive {
                group.addTask {
                    try await draw(producer)
                    return nil
                }
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    private func ask(
        _ producer: Producer, until end: ContinuousClock.Instant
    ) async throws -> Outcome {
        while true {
            let left = end - ContinuousClock.now
            guard left > .zero else {
                // Tells a pool that is busy from one that is not there.
                _ = try await producer.ask(CommandLink.sign, patience: PushRun.complaintAfter)
                return Outcome(
                    visible: false, through: nil, causes: [], count: nil, timedOut: true)
            }
            let reply: ClientReply
            do {
                reply = try await producer.ask(
                    .flush(project: project, prefix: prefix), patience: left)
            } catch is Producer.Silence {
                continue
            }
            switch reply {
            case .flushed(let through):
                // Nothing of it waits, so this is asked of a coordinator that has little to count.
                if try await isUnknown(producer) { Terminal.complain(unknown(project)) }
                return Outcome(visible: true, through: through.value, causes: [], count: 0)
            case .blocked(let causes, let count):
                return Outcome(
                    visible: false, through: nil,
                    causes: causes.map {
                        Cause(
                            path: $0.path.text, state: $0.state, code: $0.code, reason: $0.reason)
                    }, count: count)
            case .rejected(let rejection) where rejection.code == .busy:
                try await Task.sleep(for: rejection.retryAfter ?? .milliseconds(200))
            case .rejected(let rejection): throw Trouble(rejection.sentence)
            case .edits, .end, .queue, .events, .gap, .snapshot, .failed, .ordered, .project,
                .done:
                throw Trouble("The coordinator gave an answer that does not fit a flush.")
            }
        }
    }

    private func isUnknown(_ producer: Producer) async throws -> Bool {
        do {
            return try await !CommandLink.knows(
                project, producer, patience: PushRun.complaintAfter)
        } catch is Producer.Silence {
            return false  // What was asked for is known already.
        }
    }

    private func complainOfSilence(_ producer: Producer) async throws {
        do {
            _ = try await producer.ask(CommandLink.sign, patience: PushRun.complaintAfter)
        } catch is Producer.Silence {
            PushRun.complain(of: producer, patience)
        }
    }

    private func draw(_ producer: Producer) async throws {
        var bar = ProgressBar("flush")
        var most = 0
        while true {
            let reply = try await producer.ask(
                .queue(project: project, prefix: "", after: "", countMax: 1), patience: .seconds(5))
            guard case .queue(let report) = reply else { return }
            let left = report.counts.pending
            most = max(most, left)
            bar.draw(done: most - left, total: most, note: "visible")
            if left == 0 { break }
            try await Task.sleep(for: .milliseconds(200))
        }
        bar.finish()
    }
}
