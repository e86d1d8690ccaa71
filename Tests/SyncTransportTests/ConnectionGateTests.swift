import Testing
import ZeroMQ

@testable import SyncTransport

/// P8: a bound socket has a limit of connections, and whoever is in stays in.
@Suite struct ConnectionGateTests {
    private static let start = ContinuousClock.now

    private static func accepted(_ serial: UInt64) -> SocketEvent {
        SocketEvent(
            kind: .accepted, endpoint: "tcp://127.0.0.1:1",
            connection: SocketEvent.Connection(played: serial))
    }

    private static func ended(_ serial: UInt64) -> SocketEvent {
        SocketEvent(
            kind: .disconnected, endpoint: "tcp://127.0.0.1:1",
            connection: SocketEvent.Connection(played: serial))
    }

    private static func connection(_ serial: UInt64) -> SocketEvent.Connection {
        SocketEvent.Connection(played: serial)
    }

    private static func full() -> ConnectionGate {
        var gate = ConnectionGate(countMax: 3)
        for serial: UInt64 in 1...3 { gate.hear(accepted(serial), at: start) }
        return gate
    }

    @Test func `up to the limit nobody is hung up on`() {
        var gate = Self.full()
        #expect(gate.count == 3)
        #expect(gate.nextDeadline == nil)
        #expect(gate.takeOver(at: Self.start + .seconds(60)) == [])
        #expect(gate.takeNotice(at: Self.start) == nil)
    }

    @Test func `one over the limit is hung up on after a pause, and told once`() {
        var gate = Self.full()
        gate.hear(Self.accepted(4), at: Self.start)
        #expect(gate.count == 3)
        #expect(gate.takeOver(at: Self.start) == [])
        let due = gate.nextDeadline ?? Self.start
        #expect(due > Self.start)
        #expect(gate.takeOver(at: due) == [Self.connection(4)])
        #expect(gate.takeOver(at: due + .seconds(1)) == [])
        let notice = gate.takeNotice(at: due)
        #expect(notice?.isWarning == true)
        #expect(notice?.sentence.contains("all 3 connections") == true)
        #expect(notice?.sentence.contains("--set connections=N") == true)
        #expect(gate.takeNotice(at: due) == nil)
        // Its end frees no place: it had none.
        gate.hear(Self.ended(4), at: due)
        gate.hear(Self.accepted(5), at: due)
        #expect(gate.count == 3)
        #expect(gate.takeOver(at: due + .seconds(1)) == [Self.connection(5)])
        #expect(gate.refusedCount == 2)
    }

    @Test func `who waits over the limit is let in when somebody leaves`() {
        var gate = Self.full()
        gate.hear(Self.accepted(4), at: Self.start)
        gate.hear(Self.accepted(5), at: Self.start)
        gate.hear(Self.ended(2), at: Self.start)
        #expect(gate.count == 3)
        #expect(gate.takeOver(at: Self.start + .seconds(1)) == [Self.connection(5)])
        gate.hear(Self.ended(4), at: Self.start)
        #expect(gate.count == 2)
    }

    @Test func `who gives up while it waits is not hung up on`() {
        var gate = Self.full()
        gate.hear(Self.accepted(4), at: Self.start)
        gate.hear(Self.ended(4), at: Self.start)
        #expect(gate.nextDeadline == nil)
        #expect(gate.takeOver(at: Self.start + .seconds(1)) == [])
        #expect(gate.refusedCount == 0)
    }

    @Test func `too many over the limit do not get their pause`() {
        var gate = Self.full()
        for serial: UInt64 in 4...303 { gate.hear(Self.accepted(serial), at: Self.start) }
        #expect(gate.takeOver(at: Self.start).count == 300)
        #expect(gate.refusedCount == 300)
    }

    @Test func `room is told when it is there again, a storm of refusals once in a while`() {
        var gate = Self.full()
        var told = 0
        var now = Self.start
        for serial: UInt64 in 4...103 {
            gate.hear(Self.accepted(serial), at: now)
            now += .milliseconds(550)
            for connection in gate.takeOver(at: now) {
                gate.hear(
                    SocketEvent(kind: .disconnected, endpoint: "", connection: connection), at: now)
            }
            if gate.takeNotice(at: now) != nil { told += 1 }
        }
        #expect((5...7).contains(told))
        gate.hear(Self.ended(1), at: now)
        let notice =
            gate.takeNotice(at: now + .seconds(11))
            ?? gate.takeNotice(at: now + .seconds(22))
        #expect(notice != nil)
        let room = gate.takeNotice(at: now + .seconds(33))
        #expect((notice?.isWarning == false) != (room?.isWarning == false))
    }

    @Test func `the limit is shared out so that no socket takes the others' connections`() {
        let shares = ConnectionShares()
        #expect(shares.intake == 2_048)
        #expect(shares.workers == 1_024)
        #expect(shares.status == 1_024)
        let few = ConnectionShares(of: 7)
        #expect([few.intake, few.workers, few.status] == [5, 1, 1])
    }
}
