/// How often edits are handed to the sandboxes of one scheme, over all workers.
///
/// The generic cell rate algorithm (ITU-T I.371): instead of counting tokens it keeps the moment at
/// which all of them would be back. In any span of time no more edits go than ``burst`` and
/// `perSecond` for each second of it.
///
/// An edit for several sandboxes of the scheme goes when there is room for one, and what it takes
/// beyond that is made up for before the next: whoever waits, waits for the same moment.
package struct EditRate: Sendable {
    private let interval: Duration
    /// How many may go at once after a pause.
    let burst: Int
    private var fullAt: Instant?

    /// Describes a rate; beside one edit a hundredth of a second's may go at once, so that clocks
    /// which wake late do not slow it down.
    ///
    /// - Parameter perSecond: At least 1.
    package init(perSecond: Int) {
        precondition(perSecond > 0, "a rate of zero would hold everything up for ever")
        interval = .seconds(1) / perSecond
        burst = 1 + perSecond / 100
    }

    /// When the next edit may go; `now` for at once.
    package func opensAt(_ now: Instant) -> Instant {
        let missing = fullAt.map { $0 - now } ?? .zero
        let room = interval * (burst - 1)
        return missing > room ? now + (missing - room) : now
    }

    /// Counts an edit that goes to one sandbox now.
    package mutating func take(at now: Instant) {
        fullAt = max(fullAt ?? now, now) + interval
    }
}
