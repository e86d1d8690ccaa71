import SyncCore
import SyncTestKit
import Testing

/// Files that somebody else has changed in a sandbox.
@Suite struct DriftTests {
    private let target = TargetURL(defaultOf: MachineCluster.project)

    private func cluster() throws -> MachineCluster {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        cluster.push(MachineCluster.put("a", "1"), number: 1)
        cluster.settle()
        return cluster
    }

    private func damage(_ cluster: MachineCluster) {
        cluster.sandboxes[target]?.damage(
            MachineCluster.path("a"), with: .put(Content(Array("x".utf8)), isExecutable: false))
    }

    private func events(_ cluster: MachineCluster, of sequence: UInt64) -> [EventKind] {
        cluster.journal.events.filter { $0.sequence.value == sequence }.map(\.kind)
    }

    @Test func `an edit over somebody else's change tells of it before it ends`() throws {
        let cluster = try cluster()
        damage(cluster)
        cluster.push(MachineCluster.put("a", "2"), number: 2)
        cluster.settle()
        #expect(cluster.text("a") == "2")
        #expect(events(cluster, of: 2) == [.accepted, .drifted, .synced])
        let event = try #require(cluster.journal.events.first { $0.kind == .drifted })
        #expect(event.target == target && event.path == MachineCluster.path("a"))
        #expect(event.id?.number == 2)
        #expect(event.code == "changed")
        #expect(event.reason.contains("was changed by somebody else"))
        cluster.push(MachineCluster.put("a", "3"), number: 3)
        cluster.settle()
        #expect(!events(cluster, of: 3).contains(.drifted))
        #expect(cluster.violations() == [])
    }

    @Test func `what is told belongs to the edit that was written, not to a newer one`() throws {
        let cluster = try cluster()
        damage(cluster)
        let worker = cluster.workers[0]
        worker.isHeld = { if case .write = $0 { true } else { false } }
        cluster.push(MachineCluster.put("a", "2"), number: 2)
        cluster.settle()
        cluster.push(MachineCluster.put("a", "3"), number: 3)
        cluster.settle()
        worker.isHeld = { _ in false }
        cluster.settle()
        #expect(cluster.text("a") == "3")
        let told = cluster.journal.events.filter { $0.kind == .drifted }
        #expect(told.map(\.sequence.value) == [2])
        #expect(told.first?.id?.number == 2)
        #expect(cluster.violations() == [])
    }

    @Test func `a change that is kept fails the edit at once, until it is out of the way`() throws {
        let cluster = try cluster()
        let path = MachineCluster.path("a")
        cluster.sandboxes[target]?.failures[path] = .drifted(path, .foreign, in: "the sandbox")
        cluster.push(MachineCluster.put("a", "2"), number: 2)
        cluster.settle()
        let failed = try #require(cluster.journal.events.last { $0.kind == .failed })
        #expect(failed.code == SandboxError.driftedCode)
        #expect(failed.attempts == 1)
        #expect(cluster.text("a") == "1")
        cluster.sandboxes[target]?.failures[path] = nil
        #expect(FailedListTests.order(cluster, .retry, [("a", 2)]) == [.done])
        cluster.settle()
        #expect(cluster.text("a") == "2")
        #expect(cluster.violations() == [])
    }

    @Test func `an edit that has ended tells of nothing any more`() throws {
        let cluster = try cluster()
        damage(cluster)
        let worker = cluster.workers[0]
        worker.isHeld = { if case .write = $0 { true } else { false } }
        cluster.push(MachineCluster.put("a", "2"), number: 2)
        cluster.settle()
        // Over a restart nobody is known to hold it when the newer one comes, and it ends.
        try cluster.restartCoordinator()
        cluster.push(MachineCluster.put("a", "3"), number: 3)
        worker.isHeld = { _ in false }
        cluster.settle()
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("a") == "3")
        #expect(events(cluster, of: 2).last == .superseded)
        #expect(cluster.violations() == [])
    }

    @Test func `what is told can be read back, whatever it tells`() throws {
        let events = EventKind.allCases.enumerated().map { place, kind in
            StatusEvent(
                kind, project: MachineCluster.project, path: MachineCluster.path("a"),
                sequence: EditSequence(UInt64(place + 1)), by: EditSequence(7), attempts: 3,
                target: target, code: "word", reason: "sentence",
                time: Timestamp(milliseconds: 1_000), number: UInt64(place + 10),
                projectNumber: UInt64(place + 20))
        }
        let segment = JournalSegment(
            turn: 1, first: 10, count: events.count, bytes: EventLogCodec.pack(events))
        #expect(EventLogCodec.unpack(segment) == events)
    }

    @Test func `a refill tells of nobody's changes`() throws {
        let cluster = try cluster()
        damage(cluster)
        cluster.request(.project(MachineCluster.project, .hydrate([])))
        cluster.settle()
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("a") == "1")
        #expect(cluster.journal.events.last?.kind == .refreshed)
        #expect(!cluster.journal.events.contains { $0.kind == .drifted })
    }
}
