internal import CLibZMQ
internal import Glibc

/// Every call into libzmq, and nothing else.
///
/// Trap "EINTR": a signal interrupts receive, send, poll and even `zmq_ctx_term`. All are retried
/// here, except the poll: it returns early, and its callers look at the clock anyway.
enum LibraryCalls {
    // MARK: Context

    static func newContext() -> UnsafeMutableRawPointer? { zmq_ctx_new() }

    static func set(
        _ option: Int32, to value: Int32, inContext context: UnsafeMutableRawPointer
    ) throws(ZeroMQError) {
        try check("zmq_ctx_set") { zmq_ctx_set(context, option, value) }
    }

    static func shutDown(_ context: UnsafeMutableRawPointer) { _ = zmq_ctx_shutdown(context) }

    /// Blocks until the last socket is closed and has lingered.
    ///
    /// `zmq_ctx_term`.
    static func terminate(_ context: UnsafeMutableRawPointer) {
        while zmq_ctx_term(context) != 0, zmq_errno() == EINTR {}
    }

    // MARK: Socket

    static func newSocket(
        in context: UnsafeMutableRawPointer, type: Int32
    ) throws(ZeroMQError) -> UnsafeMutableRawPointer {
        guard let handle = zmq_socket(context, type) else {
            throw ZeroMQError(number: zmq_errno(), doing: "Creating a socket (zmq_socket)")
        }
        return handle
    }

    /// Closes a socket; it then lingers in the background.
    ///
    /// `zmq_close`.
    static func close(_ socket: UnsafeMutableRawPointer) { _ = zmq_close(socket) }

    static func bind(
        _ socket: UnsafeMutableRawPointer, to endpoint: String
    ) throws(ZeroMQError) {
        let action = "Binding \(endpoint) (zmq_bind)"
        do {
            try check(action) { zmq_bind(socket, endpoint) }
        } catch {
            guard error.number == EAGAIN else { throw error }
            // Tried: what a host that can't be found leaves behind.
            throw ZeroMQError(number: EADDRNOTAVAIL, doing: action)
        }
    }

    static func unbind(
        _ socket: UnsafeMutableRawPointer, from endpoint: String
    ) throws(ZeroMQError) {
        try check("Unbinding \(endpoint) (zmq_unbind)") { zmq_unbind(socket, endpoint) }
    }

    static func connect(
        _ socket: UnsafeMutableRawPointer, to endpoint: String
    ) throws(ZeroMQError) {
        try check("Connecting to \(endpoint) (zmq_connect)") { zmq_connect(socket, endpoint) }
    }

    static func disconnect(
        _ socket: UnsafeMutableRawPointer, from endpoint: String
    ) throws(ZeroMQError) {
        try check("Disconnecting from \(endpoint) (zmq_disconnect)") {
            zmq_disconnect(socket, endpoint)
        }
    }

    static func monitor(
        _ socket: UnsafeMutableRawPointer, at endpoint: String
    ) throws(ZeroMQError) {
        try check("Monitoring a socket (zmq_socket_monitor)") {
            zmq_socket_monitor(socket, endpoint, ZMQ_EVENT_ALL)
        }
    }

    static func set(
        _ option: Int32, named name: String, to bytes: UnsafeRawBufferPointer,
        of socket: UnsafeMutableRawPointer
    ) throws(ZeroMQError) {
        try check("Setting \(name) (zmq_setsockopt)") {
            zmq_setsockopt(socket, option, bytes.baseAddress, bytes.count)
        }
    }

    static func set(
        _ option: Int32, named name: String, to text: String, of socket: UnsafeMutableRawPointer
    ) throws(ZeroMQError) {
        try check("Setting \(name) (zmq_setsockopt)") {
            zmq_setsockopt(socket, option, text, text.utf8.count)
        }
    }

