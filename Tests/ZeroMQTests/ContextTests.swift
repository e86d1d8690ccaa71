import CLibZMQ
import Glibc
import Testing

@testable import ZeroMQ

@Suite struct ContextTests {
    @Test func `a process ends at once while the peer is away`() throws {
        let context = try Context()
        do {
            let dealer = try Socket(.dealer, in: context)
            try dealer.connect("tcp://127.0.0.1:1")
            try dealer.connect(freshPath())
            for _ in 0..<100 { #expect(try dealer.send([Frame("for nobody")]) == .sent) }
        }
        #expect(context.terminate(within: patience))
        #expect(context.terminate(within: .zero))
    }

    @Test func `an open socket is reported instead of waited for`() throws {
        let context = try Context()
        var socket = try Socket(.dealer, in: context)
        #expect(!context.terminate(within: .milliseconds(50)))
        var code: ZeroMQError.Code?
        do throws(ZeroMQError) {
            _ = try socket.receive(limit: generous)
        } catch {
            code = error.code
        }
        #expect(code == .terminated)
        socket.close()
        #expect(context.terminate(within: patience))
    }

    @Test func `unsent messages linger as long as asked, not longer`() throws {
        let context = try Context()
        do {
            let dealer = try Socket(.dealer, in: context, options: [.linger(.milliseconds(200))])
            try dealer.connect(freshPath())
            #expect(try dealer.send([Frame("for nobody")]) == .sent)
        }
        #expect(!context.terminate(within: .milliseconds(20)))
        #expect(context.terminate(within: patience))
    }

    @Test func `a signal does not end the wait for open sockets`() throws {
        nonisolated(unsafe) let context = try #require(LibraryCalls.newContext())
        let socket = try LibraryCalls.newSocket(in: context, type: ZMQ_DEALER)
        let ended = try Wakeup()
        let thread = try Thread.starting(named: "term") {
            takeInterrupts()
            LibraryCalls.terminate(context)
            ended.signal()
        }
        var part = zmq_msg_t()
        LibraryCalls.initialize(&part)
        // The socket answers ETERM once the thread is inside of zmq_ctx_term.
        while LibraryCalls.receive(&part, from: socket) == EAGAIN { sched_yield() }
        for _ in 0..<100 {
            thread.interrupt(with: SIGUSR1)
            sched_yield()
        }
        #expect(!ended.waits(atMost: .milliseconds(20)))
        LibraryCalls.close(socket)
        #expect(ended.waits(atMost: patience))
        thread.join()
    }
}
