internal import CLibZMQ
internal import Glibc
internal import Synchronization

/// What became of a message handed to `Socket.send`.
package enum SendOutcome: Sendable, Equatable {
    /// Queued here. Trap "`ROUTER_MANDATORY` answers only for the first frame and only 'queued
    /// here'": it may still be lost; acknowledgements and timers decide, never this value.
    ///
    /// Trap "XPUB drops for a full subscriber without a word": publishers hear `.sent` all the
    /// same; the numbers in the messages tell the subscriber.
    case sent
    /// The pipe is full, or there is nobody to send to; nothing was taken.
    case wouldBlock
    /// The connection died in the middle; libzmq threw the whole message away.
    case notSent
    /// A mandatory ROUTER knows no such peer any more; nothing was taken.
    case unroutable
}

/// How large a message may be before it is thrown away while it is read.
///
/// Trap "B4": libzmq limits a frame, never a message. What is over the limit is freed frame by
/// frame, so that the receiver holds at most `bytesMax` plus one frame.
package struct ReceiveLimit: Sendable, Equatable {
    /// Most frames of one message.
    package var framesMax: Int
    /// Most bytes of one message, all frames together.
    package var bytesMax: Int
    /// Most leading frames kept of a message over the limit.
    package var prefixFramesMax: Int
    /// Most bytes of those frames together; the first that does not fit ends the prefix.
    package var prefixBytesMax: Int

    /// Sets the limits; the prefix is what an answer needs: envelope, verb, request.
    package init(
        framesMax: Int, bytesMax: Int, prefixFramesMax: Int = 8, prefixBytesMax: Int = 4096
    ) {
        self.framesMax = framesMax
        self.bytesMax = bytesMax
        self.prefixFramesMax = prefixFramesMax
        self.prefixBytesMax = prefixBytesMax
    }
}

/// What `Socket.receive` took.
package enum Received: Sendable, Equatable {
    /// A whole message within the limit.
    case message(Message)
    /// A message over the limit, read to its end and thrown away but for its first small frames.
    case oversize(prefix: Message, frameCount: Int, byteCount: Int)
}

