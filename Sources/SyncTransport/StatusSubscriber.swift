package import SyncCore
package import ZeroMQ

/// A monitor's connection; used on its loop only.
package final class StatusSubscriber {
    /// What arrives.
    package enum Notice: Sendable {
        /// A numbered event.
        case event(StatusEvent)
        /// Current numbers, under a prefix.
        case mark(prefix: String, number: UInt64, projectNumber: UInt64?)
        /// A hint about a worker.
        case worker(label: String, life: String, state: String)
        /// The connection was made, or was lost; it is made again by itself.
        case connection(isUp: Bool)
    }

    private let socket: LoopSocket

    /// Connects; the coordinator may start later.
    package init(_ endpoint: String, on loop: SocketLoop) throws(ZeroMQError) {
        socket = try LoopSocket(
            .sub, on: loop,
            options: SocketDefaults.connected(limits: WireLimits()) + [
                .receiveHighWaterMark(100_000)
            ])
        try socket.monitor()
        try socket.connect(endpoint)
    }

    /// Listens to topics that begin so; each subscription brings a mark.
    package func subscribe(_ prefix: String) throws(ZeroMQError) { try socket.subscribe(prefix) }

    /// Reads what has arrived; bodies of unknown types are left out (they may be newer).
    package func receive(countMax: Int) -> [Notice] {
        var notices = connectionNotices()
        let limit = ReceiveLimit(framesMax: 4, bytesMax: 1 << 20)
        while notices.count < countMax {
            guard let received = try? socket.receive(limit: limit) else { break }
            guard case .message(let frames) = received, frames.count == 2 else { continue }
            let topic = String(decoding: frames[0].bytes, as: UTF8.self)
            if let event = Body.decode(Body.Event.self, from: frames[1])?.value {
                notices.append(.event(event))
            } else if let mark = Body.decode(Body.Mark.self, from: frames[1]), mark.type == "mark" {
                notices.append(
                    .mark(
                        prefix: topic, number: mark.number, projectNumber: mark.projectNumber))
            } else if let hint = Body.decode(Body.Hint.self, from: frames[1]) {
                notices.append(
                    .worker(label: hint.worker, life: hint.life, state: hint.state))
            }
        }
        return notices
    }

    /// Closes the socket.
    package func close() { socket.close() }

    private func connectionNotices() -> [Notice] {
        var notices: [Notice] = []
        while let event = try? socket.nextEvent() {
            switch event.kind {
            case .handshakeSucceeded: notices.append(.connection(isUp: true))
            case .disconnected: notices.append(.connection(isUp: false))
            case .connected, .connectDelayed, .connectRetried, .listening, .bindFailed, .accepted,
                .acceptFailed, .handshakeFailed, .closed, .closeFailed, .monitorStopped, .unknown:
                continue
            }
        }
        return notices
    }
}
