internal import CLibZMQ
internal import CLinux
internal import Glibc

/// One thing that happened to a connection.
package struct SocketEvent: Sendable, Equatable {
    /// What happened.
    package enum Kind: Sendable, Equatable {
        /// Our attempt reached the other side; the greeting follows.
        case connected
        /// Our attempt goes on in the background.
        case connectDelayed
        /// Our next attempt follows after this pause.
        case connectRetried(after: Duration)
        /// The bound endpoint accepts connections.
        case listening
        /// Binding failed in the background.
        case bindFailed(reason: String)
        /// Somebody connected; the greeting follows.
        case accepted
        /// Somebody could not be let in.
        ///
        /// Trap "accept at EMFILE: event and spin": libzmq tries again at once, without a pause;
        /// raise the limit on open files. Over `ipc://` it is worse (tried, 4.3.4): EMFILE at
        /// accept ends the process by an assertion in `ipc_listener.cpp`.
        case acceptFailed(reason: String)
        /// The connection is usable.
        case handshakeSucceeded
        /// The other side does not speak our ZMTP, or was too slow, or was refused.
        case handshakeFailed(reason: String)
        /// A connection ended, by either side, or was cut for a frame over `frameBytesMax`.
        case disconnected
        /// Our attempt ended, or the bound endpoint was closed.
        case closed
        /// Closing failed.
        case closeFailed(reason: String)
        /// The monitored socket was closed; nothing follows.
        case monitorStopped
        /// A number this library does not know.
        case unknown(number: Int)
    }

    /// What happened.
    package let kind: Kind
    /// The endpoint that was bound or connected, as libzmq writes it.
    package let endpoint: String
    /// Who is at the other end of an accepted connection, as far as the system could still tell:
    /// `tcp://10.0.0.7:51812`, or `process 4711 of user 1000` on `ipc://`.
    ///
    /// libzmq gives only a descriptor. Its name is asked for when `accepted` is read, and
    /// remembered until `disconnected`; a connection that ended before we read has none.
    package let peer: String?
    /// Which accepted connection it is about, from `accepted` to `disconnected`.
    package let connection: Connection?

    /// One accepted connection, never the same as another one of its socket.
    package struct Connection: Hashable, Sendable {
        fileprivate let descriptor: Int32
        private let serial: UInt64

        fileprivate init(descriptor: Int32, serial: UInt64) {
            self.descriptor = descriptor
            self.serial = serial
        }

        /// A connection that no system has; for the tests of what counts them.
        package init(played serial: UInt64) { self.init(descriptor: -1, serial: serial) }
    }

    /// Describes an event.
    package init(
        kind: Kind, endpoint: String, peer: String? = nil, connection: Connection? = nil
    ) {
        self.kind = kind
        self.endpoint = endpoint
        self.peer = peer
        self.connection = connection
    }
}

