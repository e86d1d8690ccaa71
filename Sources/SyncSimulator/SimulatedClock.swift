import SyncCore

/// A process's monotonic clock: another zero than everybody else's, and a little too fast or slow.
struct SimulatedClock {
    /// The reading when simulated time was 0.
    private(set) var offset: Nanoseconds
    /// Parts in a million by which it runs fast (or slow).
    let drift: Int64

    /// A clock drawn by chance.
    init(_ chance: inout Chance, driftMax: Int) {
        offset = 1_000_000_000 + chance.millis(0, 100_000)
        drift = Int64(chance.between(-driftMax, driftMax))
    }

    /// It goes on from a later reading.
    mutating func jump(by span: Nanoseconds) { offset += span }

    /// What it shows at a moment.
    func reading(at moment: Nanoseconds) -> Instant {
        let gained = Int64(moment / 1_000) * drift / 1_000
        return Instant(nanoseconds: offset + UInt64(Int64(moment) + gained))
    }

    /// The moment at which it shows a reading, or shortly after.
    func moment(of instant: Instant) -> Nanoseconds {
        guard instant.nanoseconds > offset else { return 0 }
        guard instant.nanoseconds < .max / 4 else { return .max / 4 }
        let shown = Double(instant.nanoseconds - offset)
        var moment = Nanoseconds(shown / (1 + Double(drift) / 1_000_000))
        while reading(at: moment) < instant { moment += 1_000 }
        return moment
    }
}
