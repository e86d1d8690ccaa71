import OrderedCollections

/// Reports sent and not yet acknowledged; they are repeated until they are.
///
/// libzmq may lose messages in the middle when a connection breaks, so nothing less than an
/// acknowledgement, which the coordinator sends after its commit, ends a report.
package struct Outbox: Sendable {
    struct Entry: Sendable {
        let report: Report
        /// The assignment behind an outcome: held until it is acknowledged.
        let held: Registration.Held?
        var sentAt: Instant?
    }

    private var entries: OrderedDictionary<UInt64, Entry> = [:]
    private var lastNumber: UInt64 = 0

    /// An empty box.
    package init() {}

    /// Whether everything is acknowledged.
    package var isEmpty: Bool { entries.isEmpty }

    /// Everything, in order.
    package var all: [NumberedReport] {
        entries.map { NumberedReport(number: $0.key, report: $0.value.report) }
    }

    /// Assignments whose outcome is not acknowledged.
    package var held: [Registration.Held] { entries.values.compactMap(\.held) }

    /// Adds a report.
    package mutating func add(_ report: Report, held: Registration.Held? = nil) {
        lastNumber += 1
        entries[lastNumber] = Entry(report: report, held: held)
    }

    /// Forgets acknowledged reports.
    package mutating func acknowledge(_ numbers: [UInt64]) {
        let gone = Set(numbers)
        entries.removeAll { gone.contains($0.key) }
    }

    /// Takes what is to be sent: what never was, or not since `wait` ago.
    package mutating func due(
        at now: Instant, wait: Duration, countMax: Int
    ) -> [NumberedReport] {
        var due: [NumberedReport] = []
        for (number, entry) in entries {
            if due.count == countMax { break }
            if let sentAt = entry.sentAt, now < sentAt + wait { continue }
            due.append(NumberedReport(number: number, report: entry.report))
        }
        for report in due { entries[report.number]?.sentAt = now }
        return due
    }

    /// Everything counts as just sent (it went with a registration).
    package mutating func sentAll(at now: Instant) {
        for number in entries.keys { entries[number]?.sentAt = now }
    }

    /// Forgets everything (a new incarnation starts).
    package mutating func removeAll() { entries = [:] }

    /// When the next repeat is due; nil when there is none.
    package func nextDeadline(wait: Duration) -> Instant? {
        entries.values.compactMap { $0.sentAt.map { $0 + wait } }.min()
    }
}