/// A socket's connection events.
///
/// Read it to the end every turn: the queue has no limit.
package struct SocketEvents: ~Copyable {
    private struct Standing {
        let connection: SocketEvent.Connection
        let peer: String?
    }

    private var socket: Socket
    /// At most one entry per descriptor, which the limit on open files bounds.
    private var standing: [Int32: Standing] = [:]
    private var serial: UInt64 = 0

    /// Nil once closed.
    var handle: UnsafeMutableRawPointer? { socket.handle }

    init(at endpoint: String, in context: Context) throws(ZeroMQError) {
        // Not in the documents: libzmq's I/O thread sends events *blocking*. A full queue would
        // stop every connection, hence no high-water mark.
        let pair = try Socket(.pair, in: context, options: [.receiveHighWaterMark(0)])
        try pair.connect(endpoint)
        socket = pair
    }

    /// Closes the stream.
    package mutating func close() { socket.close() }

    /// Takes the next event, or nil when none waits.
    ///
    /// Never blocks.
    package mutating func next() throws(ZeroMQError) -> SocketEvent? {
        guard case .message(let message)? = try socket.receive(limit: Self.limit),
            message.count == 2, message[0].count == 6
        else { return nil }
        let (number, value) = message[0].withUnsafeBytes { bytes in
            (
                Int32(bytes.loadUnaligned(as: UInt16.self)),
                bytes.loadUnaligned(fromByteOffset: 2, as: Int32.self)
            )
        }
        let about = connection(of: number, descriptor: value)
        return SocketEvent(
            kind: Self.kind(of: number, value: value), endpoint: message[1].text ?? "",
            peer: about?.peer, connection: about?.connection)
    }

    /// Ends an accepted connection from this side; `disconnected` follows.
    ///
    /// libzmq has no call for it. Its peer is told by the kernel, and libzmq reads an end. Should
    /// the connection have ended unread and its descriptor be another connection's by now, that
    /// one ends, and is made again by its peer.
    package borrowing func hangUp(_ connection: SocketEvent.Connection) {
        guard standing[connection.descriptor]?.connection == connection else { return }
        _ = Glibc.shutdown(connection.descriptor, Int32(SHUT_RDWR))
    }

    /// Blocks this thread until an event waits or the time is over; for tools and tests.
    package borrowing func waits(atMost patience: Duration) throws(ZeroMQError) -> Bool {
        try socket.waits(for: .readable, atMost: patience)
    }

    private static let limit = ReceiveLimit(framesMax: 2, bytesMax: 4096)

    private static func kind(of number: Int32, value: Int32) -> SocketEvent.Kind {
        switch number {
        case ZMQ_EVENT_CONNECTED: .connected
        case ZMQ_EVENT_CONNECT_DELAYED: .connectDelayed
        case ZMQ_EVENT_CONNECT_RETRIED: .connectRetried(after: .milliseconds(value))
        case ZMQ_EVENT_LISTENING: .listening
        case ZMQ_EVENT_BIND_FAILED: .bindFailed(reason: LibraryCalls.text(ofError: value))
        case ZMQ_EVENT_ACCEPTED: .accepted
        case ZMQ_EVENT_ACCEPT_FAILED: .acceptFailed(reason: LibraryCalls.text(ofError: value))
        case ZMQ_EVENT_CLOSED: .closed
        case ZMQ_EVENT_CLOSE_FAILED: .closeFailed(reason: LibraryCalls.text(ofError: value))
        case ZMQ_EVENT_DISCONNECTED: .disconnected
        case ZMQ_EVENT_MONITOR_STOPPED: .monitorStopped
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: .handshakeSucceeded
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            .handshakeFailed(reason: LibraryCalls.text(ofError: value))
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            .handshakeFailed(reason: "protocol error 0x" + String(value, radix: 16))
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            .handshakeFailed(reason: "refused with status \(value)")
        default: .unknown(number: Int(number))
        }
    }

    private mutating func connection(of number: Int32, descriptor: Int32) -> Standing? {
        switch number {
        case ZMQ_EVENT_ACCEPTED:
            serial += 1
            let accepted = Standing(
                connection: SocketEvent.Connection(descriptor: descriptor, serial: serial),
                peer: PeerName.ofSocket(descriptor))
            standing[descriptor] = accepted
            return accepted
        case ZMQ_EVENT_DISCONNECTED: return standing.removeValue(forKey: descriptor)
        default: return nil
        }
    }
}

/// Asks the system who is at the other end of a connection.
private enum PeerName {
    static func ofSocket(_ descriptor: Int32) -> String? {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        var port = [CChar](repeating: 0, count: Int(NI_MAXSERV))
        let family = withUnsafeMutablePointer(to: &address) { pointer -> Int32? in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                guard getpeername(descriptor, pointer, &length) == 0 else { return nil }
                let family = Int32(pointer.pointee.sa_family)
                guard family == AF_INET || family == AF_INET6 else { return family }
                let outcome = getnameinfo(
                    pointer, length, &host, socklen_t(host.count), &port, socklen_t(port.count),
                    NI_NUMERICHOST | NI_NUMERICSERV)
                return outcome == 0 ? family : nil
            }
        }
        switch family {
        case AF_INET?: return "tcp://\(text(host)):\(text(port))"
        case AF_INET6?: return "tcp://[\(text(host))]:\(text(port))"
        case AF_UNIX?: return ofUnixSocket(descriptor)
        default: return nil
        }
    }

    private static func ofUnixSocket(_ descriptor: Int32) -> String? {
        var process: Int32 = 0
        var user: UInt32 = 0
        guard syncd_unix_peer(descriptor, &process, &user) == 0 else { return nil }
        return "process \(process) of user \(user)"
    }

    private static func text(_ characters: [CChar]) -> String {
        String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
