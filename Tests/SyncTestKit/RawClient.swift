package import SyncCore
import SyncTransport
package import ZeroMQ

/// A plain socket with raw frames, as a program in another language has it.
package struct RawClient: ~Copyable {
    /// No wait is longer; a wait that ends for this reason is a failure.
    private static let patience = Duration.seconds(120)

    private let socket: Socket

    /// Connects; the other side may start later.
    package init(
        to endpoint: String, in context: Context, kind: SocketKind = .dealer,
        options: [SocketOption] = []
    ) throws {
        LeakWatch.begin()
        let socket = try Socket(kind, in: context, options: options)
        try socket.connect(endpoint)
        self.socket = socket
    }

    /// Sends, as soon as there is room.
    package borrowing func send(_ message: Message) throws {
        let end = ContinuousClock.now + Self.patience
        while try socket.send(message) != .sent {
            guard ContinuousClock.now < end else { throw KitError("no room to send") }
            _ = try socket.waits(for: .writable, atMost: .seconds(1))
        }
    }

    /// Sends words, one a frame.
    package borrowing func send(_ words: [String]) throws { try send(words.map { Frame($0) }) }

    /// Sends words, or drops them when there is no room.
    package borrowing func trySending(_ words: [String]) throws {
        _ = try socket.send(words.map { Frame($0) })
    }

    /// Takes a message if one waits.
    package borrowing func next() throws -> Message? {
        let limit = ReceiveLimit(framesMax: 10_000, bytesMax: 64 << 20)
        guard case .message(let frames)? = try socket.receive(limit: limit) else { return nil }
        return frames
    }

    /// Waits until a message waits, or the time is over.
    package borrowing func waits(atMost time: Duration) throws -> Bool {
        try socket.waits(for: .readable, atMost: time)
    }

    /// Waits for the next message.
    package borrowing func frames() throws -> Message {
        let end = ContinuousClock.now + Self.patience
        while ContinuousClock.now < end {
            if let frames = try next() { return frames }
            _ = try socket.waits(for: .readable, atMost: .seconds(1))
        }
        throw KitError("nothing came within \(Self.patience)")
    }

    /// Waits for the next message, as text.
    package borrowing func words() throws -> [String] { try frames().map { $0.text ?? "?" } }

    /// Waits for the next reply of a coordinator.
    package borrowing func reply() throws -> (request: [UInt8], reply: ClientReply) {
        guard let reply = ClientCodec.reply(try frames()) else {
            throw KitError("what came is no reply")
        }
        return reply
    }

    /// Subscribes, as an XSUB: its subscriptions are plain messages and need not be UTF-8.
    package borrowing func subscribe(bytes: [UInt8]) throws {
        try send([Frame([1] + bytes)])
    }

    /// Subscribes, as an XSUB.
    package borrowing func subscribe(_ prefix: String) throws {
        try subscribe(bytes: Array(prefix.utf8))
    }
}
