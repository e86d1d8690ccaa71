import SyncCore
import SyncTestKit
import Testing

@testable import SyncTransport

/// What a monitor does with what it hears.
///
/// Trace A14.
@Suite struct EventCursorTests {
    private static let project = MachineCluster.project

    private static func event(_ number: UInt64, own: UInt64) -> StatusEvent {
        StatusEvent(
            .accepted, project: project, path: MachineCluster.path("f\(number)"),
            sequence: EditSequence(number), number: number, projectNumber: own)
    }

    private static func fresh(from: UInt64? = nil) -> EventCursor {
        EventCursor(.project(project), from: from)
    }

    // Trace A14 (c).
    @Test func `nothing counts before the first mark`() {
        var cursor = Self.fresh()
        #expect(cursor.heard(Self.event(7, own: 3)) == .idle)
        #expect(cursor.marked(number: 9, projectNumber: 4) == .idle)
        #expect(cursor.last == 9)
        #expect(cursor.heard(Self.event(9, own: 4)) == .idle)
        #expect(cursor.heard(Self.event(12, own: 5)) == .tell(Self.event(12, own: 5)))
    }

    // Trace A14 (a).
    @Test func `holes over everything are none within the project`() {
        var cursor = Self.fresh()
        _ = cursor.marked(number: 5, projectNumber: 2)
        #expect(cursor.heard(Self.event(9, own: 3)) == .tell(Self.event(9, own: 3)))
        #expect(cursor.heard(Self.event(23, own: 4)) == .tell(Self.event(23, own: 4)))
    }

    @Test func `a lost event in the middle is fetched`() {
        var cursor = Self.fresh()
        _ = cursor.marked(number: 5, projectNumber: 2)
        #expect(cursor.heard(Self.event(9, own: 4)) == .fetch(from: 6))
        let page = cursor.fetched(
            [Self.event(7, own: 3), Self.event(9, own: 4)], next: 10, last: 9)
        #expect(page.events.map(\.number) == [7, 9])
        #expect(page.gap == nil)
        #expect(page.fetchFrom == nil)
        #expect(cursor.heard(Self.event(9, own: 4)) == .idle)
        #expect(cursor.heard(Self.event(10, own: 5)) == .tell(Self.event(10, own: 5)))
    }

    @Test func `a lost last event is noticed by the next mark`() {
        var cursor = Self.fresh()
        _ = cursor.marked(number: 5, projectNumber: 2)
        #expect(cursor.marked(number: 8, projectNumber: 2) == .idle)
        #expect(cursor.marked(number: 11, projectNumber: 3) == .fetch(from: 9))
    }

    @Test func `pages follow each other until the end of the log`() {
        var cursor = Self.fresh(from: 1)
        #expect(cursor.marked(number: 30, projectNumber: 2) == .fetch(from: 1))
        let first = cursor.fetched([Self.event(4, own: 1)], next: 20, last: 30)
        #expect(first.fetchFrom == 20)
        let second = cursor.fetched([Self.event(25, own: 2)], next: 31, last: 30)
        #expect(second.fetchFrom == nil)
        #expect(second.gap == nil)
        #expect(cursor.marked(number: 30, projectNumber: 2) == .idle)
    }

    @Test func `a log that begins later is told as a gap, before what it has`() {
        var cursor = Self.fresh(from: 1)
        _ = cursor.marked(number: 30, projectNumber: 9)
        #expect(cursor.begins(at: 11) == 11)
        let page = cursor.fetched([Self.event(12, own: 5)], next: 31, last: 30)
        #expect(page.gap == 1...10)
        #expect(page.events.map(\.number) == [12])
    }

    @Test func `a log that has nothing left at all is told as a gap`() {
        for scope in [EventCursor.Scope.all, .project(Self.project)] {
            var cursor = EventCursor(scope, from: 1)
            _ = cursor.marked(number: 30, projectNumber: 9)
            #expect(cursor.begins(at: 31) == 31)
            let page = cursor.fetched([], next: 31, last: 30)
            #expect(page.gap == 1...30)
            #expect(cursor.marked(number: 30, projectNumber: 9) == .idle)
            #expect(cursor.heard(Self.event(31, own: 10)) == .tell(Self.event(31, own: 10)))
        }
    }

    @Test func `a gap that took nothing of the project is none`() {
        var cursor = EventCursor(.project(Self.project), after: 10, own: 4)
        _ = cursor.marked(number: 30, projectNumber: 5)
        #expect(cursor.begins(at: 20) == 20)
        let page = cursor.fetched([Self.event(25, own: 5)], next: 31, last: 30)
        #expect(page.gap == nil)
        #expect(page.events.count == 1)
    }

    @Test func `who asks for the future waits for it`() {
        var cursor = EventCursor(.all, from: 100)
        for _ in 0..<4 { #expect(cursor.marked(number: 50, projectNumber: nil) == .idle) }
        #expect(cursor.heard(Self.event(99, own: 1)) == .idle)
        #expect(cursor.heard(Self.event(100, own: 2)) == .tell(Self.event(100, own: 2)))
    }

    @Test func `a log that ends before what was told is another journal's`() {
        for scope in [EventCursor.Scope.all, .project(Self.project)] {
            var cursor = EventCursor(scope, after: 50, own: scope == .all ? 50 : 20)
            #expect(cursor.marked(number: 7, projectNumber: 3) == .fetch(from: 51))
            let page = cursor.fetched([], next: 8, last: 7)
            #expect(page.rewoundTo == 7)
            #expect(page.fetchFrom == nil)
            #expect(cursor.heard(Self.event(8, own: 4)) == .tell(Self.event(8, own: 4)))
        }
    }

    @Test func `marks that waited while the log was read rewind nothing`() {
        var cursor = EventCursor(.project(Self.project), after: 50, own: 20)
        for number: UInt64 in [7, 8, 40] {
            #expect(cursor.marked(number: number, projectNumber: 3) == .fetch(from: 51))
            let page = cursor.fetched([], next: 51, last: 50)
            #expect(page == EventCursor.Page())
        }
        #expect(cursor.heard(Self.event(51, own: 21)) == .tell(Self.event(51, own: 21)))
    }

    @Test(arguments: 0..<40)
    func `whatever is lost and repeated, each event is told once, in order`(_ seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var own: UInt64 = 0
        let log = (1...UInt64(200)).compactMap { number -> StatusEvent? in
            guard Bool.random(using: &random) else { return nil }
            own += 1
            return Self.event(number, own: own)
        }
        var cursor = Self.fresh(from: 1)
        var told: [UInt64] = []
        func settle(_ step: EventCursor.Step, through end: UInt64) {
            switch step {
            case .idle: return
            case .tell(let event): told.append(event.number)
            case .fetch(var from):
                while true {
                    let next = min(from + 17, end + 1)
                    let page = cursor.fetched(
                        log.filter { $0.number >= from && $0.number < next }, next: next, last: end)
                    told += page.events.map(\.number)
                    #expect(page.gap == nil)
                    guard let more = page.fetchFrom else { return }
                    from = more
                }
            }
        }
        for event in log {
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                settle(cursor.heard(event), through: event.number)
            }
            if Int.random(in: 0..<10, using: &random) == 0 {
                settle(
                    cursor.marked(number: event.number, projectNumber: event.projectNumber),
                    through: event.number)
            }
        }
        settle(cursor.marked(number: 200, projectNumber: own), through: 200)
        #expect(told == log.map(\.number), "seed \(seed)")
    }
}