/// A socket: closed when it goes out of scope, used by one thread at a time.
///
/// Not sendable, because trap "sockets belong to one thread": actors use `LoopSocket`.
/// No call here ever blocks but `waits`.
package struct Socket: ~Copyable {
    /// Which side of readiness is waited for.
    package struct Interest: OptionSet, Sendable {
        /// The bits as `zmq_poll` takes them.
        package let rawValue: Int16

        /// Takes the bits as `zmq_poll` takes them.
        package init(rawValue: Int16) { self.rawValue = rawValue }

        /// A message waits (`ZMQ_POLLIN`).
        package static let readable = Interest(rawValue: Int16(ZMQ_POLLIN))
        /// Some pipe has room (`ZMQ_POLLOUT`); trap "POLLOUT means 'some pipe'", not a given
        /// peer's.
        package static let writable = Interest(rawValue: Int16(ZMQ_POLLOUT))
    }

    /// The pattern it speaks.
    package let kind: SocketKind
    /// Nil once closed.
    private(set) var handle: UnsafeMutableRawPointer?
    private let context: Context

    /// Opens a socket and sets its options.
    ///
    /// The C functions are `zmq_socket`, `zmq_setsockopt`.
    ///
    /// Trap "linger −1": linger is 0 unless an option says otherwise.
    package init(
        _ kind: SocketKind, in context: Context, options: [SocketOption] = []
    ) throws(ZeroMQError) {
        self.kind = kind
        self.context = context
        let handle = try LibraryCalls.newSocket(in: context.handle, type: kind.number)
        self.handle = handle
        do throws(ZeroMQError) {
            try SocketOption.linger(.zero).apply(to: handle)
            for option in options { try option.apply(to: handle) }
        } catch {
            LibraryCalls.close(handle)
            self.handle = nil
            throw error
        }
    }

    deinit {
        if let handle { LibraryCalls.close(handle) }
    }

    /// Closes the socket; every later call throws `.closed`.
    ///
    /// The C function is `zmq_close`.
    package mutating func close() {
        guard let handle else { return }
        LibraryCalls.close(handle)
        self.handle = nil
    }

    /// Listens.
    ///
    /// The C function is `zmq_bind`.
    ///
    /// Trap "`ipc://` bind unlinks a live socket file": two processes can bind the same path and
    /// the first hears nothing; whoever binds a path takes a lock of its own first (trace A7).
    ///
    /// - Parameter endpoint: `tcp://127.0.0.1:7461`, `tcp://127.0.0.1:*`, `ipc:///path`,
    ///   `inproc://name`.
    package borrowing func bind(_ endpoint: String) throws(ZeroMQError) {
        try LibraryCalls.bind(open(), to: endpoint)
    }

    /// Stops listening there.
    ///
    /// The C function is `zmq_unbind`.
    package borrowing func unbind(_ endpoint: String) throws(ZeroMQError) {
        try LibraryCalls.unbind(open(), from: endpoint)
    }

    /// Connects, and connects again by itself whenever the connection is lost (`zmq_connect`).
    ///
    /// Trap "reconnect": what was sent is lost or delivered, what was queued goes out on the new
    /// connection, so there may be loss in the middle; messages carry numbers.
    ///
    /// Trap "a DEALER's queues outlive the peer": what is queued in either direction meets the next
    /// life of the other side; messages carry epoch and incarnation too.
    package borrowing func connect(_ endpoint: String) throws(ZeroMQError) {
        try LibraryCalls.connect(open(), to: endpoint)
    }

    /// Drops the connection and what is queued for it.
    ///
    /// The C function is `zmq_disconnect`.
    package borrowing func disconnect(_ endpoint: String) throws(ZeroMQError) {
        try LibraryCalls.disconnect(open(), from: endpoint)
    }

    /// The endpoint last bound or connected, with the port that was found for `*`.
    package var lastEndpoint: String {
        get throws(ZeroMQError) { try LibraryCalls.lastEndpoint(of: open()) }
    }

    /// Subscribes a SUB to every message whose first frame begins so (`ZMQ_SUBSCRIBE`).
    package borrowing func subscribe(_ prefix: String) throws(ZeroMQError) {
        try SocketOption.subscription(prefix).apply(to: open())
    }

    /// Takes one subscription back (`ZMQ_UNSUBSCRIBE`).
    package borrowing func unsubscribe(_ prefix: String) throws(ZeroMQError) {
        try LibraryCalls.set(ZMQ_UNSUBSCRIBE, named: "ZMQ_UNSUBSCRIBE", to: prefix, of: open())
    }

    /// Opens the stream of this socket's connection events; read it, or memory grows.
    ///
    /// Trap "monitors are PAIR sockets to be closed too": the result owns one. The C function is
    /// `zmq_socket_monitor`.
    package borrowing func monitor() throws(ZeroMQError) -> SocketEvents {
        let number = monitorNumbers.add(1, ordering: .relaxed).newValue
        let endpoint = "inproc://monitor-\(number)"
        try LibraryCalls.monitor(open(), at: endpoint)
        return try SocketEvents(at: endpoint, in: context)
    }

    /// Blocks this thread until ready or the time is over; for tools and tests without a loop.
    ///
    /// - Returns: Whether it is ready. A signal may end the wait early. The C function is
    ///   `zmq_poll`.
    package borrowing func waits(
        for interest: Interest, atMost patience: Duration
    ) throws(ZeroMQError) -> Bool {
        var items = [
            zmq_pollitem_t(socket: try open(), fd: 0, events: interest.rawValue, revents: 0)
        ]
        return try LibraryCalls.poll(&items, milliseconds: patience.wholeMilliseconds) > 0
    }

    /// The handle of a socket that is not closed.
    private borrowing func open() throws(ZeroMQError) -> UnsafeMutableRawPointer {
        guard let handle else {
            throw ZeroMQError(
                code: .closed,
                message: "The \(kind) socket is closed. Use it only before its loop stops.")
        }
        return handle
    }
}

