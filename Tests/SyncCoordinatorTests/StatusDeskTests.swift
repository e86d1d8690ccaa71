import Logging
import SyncCore
import SyncTestKit
import SyncTransport
import Testing
import ZeroMQ

@testable import SyncCoordinator

/// What monitors are told, on a loop of its own.
@Suite(.timeLimit(.patience)) struct StatusDeskTests {
    private static func events(_ numbers: ClosedRange<UInt64>) -> [StatusEvent] {
        numbers.map {
            StatusEvent(
                .accepted, project: MachineCluster.project, path: MachineCluster.path("f\($0)"),
                number: $0, projectNumber: $0)
        }
    }

    // MARK: What the coordinator's loop may know

    @Test func `nothing is handed over while nobody listens, nor past the limit`() {
        let gauge = StatusGauge()
        let one = Self.events(1...1)
        #expect(!gauge.takes(one))
        gauge.note(isHeard: true, (count: 2, refused: 1))
        #expect(gauge.connections == (2, 1))
        let many = Array(repeating: one[0], count: StatusGauge.waitingMax)
        #expect(gauge.takes(many))
        #expect(!gauge.takes(one))
        gauge.told(many)
        #expect(gauge.takes(one))
        gauge.note(isHeard: false, (count: 0, refused: 1))
        #expect(!gauge.takes(one))
    }

    // MARK: The desk

    /// A desk, and what it asks for.
    private struct Desk {
        let desk: StatusDesk
        let gauge: StatusGauge
        let loop: SocketLoop
        let endpoint: String
        let questions: AsyncStream<[MarkQuestion]>
    }

    private static func with(_ body: (Desk) async throws -> Void) async throws {
        try await TestLoop.with("status") { loop in
            let (questions, questionsIn) = AsyncStream<[MarkQuestion]>.makeStream()
            let gauge = StatusGauge()
            let desk = StatusDesk(
                on: loop, gauge: gauge, clock: ProcessClock(), questions: questionsIn,
                logger: Logger(label: "status") { _ in SwiftLogNoOpLogHandler() })
            let endpoint = try await desk.open(
                "inproc://desk-\(UInt64.random(in: .min ... .max))", connectionsMax: 10)
            try await body(
                Desk(
                    desk: desk, gauge: gauge, loop: loop, endpoint: endpoint,
                    questions: questions))
        }
    }

    /// Paths of events and numbers of marks, in the order in which they arrive.
    private static func next(
        _ count: Int, of notices: AsyncStream<StatusSubscriber.Notice>
    ) async -> [String] {
        var heard: [String] = []
        for await notice in notices {
            switch notice {
            case .event(let event): heard.append(event.path?.text ?? "")
            case .mark(_, let number, let projectNumber):
                heard.append("\(number)/\(projectNumber ?? 0)")
            case .worker(let label, _, let state): heard.append("\(label) \(state)")
            case .connection: continue
            }
            if heard.count == count { break }
        }
        return heard
    }

    @Test func `a mark comes behind the events that were told before it was answered`()
        async throws
    {
        try await Self.with { one in
            let ear = StatusEar(one.endpoint, prefix: "edit/p1/", on: one.loop)
            let notices = await ear.listen()
            try await ear.open()
            var questions = one.questions.makeAsyncIterator()
            let asked = try #require(await questions.next())
            #expect(asked.map(\.project) == [MachineCluster.project])
            // By now what is told must come here.
            #expect(one.gauge.takes(Self.events(1...2)))
            await one.desk.tell(.events(Self.events(1...2)))
            await one.desk.tell(.marks(asked.map { ($0, 2, 2) }))
            await one.desk.tell(.events(Self.events(3...3)))
            #expect(await Self.next(4, of: notices) == ["f1", "f2", "2/2", "f3"])
        }
    }

    @Test func `whoever comes while marks are owed is asked for when these have come`()
        async throws
    {
        try await Self.with { one in
            let first = StatusEar(one.endpoint, prefix: "edit/p1/", on: one.loop)
            let firstNotices = await first.listen()
            try await first.open()
            var questions = one.questions.makeAsyncIterator()
            let asked = try #require(await questions.next())
            let second = StatusEar(one.endpoint, prefix: "worker/", on: one.loop)
            let secondNotices = await second.listen()
            try await second.open()
            await one.desk.tell(.marks(asked.map { ($0, 7, 5) }))
            #expect(await Self.next(1, of: firstNotices) == ["7/5"])
            // Where that took longer than marks are apart, those that are due come behind it.
            let others = try #require(await questions.next())
            let projects = others.map(\.project)
            #expect(projects == [nil] || projects == [nil, MachineCluster.project, nil])
            await one.desk.tell(.marks(others.map { ($0, 8, 0) }))
            await one.desk.tell(
                .hint(WorkerHint(label: MachineCluster.name("w1"), life: 1, state: "joined")))
            let marks = Array(repeating: "8/0", count: projects.count { $0 == nil })
            #expect(
                await Self.next(marks.count + 1, of: secondNotices) == marks + ["w1 joined"])
        }
    }
}
