/// Grants each incarnation the right to write until a deadline.
///
///     absent ──grant──▶ held ──grant───▶ held
///                       held ──expire──▶ absent
///
/// Time alone ends a lease only in a pass that has read the workers' socket until nothing was left
/// (``expired(at:)`` is called in no other), and every deadline is first moved by the time by which
/// that pass came late: after a pause of the coordinator the heartbeats may still lie in the kernel
/// (trace B3).
package struct LeaseTable: Sendable {
    private var deadlines: [Incarnation: Instant] = [:]
    /// How long a grant lasts.
    package let duration: Duration

    /// A table without leases.
    package init(duration: Duration) { self.duration = duration }

    /// Extends an incarnation's lease from now.
    package mutating func grant(_ incarnation: Incarnation, at now: Instant) {
        deadlines[incarnation] = max(deadlines[incarnation] ?? now, now + duration)
    }

    /// Ends a lease.
    package mutating func end(_ incarnation: Incarnation) { deadlines[incarnation] = nil }

    /// Until when an incarnation may write; nil when it holds no lease.
    package func deadline(of incarnation: Incarnation) -> Instant? { deadlines[incarnation] }

    /// Moves every deadline by the time by which a pass came late.
    package mutating func extendAll(by lateness: Duration) {
        guard lateness > .zero else { return }
        for incarnation in deadlines.keys {
            deadlines[incarnation] = deadlines[incarnation].map { $0 + lateness }
        }
    }

    /// Incarnations whose deadline has passed, in order.
    package func expired(at now: Instant) -> [Incarnation] {
        guard let next = nextDeadline, next <= now else { return [] }
        return deadlines.filter { $0.value <= now }.keys.sorted { $0.count < $1.count }
    }

    /// The next deadline; nil when nobody holds a lease.
    package var nextDeadline: Instant? { deadlines.values.min() }
}
