internal import Glibc
package import SyncCore

/// The two clocks of a process, read only in shells.
package struct ProcessClock: Sendable {
    private let start: ContinuousClock.Instant

    /// Starts to count.
    ///
    /// A machine's ``Instant`` is the time since then, plus one second, so that zero lies in the
    /// past.
    ///
    /// - Parameter first: The earliest reading that matters; those more than a second before it are
    ///   all zero.
    package init(from first: ContinuousClock.Instant = .now) { start = first - .seconds(1) }

    /// The monotonic clock now.
    ///
    /// `ContinuousClock` goes on while the machine sleeps (trace A6).
    package var now: Instant { instant(ContinuousClock.now) }

    /// A reading as machines understand it.
    package func instant(_ reading: ContinuousClock.Instant) -> Instant {
        Instant(nanoseconds: (reading - start).wholeNanoseconds)
    }

    /// A machine's deadline as the loop understands it.
    package func continuous(_ instant: Instant) -> ContinuousClock.Instant {
        start + .nanoseconds(Int64(clamping: instant.nanoseconds))
    }

    /// Wall clock, for people.
    package static var wall: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(
            milliseconds: UInt64(max(time.tv_sec, 0)) * 1_000
                + UInt64(max(time.tv_nsec, 0)) / 1_000_000)
    }
}
