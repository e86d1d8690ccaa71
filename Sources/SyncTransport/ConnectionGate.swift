import ZeroMQ

/// Keeps the connections of a bound socket at a limit (design §5): whoever is in stays in, and who
/// comes over the limit is hung up on a moment later.
///
///     accepted ──room──▶ in
///              ──full──▶ over ──somebody left──▶ in
///                        over ──pause is over, or too many are──▶ ended
///
/// libzmq can't refuse connections, and a socket that is unbound drops those that it has (tried,
/// 4.3.4: *Decisions*). One that is cut comes back after 100 ms, because libzmq begins its growing
/// pauses anew with each connection that was made; the pause before the cut makes it less often.
struct ConnectionGate {
    /// Time that a connection over the limit may stand.
    private static let pause: Duration = .milliseconds(500)
    /// So many over the limit are not kept for the pause: each takes a descriptor.
    private static let overMax = 256

    private let countMax: Int
    private var inside: Set<SocketEvent.Connection> = []
    private var over: [SocketEvent.Connection] = []
    /// Hung up on, and not yet reported as ended.
    private var ending: Set<SocketEvent.Connection> = []
    private var cutAt: ContinuousClock.Instant?
    /// Connections that were hung up on, over all.
    private(set) var refusedCount = 0
    /// So many of them were told.
    private var toldCount = 0
    /// Told, and not yet told to be over.
    private var isFullTold = false
    private var silentUntil: ContinuousClock.Instant?

    /// - Parameter countMax: Most connections that may stay; at least 1.
    init(countMax: Int) { self.countMax = max(1, countMax) }

    /// Connections that are in.
    var count: Int { inside.count }

    /// When the gate wants to be called again.
    var nextDeadline: ContinuousClock.Instant? { cutAt }

    /// Takes an event.
    mutating func hear(_ event: SocketEvent, at now: ContinuousClock.Instant) {
        guard let connection = event.connection else { return }
        switch event.kind {
        case .accepted:
            if inside.count < countMax {
                inside.insert(connection)
            } else {
                over.append(connection)
                if cutAt == nil { cutAt = now + Self.pause }
            }
        case .disconnected:
            if inside.remove(connection) != nil {
                if !over.isEmpty { inside.insert(over.removeFirst()) }
            } else if ending.remove(connection) == nil {
                over.removeAll { $0 == connection }
            }
            if over.isEmpty { cutAt = nil }
        case .connected, .connectDelayed, .connectRetried, .listening, .bindFailed, .acceptFailed,
            .handshakeSucceeded, .handshakeFailed, .closed, .closeFailed, .monitorStopped,
            .unknown:
            break
        }
    }

    /// Takes the connections that are to be hung up on now.
    mutating func takeOver(at now: ContinuousClock.Instant) -> [SocketEvent.Connection] {
        let isDue = cutAt.map { now >= $0 } ?? false
        guard isDue || over.count > Self.overMax else { return [] }
        let cut = over
        over = []
        cutAt = nil
        ending.formUnion(cut)
        refusedCount += cut.count
        return cut
    }

    /// What an operator should read: once when somebody is turned away, then not for a while, and
    /// when there is room again.
    mutating func takeNotice(
        at now: ContinuousClock.Instant
    ) -> (sentence: String, isWarning: Bool)? {
        if refusedCount > toldCount {
            if isFullTold, let silentUntil, now < silentUntil { return nil }
            silentUntil = now + .seconds(10)
            isFullTold = true
            toldCount = refusedCount
            return (
                "all \(countMax) connections of this socket are taken; who comes is hung up on "
                    + "(\(refusedCount) so far). End what is not needed, or raise --set "
                    + "connections=N", true
            )
        }
        if isFullTold, inside.count < countMax, silentUntil.map({ now >= $0 }) ?? true {
            isFullTold = false
            return ("there is room for connections again (\(inside.count) stand)", false)
        }
        return nil
    }
}

/// Most connections of each bound socket: half of all for clients, a quarter each for workers and
/// monitors, so that none of them can take the others' (design §5).
package struct ConnectionShares: Sendable {
    /// Of the intake.
    package let intake: Int
    /// Of the workers' socket.
    package let workers: Int
    /// Of the status socket.
    package let status: Int

    /// The design's limit of all three.
    package static let countMaxDefault = 4_096

    /// Shares a limit out.
    package init(of countMax: Int = countMaxDefault) {
        workers = max(1, countMax / 4)
        status = max(1, countMax / 4)
        intake = max(1, countMax - 2 * (countMax / 4))
    }
}
