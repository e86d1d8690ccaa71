import Glibc
import SyncTestKit
import Synchronization
import Testing

@testable import ZeroMQ

/// No wait of a test is longer; a wait that ends for this reason is a failure.
let patience = Patience.stretched(.seconds(120))

/// Larger than anything a test sends on purpose.
let generous = ReceiveLimit(framesMax: 1_000_000, bytesMax: 1 << 30)

/// A test cannot go on.
struct Stuck: Error {
    let reason: String
}

/// An `ipc://` endpoint that nobody else has; abstract, so that no file is left behind.
func freshPath() -> String {
    let number = pathNumbers.add(1, ordering: .relaxed).newValue
    return "ipc://@zmqtest-\(getpid())-\(number)"
}

private let pathNumbers = Atomic<Int>(0)

extension Socket {
    /// Waits for whatever comes next.
    borrowing func next(limit: ReceiveLimit = generous) throws -> Received {
        let deadline = ContinuousClock.now + patience
        while ContinuousClock.now < deadline {
            if let received = try receive(limit: limit) { return received }
            _ = try waits(for: .readable, atMost: deadline - ContinuousClock.now)
        }
        throw Stuck(reason: "nothing came to the \(kind) socket")
    }

    /// Waits for a message within all limits.
    borrowing func nextMessage() throws -> Message {
        guard case .message(let message) = try next() else {
            throw Stuck(reason: "the message was oversize")
        }
        return message
    }

    /// Sends when there is room.
    borrowing func deliver(_ message: Message) throws {
        let deadline = ContinuousClock.now + patience
        while ContinuousClock.now < deadline {
            switch try send(message) {
            case .sent: return
            case .wouldBlock, .notSent, .unroutable:
                _ = try waits(for: .writable, atMost: deadline - ContinuousClock.now)
            }
        }
        throw Stuck(reason: "the \(kind) socket never had room")
    }
}

extension SocketEvents {
    /// Waits for the first event that matches; others are thrown away.
    mutating func next(where matches: (SocketEvent) -> Bool) throws -> SocketEvent {
        let deadline = ContinuousClock.now + patience
        while ContinuousClock.now < deadline {
            if let event = try next() {
                if matches(event) { return event }
                continue
            }
            _ = try waits(atMost: deadline - ContinuousClock.now)
        }
        throw Stuck(reason: "the event never came")
    }

    /// Waits for the first event of a kind.
    mutating func next(_ kind: SocketEvent.Kind) throws -> SocketEvent {
        try next { $0.kind == kind }
    }
}

/// Memory that tells when it is let go.
final class LentBytes: Sendable {
    nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
    private let wasReleased: Wakeup

    init(count: Int, wasReleased: Wakeup) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        memory.initializeMemory(as: UInt8.self, repeating: 7)
        bytes = UnsafeRawBufferPointer(memory)
        self.wasReleased = wasReleased
    }

    var frame: Frame { Frame(sharing: self, bytes: bytes) }

    deinit {
        bytes.deallocate()
        wasReleased.signal()
    }
}

/// A plain TCP connection, as a browser or an old library makes it.
final class RawConnection {
    private let descriptor: Int32

    init(to endpoint: String) throws {
        guard let port = endpoint.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw Stuck(reason: "no port in \(endpoint)")
        }
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let outcome = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                Glibc.connect(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        self.descriptor = descriptor
        guard outcome == 0 else { throw Stuck(reason: "nobody listens at \(endpoint)") }
    }

    /// How the other side sees this connection.
    var name: String {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                _ = getsockname(descriptor, pointer, &length)
            }
        }
        return "tcp://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
    }

    func write(_ bytes: [UInt8]) throws {
        let count = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        guard count == bytes.count else { throw Stuck(reason: "the connection ended") }
    }

    deinit { Glibc.close(descriptor) }
}

/// Makes SIGUSR1 interrupt this thread's system calls, instead of being blocked or killing.
func takeInterrupts() {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in }
    sigaction(SIGUSR1, &action, nil)
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGUSR1)
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
}
