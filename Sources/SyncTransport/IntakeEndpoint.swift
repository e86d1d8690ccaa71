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
    private var notices: [String] = []

    /// Binds.
    package init(
        _ endpoint: String, on loop: SocketLoop, limits: WireLimits
    ) throws(ZeroMQError) {
        self.limits = limits
        socket = try LoopSocket(
            .router, on: loop,
            options: SocketDefaults.bound(limits: limits) + [.routerMandatory(true)])
        try socket.monitor()
        try socket.bind(endpoint)
        self.endpoint = try socket.lastEndpoint
    }

    /// Reads requests; those that are none are answered here.
    package func receive(countMax: Int) -> [(ClientRoute, ClientRequest)] {
        readEvents()
        var requests: [(ClientRoute, ClientRequest)] = []
        for _ in 0..<countMax {
            guard let received = try? socket.receive(limit: limits.receiveLimit) else { break }
            switch received {
            case .message(let frames):
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
        return requests
    }

    /// Sends an answer, or drops it when there is no way back.
    package func reply(_ reply: ClientReply, to route: ClientRoute) {
        guard let outcome = try? socket.send(ClientCodec.encode(reply, to: route)),
            outcome == .sent
        else {
            droppedCount += 1
            return
        }
    }

    /// Sentences for the log since the last call.
    package func takeNotices() -> [String] {
        defer { notices = [] }
        return notices
    }

    /// Closes the socket.
    package func close() { socket.close() }

    private func readEvents() {
        while let event = try? socket.nextEvent() {
            if let notice = event.notice(of: "intake", frameBytesMax: limits.frameBytesMax) {
                notices.append(notice)
            }
        }
    }
}

extension SocketEvent {
    /// A sentence for the log about what an operator should know; nil for daily business.
    func notice(of socket: String, frameBytesMax: Int) -> String? {
        let who = peer ?? "an unknown peer"
        switch kind {
        case .handshakeFailed(let reason):
            return "\(socket): \(who) does not speak ZMTP 3 and was refused (\(reason))"
        case .acceptFailed(let reason):
            return "\(socket): a connection could not be accepted (\(reason)); raise the limit of "
                + "open files if this goes on"
        case .bindFailed(let reason): return "\(socket): could not bind (\(reason))"
        default: return nil
        }
    }
}
