import SyncCore
import SyncSimulator
import Testing

/// The simulator itself: what it finds is in `SeedTests` and in the planted bugs.
@Suite struct SimulatedClusterTests {
    @Test func `without faults every promise is kept and everything comes to rest`() {
        for seed in 1...3 as ClosedRange<UInt64> {
            var scenario = Scenario(seed: seed)
            scenario.faults = []
            scenario.duration = 8 * .second
            let cluster = SimulatedCluster(scenario)
            let violation = cluster.run()
            #expect(violation == nil, "seed \(seed): \(violation?.sentence ?? "")")
            #expect(cluster.tally.edits > 50)
            #expect(cluster.tally.faultCount == 0)
        }
    }

    @Test func `a failing scenario is cut down to little that breaks the same promise`() {
        var scenario = Scenario(seed: 5)
        scenario.duration = 4 * .second
        // Nothing is at rest in the moment in which the input stops.
        scenario.restMax = 0
        let small = Shrinker.shrink(scenario)
        #expect(small.seed == scenario.seed)
        #expect(small.faults.isEmpty)
        #expect(small.workerCount == 1)
        #expect(small.producerCount == 1)
        #expect(small.duration < scenario.duration)
        #expect(SimulatedCluster(small).run()?.promise == .rest)
    }

    @Test func `a scenario is the same for the same seed`() {
        let first = Scenario(seed: 42)
        let second = Scenario(seed: 42)
        #expect(first.faults.map(\.description) == second.faults.map(\.description))
        #expect(first.duration == second.duration)
        #expect(Scenario(seed: 43).faults.map(\.at) != first.faults.map(\.at))
    }
}
