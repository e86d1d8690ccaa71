package import SyncCore
package import ZeroMQ

/// A worker's connection to the coordinator; used on its loop only.
///
/// `ZMQ_IMMEDIATE`: nothing is queued before a connection stands (trap "sends queue before a
/// connection exists"). What can't be sent is dropped; reports and registrations are repeated.
package final class WorkerLink {
    private let socket: LoopSocket
    private let limits: WireLimits
    private var notices: [String] = []

    /// Connects; the coordinator may start later.
    package init(
        _ endpoint: String, on loop: SocketLoop, limits: WireLimits
    ) throws(ZeroMQError) {
        self.limits = limits
        socket = try LoopSocket(
            .dealer, on: loop,
            options: SocketDefaults.connected(limits: limits) + [.immediate(true)])
        try socket.monitor()
        try socket.connect(endpoint)
    }

    /// Reads messages; fewer than `countMax` means that nothing was left.
    package func receive(countMax: Int) -> [CoordinatorMessage] {
        while (try? socket.nextEvent()) != nil {}
        var messages: [CoordinatorMessage] = []
        while messages.count < countMax {
            guard let received = try? socket.receive(limit: limits.receiveLimit) else { break }
            guard case .message(let frames) = received else {
                notices.append("an oversize message of the coordinator was dropped")
                continue
            }
            do throws(Rejection) {
                messages.append(try CoordinatorCodec.decode(frames))
            } catch {
                notices.append("a message of the coordinator was dropped: \(error.sentence)")
            }
        }
        return messages
    }

    /// Sends a message, or drops it when there is no connection.
    ///
    /// - Returns: Whether libzmq took it, which says nothing about its arrival.
    @discardableResult
    package func send(_ message: WorkerMessage) -> Bool {
        guard let outcome = try? socket.send(WorkerCodec.encode(message)) else { return false }
        return outcome == .sent
    }

    /// Sentences for the log since the last call.
    package func takeNotices() -> [String] {
        defer { notices = [] }
        return notices
    }

    /// Closes the socket.
    package func close() { socket.close() }
}
