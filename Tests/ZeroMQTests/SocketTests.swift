import Glibc
import Testing

@testable import ZeroMQ

@Suite struct SocketTests {
    @Test(arguments: ["tcp://127.0.0.1:*", "ipc", "inproc://round-trip"])
    func `a multipart message and its answer arrive whole`(_ address: String) throws {
        let context = try Context()
        let router = try Socket(.router, in: context, options: [.routerMandatory(true)])
        try router.bind(address == "ipc" ? freshPath() : address)
        let dealer = try Socket(.dealer, in: context)
        try dealer.connect(router.lastEndpoint)

        let parts: Message = [
            Frame("EDIT"), Frame(""), Frame([UInt8](repeating: 1, count: 70_000)),
        ]
        try dealer.deliver(parts)
        let request = try router.nextMessage()
        #expect(Array(request.dropFirst()) == parts)
        #expect(try router.send([request[0]] + parts) == .sent)
        #expect(try dealer.nextMessage() == parts)
        #expect(try dealer.receive(limit: generous) == nil)
    }

    @Test func `ten thousand tiny frames arrive as one message`() throws {
        let context = try Context()
        let left = try Socket(.pair, in: context)
        let right = try Socket(.pair, in: context)
        try left.bind(freshPath())
        try right.connect(left.lastEndpoint)
        let message = (0..<10_000).map { Frame("\($0)") }
        try right.deliver(message)
        #expect(try left.nextMessage() == message)
    }

    @Test func `a lent owner is released once the peer has the bytes`() throws {
        let context = try Context()
        let left = try Socket(.pair, in: context)
        let right = try Socket(.pair, in: context)
        try left.bind("tcp://127.0.0.1:*")
        try right.connect(left.lastEndpoint)
        let wasReleased = try Wakeup()
        try right.deliver([LentBytes(count: 1 << 20, wasReleased: wasReleased).frame])
        let received = try left.nextMessage()
        #expect(wasReleased.waits(atMost: patience))
        #expect(received[0].bytes == [UInt8](repeating: 7, count: 1 << 20))
    }

