import SyncCore
import SyncTestKit
import Testing

/// A journal that was restored from an older copy takes the store over (trace A9).
@Suite struct AdoptionTests {
    /// A cluster whose journal was lost after `f=2` and came back as it was after `f=1`.
    private func restored(
        _ prepare: (MachineCluster) throws -> Void = { _ in }
    ) throws -> MachineCluster {
        let cluster = try MachineCluster()
        try cluster.addWorker("w1")
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        try prepare(cluster)
        let copy = cluster.journal
        for number in 10...14 as ClosedRange<UInt64> {
            cluster.push(MachineCluster.put("f", "lost \(number)"), number: number)
        }
        cluster.journal = copy
        cluster.settings.isAdopting = true
        try cluster.restartCoordinator()
        return cluster
    }

    // Trace A9.
    @Test func `an edit that follows an adoption wins over everything that was lost`() throws {
        let cluster = try restored()
        cluster.advance(by: .seconds(4))
        let highest = cluster.store.identity.highestSequence
        let route = cluster.push(MachineCluster.put("f", "new"), number: 20)
        cluster.advance(by: .seconds(1))
        #expect(try #require(cluster.sequence(of: route)) > highest.value)
        #expect(cluster.text("f") == "new")
        #expect(cluster.storedText("f") == "new")
    }

    @Test func `a worker that has seen little of the store adopts it as well`() throws {
        let cluster = try MachineCluster()
        // Its own edits are all that this worker knows of the store's sequences.
        let idle = try cluster.addWorker("idle")
        idle.isCut = true
        cluster.advance(by: .seconds(4))
        let busy = try cluster.addWorker("busy")
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        let copy = cluster.journal
        for number in 2...9 as ClosedRange<UInt64> {
            cluster.push(MachineCluster.put("f", "lost \(number)"), number: number)
        }
        cluster.kill(busy)
        cluster.journal = copy
        cluster.settings.isAdopting = true
        try cluster.restartCoordinator()
        idle.isCut = false
        cluster.advance(by: .seconds(4))
        cluster.push(MachineCluster.put("f", "new"), number: 20)
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "new")
    }

    @Test func `an adopted journal hands nothing out while lost workers may act`() throws {
        let cluster = try restored { cluster in
            for worker in cluster.workers { worker.holdsSteps = true }
            cluster.push(MachineCluster.put("g", "waits"), number: 2)
            for worker in cluster.workers { cluster.kill(worker) }
        }
        let worker = try cluster.addWorker("w2")
        cluster.advance(by: .milliseconds(2_500))
        #expect(worker.machine.jobCount == 0)
        #expect(cluster.text("g") == nil)
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("g") == "waits")
    }

    @Test func `a sandbox is filled anew after an adoption`() throws {
        let cluster = try restored()
        let target = try #require(TargetURL("local:p1"))
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "lost 14")
        #expect(cluster.published.last { $0.target == target }?.kind == .refreshed)
    }

    @Test func `an edit that waited goes on under a new sequence and is told so`() throws {
        let cluster = try restored { cluster in
            for worker in cluster.workers { worker.holdsSteps = true }
            cluster.push(MachineCluster.put("g", "waits"), number: 2)
            for worker in cluster.workers { cluster.kill(worker) }
        }
        try cluster.addWorker("w2")
        cluster.advance(by: .seconds(5))
        let story = cluster.journal.events.filter { $0.path == MachineCluster.path("g") }
        #expect(story.map(\.kind) == [.accepted, .superseded, .synced])
        #expect(story.first?.sequence == story.last?.sequence)
        // A repeat is answered with the sequence under which it went on, and its end.
        let route = cluster.push(MachineCluster.put("g", "waits"), number: 2)
        #expect(cluster.sequence(of: route) == story.last?.sequence.value)
        try cluster.restartCoordinator()
        cluster.advance(by: .seconds(5))
        let again = cluster.push(MachineCluster.put("g", "waits"), number: 2)
        #expect(cluster.sequence(of: again) == story.last?.sequence.value)
    }

    @Test func `whoever follows events sees a gap after an adoption`() throws {
        let cluster = try restored()
        let before = cluster.journal.events.last?.number ?? 0
        cluster.advance(by: .seconds(5))
        let replay = cluster.request(
            .replay(from: before + 1, project: MachineCluster.project, countMax: 100))
        cluster.settle()
        guard case .gap(let first, _) = cluster.answers(to: replay).first else {
            Issue.record("a replay across an adoption is no gap")
            return
        }
        #expect(first > before + 100_000)
        #expect(first < 1 << 53)
    }
}
