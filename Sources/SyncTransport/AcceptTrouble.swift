import ZeroMQ

/// Connections that could not be accepted, told once in a while instead of every time.
///
/// With all descriptors used up libzmq tries again without a pause (see `SocketEvent.Kind`): tens
/// of thousands of times a second, of which nobody wants a line each.
struct AcceptTrouble {
    /// Events that are read in one pass at most, so that requests get their turn.
    static let eventsPerPassMax = 4_096

    private static let silence: Duration = .seconds(10)
    private var silentUntil: ContinuousClock.Instant?

    /// Whether an event should be told: everything but a failure that was told a moment ago.
    mutating func isWorthTelling(_ event: SocketEvent.Kind) -> Bool {
        guard case .acceptFailed = event else { return true }
        let now = ContinuousClock.now
        if let silentUntil, now < silentUntil { return false }
        silentUntil = now + Self.silence
        return true
    }
}
