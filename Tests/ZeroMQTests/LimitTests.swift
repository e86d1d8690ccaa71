import Testing

@testable import ZeroMQ

@Suite struct LimitTests {
    private let limit = ReceiveLimit(
        framesMax: 5, bytesMax: 1000, prefixFramesMax: 3, prefixBytesMax: 100)

    @Test func `a message over the limit is drained and the next one is intact`() throws {
        let context = try Context()
        let left = try Socket(.pair, in: context)
        let right = try Socket(.pair, in: context)
        try left.bind("inproc://limit")
        try right.connect("inproc://limit")
        let large = Frame([UInt8](repeating: 0, count: 400))

        // By bytes, at the last frame, then after the last frame that fits.
        try right.deliver([Frame("a"), Frame("b"), large, large, large])
        #expect(
            try left.next(limit: limit)
                == .oversize(prefix: [Frame("a"), Frame("b")], frameCount: 5, byteCount: 1202))
        // By frames; the prefix ends at its own count.
        try right.deliver((0..<1000).map { Frame("\($0 % 10)") })
        #expect(
            try left.next(limit: limit)
                == .oversize(
                    prefix: [Frame("0"), Frame("1"), Frame("2")], frameCount: 1000, byteCount: 1000)
        )
        // One frame alone is too much.
        try right.deliver([Frame([UInt8](repeating: 0, count: 1001))])
        #expect(
            try left.next(limit: limit) == .oversize(prefix: [], frameCount: 1, byteCount: 1001))
        // Exactly at both limits.
        let rest = Frame([UInt8](repeating: 1, count: 200))
        let full: Message = [large, large, rest, Frame(""), Frame("")]
        try right.deliver(full)
        #expect(try left.next(limit: limit) == .message(full))
        #expect(try left.receive(limit: limit) == nil)
    }

    // Trace B4.
    @Test func `a frame over the socket's limit cuts the connection and names the peer`() throws {
        let context = try Context()
        let router = try Socket(
            .router, in: context, options: [.frameBytesMax(1024), .zapDomain("test")])
        var events = try router.monitor()
        try router.bind("tcp://127.0.0.1:*")
        let dealer = try Socket(.dealer, in: context, options: [.reconnectInterval(.seconds(60))])
        try dealer.connect(router.lastEndpoint)
        let accepted = try events.next(.accepted)
        #expect(accepted.peer?.hasPrefix("tcp://127.0.0.1:") == true)
        #expect(try accepted.endpoint == router.lastEndpoint)
        _ = try events.next(.handshakeSucceeded)
        try dealer.deliver([Frame([UInt8](repeating: 0, count: 1024))])
        #expect(try router.nextMessage()[1].count == 1024)
        try dealer.deliver([Frame([UInt8](repeating: 0, count: 1025))])
        let cut = try events.next(.disconnected)
        #expect(cut.peer == accepted.peer)
        #expect(try router.receive(limit: generous) == nil)
    }
}
