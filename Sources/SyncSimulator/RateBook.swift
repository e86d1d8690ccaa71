import DequeModule
import SyncCore

/// What was handed to the sandboxes of each scheme in the last second of the coordinator's time.
struct RateBook {
    private var handed: [String: Deque<Instant>] = [:]

    /// Notes one edit for one sandbox.
    ///
    /// - Returns: A sentence when a second had more than its share and what may go at once.
    mutating func handOver(_ scheme: String, _ perSecond: Int, at now: Instant) -> String? {
        var recent = handed[scheme] ?? []
        while let first = recent.first, now - first >= .seconds(1) { recent.removeFirst() }
        recent.append(now)
        handed[scheme] = recent
        // An edit that goes to two sandboxes of the scheme goes to both at once.
        let most = perSecond + perSecond / 100 + 2
        guard recent.count > most else { return nil }
        return "\(recent.count) edits went to '\(scheme)' within a second, and \(perSecond) may"
    }
}
