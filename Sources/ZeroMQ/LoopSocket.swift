internal import CLibZMQ

/// A socket that a `SocketLoop` polls, from its opening to its closing.
///
/// It belongs to the loop's thread; any call from elsewhere is a bug and traps (trap "sockets
/// belong to one thread"). An actor pinned to the loop keeps it in a `var` and closes it in
/// `SocketLoopClient.loopWillStop`; what is still open when the loop stops, the loop closes (trap
/// "a socket left open hangs `zmq_ctx_term` for ever").
package final class LoopSocket {
    /// What wakes the loop; empty while the owner does not want to read.
    package var interest: Socket.Interest = .readable {
        didSet {
            loop.assertOnThread()
            loop.pollItemsChanged()
        }
    }

    private let loop: SocketLoop
    private var socket: Socket
    private var events: SocketEvents?

    /// Opens a socket on the loop's thread and has it polled.
    package init(
        _ kind: SocketKind, on loop: SocketLoop, options: [SocketOption] = []
    ) throws(ZeroMQError) {
        loop.assertOnThread()
        self.loop = loop
        self.socket = try Socket(kind, in: loop.context, options: options)
        try loop.register(self)
    }

    /// The pattern it speaks.
    package var kind: SocketKind { socket.kind }

    /// The endpoint last bound or connected; see `Socket.lastEndpoint`.
    package var lastEndpoint: String {
        get throws(ZeroMQError) {
            loop.assertOnThread()
            return try socket.lastEndpoint
        }
    }

    /// Listens; see `Socket.bind`.
    package func bind(_ endpoint: String) throws(ZeroMQError) {
        loop.assertOnThread()
        try socket.bind(endpoint)
    }

    /// Stops listening; see `Socket.unbind`.
    package func unbind(_ endpoint: String) throws(ZeroMQError) {
        loop.assertOnThread()
        try socket.unbind(endpoint)
    }

    /// Connects and reconnects; see `Socket.connect`.
    package func connect(_ endpoint: String) throws(ZeroMQError) {
        loop.assertOnThread()
        try socket.connect(endpoint)
    }

    /// Drops a connection; see `Socket.disconnect`.
    package func disconnect(_ endpoint: String) throws(ZeroMQError) {
        loop.assertOnThread()
        try socket.disconnect(endpoint)
    }

    /// Subscribes a SUB; see `Socket.subscribe`.
    package func subscribe(_ prefix: String) throws(ZeroMQError) {
        loop.assertOnThread()
        try socket.subscribe(prefix)
    }

    /// Takes a subscription back; see `Socket.unsubscribe`.
    package func unsubscribe(_ prefix: String) throws(ZeroMQError) {
        loop.assertOnThread()
        try socket.unsubscribe(prefix)
    }

    /// Queues a whole message, or nothing; see `Socket.send`.
    package func send(_ message: Message) throws(ZeroMQError) -> SendOutcome {
        loop.assertOnThread()
        return try socket.send(message)
    }

    /// Takes the next message, or nil; see `Socket.receive`.
    package func receive(limit: ReceiveLimit) throws(ZeroMQError) -> Received? {
        loop.assertOnThread()
        return try socket.receive(limit: limit)
    }

    /// Starts the stream of connection events, polled and closed with this socket.
    ///
    /// Once.
    package func monitor() throws(ZeroMQError) {
        loop.assertOnThread()
        precondition(events == nil, "A socket is monitored once")
        events = try socket.monitor()
        loop.pollItemsChanged()
    }

    /// Takes the next connection event, or nil; read to the end in every pass.
    package func nextEvent() throws(ZeroMQError) -> SocketEvent? {
        loop.assertOnThread()
        return try events?.next()
    }

    /// Ends an accepted connection; see `SocketEvents.hangUp`.
    package func hangUp(_ connection: SocketEvent.Connection) {
        loop.assertOnThread()
        events?.hangUp(connection)
    }

    /// Closes the socket and its events, and has it polled no more.
    ///
    /// Repeats do nothing.
    package func close() {
        loop.assertOnThread()
        socket.close()
        events?.close()
        loop.unregister(self)
    }

    /// Adds what the loop has to poll: the socket and its events.
    func appendItems(to items: inout [zmq_pollitem_t]) {
        if let handle = socket.handle {
            items.append(
                zmq_pollitem_t(socket: handle, fd: 0, events: interest.rawValue, revents: 0))
        }
        if let handle = eventsHandle {
            items.append(
                zmq_pollitem_t(socket: handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0))
        }
    }

    private var eventsHandle: UnsafeMutableRawPointer? {
        switch events {
        case .some(let events): events.handle
        case .none: nil
        }
    }
}
