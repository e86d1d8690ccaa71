import Glibc
import Testing

@testable import ZeroMQ

@Suite struct EventTests {
    @Test func `both sides of a connection tell of its life`() throws {
        let context = try Context()
        let router = try Socket(.router, in: context)
        var heard = try router.monitor()
        try router.bind("tcp://127.0.0.1:*")
        _ = try heard.next(.listening)
        var dealer = try Socket(.dealer, in: context)
        var told = try dealer.monitor()
        try dealer.connect(router.lastEndpoint)
        #expect(try told.next(.connected).endpoint == router.lastEndpoint)
        _ = try told.next(.handshakeSucceeded)
        let accepted = try heard.next(.accepted)
        _ = try heard.next(.handshakeSucceeded)
        dealer.close()
        _ = try told.next(.monitorStopped)
        #expect(try heard.next(.disconnected).peer == accepted.peer)
        #expect(accepted.peer != nil)
    }

    @Test func `a local peer is named by its process and user`() throws {
        let context = try Context()
        let router = try Socket(.router, in: context)
        var heard = try router.monitor()
        try router.bind(freshPath())
        let dealer = try Socket(.dealer, in: context)
        try dealer.connect(router.lastEndpoint)
        #expect(try heard.next(.accepted).peer == "process \(getpid()) of user \(getuid())")
    }

    @Test func `an absent peer is retried and a stranger fails the handshake`() throws {
        let context = try Context()
        let dealer = try Socket(.dealer, in: context)
        var told = try dealer.monitor()
        try dealer.connect("tcp://127.0.0.1:1")
        _ = try told.next { event in
            if case .connectRetried = event.kind { true } else { false }
        }

        let router = try Socket(
            .router, in: context, options: [.handshakeInterval(.milliseconds(50))])
        var heard = try router.monitor()
        try router.bind("tcp://127.0.0.1:*")
        let silent = try RawConnection(to: router.lastEndpoint)
        #expect(try heard.next(.accepted).peer == silent.name)
        _ = try heard.next { event in
            if case .handshakeFailed = event.kind { true } else { false }
        }
        #expect(try heard.next(.disconnected).peer == silent.name)
    }
}
