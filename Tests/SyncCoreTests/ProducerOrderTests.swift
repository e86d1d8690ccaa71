import SyncCore
import SyncTestKit
import Testing

/// P3 and P5 on the producers' side: numbers, repeats, windows (traces A1, A2, A3, A8).
@Suite struct ProducerOrderTests {
    @Test func `a number lower than one accepted for the same file is overtaken (A1)`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        cluster.push(MachineCluster.put("f", "new"), number: 2)
        let late = cluster.push(MachineCluster.put("f", "old"), number: 1)
        #expect(cluster.rejection(of: late) == .overtaken)
        let other = cluster.push(MachineCluster.put("g", "other"), number: 1)
        #expect(cluster.sequence(of: other) == 2)
        #expect(cluster.text("f") == "new")
    }

    @Test func `numbers that arrive interleaved leave the last one (A1)`() throws {
        let cluster = try MachineCluster()
        for number: UInt64 in [1, 4, 2, 5, 3, 6] {
            cluster.push(
                MachineCluster.put("f", "\(number)"), number: number, settles: false)
        }
        cluster.settle()
        try cluster.addWorker("w")
        #expect(cluster.text("f") == "6")
        #expect(cluster.violations() == [])
    }

    @Test func `a repeat is answered as before, with its end once it has one`() throws {
        let cluster = try MachineCluster()
        let edit = MachineCluster.put("f", "x")
        let first = cluster.push(edit, number: 1)
        let again = cluster.push(edit, number: 1)
        #expect(cluster.sequence(of: first) == cluster.sequence(of: again))
        try cluster.addWorker("w")
        let after = cluster.push(edit, number: 1)
        guard case .success(let acceptance) = cluster.answer(to: after) else {
            Issue.record("the repeat was refused")
            return
        }
        #expect(acceptance.end == EditEnd(kind: .synced, value: 1))
        #expect(cluster.store.versions.values.first?.count == 1)
    }

    @Test func `a repeat in the same turn gets the same sequence (A8)`() throws {
        let cluster = try MachineCluster()
        cluster.holdsCommits = true
        let first = cluster.push(MachineCluster.put("f", "x"), number: 1)
        let again = cluster.push(MachineCluster.put("f", "x"), number: 1)
        #expect(cluster.answer(to: first) == nil)
        #expect(cluster.answer(to: again) == nil)
        cluster.holdsCommits = false
        cluster.finishCommit()
        cluster.settle()
        #expect(cluster.sequence(of: first) == 1)
        #expect(cluster.sequence(of: again) == 1)
    }

    @Test func `the same number with another content is refused`() throws {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        let other = cluster.push(MachineCluster.put("f", "y"), number: 1)
        #expect(cluster.rejection(of: other) == .numberReused)
        let elsewhere = cluster.push(MachineCluster.put("g", "x"), number: 1)
        #expect(cluster.rejection(of: elsewhere) == .numberReused)
    }

    @Test func `a number below the window is never executed`() throws {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("f", "x"), number: 5_000)
        let old = cluster.push(MachineCluster.put("g", "y"), number: 904)
        #expect(cluster.rejection(of: old) == .staleNumber)
        let within = cluster.push(MachineCluster.put("g", "y"), number: 905)
        #expect(cluster.sequence(of: within) == 2)
    }

    @Test func `the window survives a restart of the coordinator`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        let first = cluster.push(MachineCluster.put("f", "x"), number: 7)
        try cluster.restartCoordinator()
        cluster.advance(by: .seconds(4))
        let again = cluster.push(MachineCluster.put("f", "x"), number: 7)
        #expect(cluster.sequence(of: again) == cluster.sequence(of: first))
        guard case .success(let acceptance) = cluster.answer(to: again) else { return }
        #expect(acceptance.end?.kind == .synced)
        let late = cluster.push(MachineCluster.put("f", "old"), number: 6)
        #expect(cluster.rejection(of: late) == .overtaken)
    }

    @Test func `a new life with the same name is another producer (A2)`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        cluster.push(MachineCluster.put("f", "A"), number: 1)
        let other = ProducerID(name: MachineCluster.name("tester"), life: 2)
        let route = cluster.push(MachineCluster.put("f", "A"), number: 1, producer: other)
        #expect(cluster.sequence(of: route) == 2)
    }

    @Test func `a failed commit answers busy and leaves the older edit in its place (A8)`() throws {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("f", "five"), number: 1)
        cluster.journal.isFull = true
        let lost = cluster.push(MachineCluster.put("f", "seven"), number: 2)
        #expect(cluster.rejection(of: lost) == .busy)
        try cluster.addWorker("w")
        cluster.journal.isFull = false
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("f") == "five")
        let again = cluster.push(MachineCluster.put("f", "seven"), number: 2)
        #expect(cluster.sequence(of: again) == 2)
        #expect(cluster.text("f") == "seven")
        #expect(cluster.violations() == [])
    }

    @Test func `nothing is answered before its turn is on disk (P1)`() throws {
        let cluster = try MachineCluster()
        cluster.holdsCommits = true
        let route = cluster.push(MachineCluster.put("f", "x"), number: 1)
        #expect(cluster.answers(to: route).isEmpty)
        #expect(cluster.published.isEmpty)
        cluster.finishCommit()
        cluster.settle()
        #expect(cluster.sequence(of: route) == 1)
    }

    @Test func `dead acceptances are cleaned out of the journal`() throws {
        var settings = CoordinatorSettings()
        settings.pendingFilesMax = 100
        let cluster = try MachineCluster(settings: settings)
        let slow = MachineCluster.producer("slow")
        var number: UInt64 = 0
        for _ in 0..<600 {
            for _ in 0..<100 {
                number += 1
                cluster.push(MachineCluster.put("f", "x"), number: number, settles: false)
            }
            if number % 1_000 == 0 {
                cluster.push(
                    MachineCluster.put("s", "\(number)"), number: number / 1_000, producer: slow,
                    settles: false)
            }
            cluster.settle()
        }
        let bytes = cluster.journal.snapshot.acceptances.reduce(0) { $0 + $1.bytes.count }
        #expect(bytes < 2 << 20)
        try cluster.restartCoordinator()
        let again = cluster.push(MachineCluster.put("s", "1000"), number: 1, producer: slow)
        #expect(cluster.sequence(of: again) != nil)
    }

    @Test func `a producer that is only turned away is not silent, so it is not forgotten`()
        throws
    {
        var settings = CoordinatorSettings()
        settings.inboxEditsMax = 1
        settings.turnEditsMax = 1
        settings.producerMemory = .seconds(20)
        let cluster = try MachineCluster(settings: settings)
        try cluster.addWorker("w1")
        let first = cluster.push(MachineCluster.put("f", "1"), number: 1)
        let crowd = MachineCluster.producer("crowd")
        for round in 0..<30 as Range<UInt64> {
            cluster.holdsCommits = true
            // On its way to disk, staged ahead, and waiting.
            for number in 1...3 as ClosedRange<UInt64> {
                cluster.push(
                    MachineCluster.put("g", "\(round)"), number: 3 * round + number,
                    producer: crowd)
            }
            let late = cluster.push(MachineCluster.put("f", "2"), number: 2)
            #expect(cluster.rejection(of: late) == .busy)
            cluster.holdsCommits = false
            cluster.finishCommit()
            cluster.advance(by: .seconds(1))
        }
        let again = cluster.push(MachineCluster.put("f", "1"), number: 1)
        #expect(cluster.sequence(of: again) == cluster.sequence(of: first))
    }
}
