package import SyncCore
package import ZeroMQ

/// The coordinator's socket for workers; used on its loop only.
///
/// No routing ids are set by anybody: who a worker is stands in its messages, and the route is the
/// connection that registered last (trap "a DEALER with a fixed routing id").
package final class AssignmentEndpoint {
    /// The endpoint as bound.
    package let endpoint: String
    /// Messages that could not be sent.
    package private(set) var droppedCount = 0

    private let socket: LoopSocket
    private let limits: WireLimits
    private let tables = TargetTables()
    private var watch: ConnectionWatch

    /// Binds.
    package init(
        _ endpoint: String, on loop: SocketLoop, limits: WireLimits,
        connectionsMax: Int = ConnectionShares().workers
    ) throws(ZeroMQError) {
        self.limits = limits
        watch = ConnectionWatch(of: "workers", connectionsMax: connectionsMax)
        socket = try LoopSocket(
            .router, on: loop,
            options: SocketDefaults.bound(limits: limits) + [
                .routerMandatory(true), .receiveHighWaterMark(1_024),
            ])
        try socket.monitor()
        try socket.bind(endpoint)
        self.endpoint = try socket.lastEndpoint
    }

    /// Reads messages; fewer than `countMax` means that nothing was left.
    package func receive(countMax: Int) -> [(WorkerRoute, WorkerMessage)] {
        watch.read(socket)
        var messages: [(WorkerRoute, WorkerMessage)] = []
        while messages.count < countMax {
            guard let received = try? socket.receive(limit: limits.receiveLimit) else { break }
            guard case .message(let frames) = received, let route = frames.first else {
                watch.notices.add("an oversize message was dropped")
                continue
            }
            do throws(Rejection) {
                messages.append(
                    (WorkerRoute(id: route.bytes), try WorkerCodec.decode(frames[1...])))
            } catch {
                watch.notices.add("a message was dropped: \(error.sentence)")
            }
        }
        return messages
    }

    /// Sends a message; one that can't be sent is dropped: timers and registration repeat it.
    package func send(_ message: CoordinatorMessage, to route: WorkerRoute) {
        let frames = [Frame(route.id)] + CoordinatorCodec.encode(message, with: tables)
        guard let outcome = try? socket.send(frames), outcome == .sent else {
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