    static func lastEndpoint(of socket: UnsafeMutableRawPointer) throws(ZeroMQError) -> String {
        // Longest text: an `ipc://` path, which the kernel limits to 108 bytes, or a host name.
        var text = [UInt8](repeating: 0, count: 1024)
        var count = text.count
        try check("Reading ZMQ_LAST_ENDPOINT (zmq_getsockopt)") {
            zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, &text, &count)
        }
        // The count includes the ending zero.
        return String(decoding: text.prefix(max(0, count - 1)), as: UTF8.self)
    }

    /// Waits until an item is ready, the time is over, or a signal arrives (then 0).
    ///
    /// - Parameter milliseconds: -1 waits without end. `zmq_poll`.
    static func poll(
        _ items: inout [zmq_pollitem_t], milliseconds: Int
    ) throws(ZeroMQError) -> Int {
        let count = items.withUnsafeMutableBufferPointer { buffer in
            Int(zmq_poll(buffer.baseAddress, Int32(buffer.count), milliseconds))
        }
        if count >= 0 { return count }
        let number = zmq_errno()
        if number == EINTR {
            for index in items.indices { items[index].revents = 0 }
            return 0
        }
        throw ZeroMQError(number: number, doing: "Waiting for sockets (zmq_poll)")
    }

    // MARK: Message parts

    static func initialize(_ part: UnsafeMutablePointer<zmq_msg_t>) { _ = zmq_msg_init(part) }

    static func initialize(_ part: UnsafeMutablePointer<zmq_msg_t>, count: Int) {
        // Its only error is ENOMEM, at which Swift's own allocations trap too.
        precondition(zmq_msg_init_size(part, count) == 0, "No memory for \(count) bytes")
    }

    static func initialize(
        _ part: UnsafeMutablePointer<zmq_msg_t>, sharing bytes: UnsafeRawBufferPointer,
        release:
            @escaping @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) ->
            Void,
        hint: UnsafeMutableRawPointer
    ) {
        let data = UnsafeMutableRawPointer(mutating: bytes.baseAddress)
        let outcome = zmq_msg_init_data(part, data, bytes.count, release, hint)
        precondition(outcome == 0, "No memory for a message part")
    }

    /// Makes a second reference to the same bytes; short parts are copied.
    ///
    /// `zmq_msg_copy`.
    static func copy(
        _ source: UnsafeMutablePointer<zmq_msg_t>, to target: UnsafeMutablePointer<zmq_msg_t>
    ) {
        let outcome = zmq_msg_copy(target, source)
        precondition(outcome == 0, "A message part was used after its end")
    }

    /// Moves a part, leaving an empty one.
    ///
    /// Both must be initialized. `zmq_msg_move`.
    static func move(
        _ source: UnsafeMutablePointer<zmq_msg_t>, to target: UnsafeMutablePointer<zmq_msg_t>
    ) {
        let outcome = zmq_msg_move(target, source)
        precondition(outcome == 0, "A message part was used after its end")
    }

    static func discard(_ part: UnsafeMutablePointer<zmq_msg_t>) { _ = zmq_msg_close(part) }

    static func bytes(of part: UnsafeMutablePointer<zmq_msg_t>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: zmq_msg_data(part), count: zmq_msg_size(part))
    }

    static func count(of part: UnsafeMutablePointer<zmq_msg_t>) -> Int { zmq_msg_size(part) }

    static func hasMore(_ part: UnsafeMutablePointer<zmq_msg_t>) -> Bool { zmq_msg_more(part) != 0 }

    /// Hands a part over without blocking, `zmq_msg_send`; 0 or the error's number.
    ///
    /// Trap "`zmq_msg_send` keeps the message on error, empties it on success": the caller closes
    /// the part in both cases, which is right for an emptied one too.
    static func send(
        _ part: UnsafeMutablePointer<zmq_msg_t>, to socket: UnsafeMutableRawPointer, hasMore: Bool
    ) -> Int32 {
        let flags = hasMore ? ZMQ_DONTWAIT | ZMQ_SNDMORE : ZMQ_DONTWAIT
        while zmq_msg_send(part, socket, flags) < 0 {
            let number = zmq_errno()
            if number != EINTR { return number }
        }
        return 0
    }

    /// Takes a part that waits, without blocking, `zmq_msg_recv`; 0 or the error's number.
    static func receive(
        _ part: UnsafeMutablePointer<zmq_msg_t>, from socket: UnsafeMutableRawPointer
    ) -> Int32 {
        while zmq_msg_recv(part, socket, ZMQ_DONTWAIT) < 0 {
            let number = zmq_errno()
            if number != EINTR { return number }
        }
        return 0
    }

    // MARK: Errors

    static func text(ofError number: Int32) -> String {
        guard let text = zmq_strerror(number) else { return "error \(number)" }
        return String(cString: text)
    }

    private static func check(
        _ action: @autoclosure () -> String, _ call: () -> Int32
    ) throws(ZeroMQError) {
        while call() != 0 {
            let number = zmq_errno()
            if number != EINTR { throw ZeroMQError(number: number, doing: action()) }
        }
    }
}
