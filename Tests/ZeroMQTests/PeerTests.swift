import Glibc
import SyncTestKit
import Synchronization
import Testing

@testable import ZeroMQ

@Suite struct PeerTests {
    /// An HTTP POST whose head libzmq takes for a ZMTP 1 identity of 79 bytes, and whose body for
    /// frames (trace A15).
    private static let httpPost: [UInt8] = {
        let start = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nX: "
        let head = start + String(repeating: "x", count: 81 - start.utf8.count - 4) + "\r\n\r\n"
        return Array(head.utf8) + zmtp1Frames
    }()

    private static let zmtp1: [UInt8] = [1, 0] + zmtp1Frames

    private static let zmtp1Frames: [UInt8] = {
        [("syncd/1", true), ("EDIT", true), ("evil", false)].flatMap { text, hasMore in
            [UInt8(text.utf8.count + 1), hasMore ? 1 : 0] + Array(text.utf8)
        }
    }()

    @Test func `without a domain an HTTP POST and ZMTP 1 are messages, so the next test can fail`()
        throws
    {
        for bytes in [Self.httpPost, Self.zmtp1] {
            let context = try Context()
            let router = try Socket(.router, in: context)
            try router.bind("tcp://127.0.0.1:*")
            let browser = try RawConnection(to: router.lastEndpoint)
            try browser.write(bytes)
            #expect(try router.nextMessage().last?.text == "evil")
        }
    }

    @Test(arguments: [httpPost, zmtp1])
    func `with a domain neither reaches the router, and a dealer does`(_ bytes: [UInt8]) throws {
        let context = try Context()
        let router = try Socket(.router, in: context, options: [.zapDomain("syncd")])
        var events = try router.monitor()
        try router.bind("tcp://127.0.0.1:*")
        let browser = try RawConnection(to: router.lastEndpoint)
        #expect(try events.next(.accepted).peer == browser.name)
        try browser.write(bytes)
        #expect(try events.next(.disconnected).peer == browser.name)
        let dealer = try Socket(.dealer, in: context)
        try dealer.connect(router.lastEndpoint)
        try dealer.deliver([Frame("honest")])
        #expect(try router.nextMessage().last?.text == "honest")
        #expect(try router.receive(limit: generous) == nil)
    }

    @Test func `a message whose connection dies in the middle is lost as a whole`() throws {
        // Many frames take long enough for the death to fall between two of them; whether it does
        // is the scheduler's choice, so the attempt is repeated, with the death ever later.
        let context = try Context()
        let message = (0..<100_000).map { _ in Frame("part") }
        for attempt in 0..<200 {
            let path = freshPath()
            let dealer = try Socket(.dealer, in: context, options: [.immediate(true)])
            try dealer.connect(path)
            let peer = try DyingPeer(at: path, turns: attempt * 1000)
            try #require(try dealer.waits(for: .writable, atMost: patience))
            peer.die()
            let outcome = try dealer.send(message)
            peer.join()
            guard outcome == .notSent else { continue }

            // The very next message is whole, and nothing of the lost one comes before it.
            let router = try Socket(.router, in: context)
            try router.bind(path)
            try dealer.deliver([Frame("next"), Frame("whole")])
            #expect(try router.nextMessage().dropFirst().map(\.text) == ["next", "whole"])
            return
        }
        Issue.record("no connection died in the middle of a message")
    }

    /// With `.immediate(true)` on the dealer this aborts the process: libzmq then takes the pipe
    /// away at once, between two frames of a message if it must (`Assertion failed: !_more
    /// (fq.cpp)`).
    @Test func `connections that break in a storm of multipart messages harm nobody`() throws {
        var random = SeededGenerator(seed: 11)
        let budgets = (0..<400).map { _ in Int.random(in: 1_000..<40_000, using: &random) }
        let context = try Context()
        let router = try Socket(.router, in: context, options: [.routerMandatory(true)])
        try router.bind("tcp://127.0.0.1:*")
        let proxy = try FaultyProxy(to: router.lastEndpoint) {
            budgets.indices.contains($0) ? budgets[$0] : nil
        }
        defer { proxy.stop() }
        let dealer = try Socket(
            .dealer, in: context, options: [.reconnectInterval(.milliseconds(1))])
        try dealer.connect(proxy.endpoint)
        let storm = (0..<7).map { Frame("part \($0)") }
        var arrivedCount = 0
        let deadline = ContinuousClock.now + .seconds(300)
        while proxy.breakCount < budgets.count {
            guard ContinuousClock.now < deadline else { throw Stuck(reason: "the storm is lame") }
            _ = try dealer.send([Frame("hello"), Frame("router")])
            while let hello = try router.receive(limit: generous) {
                guard case .message(let frames) = hello else { continue }
                let answer = [frames[0]] + storm
                for _ in 0..<20 {
                    guard try router.send(answer) == .sent else { break }
                }
            }
            while let received = try dealer.receive(limit: generous) {
                guard received == .message(storm) else {
                    throw Stuck(reason: "a message came in pieces")
                }
                arrivedCount += 1
            }
        }
        #expect(arrivedCount > budgets.count)
    }
}

/// A ROUTER in a thread and context of its own, which ends some turns after it is told to.
private final class DyingPeer: Sendable {
    private final class State: Sendable {
        let shallDie = Atomic<Bool>(false)
        let turns = Atomic<Int>(0)
    }

    private let state = State()
    private let thread: Thread

    init(at path: String, turns: Int) throws {
        thread = try Thread.starting(named: "peer") { [state] in
            do throws(ZeroMQError) {
                let router = try Socket(.router, in: Context())
                try router.bind(path)
                while !state.shallDie.load(ordering: .acquiring) { sched_yield() }
                for _ in 0..<turns { state.turns.add(1, ordering: .relaxed) }
            } catch {
                Issue.record(error)
            }
        }
    }

    func die() { state.shallDie.store(true, ordering: .releasing) }

    func join() { thread.join() }
}
