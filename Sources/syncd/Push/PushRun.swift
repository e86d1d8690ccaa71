import Foundation
import SyncCore
import SyncTransport
import ZeroMQ

/// Pushes the steps of a source over one producer and keeps the books.
struct PushRun {
    /// How often it is looked whether the coordinator still answers.
    private static let lookInterval: Duration = .milliseconds(250)
    /// After this time without an answer a person is told.
    static let complaintAfter: Duration = .seconds(2)

    let producer: Producer
    let books: PushBooks
    let targets: [TargetURL]
    let filter: PathFilter
    /// How long the coordinator may be silent while it owes an answer.
    let silenceMax: Duration

    /// Asks for the most bytes that a content may have, before anything is read: a frame that is
    /// too large would get the connection cut, and everything behind it would wait for ever.
    ///
    /// - Parameter standard: What counts when the coordinator does not tell.
    /// - Throws: `silent` when the coordinator does not answer.
    static func contentBytesMax(
        _ producer: Producer, standard: Int, silenceMax: Duration
    ) async throws -> Int {
        let reply: ClientReply
        do {
            reply = try await producer.ask(
                CommandLink.sign, patience: min(silenceMax, complaintAfter))
        } catch let silence as Producer.Silence {
            guard silenceMax > complaintAfter else { throw silence }
            complain(of: producer, silenceMax)
            do {
                reply = try await producer.ask(
                    CommandLink.sign, patience: silenceMax - complaintAfter)
            } catch is Producer.Silence {
                throw Producer.Silence(waited: silenceMax, endpoint: producer.endpoint)
            }
        }
        var limit = standard
        if case .queue(let report) = reply { limit = report.contentBytesMax ?? standard }
        await producer.allow(contentBytes: limit)
        return limit
    }

    /// Tells a person that nobody answers.
    static func complain(of producer: Producer, _ silenceMax: Duration) {
        Terminal.complain(
            "the coordinator at \(producer.endpoint) does not answer; waiting up to "
                + "\(silenceMax.components.seconds) s")
    }

    /// Pushes everything; returns when each edit is answered, or the task is cancelled.
    ///
    /// - Throws: `silent` when the coordinator does not answer.
    func push(_ steps: StepStream) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await feed(steps)
                await books.settle()
            }
            group.addTask { try await watchForSilence() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func feed(_ steps: StepStream) async throws {
        var bar = ProgressBar("push")
        var isFirst = true
        for try await step in steps {
            if Task.isCancelled { break }
            switch step {
            case .edit(let path, let change):
                if filter.excludes(path.text) { continue }
                // Targets are attached by the first edit; they stay the project's.
                let edit = Edit(path: path, change: change, targets: isFirst ? targets : [])
                isFirst = false
                await books.pushing(path, byteCount: change.byteCount)
                _ = await producer.submit(edit)
            case .skipped(let entry): await books.skipped(entry)
            case .commitEnd(_, let index, let count):
                await books.reached(commit: index)
                bar.draw(done: index, total: count, note: "commits")
            }
            let summary = await books.summary
            if summary.commits == 0 { bar.draw(done: summary.pushed, total: nil, note: "edits") }
        }
        await books.settle()
        if !Task.isCancelled {
            let count = await books.summary.pushed
            bar.draw(done: count, total: count, note: "edits answered")
        }
        bar.finish()
    }

    private func watchForSilence() async throws {
        var quietSince = ContinuousClock.now
        var hasComplained = false
        while true {
            try await Task.sleep(for: Self.lookInterval)
            let now = ContinuousClock.now
            if await books.unansweredCount == 0 { quietSince = now }
            if let heardAt = await producer.heardAt, heardAt > quietSince {
                quietSince = heardAt
                hasComplained = false
            }
            let silence = now - quietSince
            if silence >= silenceMax {
                throw Producer.Silence(waited: silenceMax, endpoint: producer.endpoint)
            }
            if silence >= Self.complaintAfter, !hasComplained {
                hasComplained = true
                Self.complain(of: producer, silenceMax)
            }
        }
    }
}