// MARK: - Messages

extension Socket {
    /// Queues a whole message, or nothing.
    ///
    /// Never blocks. The C function is `zmq_msg_send`.
    ///
    /// Trap "mandatory + full pipe: EAGAIN, or a blocked thread without DONTWAIT": always DONTWAIT.
    ///
    /// Trap "DEALER: a pipe that dies in the middle of a multipart gives EAGAIN on *that* frame;
    /// libzmq then swallows every following frame up to the next one without MORE": so the rest is
    /// still sent, into nothing, and the next message begins clean.
    ///
    /// - Precondition: The message has a frame.
    package borrowing func send(_ message: Message) throws(ZeroMQError) -> SendOutcome {
        precondition(!message.isEmpty, "A message without frames cannot be sent")
        let handle = try open()
        var isLost = false
        for index in message.indices {
            let hasMore = index < message.count - 1
            switch Self.send(message[index], to: handle, hasMore: hasMore) {
            case 0: continue
            case EAGAIN where index == 0: return .wouldBlock
            case EAGAIN: isLost = true
            case EHOSTUNREACH where index == 0: return .unroutable
            case let number: throw ZeroMQError(number: number, doing: "Sending (zmq_msg_send)")
            }
        }
        return isLost ? .notSent : .sent
    }

    /// Takes the next message, or nil when none waits.
    ///
    /// Never blocks (`zmq_msg_recv`).
    ///
    /// After a wake-up, or a pause of the process, read until nil or up to a limit of one's own:
    /// trap "`ZMQ_FD` is edge-triggered" does not concern `zmq_poll`, which tells again.
    package borrowing func receive(limit: ReceiveLimit) throws(ZeroMQError) -> Received? {
        let handle = try open()
        var part = zmq_msg_t()
        LibraryCalls.initialize(&part)
        defer { LibraryCalls.discard(&part) }

        var frames: Message = []
        var frameCount = 0
        var byteCount = 0
        var isOversize = false
        repeat {
            switch LibraryCalls.receive(&part, from: handle) {
            case 0: break
            case EAGAIN where frameCount == 0: return nil
            case let number: throw ZeroMQError(number: number, doing: "Receiving (zmq_msg_recv)")
            }
            frameCount += 1
            byteCount += LibraryCalls.count(of: &part)
            let hasMore = LibraryCalls.hasMore(&part)
            if !isOversize, frameCount > limit.framesMax || byteCount > limit.bytesMax {
                isOversize = true
                frames = Self.prefix(of: frames, within: limit)
            }
            if !isOversize {
                if frameCount == 1 { frames.reserveCapacity(8) }
                frames.append(Frame(moving: &part))
            }
            if !hasMore { break }
        } while true
        guard isOversize else { return .message(frames) }
        return .oversize(prefix: frames, frameCount: frameCount, byteCount: byteCount)
    }

    private static func prefix(of frames: Message, within limit: ReceiveLimit) -> Message {
        var byteCount = 0
        return Array(
            frames.prefix(limit.prefixFramesMax).prefix { frame in
                byteCount += frame.count
                return byteCount <= limit.prefixBytesMax
            })
    }

    private static func send(
        _ frame: Frame, to socket: UnsafeMutableRawPointer, hasMore: Bool
    ) -> Int32 {
        var part = zmq_msg_t()
        LibraryCalls.initialize(&part)
        defer { LibraryCalls.discard(&part) }
        frame.share(with: &part)
        return LibraryCalls.send(&part, to: socket, hasMore: hasMore)
    }
}

/// Makes the names of monitors' endpoints unique in the process.
private let monitorNumbers = Atomic<UInt64>(0)
