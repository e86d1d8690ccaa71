internal import CLibZMQ
internal import Glibc

/// Owns the library: its I/O threads, its memory, its sockets.
///
/// Made first, ends last.
///
/// The order of an end: stop every `SocketLoop` (which closes its sockets on their own thread),
/// then `shutdown()`, then `terminate(within:)`.
///
/// Trap "fork after context": a forked child shares sockets and locks but has no I/O threads. A
/// process with a context starts others only with `posix_spawn`.
package final class Context: Sendable {
    private enum State {
        case running
        case terminating(done: Wakeup)
        case terminated
    }

    // Safe to share: `zmq_ctx_*` and `zmq_socket` may be called from any thread.
    nonisolated(unsafe) let handle: UnsafeMutableRawPointer
    private let state = Guarded(State.running)

    /// Starts the library.
    ///
    /// The C functions are `zmq_ctx_new` and `zmq_ctx_set`.
    ///
    /// - Parameters:
    ///   - ioThreads: Threads that move bytes; one per gigabyte a second is the rule of thumb.
    ///   - socketsMax: Sockets open at once; a monitor counts as two.
    package init(ioThreads: Int = 1, socketsMax: Int = 1023) throws(ZeroMQError) {
        guard let handle = LibraryCalls.newContext() else {
            throw ZeroMQError(number: errno, doing: "Starting libzmq (zmq_ctx_new)")
        }
        self.handle = handle
        try LibraryCalls.set(ZMQ_IO_THREADS, to: Int32(clamping: ioThreads), inContext: handle)
        try LibraryCalls.set(ZMQ_MAX_SOCKETS, to: Int32(clamping: socketsMax), inContext: handle)
    }

    /// Makes every call on every socket throw `.terminated`, and ends loops that still run.
    ///
    /// From any thread; repeats do nothing. The C function is `zmq_ctx_shutdown`.
    package func shutdown() {
        state.withLock { state in
            if case .running = state { LibraryCalls.shutDown(handle) }
        }
    }

    /// Ends the library, from any thread but a loop's.
    ///
    /// The C function is `zmq_ctx_term`.
    ///
    /// Trap "`zmq_ctx_term` hangs while a socket is open or lingers": it blocks a thread of its
    /// own, and this call waits only so long.
    ///
    /// - Returns: False when sockets were still open or lingering after `within`; the attempt goes
    ///   on, and another call waits for the same end.
    package func terminate(within patience: Duration) -> Bool {
        let done: Wakeup? = state.withLock { state in
            switch state {
            case .terminated: return nil
            case .terminating(let done): return done
            case .running:
                LibraryCalls.shutDown(handle)
                let done = startTermination()
                state = done.map(State.terminating) ?? .terminated
                return done
            }
        }
        guard let done else { return true }
        guard done.waits(atMost: patience) else { return false }
        state.withLock { $0 = .terminated }
        return true
    }

    /// Nil when neither a descriptor nor a thread can be had: it was then done here.
    private func startTermination() -> Wakeup? {
        nonisolated(unsafe) let handle = handle
        guard let done = try? Wakeup(),
            (try? Thread.start(
                named: "zmq-term",
                body: {
                    LibraryCalls.terminate(handle)
                    done.signal()
                })) != nil
        else {
            LibraryCalls.terminate(handle)
            return nil
        }
        return done
    }

    deinit {
        // Sockets retain their context, so all are closed here; five seconds are for lingering.
        _ = terminate(within: .seconds(5))
    }
}
