import SyncCore
import SyncTestKit
import Testing

/// Faults of the machines that the simulator found, each cut down by hand; the seed is named.
@Suite struct FoundBySimulationTests {
    // Seed 19 of the standard mix: the older edit's end waited behind other inputs of the turn, the
    // file was handed out before it, and the next edit took its place.
    @Test
    func `an older edit that nobody has in hand after a restart ends before its file goes out`()
        throws
    {
        var settings = CoordinatorSettings()
        settings.turnEditsMax = 1
        let cluster = try MachineCluster(settings: settings)
        let worker = try cluster.addWorker("w1")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "5"), number: 1)
        cluster.push(MachineCluster.put("f", "7"), number: 2)
        cluster.kill(worker)
        try cluster.restartCoordinator()
        try cluster.addWorker("w2")
        cluster.advance(by: .milliseconds(2_900))
        cluster.holdsCommits = true
        cluster.advance(by: .milliseconds(200))
        // Edits of other files wait before the end while the lost worker's end is on its way to
        // disk.
        for number in 3...6 as ClosedRange<UInt64> {
            cluster.push(MachineCluster.put("g\(number)", "x"), number: number, settles: false)
        }
        cluster.finishCommit()
        cluster.settle()
        cluster.finishCommit()
        cluster.settle()
        cluster.push(MachineCluster.put("f", "9"), number: 7, settles: false)
        cluster.holdsCommits = false
        cluster.finishCommit()
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "9")
        #expect(cluster.violations() == [])
    }
}
