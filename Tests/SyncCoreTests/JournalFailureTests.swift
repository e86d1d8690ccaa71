import SyncCore
import SyncTestKit
import Testing

/// P1 and P2 when the journal's disk is full or broken.
@Suite struct JournalFailureTests {
    // Trace A8.
    @Test func `an fsync that failed ends the process, and nothing was promised`() throws {
        let cluster = try MachineCluster()
        let first = cluster.push(MachineCluster.put("f", "old"), number: 1)
        #expect(cluster.sequence(of: first) != nil)
        cluster.journal.isBroken = true
        let second = cluster.push(MachineCluster.put("f", "new"), number: 2)
        #expect(cluster.answers(to: second).isEmpty)
        #expect(cluster.halted == "An fsync failed; look at the disk.")
        // Until the process has ended nothing more is promised, whatever the disk says now.
        cluster.journal.isBroken = false
        let third = cluster.push(MachineCluster.put("g", "1"), number: 3)
        cluster.advance(by: .seconds(1))
        #expect(cluster.answers(to: third).isEmpty)
        // What is on disk is read back; here the write had not reached it.
        try cluster.restartCoordinator()
        try cluster.addWorker("w")
        #expect(cluster.text("f") == "old")
        let again = cluster.push(MachineCluster.put("f", "new"), number: 2)
        #expect(cluster.sequence(of: again) != nil)
        #expect(cluster.text("f") == "new")
        #expect(cluster.violations() == [])
    }

    // Trace A8.
    @Test func `an edit that did not fit is busy, and the one before it goes its way`() throws {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("f", "old"), number: 1)
        cluster.journal.isFull = true
        let refused = cluster.push(MachineCluster.put("f", "new"), number: 2)
        #expect(cluster.rejection(of: refused) == .busy)
        cluster.journal.isFull = false
        try cluster.addWorker("w")
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "old")
        let again = cluster.push(MachineCluster.put("f", "new"), number: 2)
        #expect(cluster.sequence(of: again) != nil)
        #expect(cluster.text("f") == "new")
        #expect(cluster.violations() == [])
    }

    @Test func `a coordinator that could not commit sleeps until something comes`() throws {
        let cluster = try MachineCluster()
        cluster.journal.isFull = true
        let refused = cluster.push(MachineCluster.put("f", "new"), number: 1)
        #expect(cluster.rejection(of: refused) == .busy)
        cluster.advance(by: .seconds(1))
        #expect(cluster.coordinator.expectedPassAt.map { $0 > cluster.now } ?? true)
    }

    @Test func `what makes room in a full journal is not held up by edits that do not fit`() throws
    {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("w")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        cluster.journal.takesNoRows = true
        worker.holdsSteps = false
        var number: UInt64 = 1
        // Every turn brings a new edit beside the outcome.
        while !cluster.journal.snapshot.rows.isEmpty, number < 50 {
            number += 1
            let route = cluster.push(MachineCluster.put("g", "\(number)"), number: number)
            cluster.advance(by: .milliseconds(100))
            #expect(cluster.rejection(of: route) == .busy)
        }
        #expect(cluster.journal.snapshot.rows.isEmpty)
        #expect(cluster.story(of: "f").last == "synced 1")
        cluster.journal.takesNoRows = false
        cluster.advance(by: .seconds(1))
        let route = cluster.push(MachineCluster.put("g", "last"), number: number + 1)
        #expect(cluster.sequence(of: route) != nil)
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("g") == "last")
        #expect(cluster.violations() == [])
    }

    /// A worker tells the outcomes of five files just when the journal's disk is full.
    private static func outcomesWithoutRoom() throws -> (MachineCluster, Incarnation) {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("w")
        let incarnation = try #require(worker.machine.stamp?.incarnation)
        // A sandbox without a marker gets one file at first.
        cluster.push(MachineCluster.put("g", "1"), number: 1)
        worker.holdsSteps = true
        for number: UInt64 in 2...6 {
            cluster.push(MachineCluster.put("f\(number)", "1"), number: number)
        }
        cluster.journal.isFull = true
        worker.holdsSteps = false
        return (cluster, incarnation)
    }

    /// There is room again: what waited is told, once.
    private static func expectAllTold(
        _ cluster: MachineCluster, _ incarnation: Incarnation,
        at location: SourceLocation = #_sourceLocation
    ) {
        cluster.advance(by: .seconds(1))
        let waiting = cluster.coordinator.waitingReportCount(of: incarnation)
        #expect(waiting == 0, sourceLocation: location)
        for number in 2...6 {
            let last = cluster.story(of: "f\(number)").last
            #expect(last == "synced \(number)", sourceLocation: location)
        }
        #expect(cluster.violations() == [], sourceLocation: location)
    }

    // P8: an hour without a disk must not fill the memory.
    @Test func `reports that come again while commits fail wait once`() throws {
        let (cluster, incarnation) = try Self.outcomesWithoutRoom()
        cluster.advance(by: .seconds(20))
        #expect((5...9).contains(cluster.coordinator.waitingReportCount(of: incarnation)))
        cluster.journal.isFull = false
        Self.expectAllTold(cluster, incarnation)
    }

    @Test func `reports that come again while a commit hangs, then fails, wait once`() throws {
        let (cluster, incarnation) = try Self.outcomesWithoutRoom()
        cluster.holdsCommits = true
        for _ in 0..<4 {
            cluster.advance(by: .seconds(3))
            #expect(cluster.isCommitting)
            #expect((5...9).contains(cluster.coordinator.waitingReportCount(of: incarnation)))
            cluster.finishCommit()
        }
        cluster.journal.isFull = false
        cluster.holdsCommits = false
        cluster.finishCommit()
        Self.expectAllTold(cluster, incarnation)
    }
}
