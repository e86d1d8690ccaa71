/// Chance by seed: SplitMix64 (Steele, Lea and Flood, 2014), the same draws for the same seed.
package struct Chance: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Starts from a seed.
    package init(seed: UInt64) { state = seed }

    /// Draws 64 bits.
    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// A stream of its own, so that one concern's draws do not move another's.
    mutating func fork() -> Chance { Chance(seed: next()) }

    /// A number from `low` to `high`, both included.
    mutating func between(_ low: Int, _ high: Int) -> Int {
        guard high > low else { return low }
        return low + Int(next() % UInt64(high - low + 1))
    }

    /// Whether something happens that happens so many times in a thousand.
    mutating func happens(perMille: Int) -> Bool { between(0, 999) < perMille }

    /// One of several; nil when there is none.
    mutating func pick<Element>(_ choices: [Element]) -> Element? {
        choices.isEmpty ? nil : choices[between(0, choices.count - 1)]
    }

    /// A time span, both ends in microseconds.
    mutating func micros(_ low: Int, _ high: Int) -> Nanoseconds {
        Nanoseconds(between(low, high)) * 1_000
    }

    /// A time span, both ends in milliseconds.
    mutating func millis(_ low: Int, _ high: Int) -> Nanoseconds {
        Nanoseconds(between(low * 1_000, high * 1_000)) * 1_000
    }
}

/// Simulated time, and spans of it; the same for everybody, unlike the clocks of processes.
package typealias Nanoseconds = UInt64

extension Nanoseconds {
    /// One second of simulated time.
    package static let second: Nanoseconds = 1_000_000_000
    /// One millisecond of simulated time.
    package static let millisecond: Nanoseconds = 1_000_000
}
