import SyncCore
import SyncTransport

/// What a push knows of its own edits.
actor PushBooks {
    private static let listedMax = 10

    private var paths: [EditPath] = []
    private(set) var summary: PushSummary
    /// Per path: the newest accepted edit of this push.
    private(set) var newest: [EditPath: EditSequence] = [:]
    private let changes: AsyncStream<Void>
    private let changesIn: AsyncStream<Void>.Continuation

    init(_ producer: Producer) {
        summary = PushSummary(project: producer.project.text, producer: producer.id.text)
        (changes, changesIn) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Edits that have no answer yet.
    var unansweredCount: Int { summary.pushed - summary.answered }

    /// Notes an edit before it is submitted; numbers are given in the same order.
    func pushing(_ path: EditPath, byteCount: Int) {
        paths.append(path)
        summary.pushed += 1
        summary.bytes += byteCount
    }

    /// Notes what can't be an edit.
    func skipped(_ entry: SkippedEntry) { summary.skipped.add(entry) }

    /// Notes that the edits of so many commits were pushed.
    func reached(commit count: Int) { summary.commits = count }

    /// Notes how the wait ended.
    func waited(_ outcome: PushWait.Outcome) {
        summary.visible = outcome.isVisible
        summary.failed = outcome.count
        summary.failures = outcome.causes
    }

    /// Notes answers until the producer is closed.
    func keep(_ updates: AsyncStream<ProducerMachine.Update>) async {
        for await update in updates { take(update) }
    }

    /// Waits until every edit is answered, or the task is cancelled.
    func settle() async {
        while unansweredCount > 0, !Task.isCancelled {
            var iterator = changes.makeAsyncIterator()
            if await iterator.next(isolation: #isolation) == nil { return }
        }
    }

    private func take(_ update: ProducerMachine.Update) {
        switch update {
        case .accepted(let number, let sequence, _):
            summary.accepted += 1
            summary.lastSequence = max(summary.lastSequence, sequence.value)
            if let path = path(of: number) {
                newest[path] = max(newest[path] ?? .none, sequence)
            }
        case .dropped: summary.dropped += 1
        case .rejected(_, let rejection) where rejection.code == .overtaken: summary.dropped += 1
        case .rejected(let number, let rejection):
            summary.refused += 1
            if summary.refusals.count < Self.listedMax {
                let path = path(of: number)?.text ?? "#\(number)"
                summary.refusals.append(
                    "\(path): \(rejection.code.rawValue): \(rejection.sentence)")
            }
        case .unknown: summary.unknown += 1
        case .ended: return
        }
        changesIn.yield()
    }

    private func path(of number: UInt64) -> EditPath? {
        let place = Int(clamping: number) - 1
        return paths.indices.contains(place) ? paths[place] : nil
    }
}

/// What became of everything that was pushed.
struct PushSummary: Codable, Sendable {
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
    var failed: Int?
    var interrupted = false
    var skipped = SkippedReport()
    var refusals: [String] = []
    var failures: [Barrier.Cause] = []

    init(project: String, producer: String) {
        self.project = project
        self.producer = producer
    }

    /// Edits that were answered, or replaced before they were sent.
    var answered: Int { accepted + dropped + refused + unknown }

    /// Why the push as a whole is no success; nil when every edit was accepted, or overtaken by a
    /// newer one of this run, and nothing was left out that a person would miss.
    var flaw: String? {
        if refused > 0 || unknown > 0 { return "Not every edit was accepted." }
        if skipped.named > 0 { return "Not everything that was named was pushed." }
        let count = skipped.counts[SkippedEntry.Reason.tooLarge.rawValue] ?? 0
        if count == 0 { return nil }
        return (count == 1 ? "1 file was" : "\(count) files were")
            + " too large to be pushed; raise content-mib of coordinator and workers, or leave out "
            + "by --exclude what need not be there."
    }

    /// For people.
    var lines: [String] {
        var line = "\(pushed) \(pushed == 1 ? "edit" : "edits") pushed to \(project)"
        if commits > 0 { line += " from \(commits) commits" }
        line += ": \(accepted) accepted"
        if dropped > 0 { line += ", \(dropped) replaced by newer ones unsent" }
        if refused > 0 { line += ", \(refused) refused" }
        if unknown > 0 { line += ", \(unknown) without an answer" }
        if visible == true { line += "; all visible" }
        if interrupted { line += "; interrupted: what was accepted goes on" }
        return [line] + skipped.lines + refusals
    }
}
