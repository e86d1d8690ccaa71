import SyncSimulator

/// The simulator's chance, for tests: the same numbers for the same seed, everywhere.
package struct SeededGenerator: RandomNumberGenerator {
    private var chance: Chance

    package init(seed: UInt64) { chance = Chance(seed: seed) }

    package mutating func next() -> UInt64 { chance.next() }
}
