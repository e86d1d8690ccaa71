import Foundation
import SyncCore
import SyncTransport
import ZeroMQ

/// Pushes the steps of a source over one producer and keeps the books.
struct PushRun {
    /// What became of everything that was pushed.
    struct Summary: Codable, Sendable {
        var project: String
        var producer: String
        var pushed = 0
        var accepted = 0
        var dropped = 0
        var refused = 0
        var unknown = 0
        var commits = 0
        var bytes = 0
        var lastSequence: UInt64 = 0
        var visible: Bool?
        var skipped = SkippedReport()
        var refusals: [String] = []

        /// Whether every edit was accepted, or overtaken by a newer one of this run.
        var isComplete: Bool { refused == 0 && unknown == 0 }
    }

    let producer: Producer
    let targets: [TargetURL]
    /// Edits that are expected, for the bar; nil when unknown.
    var total: Int?

    /// Pushes everything; returns when each edit is answered.
    func push(_ steps: StepStream) async throws -> Summary {
        var summary = Summary(project: producer.project.text, producer: producer.id.text)
        let answers = Answers()
        let updates = producer.updates
        async let counted: Void = answers.count(updates)
        var bar = ProgressBar("push")
        for try await step in steps {
            switch step {
            case .edit(let path, let change):
                summary.pushed += 1
                summary.bytes += change.byteCount
                // Targets are attached by the first edit; they stay the project's.
                let named = summary.pushed == 1 ? targets : []
                _ = await producer.submit(Edit(path: path, change: change, targets: named))
            case .skipped(let entry): summary.skipped.add(entry)
            case .commitEnd(_, let index, let count):
                summary.commits = index
                bar.draw(done: index, total: count, note: "commits, \(summary.pushed) edits")
            }
            if summary.commits == 0 { bar.draw(done: summary.pushed, total: total) }
        }
        await answers.reach(summary.pushed)
        bar.draw(done: 1, total: 1, note: "\(summary.pushed) edits answered")
        bar.finish()
        await producer.loop.stop()
        await counted
        await answers.fill(&summary)
        return summary
    }
}

/// Counts answers as they come.
actor Answers {
    private var accepted = 0
    private var dropped = 0
    private var unknown = 0
    private var refusals: [String] = []
    private var refused = 0
    private var lastSequence: UInt64 = 0
    private var goal: (count: Int, done: CheckedContinuation<Void, Never>)?

    private var answered: Int { accepted + dropped + refused + unknown }

    /// Counts until the stream ends.
    func count(_ updates: AsyncStream<ProducerMachine.Update>) async {
        for await update in updates { take(update) }
        goal?.done.resume()
        goal = nil
    }

    /// Waits until so many edits are answered.
    func reach(_ count: Int) async {
        if answered >= count { return }
        await withCheckedContinuation { goal = (count, $0) }
    }

    /// Writes the counts down.
    func fill(_ summary: inout PushRun.Summary) {
        summary.accepted = accepted
        summary.dropped = dropped
        summary.refused = refused
        summary.unknown = unknown
        summary.refusals = refusals
        summary.lastSequence = lastSequence
    }

    private func take(_ update: ProducerMachine.Update) {
        switch update {
        case .accepted(_, let sequence, _):
            accepted += 1
            lastSequence = max(lastSequence, sequence.value)
        case .dropped: dropped += 1
        case .rejected(_, let rejection) where rejection.code == .overtaken: dropped += 1
        case .rejected(let number, let rejection):
            refused += 1
            if refusals.count < 10 {
                refusals.append("#\(number): \(rejection.code.rawValue): \(rejection.sentence)")
            }
        case .unknown: unknown += 1
        case .ended: return
        }
        guard let waiting = goal, answered >= waiting.count else { return }
        waiting.done.resume()
        goal = nil
    }
}
