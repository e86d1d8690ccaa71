import DequeModule
import SyncCore

/// One direction of a connection: it keeps order.
final class SimulatedWay<Message> {
    var queue = Deque<(at: Nanoseconds, message: Message)>()
    /// Nothing moves before this.
    var stalledUntil: Nanoseconds = 0
}

/// One connection of a DEALER to the coordinator, as libzmq would have it.
///
/// When the connection breaks, a prefix of what was under way still
/// arrives, what was behind it is lost, and the last of it may not have been written yet: that is
/// carried over to the next connection. So messages are lost in the middle, and those of the old
/// and the new connection reach the reader interleaved.
final class SimulatedConnection<Up, Down> {
    /// The routing id that the ROUTER gave it, never used twice.
    let number: UInt64
    let up = SimulatedWay<Up>()
    let down = SimulatedWay<Down>()

    init(number: UInt64) { self.number = number }
}

/// An end of a worker or client: at most one connection, and what could not be written to it yet.
final class SimulatedLink<Up, Down> {
    typealias Connection = SimulatedConnection<Up, Down>

    /// Whether messages wait for a connection (producers) or are dropped (`ZMQ_IMMEDIATE`,
    /// workers).
    let queues: Bool
    var connection: Connection?
    var unwritten = Deque<Up>()
    /// The network lets no connection through before this.
    var cutUntil: Nanoseconds = 0
    var isReconnecting = false
    /// Whether its owner lives.
    var isAlive = true
    /// A connection was made.
    var opened: (UInt64) -> Void = { _ in }
    /// A message has come to the coordinator's socket.
    var arrived: (UInt64, Up) -> Void = { _, _ in }
    /// A message has come to the owner.
    var heard: (Down) -> Void = { _ in }

    init(queues: Bool) { self.queues = queues }
}

/// The lines between all processes.
///
/// Arrivals are planned on the agenda by the cluster; this type holds how long a message takes.
struct SimulatedNetwork {
    var chance: Chance
    /// Usual and longest delay, in microseconds.
    var delayUsual: Int
    var delayMax: Int
    /// How often, in a thousand, a message takes up to the longest delay.
    var slowPerMille: Int
    private var lastConnection: UInt64 = 0

    init(chance: Chance, delayUsual: Int, delayMax: Int, slowPerMille: Int) {
        self.chance = chance
        self.delayUsual = delayUsual
        self.delayMax = delayMax
        self.slowPerMille = slowPerMille
    }

    mutating func delay() -> Nanoseconds {
        chance.happens(perMille: slowPerMille)
            ? chance.micros(delayUsual, delayMax) : chance.micros(20, delayUsual)
    }

    mutating func nextConnection() -> UInt64 {
        lastConnection += 1
        return lastConnection
    }
}
