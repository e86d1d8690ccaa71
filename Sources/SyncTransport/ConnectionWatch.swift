internal import ZeroMQ

/// Watches the connections of a bound socket: keeps them at a limit, and collects what an operator
/// should know.
struct ConnectionWatch {
    private var gate: ConnectionGate
    private var trouble = AcceptTrouble()
    /// Also for what the socket's owner has to tell.
    var notices: EndpointNotices

    /// - Parameter name: What the socket is called in the log.
    init(of name: String, connectionsMax: Int) {
        gate = ConnectionGate(countMax: connectionsMax)
        notices = EndpointNotices(of: name)
    }

    /// Connections that stand, and those that were turned away since the start.
    var connections: (count: Int, refused: Int) { (gate.count, gate.refusedCount) }

    /// When the socket's events are to be read again though nothing comes.
    var nextDeadline: ContinuousClock.Instant? { gate.nextDeadline }

    /// Reads the socket's events, and hangs up on connections over the limit.
    mutating func read(_ socket: LoopSocket) {
        let now = ContinuousClock.now
        for _ in 0..<AcceptTrouble.eventsPerPassMax {
            guard let event = try? socket.nextEvent() else { break }
            gate.hear(event, at: now)
            if trouble.isWorthTelling(event.kind) { notices.add(event) }
        }
        for connection in gate.takeOver(at: now) { socket.hangUp(connection) }
        if let notice = gate.takeNotice(at: now) {
            notices.add(notice.sentence, isWarning: notice.isWarning)
        }
    }
}
