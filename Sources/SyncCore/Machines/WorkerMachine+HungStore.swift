import DequeModule
import OrderedCollections

extension WorkerMachine {
    // A store call that does not come back: its files are given back after the attempt's deadline,
    // so that people read why they wait. No attempt is burnt, and nothing ends. The call may still
    // take effect: the store's own fence, by sequence, makes that harmless (an equal sequence is
    // known, a lower one stale), so another worker may act on the files meanwhile.

    /// Gives back what has waited for the store for a whole deadline while a call hangs.
    mutating func endHungStore(at now: Instant) {
        while let first = reading.first {
            if jobs[first.id]?.isAtStore ?? false {
                guard first.due <= now else { break }
                endUnanswered(first.id)
            }
            reading.removeFirst()
        }
        guard isStoreOverdue(at: now) else { return }
        let overdue = jobs.filter { _, job in
            job.isAtStore && job.takenAt + settings.attemptDeadline <= now
        }
        for id in overdue.keys { endUnanswered(id) }
    }

    private mutating func endUnanswered(_ id: AssignmentID) {
        end(
            id,
            store: .failed(
                Failure(
                    .store, code: "timeout",
                    message: "The store did not answer within "
                        + "\(settings.attemptDeadline.wholeMilliseconds) ms; look whether its disk "
                        + "hangs. Its files wait.")))
    }

    private func isStoreOverdue(at now: Instant) -> Bool {
        [storingDue, bindDue].contains { $0.map { $0 <= now } ?? false }
    }

    /// When the next call is overdue, or the next file behind one that is.
    var storeDeadline: Instant? {
        let calls = [storingDue, bindDue].compactMap(\.self)
        // Calls are due before the files that wait behind them, unless those came earlier.
        let files = calls.isEmpty ? nil : jobs.values.first { $0.isAtStore }?.takenAt
        let behind = files.flatMap { taken in
            calls.min().map { max($0, taken + settings.attemptDeadline) }
        }
        return [behind, reading.first?.due].compactMap(\.self).min()
    }
}
