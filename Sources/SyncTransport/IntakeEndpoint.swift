package import SyncCore
package import ZeroMQ

/// The coordinator's socket for producers and operators; used on its loop only.
///
/// A ROUTER: mandatory, so that a vanished client is noticed, and never blocking. An answer that
/// can't be sent is dropped and counted, never queued (trace C1): the client asks again.
package final class IntakeEndpoint {
    /// The endpoint as bound.
    package let endpoint: String
    /// Answers that could not be sent.
    package private(set) var droppedCount = 0

    private let socket: LoopSocket
    private let limits: WireLimits
    private var watch: ConnectionWatch

    /// Binds.
    package init(
        _ endpoint: String, on loop: SocketLoop, limits: WireLimits,
        connectionsMax: Int = ConnectionShares().intake
    ) throws(ZeroMQError) {
        self.limits = limits
        watch = ConnectionWatch(of: "intake", connectionsMax: connectionsMax)
        socket = try LoopSocket(
            .router, on: loop,
            options: SocketDefaults.bound(limits: limits) + [.routerMandatory(true)])
        try socket.monitor()
        try socket.bind(endpoint)
        self.endpoint = try socket.lastEndpoint
    }

    /// Reads requests; those that are none are answered here.
    ///
    /// - Parameter bytesMax: Stops when so many bytes were read, so that long messages leave time
    ///   for other sockets; one message is always taken.
    /// - Returns: The requests, and whether more may wait.
    package func receive(
        countMax: Int, bytesMax: Int
    ) -> (requests: [(ClientRoute, ClientRequest)], isDrained: Bool) {
        watch.read(socket)
        var requests: [(ClientRoute, ClientRequest)] = []
        var bytes = 0
        for _ in 0..<countMax {
            if bytes >= bytesMax { return (requests, false) }
            guard let received = try? socket.receive(limit: limits.receiveLimit) else {
                return (requests, true)
            }
            switch received {
            case .message(let frames):
                bytes += frames.reduce(0) { $0 + $1.count }
                guard let decoded = ClientCodec.request(frames, limits: limits) else { continue }
                switch decoded.request {
                case .success(let request): requests.append((decoded.route, request))
                case .failure(let rejection): reply(.rejected(rejection), to: decoded.route)
                }
            case .oversize(let prefix, let frameCount, let byteCount):
                guard let route = ClientCodec.route(ofOversize: prefix) else { continue }
                reply(
                    .rejected(
                        Rejection(
                            .tooLarge,
                            "The message has \(frameCount) frames and \(byteCount) bytes; at most "
                                + "\(limits.framesMax) and \(limits.messageBytesMax) are taken. "
                                + "Split it.")), to: route)
            }
        }
        return (requests, false)
    }

    /// Sends an answer, or drops it when there is no way back.
    package func reply(_ reply: ClientReply, to route: ClientRoute) {
        guard let outcome = try? socket.send(ClientCodec.encode(reply, to: route)),
            outcome == .sent
        else {
            droppedCount += 1
            watch.notices.addDropped()
            return
        }
    }

    /// Connections that stand, and those that were turned away since the start.
    package var connections: (count: Int, refused: Int) { watch.connections }

    /// When the socket is to be read again though nothing comes.
    package var nextDeadline: ContinuousClock.Instant? { watch.nextDeadline }

    /// What the log should have since the last call.
    package func takeNotices() -> [EndpointNotice] { watch.notices.take() }

    /// Closes the socket.
    package func close() { socket.close() }
}
