import SyncTestKit
import Testing

@testable import SyncCore

/// Whoever asks for the past gets it, or is told that it is gone.
///
/// Trace A14, P7.
@Suite struct ReplayTests {
    /// A cluster whose log keeps 20 events, after 60 edits.
    private static func trimmed() throws -> MachineCluster {
        var settings = CoordinatorSettings()
        settings.logEventsMax = 20
        let cluster = try MachineCluster(settings: settings)
        try cluster.addWorker("w")
        for number in 1...60 {
            cluster.push(MachineCluster.put("f\(number % 7)", "\(number)"), number: UInt64(number))
        }
        return cluster
    }

    private static func replay(
        _ cluster: MachineCluster, from: UInt64, project: ProjectName? = nil, countMax: Int = 1_000
    ) -> ClientReply? {
        let route = cluster.request(.replay(from: from, project: project, countMax: countMax))
        cluster.settle()
        return cluster.answers(to: route).first
    }

    @Test(arguments: [UInt64(0), 1, 2])
    func `a log that begins later answers with a gap, never with a shorter list`(
        _ from: UInt64
    ) throws {
        let cluster = try Self.trimmed()
        guard case .gap(let first, let last) = Self.replay(cluster, from: from) else {
            Issue.record("no gap")
            return
        }
        #expect(first > 2)
        #expect(last == cluster.coordinator.eventNumber)
        guard case .events(let events, let next, _) = Self.replay(cluster, from: first) else {
            Issue.record("no events from \(first)")
            return
        }
        #expect(events.map(\.number) == Array(first...last))
        #expect(next == last + 1)
    }

    @Test func `a log that has everything answers from zero and from one`() throws {
        let cluster = try MachineCluster()
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        for from in [UInt64(0), 1] {
            guard case .events(let events, _, let last) = Self.replay(cluster, from: from) else {
                Issue.record("no events from \(from)")
                return
            }
            #expect(events.map(\.number) == Array(1...last))
        }
    }

    @Test func `an empty log has no gap`() throws {
        let cluster = try MachineCluster()
        for from in [UInt64(0), 1, 5] {
            guard case .events(let events, _, let last) = Self.replay(cluster, from: from) else {
                Issue.record("no answer from \(from)")
                return
            }
            #expect(events.isEmpty)
            #expect(last == 0)
        }
    }

    @Test func `a log that is trimmed between question and answer is told as a gap`() throws {
        let cluster = try Self.trimmed()
        let route = ClientRoute(envelope: [[9]], request: [9])
        let query = EventQuery(route: route, from: 5, project: nil, countMax: 10)
        // What a journal gives whose first segments have gone meanwhile.
        cluster.coordinator.eventsRead(query, cluster.journal.snapshot.events)
        cluster.settle()
        guard case .gap(let first, _) = cluster.answers(to: route).first else {
            Issue.record("no gap")
            return
        }
        #expect(first == cluster.journal.snapshot.events.first?.first)
    }

    @Test func `a damaged part of the log is told as a gap, and the rest is told`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        for number in 1...6 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: UInt64(number))
        }
        var segments = cluster.journal.snapshot.events
        let place = segments.count / 2
        let damaged = segments[place]
        segments[place] = JournalSegment(
            turn: damaged.turn, first: damaged.first, count: damaged.count, bytes: [0xFF])
        func ask(from: UInt64) -> ClientReply? {
            let route = ClientRoute(envelope: [[9]], request: Array(String(from).utf8))
            let query = EventQuery(route: route, from: from, project: nil, countMax: 1_000)
            cluster.coordinator.eventsRead(query, segments)
            cluster.settle()
            return cluster.answers(to: route).first
        }
        guard case .events(let before, let next, let last) = ask(from: 1) else {
            Issue.record("no events")
            return
        }
        #expect(before.map(\.number) == Array(1..<damaged.first))
        #expect(next == damaged.first)
        #expect(next <= last)
        let end = damaged.first + UInt64(damaged.count)
        let after = Array(segments[(place + 1)...])
        guard case .gap(let first, _) = ask(from: next) else {
            Issue.record("no gap")
            return
        }
        #expect(first == end)
        #expect(after.first?.first == end)
    }

    @Test func `a page of one project counts over the events of the others`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        let other = MachineCluster.name("p2")
        for number in 1...10 {
            cluster.push(MachineCluster.put("f", "\(number)"), number: UInt64(number))
            cluster.push(
                MachineCluster.put("g", "\(number)"), number: UInt64(number), project: other)
        }
        var told: [StatusEvent] = []
        var from: UInt64 = 1
        while true {
            let reply = Self.replay(cluster, from: from, project: other, countMax: 3)
            guard case .events(let events, let next, let last) = reply else {
                Issue.record("no events from \(from)")
                return
            }
            told += events
            from = next
            if next > last { break }
        }
        #expect(told.allSatisfy { $0.project == other })
        #expect(told.map(\.projectNumber) == Array(1...cluster.coordinator.eventNumber(of: other)))
    }
}
