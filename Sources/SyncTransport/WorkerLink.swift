package import SyncCore
package import ZeroMQ

/// A worker's connection to the coordinator; used on its loop only.
///
/// Nothing is queued while no connection stands (trap "sends queue before a connection exists"):
/// the socket's own events tell, because `ZMQ_IMMEDIATE` would let libzmq drop a pipe in the middle
/// of a message and abort. What can't be sent is dropped; reports and registrations are repeated.
/// The few messages that were queued in the moment of a break reach the next connection late,
/// perhaps the next coordinator: epoch, incarnation and registration number in each make them
/// harmless.
package final class WorkerLink {
    /// Whether a connection stands, as far as the events that were read tell.
    package private(set) var isConnected = false

    private var hasConnectedAnew = false
    private let socket: LoopSocket
    private let limits: WireLimits
    private let tables = TargetTables()
    private var notices: [String] = []

    /// Connects; the coordinator may start later.
    package init(
        _ endpoint: String, on loop: SocketLoop, limits: WireLimits
    ) throws(ZeroMQError) {
        self.limits = limits
        socket = try LoopSocket(
            .dealer, on: loop, options: SocketDefaults.connected(limits: limits))
        try socket.monitor()
        try socket.connect(endpoint)
    }

    /// Reads messages; fewer than `countMax` means that nothing was left.
    package func receive(countMax: Int) -> [CoordinatorMessage] {
        readEvents()
        var messages: [CoordinatorMessage] = []
        while messages.count < countMax {
            guard let received = try? socket.receive(limit: limits.receiveLimit) else { break }
            guard case .message(let frames) = received else {
                notices.append("an oversize message of the coordinator was dropped")
                continue
            }
            do throws(Rejection) {
                messages.append(try CoordinatorCodec.decode(frames, with: tables))
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
        guard isConnected,
            let outcome = try? socket.send(WorkerCodec.encode(message))
        else { return false }
        return outcome == .sent
    }

    /// Whether a connection was made since the last call: what was dropped meanwhile can go again.
    package func takeConnectedAnew() -> Bool {
        defer { hasConnectedAnew = false }
        return hasConnectedAnew
    }

    private func readEvents() {
        while let event = try? socket.nextEvent() {
            switch event.kind {
            case .handshakeSucceeded:
                isConnected = true
                hasConnectedAnew = true
            case .disconnected: isConnected = false
            case .connected, .connectDelayed, .connectRetried, .listening, .bindFailed, .accepted,
                .acceptFailed, .handshakeFailed, .closed, .closeFailed, .monitorStopped, .unknown:
                break
            }
        }
    }

    /// Sentences for the log since the last call.
    package func takeNotices() -> [String] {
        defer { notices = [] }
        return notices
    }

    /// Closes the socket.
    package func close() { socket.close() }
}
