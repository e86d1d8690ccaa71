/// Largest sequence, version and event number: 2^53 - 1, so that each survives a trip through JSON.
package let countMax: UInt64 = (1 << 53) - 1

/// Position of an accepted edit in the intake, over all files: the fencing token.
///
/// Counted from 1, never reused, at most ``countMax``; 0 stands for "none yet".
package struct EditSequence: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The count.
    package let value: UInt64

    /// Wraps a count.
    package init(_ value: UInt64) { self.value = value }

    /// Before the first edit.
    package static let none = EditSequence(0)

    /// Behind every edit.
    package static let last = EditSequence(.max)

    /// The next one.
    package var next: EditSequence { EditSequence(value + 1) }

    /// As text, for people and logs.
    package var description: String { String(value) }

    /// The order that queues and pages follow.
    package static func < (left: EditSequence, right: EditSequence) -> Bool {
        left.value < right.value
    }
}

/// The store's count for one file: 1, 2, 3 …; 0 = never written.
///
/// At most ``countMax``.
package struct Version: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The count.
    package let value: UInt64

    /// Wraps a count.
    package init(_ value: UInt64) { self.value = value }

    /// Of a file that was never written.
    package static let none = Version(0)

    /// The next one.
    package var next: Version { Version(value + 1) }

    /// As text, for people and logs.
    package var description: String { String(value) }

    /// The order that queues and pages follow.
    package static func < (left: Version, right: Version) -> Bool { left.value < right.value }
}

/// A reading of a monotonic clock that goes on while the machine sleeps (`CLOCK_BOOTTIME`).
///
/// Shells read the clock; machines are told. Readings of two processes are never compared, except
/// that a worker's reading travels to the coordinator and back (trace A6).
package struct Instant: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Nanoseconds since a point fixed for this process.
    package let nanoseconds: UInt64

    /// Wraps a reading in nanoseconds.
    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// As text, for people and logs.
    package var description: String { "\(nanoseconds / 1_000_000) ms" }

    /// The order that queues and pages follow.
    package static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// A later reading; stays at the largest one instead of overflowing.
    package static func + (instant: Instant, duration: Duration) -> Instant {
        let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(duration.wholeNanoseconds)
        return Instant(nanoseconds: overflow ? .max : sum)
    }

    /// Time between two readings; negative differences count as zero.
    package static func - (later: Instant, earlier: Instant) -> Duration {
        guard later > earlier else { return .zero }
        let difference = later.nanoseconds - earlier.nanoseconds
        return .nanoseconds(Int64(clamping: difference))
    }
}

/// Wall clock, for people: milliseconds since 1970.
///
/// Nothing is decided by it but how long a target was away before the coordinator's restart.
package struct Timestamp: Hashable, Comparable, Sendable {
    /// Milliseconds since 1970-01-01 UTC.
    package let milliseconds: UInt64

    /// Wraps milliseconds since 1970.
    package init(milliseconds: UInt64) { self.milliseconds = milliseconds }

    /// The order that queues and pages follow.
    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.milliseconds < right.milliseconds
    }
}

extension Duration {
    /// Whole nanoseconds; a negative duration counts as zero, one over 584 years as the largest.
    package var wholeNanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : product &+ UInt64(attoseconds / 1_000_000_000)
    }

    /// For a person: the largest unit that is whole.
    package var inWords: String {
        let milliseconds = wholeMilliseconds
        for (name, length) in [("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1_000)]
        where milliseconds >= UInt64(length) && milliseconds % UInt64(length) == 0 {
            return "\(milliseconds / UInt64(length)) \(name)"
        }
        return "\(milliseconds) ms"
    }

    /// Whole milliseconds, rounded up; a negative duration counts as zero.
    package var wholeMilliseconds: UInt64 {
        let nanoseconds = wholeNanoseconds
        return nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1)
    }
}
