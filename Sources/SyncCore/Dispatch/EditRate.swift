/// How often edits are handed to the sandboxes of one scheme, over all workers.
///
/// The generic cell rate algorithm (ITU-T I.371): instead of counting tokens it keeps the moment at
/// which all of them would be back. In any span of time no more edits go than `burst` and
/// `perSecond` for each second of it. The tokens travel with the assignments, so a worker never has
/// one in hand that has to wait.
package struct EditRate: Sendable {
    private let interval: Duration
    private let burst: Int
    private var fullAt: Instant?

    /// Describes a rate; a hundredth of a second's edits may go at once, so that clocks which wake
    /// late do not slow it down.
    ///
    /// - Parameter perSecond: At least 1.
    package init(perSecond: Int) {
        precondition(perSecond > 0, "a rate of zero would hold everything up for ever")
        interval = .seconds(1) / perSecond
        burst = max(1, perSecond / 100)
    }

    /// When so many edits may go at the earliest; a moment that is not later than `now`: at once.
    ///
    /// More than may ever go at once count as so many.
    package func opensAt(for count: Int, at now: Instant) -> Instant {
        let missing = fullAt.map { $0 - now } ?? .zero
        let room = interval * (burst - min(count, burst))
        return missing > room ? now + (missing - room) : now
    }

    /// Counts edits that go now.
    package mutating func take(_ count: Int, at now: Instant) {
        fullAt = max(fullAt ?? now, now) + interval * count
    }
}
