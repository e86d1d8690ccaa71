import DequeModule
import SyncCore

extension SimulatedCluster {
    // MARK: Both ends

    /// A worker's line: what it says goes to the coordinator's socket, what it hears wakes it.
    func join(_ worker: WorkerProcess) {
        worker.link.opened = { [unowned self, weak worker] in workerRoutes[$0] = worker }
        worker.link.arrived = { [unowned self] number, message in
            let route = WorkerRoute(id: Self.bytes(number))
            coordinator?.fromWorkers.append((route, message))
        }
        worker.link.heard = { [unowned self, weak worker] message in
            guard let worker else { return }
            worker.inbox.append(message)
            wake(worker, after: 0)
        }
        connect(worker.link)
    }

    /// A client's line likewise.
    func join(_ link: ClientLinkEnd) {
        link.opened = { [unowned self, weak link] in clientRoutes[$0] = link }
        link.arrived = { [unowned self] in coordinator?.fromClients.append(($0, $1)) }
        link.heard = { [unowned self] in take($0) }
        connect(link)
    }

    /// The coordinator sends to a worker; lost when the connection is gone.
    func send(_ message: CoordinatorMessage, to route: WorkerRoute) {
        let number = Self.number(route.id)
        guard let worker = workerRoutes[number] else { return }
        meetDrain(of: worker, message)
        send(message, down: worker.link, number)
        meetPause(of: worker, message)
        meetCut(of: worker, message)
    }

    /// The coordinator answers a client; dropped when there is no way back.
    func send(_ reply: ClientReply, to route: ClientRoute) {
        let number = Self.number(route.envelope.first ?? [])
        guard let link = clientRoutes[number] else { return }
        send(Answered(request: Self.number(route.request), body: reply), down: link, number)
    }

    // MARK: Lines

    /// Connects, now or as soon as network and coordinator allow.
    private func connect<Up, Down>(_ link: SimulatedLink<Up, Down>) {
        guard link.isAlive, link.connection == nil, !link.isReconnecting else { return }
        if agenda.now < link.cutUntil || listening == nil {
            link.isReconnecting = true
            plan(after: network.chance.millis(100, 400)) { cluster in
                link.isReconnecting = false
                cluster.connect(link)
            }
            return
        }
        let connection = SimulatedConnection<Up, Down>(number: network.nextConnection())
        link.connection = connection
        link.opened(connection.number)
        let waiting = link.unwritten
        link.unwritten = []
        for message in waiting { send(message, over: link) }
    }

    /// Sends up; without a connection the message waits for one, or is dropped.
    func send<Up, Down>(_ message: Up, over link: SimulatedLink<Up, Down>) {
        guard let connection = link.connection else {
            if link.queues { link.unwritten.append(message) }
            return
        }
        put(message, on: connection.up) { cluster in
            cluster.pump(connection.up) { link.arrived(connection.number, $0) }
            cluster.wakeCoordinator(after: 0)
        }
    }

    private func send<Up, Down>(
        _ message: Down, down link: SimulatedLink<Up, Down>, _ number: UInt64
    ) {
        guard let connection = link.connection, connection.number == number else { return }
        put(message, on: connection.down) { cluster in
            cluster.pump(connection.down) { if link.isAlive { link.heard($0) } }
        }
    }

    /// Lets a message arrive after a while, behind what is under way.
    ///
    /// - Parameter arrive: Pumps the way; called at that time, or when the way is no more stalled.
    private func put<Message>(
        _ message: Message, on way: SimulatedWay<Message>,
        arrive: @escaping (SimulatedCluster) -> Void
    ) {
        let at = max(way.queue.last?.at ?? 0, agenda.now + network.delay())
        way.queue.append((at, message))
        plan(at: at) { $0.arrive(on: way, arrive) }
    }

    private func arrive<Message>(
        on way: SimulatedWay<Message>, _ arrive: @escaping (SimulatedCluster) -> Void
    ) {
        if agenda.now < way.stalledUntil {
            plan(at: way.stalledUntil) { $0.arrive(on: way, arrive) }
        } else {
            arrive(self)
        }
    }

    private func pump<Message>(_ way: SimulatedWay<Message>, _ deliver: (Message) -> Void) {
        while let first = way.queue.first, first.at <= agenda.now {
            way.queue.removeFirst()
            deliver(first.message)
        }
    }

    /// A connection breaks; it is made anew after a while, if its owner lives.
    ///
    /// - Parameter isLate: Whether all that was on its way down arrives, after a while.
    func breakLink<Up, Down>(_ link: SimulatedLink<Up, Down>, isLate: Bool = false) {
        guard let connection = link.connection else { return }
        link.connection = nil
        workerRoutes[connection.number] = nil
        clientRoutes[connection.number] = nil
        let carried = tear(
            connection, isReaderAlive: coordinator != nil, isWriterAlive: link.isAlive,
            isLate: isLate)
        link.unwritten.prepend(contentsOf: carried)
        plan(after: network.chance.millis(0, 200)) { $0.connect(link) }
    }

    // MARK: Breaking

    /// What a break leaves: a prefix of each direction still arrives, perhaps late; the middle is
    /// lost; the end of what was sent was never written and is given back.
    private func tear<Up, Down>(
        _ connection: SimulatedConnection<Up, Down>, isReaderAlive: Bool, isWriterAlive: Bool,
        isLate: Bool
    ) -> [Up] {
        let up = connection.up.queue
        let kept = isReaderAlive ? network.chance.between(0, up.count) : 0
        let carried = isWriterAlive ? network.chance.between(0, up.count - kept) : 0
        connection.up.queue.removeLast(up.count - kept)
        let down = connection.down.queue.count
        let heard = isLate ? down : network.chance.between(0, down)
        connection.down.queue.removeLast(down - (isWriterAlive ? heard : 0))
        if network.chance.happens(perMille: 300) {
            connection.up.stalledUntil = agenda.now + network.chance.millis(1, 600)
        }
        if isLate || network.chance.happens(perMille: 300) {
            connection.down.stalledUntil = agenda.now + network.chance.millis(1, 1_500)
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
