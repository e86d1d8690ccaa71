internal import CLinux
internal import Glibc

/// A system thread, because libzmq's sockets and blocking calls must not sit on Swift's pool.
struct Thread: Sendable {
    private final class Start {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// The system's handle, `pthread_t`.
    let number: UInt

    /// Who is asking; never 0.
    static var currentNumber: UInt { UInt(pthread_self()) }

    /// Starts a thread that `join` must end; the name shows in `top -H`, 15 bytes of it.
    static func starting(
        named name: String, body: @escaping @Sendable () -> Void
    ) throws(ZeroMQError) -> Thread {
        let start = Unmanaged.passRetained(Start(body))
        var handle = pthread_t()
        let outcome = pthread_create(
            &handle, nil,
            { argument in
                guard let argument else { return nil }
                Thread.blockSignals()
                Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, start.toOpaque())
        guard outcome == 0 else {
            start.release()
            throw ZeroMQError(number: outcome, doing: "Starting a thread (pthread_create)")
        }
        _ = pthread_setname_np(handle, String(decoding: name.utf8.prefix(15), as: UTF8.self))
        return Thread(number: UInt(handle))
    }

    /// Starts a thread that nobody waits for.
    static func start(named name: String, body: @escaping @Sendable () -> Void) throws(ZeroMQError)
    {
        let thread = try starting(named: name, body: body)
        pthread_detach(pthread_t(thread.number))
    }

    /// Waits for the thread's end; exactly once.
    func join() { pthread_join(pthread_t(number), nil) }

    /// Leaves signals to other threads, as libzmq does on its own, except those that mean a crash.
    private static func blockSignals() {
        var signals = sigset_t()
        sigfillset(&signals)
        for crash in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] {
            sigdelset(&signals, crash)
        }
        pthread_sigmask(SIG_SETMASK, &signals, nil)
    }

    /// Sends a signal to this thread alone.
    func interrupt(with signal: Int32) { pthread_kill(pthread_t(number), signal) }
}
