import OrderedCollections
package import SyncCore

/// What a producer decides: which edits to send when, by the duties of the protocol.
///
///     submitted ──over the limit──▶ refused here, never sent
///     unsent ──send──▶ unanswered ──accepted, refused──▶ gone
///                      unanswered ──busy──▶ unanswered, sent again later with the same number
///                      unanswered ──2 minutes──▶ unknown, never sent again
///     unsent ──newer edit of the file──▶ dropped
///
/// Numbers are given at submission, in order. No number is sent that is 4,096 or more above the
/// lowest unanswered one.
package struct ProducerMachine: Sendable {
    /// What became of an edit.
    package enum Update: Sendable, Equatable {
        /// Durable; its end too, if it is known.
        case accepted(number: UInt64, sequence: EditSequence, end: EditEnd?)
        /// Refused for good.
        case rejected(number: UInt64, Rejection)
        /// Never sent: a newer edit of the same file took its place.
        case dropped(number: UInt64, by: UInt64)
        /// Given up without an answer: it may or may not have been accepted.
        case unknown(number: UInt64)
        /// The end of an accepted edit.
        case ended(number: UInt64, sequence: EditSequence, EditEnd)
    }

    /// Times and sizes.
    package struct Settings: Sendable {
        /// Content of one edit, in bytes: a larger one would only get its connection cut.
        package var contentBytesMax = WireLimits().contentBytesMax
        /// Edits in one message.
        package var batchEditsMax = 256
        /// Bytes of content in one message; one edit always fits.
        package var batchBytesMax = 4 << 20
        /// Bytes of content that may be unanswered; one edit always fits.
        package var unansweredBytesMax = 64 << 20
        /// Wait for an answer before an edit is sent again.
        package var resendWait: Duration = .seconds(5)
        /// Time after which an unanswered edit is given up.
        package var patience: Duration = .seconds(120)

        /// The protocol's defaults.
        package init() {}
    }

    private struct Pending {
        let edit: Edit
        let submittedAt: Instant
        var dueAt: Instant
    }

    private var settings: Settings
    private var lastNumber: UInt64 = 0
    private var unsent: OrderedDictionary<UInt64, Pending> = [:]
    private var unsentOfFile: [EditPath: UInt64] = [:]
    private var unanswered: OrderedDictionary<UInt64, Pending> = [:]
    private var unsentBytes = 0
    private var unansweredBytes = 0
    private var updates: [Update] = []

    /// A producer that has pushed nothing yet.
    package init(settings: Settings = Settings()) { self.settings = settings }

    /// Edits not yet answered, unsent ones included.
    package var pendingCount: Int { unsent.count + unanswered.count }

    /// Bytes of their content.
    package var pendingBytes: Int { unsentBytes + unansweredBytes }

    /// Takes what became of edits since the last call, in order.
    package mutating func takeUpdates() -> [Update] {
        defer { updates = [] }
        return updates
    }

    /// Takes over what the coordinator says of the largest content.
    package mutating func allow(contentBytes: Int) { settings.contentBytesMax = contentBytes }

    /// Takes an edit; an unsent older one of the same file is dropped.
    ///
    /// One that is too large is refused at once, and changes nothing else.
    ///
    /// - Returns: The edit's number.
    package mutating func submit(_ edit: Edit, at now: Instant) -> UInt64 {
        lastNumber += 1
        guard edit.change.byteCount <= settings.contentBytesMax else {
            updates.append(
                .rejected(
                    number: lastNumber,
                    Rejection(
                        .tooLarge,
                        "The content has \(edit.change.byteCount) bytes, more than the "
                            + "\(settings.contentBytesMax) allowed; it was not sent.")))
            return lastNumber
        }
        if let older = unsentOfFile[edit.path], let dropped = unsent.removeValue(forKey: older) {
            unsentBytes -= dropped.edit.change.byteCount
            updates.append(.dropped(number: older, by: lastNumber))
        }
        unsent[lastNumber] = Pending(edit: edit, submittedAt: now, dueAt: now)
        unsentOfFile[edit.path] = lastNumber
        unsentBytes += edit.change.byteCount
        return lastNumber
    }

    /// The connection was made anew: whatever was not answered may be lost and goes again.
    package mutating func reconnected(at now: Instant) {
        for number in unanswered.keys { unanswered[number]?.dueAt = now }
    }

    /// Takes an answer.
    package mutating func answered(_ answer: EditAnswer, at now: Instant) {
        guard let pending = unanswered[answer.number] else { return }
        switch answer.result {
        case .success(let acceptance):
            forget(answer.number)
            updates.append(
                .accepted(
                    number: answer.number, sequence: acceptance.sequence, end: acceptance.end))
        case .failure(let rejection) where rejection.code == .busy:
            // The number stays; only acceptances are remembered over there (trace A3).
            unanswered[answer.number]?.dueAt =
                now + (rejection.retryAfter ?? .milliseconds(200))
            _ = pending
        case .failure(let rejection):
            forget(answer.number)
            updates.append(.rejected(number: answer.number, rejection))
        }
    }

    /// Takes an edit's end.
    package mutating func ended(_ number: UInt64, sequence: EditSequence, _ end: EditEnd) {
        updates.append(.ended(number: number, sequence: sequence, end))
    }

    /// A message as a whole was refused: its edits were not accepted.
    package mutating func rejected(_ numbers: [UInt64], _ rejection: Rejection, at now: Instant) {
        for number in numbers {
            answered(EditAnswer(number: number, result: .failure(rejection)), at: now)
        }
    }

    /// The batches that are to be sent now, each in the order of numbers.
    package mutating func due(at now: Instant) -> [[EditItem]] {
        giveUp(at: now)
        let low = unanswered.keys.min() ?? unsent.keys.first ?? 0
        var numbers = unanswered.filter { $0.value.dueAt <= now }.keys.sorted()
        for number in numbers { unanswered[number]?.dueAt = now + settings.resendWait }
        while let (number, pending) = unsent.elements.first,
            number < low + ProducerWindow.length,
            unanswered.isEmpty
                || unansweredBytes + pending.edit.change.byteCount <= settings.unansweredBytesMax
        {
            unsent.removeFirst()
            if unsentOfFile[pending.edit.path] == number { unsentOfFile[pending.edit.path] = nil }
            unsentBytes -= pending.edit.change.byteCount
            unansweredBytes += pending.edit.change.byteCount
            var sent = pending
            sent.dueAt = now + settings.resendWait
            unanswered[number] = sent
            numbers.append(number)
        }
        return batches(of: numbers)
    }

    /// When something is due; nil when nothing waits.
    package var nextDeadline: Instant? {
        unanswered.values.map { min($0.dueAt, $0.submittedAt + settings.patience) }.min()
    }

    private mutating func giveUp(at now: Instant) {
        for (number, pending) in unanswered.elements
        where now >= pending.submittedAt + settings.patience {
            forget(number)
            updates.append(.unknown(number: number))
        }
    }

    private mutating func forget(_ number: UInt64) {
        guard let gone = unanswered.removeValue(forKey: number) else { return }
        unansweredBytes -= gone.edit.change.byteCount
    }

    private func batches(of numbers: [UInt64]) -> [[EditItem]] {
        var batches: [[EditItem]] = []
        var batch: [EditItem] = []
        var bytes = 0
        for number in numbers {
            guard let pending = unanswered[number] else { continue }
            let size = pending.edit.change.byteCount
            let isFull =
                batch.count >= settings.batchEditsMax || bytes + size > settings.batchBytesMax
            if !batch.isEmpty, isFull {
                batches.append(batch)
                batch = []
                bytes = 0
            }
            batch.append(EditItem(number: number, edit: .success(pending.edit)))
            bytes += size
        }
        if !batch.isEmpty { batches.append(batch) }
        return batches
    }
}