    @Test func `a lent owner is released when its message was refused`() throws {
        let context = try Context()
        let dealer = try Socket(.dealer, in: context, options: [.immediate(true)])
        let wasReleased = try Wakeup()
        #expect(
            try dealer.send([LentBytes(count: 1000, wasReleased: wasReleased).frame]) == .wouldBlock
        )
        #expect(wasReleased.waits(atMost: .zero))
    }

    @Test func `a lent owner is released when the context ends before the peer came`() throws {
        let context = try Context()
        let wasReleased = try Wakeup()
        do {
            let dealer = try Socket(.dealer, in: context)
            try dealer.connect(freshPath())
            #expect(
                try dealer.send([LentBytes(count: 1000, wasReleased: wasReleased).frame]) == .sent)
            #expect(!wasReleased.waits(atMost: .zero))
        }
        #expect(context.terminate(within: patience))
        #expect(wasReleased.waits(atMost: .zero))
    }

    @Test func `a mandatory router says that it knows no such peer`() throws {
        let context = try Context()
        let router = try Socket(.router, in: context, options: [.routerMandatory(true)])
        try router.bind("tcp://127.0.0.1:*")
        #expect(try router.send([Frame("nobody"), Frame("hello")]) == .unroutable)
    }

    // Trace C1.
    @Test func `a full pipe refuses instead of blocking the thread`() throws {
        let context = try Context()
        let router = try Socket(
            .router, in: context,
            options: [.routerMandatory(true), .sendHighWaterMark(1), .receiveHighWaterMark(1)])
        try router.bind(freshPath())
        let dealer = try Socket(
            .dealer, in: context, options: [.sendHighWaterMark(1), .receiveHighWaterMark(1)])
        try dealer.connect(router.lastEndpoint)
        let load = Frame([UInt8](repeating: 0, count: 100_000))
        #expect(try Self.sendsUntilRefused(dealer, [load]) == .wouldBlock)
        let peer = try router.nextMessage()[0]
        #expect(try Self.sendsUntilRefused(router, [peer, load]) == .wouldBlock)
    }

    @Test func `a second subscriber of a topic is seen by a verbose publisher`() throws {
        let context = try Context()
        let publisher = try Socket(.xpub, in: context, options: [.xpubVerbose(true)])
        try publisher.bind(freshPath())
        let first = try Socket(.sub, in: context, options: [.subscription("edit/p1/")])
        try first.connect(publisher.lastEndpoint)
        #expect(try publisher.nextMessage() == [Frame("\u{1}edit/p1/")])
        let second = try Socket(.sub, in: context)
        try second.connect(publisher.lastEndpoint)
        try second.subscribe("edit/p1/")
        #expect(try publisher.nextMessage() == [Frame("\u{1}edit/p1/")])
        #expect(try publisher.send([Frame("edit/p1/a"), Frame("1")]) == .sent)
        #expect(try first.nextMessage()[1].text == "1")
        #expect(try second.nextMessage()[1].text == "1")

        try second.unsubscribe("edit/p1/")
        first.closeNow()
        #expect(try publisher.nextMessage() == [Frame("\u{0}edit/p1/")])
    }

    @Test func `a relaxed request asks again and takes only the newest answer`() throws {
        let context = try Context()
        let router = try Socket(.router, in: context)
        try router.bind(freshPath())
        let requester = try Socket(
            .req, in: context, options: [.requestRelaxed(true), .requestCorrelate(true)])
        try requester.connect(router.lastEndpoint)
        try requester.deliver([Frame("first")])
        let first = try router.nextMessage()
        try requester.deliver([Frame("second")])
        let second = try router.nextMessage()
        #expect(try router.send(first.dropLast() + [Frame("late")]) == .sent)
        #expect(try router.send(second.dropLast() + [Frame("answer")]) == .sent)
        #expect(try requester.nextMessage() == [Frame("answer")])
    }

    @Test func `an error says what failed and what to do`() throws {
        let context = try Context()
        let first = try Socket(.router, in: context)
        try first.bind("tcp://127.0.0.1:*")
        let second = try Socket(.router, in: context)
        let endpoint = try first.lastEndpoint
        let inUse = #expect(throws: ZeroMQError.self) { try second.bind(endpoint) }
        #expect(inUse?.code == .addressInUse)
        #expect(inUse?.message.contains(endpoint) == true)
        let invalid = #expect(throws: ZeroMQError.self) { try second.bind("nonsense") }
        #expect(invalid?.code == .invalid)
        let outOfTurn = #expect(throws: ZeroMQError.self) {
            let requester = try Socket(.rep, in: context)
            _ = try requester.send([Frame("answer to nothing")])
        }
        #expect(outOfTurn?.code == .outOfTurn)
        let badOption = #expect(throws: ZeroMQError.self) {
            _ = try Socket(.router, in: context, options: [.tcpKeepaliveCount(-5)])
        }
        #expect(badOption?.message.contains("ZMQ_TCP_KEEPALIVE_CNT") == true)
    }

    @Test func `a closed socket throws instead of crashing`() throws {
        let context = try Context()
        var socket = try Socket(.dealer, in: context)
        socket.close()
        socket.close()
        var code: ZeroMQError.Code?
        do throws(ZeroMQError) {
            _ = try socket.send([Frame("a")])
        } catch {
            code = error.code
        }
        #expect(code == .closed)
    }

    @Test func `every kind opens and every option is taken`() throws {
        let context = try Context()
        for kind in SocketKind.allCases { _ = try Socket(kind, in: context) }
        _ = try Socket(
            .router, in: context,
            options: [
                .linger(.milliseconds(10)), .sendHighWaterMark(16), .receiveHighWaterMark(16),
                .frameBytesMax(1 << 20), .frameBytesMax(nil), .routerMandatory(true),
                .immediate(true), .zapDomain("syncd"), .tcpKeepalive(true),
                .tcpKeepaliveIdle(.seconds(1)), .tcpKeepaliveInterval(.seconds(1)),
                .tcpKeepaliveCount(3), .backlog(1024),
                .reconnectInterval(.milliseconds(100)), .reconnectIntervalMax(.seconds(2)),
                .handshakeInterval(.seconds(10)), .connectTimeout(.seconds(5)),
                .tcpRetransmitMax(.seconds(10)), .ipv6(true),
            ])
    }

    private static func sendsUntilRefused(
        _ socket: borrowing Socket, _ message: Message
    ) throws -> SendOutcome {
        for _ in 0..<100_000 {
            let outcome = try socket.send(message)
            if outcome != .sent { return outcome }
        }
        throw Stuck(reason: "the pipe never filled")
    }
}

extension Socket {
    /// Closes by consuming.
    consuming func closeNow() {}
}
