import DequeModule
import SyncCore

extension SimulatedCluster {
    // MARK: Workers' lines

    /// Connects a worker, now or as soon as network and coordinator allow.
    func connect(_ worker: WorkerProcess) {
        let link = worker.link
        guard worker.isAlive, link.connection == nil, !link.isReconnecting else { return }
        if agenda.now < link.cutUntil || coordinator == nil {
            link.isReconnecting = true
            plan(after: network.chance.millis(100, 400)) { cluster in
                link.isReconnecting = false
                cluster.connect(worker)
            }
            return
        }
        let connection = WorkerLinkEnd.Connection(number: network.nextConnection())
        link.connection = connection
        workerRoutes[WorkerRoute(id: connection.bytes)] = (link, worker)
        for message in link.unwritten { send(message, from: worker) }
        link.unwritten = []
    }

    /// A worker sends; without a connection the message is dropped (`ZMQ_IMMEDIATE`).
    func send(_ message: WorkerMessage, from worker: WorkerProcess) {
        guard let connection = worker.link.connection else { return }
        let at = max(connection.up.last?.at ?? 0, agenda.now + network.delay())
        connection.up.append((at, message))
        plan(at: at) { $0.pumpUp(connection) }
    }

    private func pumpUp(_ connection: WorkerLinkEnd.Connection) {
        if agenda.now < connection.upStalledUntil {
            plan(at: connection.upStalledUntil) { $0.pumpUp(connection) }
            return
        }
        while let first = connection.up.first, first.at <= agenda.now {
            connection.up.removeFirst()
            guard let coordinator else { continue }
            coordinator.fromWorkers.append((WorkerRoute(id: connection.bytes), first.message))
            wakeCoordinator(after: 0)
        }
    }

    /// The coordinator sends to a worker; lost when the connection is gone.
    func send(_ message: CoordinatorMessage, to route: WorkerRoute) {
        guard let (link, worker) = workerRoutes[route], let connection = link.connection,
            connection.bytes == route.id
        else { return }
        let at = max(connection.down.last?.at ?? 0, agenda.now + network.delay())
        connection.down.append((at, message))
        plan(at: at) { $0.pumpDown(connection, to: worker) }
    }

    private func pumpDown(_ connection: WorkerLinkEnd.Connection, to worker: WorkerProcess) {
        if agenda.now < connection.downStalledUntil {
            plan(at: connection.downStalledUntil) { $0.pumpDown(connection, to: worker) }
            return
        }
        while let first = connection.down.first, first.at <= agenda.now {
            connection.down.removeFirst()
            guard worker.isAlive else { continue }
            worker.inbox.append(first.message)
            wake(worker, after: 0)
        }
    }

    /// A worker's connection breaks.
    func breakLink(of worker: WorkerProcess) {
        guard let connection = worker.link.connection else { return }
        worker.link.connection = nil
        workerRoutes[WorkerRoute(id: connection.bytes)] = nil
        let carried = tear(
            connection, isReaderAlive: coordinator != nil, isWriterAlive: worker.isAlive)
        worker.link.unwritten = []
        worker.link.unwritten.append(contentsOf: carried)
        plan(after: network.chance.millis(0, 200)) { $0.connect(worker) }
    }

    // MARK: Clients' lines

    /// Connects a client likewise.
    func connect(_ link: ClientLinkEnd, isAlive: @escaping () -> Bool) {
        guard isAlive(), link.connection == nil, !link.isReconnecting else { return }
        if agenda.now < link.cutUntil || coordinator == nil {
            link.isReconnecting = true
            plan(after: network.chance.millis(100, 400)) { cluster in
                link.isReconnecting = false
                cluster.connect(link, isAlive: isAlive)
            }
            return
        }
        let connection = ClientLinkEnd.Connection(number: network.nextConnection())
        link.connection = connection
        clientRoutes[connection.number] = link
        for asked in link.unwritten { send(asked, over: link) }
        link.unwritten = []
    }

    /// A client asks; without a connection the question waits for one.
    func send(_ asked: Asked, over link: ClientLinkEnd) {
        guard let connection = link.connection else {
            link.unwritten.append(asked)
            return
        }
        let at = max(connection.up.last?.at ?? 0, agenda.now + network.delay())
        connection.up.append((at, asked))
        plan(at: at) { $0.pumpUp(connection) }
    }

    private func pumpUp(_ connection: ClientLinkEnd.Connection) {
        if agenda.now < connection.upStalledUntil {
            plan(at: connection.upStalledUntil) { $0.pumpUp(connection) }
            return
        }
        while let first = connection.up.first, first.at <= agenda.now {
            connection.up.removeFirst()
            guard let coordinator else { continue }
            coordinator.fromClients.append((connection.number, first.message))
            wakeCoordinator(after: 0)
        }
    }

    /// The coordinator answers a client; dropped when there is no way back.
    func send(_ reply: ClientReply, to route: ClientRoute) {
        let number = Self.number(route.envelope.first ?? [])
        let request = Self.number(route.request)
        guard let link = clientRoutes[number], let connection = link.connection,
            connection.number == number
        else { return }
        let at = max(connection.down.last?.at ?? 0, agenda.now + network.delay())
        connection.down.append((at, Answered(request: request, body: reply)))
        plan(at: at) { $0.pumpDown(connection) }
    }

    private func pumpDown(_ connection: ClientLinkEnd.Connection) {
        if agenda.now < connection.downStalledUntil {
            plan(at: connection.downStalledUntil) { $0.pumpDown(connection) }
            return
        }
        while let first = connection.down.first, first.at <= agenda.now {
            connection.down.removeFirst()
            take(first.message)
        }
    }

    /// A client's connection breaks.
    func breakLink(_ link: ClientLinkEnd, isAlive: @escaping () -> Bool) {
        guard let connection = link.connection else { return }
        link.connection = nil
        clientRoutes[connection.number] = nil
        let carried = tear(
            connection, isReaderAlive: coordinator != nil, isWriterAlive: isAlive())
        link.unwritten.prepend(contentsOf: carried)
        plan(after: network.chance.millis(0, 200)) { $0.connect(link, isAlive: isAlive) }
    }

    // MARK: Breaking

    /// What a break leaves: a prefix of each direction still arrives, perhaps late; the middle is
    /// lost; the end of what was sent was never written and is given back.
    private func tear<Up, Down>(
        _ connection: SimulatedConnection<Up, Down>, isReaderAlive: Bool, isWriterAlive: Bool
    ) -> [Up] {
        connection.isOpen = false
        let up = connection.up
        let kept = isReaderAlive ? network.chance.between(0, up.count) : 0
        let carried = isWriterAlive ? network.chance.between(0, up.count - kept) : 0
        connection.up.removeLast(up.count - kept)
        connection.down.removeLast(
            connection.down.count
                - (isWriterAlive ? network.chance.between(0, connection.down.count) : 0))
        if network.chance.happens(perMille: 300) {
            connection.upStalledUntil = agenda.now + network.chance.millis(1, 600)
        }
        return up.suffix(carried).map(\.message)
    }

    /// A number from its bytes.
    static func number(_ bytes: [UInt8]) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The bytes of a number.
    static func bytes(_ number: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }
}
