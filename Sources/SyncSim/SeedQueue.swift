import SyncSimulator

/// What came of one seed.
struct SeedResult {
    let tally: Tally
    let took: Duration
    let failure: Sums.Failure?
    let trace: [String]
}

/// Hands out seeds, counting up, and adds up what came of them.
struct SeedQueue {
    private var following: UInt64
    private var left: Int
    var sums: Sums

    init(first: UInt64, count: Int) {
        following = first
        left = count
        sums = Sums(firstSeed: first)
    }

    /// The next seed to run; nil when there is none.
    mutating func next() -> UInt64? {
        guard left > 0 else { return nil }
        left -= 1
        defer { following &+= 1 }
        return following
    }

    /// Hands out no more seeds.
    mutating func stop() { left = 0 }
}
