internal import CLinux
internal import Glibc

/// A descriptor that becomes readable when signalled: what a poll of sockets can wait for too.
final class Wakeup: Sendable {
    let descriptor: Int32

    /// The C function is `eventfd`.
    init() throws(ZeroMQError) {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else {
            throw ZeroMQError(number: errno, doing: "Making a wake-up descriptor (eventfd)")
        }
    }

    /// Makes the descriptor readable; from any thread.
    func signal() {
        // EAGAIN means that it is signalled 2^64 times over: readable, which is all we want.
        while eventfd_write(descriptor, 1) != 0, errno == EINTR {}
    }

    /// Takes all signals back; returns at once.
    func reset() {
        var count: eventfd_t = 0
        while eventfd_read(descriptor, &count) != 0, errno == EINTR {}
    }

    /// Waits for a signal and leaves it; false when the time is over.
    func waits(atMost patience: Duration) -> Bool {
        let deadline = ContinuousClock.now + patience
        var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while true {
            let left = (deadline - ContinuousClock.now).wholeMilliseconds
            let count = poll(&item, 1, Int32(clamping: left))
            if count > 0 { return true }
            if count == 0, left < Int(Int32.max) { return false }
            if count < 0, errno != EINTR { return false }
        }
    }

    deinit { Glibc.close(descriptor) }
}
