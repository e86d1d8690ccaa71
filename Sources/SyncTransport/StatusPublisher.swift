internal import OrderedCollections
package import SyncCore
package import ZeroMQ

/// A mark that is due: whose numbers are to be told, under which prefix.
package struct MarkQuestion: Sendable {
    /// The subscription.
    let prefix: [UInt8]
    /// The project that it names; nil when it names none, or several.
    package let project: ProjectName?

    init(_ prefix: [UInt8]) {
        self.prefix = prefix
        let parts = prefix.split(
            separator: UInt8(ascii: "/"), maxSplits: 2, omittingEmptySubsequences: false)
        let isOfProject = parts.count == 3 && parts[0].elementsEqual("edit".utf8)
        project = isOfProject ? Name(String(decoding: parts[1], as: UTF8.self)) : nil
    }
}

/// The coordinator's socket for monitors; used on its loop only.
///
/// A verbose XPUB, read in every turn (unread subscriptions grow without bound). Each subscription
/// is answered with a mark under its own prefix, and again every 5 s, so that a lost last event is
/// noticed (trace A14). Events that no live prefix covers are not even encoded.
package final class StatusPublisher {
    /// Longest prefix that is taken, in bytes; no topic is as long.
    ///
    /// A longer one cuts its
    /// connection, because libzmq itself remembers every byte of every prefix.
    private static let prefixBytesMax = 2_048
    /// Beside the prefix: its kind, and what ZMTP's own commands need.
    private static let frameBytesMax = prefixBytesMax + 512
    /// Most prefixes that get marks every 5 s; the rest get their first mark and events.
    private static let prefixesMax = 10_000
    /// Subscriptions read in one turn; what is more waits for the next one.
    private static let subscriptionsPerTurnMax = 1_024
    private static let markInterval: Duration = .seconds(5)

    /// The endpoint as bound.
    package let endpoint: String
    private let socket: LoopSocket
    /// As libzmq matches: byte by byte, so that "e" and "é" in two spellings are two prefixes.
    private var prefixes: Set<[UInt8]> = []
    /// How many prefixes there are of each length.
    private var lengths: [Int: Int] = [:]
    /// More came than are kept: every topic counts as heard until nobody listens.
    private var isOverfull = false
    private var fresh: OrderedSet<[UInt8]> = []
    private var marksAt: Instant?
    private var watch: ConnectionWatch

    /// Binds.
    package init(
        _ endpoint: String, on loop: SocketLoop,
        connectionsMax: Int = ConnectionShares().status
    ) throws(ZeroMQError) {
        watch = ConnectionWatch(of: "status", connectionsMax: connectionsMax)
        socket = try LoopSocket(
            .xpub, on: loop,
            options: SocketDefaults.bound(limits: WireLimits()) + [
                .xpubVerbose(true), .sendHighWaterMark(100_000),
                .frameBytesMax(Self.frameBytesMax),
            ])
        try socket.monitor()
        try socket.bind(endpoint)
        self.endpoint = try socket.lastEndpoint
    }

    /// When marks are due again; nil while nobody listens.
    package var nextDeadline: Instant? { prefixes.isEmpty ? nil : marksAt }

    /// Publishes numbered events, in order.
    package func publish(_ events: [StatusEvent]) {
        if prefixes.isEmpty { return }
        for event in events {
            let topic = Array("edit/\(event.project)/\(event.path?.text ?? "")".utf8)
            guard isHeard(topic) else { continue }
            send(topic, Body.encode(Body.Event(event)))
        }
    }

    /// Publishes a hint about a worker.
    package func publish(_ hint: WorkerHint) {
        let topic = Array("worker/\(hint.label)".utf8)
        guard isHeard(topic) else { return }
        send(
            topic,
            Body.encode(
                Body.Hint(
                    worker: hint.label.text, life: Hexadecimal.digits(of: hint.life),
                    state: hint.state)))
    }

    /// Reads subscriptions; returns the marks that are due.
    ///
    /// - Parameter isAnswered: Whether none is owed from before; else those that are due wait.
    package func turn(at now: Instant, isAnswered: Bool = true) -> [MarkQuestion] {
        watch.read(socket)
        // Whoever subscribes faster than marks are made waits.
        if fresh.count < Self.subscriptionsPerTurnMax { readSubscriptions() }
        guard isAnswered else { return [] }
        var due = Array(fresh)
        fresh = []
        if prefixes.isEmpty {
            marksAt = nil
        } else if marksAt.map({ now >= $0 }) ?? true {
            if marksAt != nil { due += prefixes.sorted { $0.lexicographicallyPrecedes($1) } }
            marksAt = now + Self.markInterval
        }
        return due.map { MarkQuestion($0) }
    }

    /// Sends a mark.
    ///
    /// - Parameters:
    ///   - number: Last event handed to ``publish(_:)-([StatusEvent])``, over all.
    ///   - projectNumber: Likewise of the project that the subscription names.
    package func mark(_ question: MarkQuestion, number: UInt64, projectNumber: UInt64) {
        var body = Body.Mark(number: number)
        if let project = question.project {
            body.project = project.text
            body.projectNumber = projectNumber
        }
        send(question.prefix, Body.encode(body))
    }

    /// Whether anybody listens.
    package var isHeard: Bool { !prefixes.isEmpty || isOverfull }

    /// Connections that stand, and those that were turned away since the start.
    package var connections: (count: Int, refused: Int) { watch.connections }

    /// When the socket is to be read again because of its connections.
    package var connectionDeadline: ContinuousClock.Instant? { watch.nextDeadline }

    /// What the log should have since the last call.
    package func takeNotices() -> [EndpointNotice] { watch.notices.take() }

    /// Closes the socket.
    package func close() { socket.close() }

    /// Whether a prefix of the topic is subscribed to.
    private func isHeard(_ topic: [UInt8]) -> Bool {
        if isOverfull { return true }
        return lengths.keys.contains { length in
            length <= topic.count && prefixes.contains(Array(topic.prefix(length)))
        }
    }

    private func readSubscriptions() {
        let limit = ReceiveLimit(framesMax: 4, bytesMax: 65_536)
        for _ in 0..<Self.subscriptionsPerTurnMax {
            guard let received = try? socket.receive(limit: limit) else { return }
            // A SUB may send data upstream: whatever is no subscription is dropped.
            guard case .message(let frames) = received, frames.count == 1 else { continue }
            let bytes = frames[0].bytes
            guard let first = bytes.first, bytes.count <= Self.prefixBytesMax + 1 else { continue }
            switch first {
            case 1: subscribed(Array(bytes.dropFirst()))
            case 0: unsubscribed(Array(bytes.dropFirst()))
            default: continue
            }
        }
    }

    private func subscribed(_ prefix: [UInt8]) {
        fresh.append(prefix)
        if prefixes.contains(prefix) { return }
        guard prefixes.count < Self.prefixesMax else {
            isOverfull = true
            return
        }
        prefixes.insert(prefix)
        lengths[prefix.count, default: 0] += 1
    }

    private func unsubscribed(_ prefix: [UInt8]) {
        guard prefixes.remove(prefix) != nil else { return }
        let left = lengths[prefix.count, default: 1] - 1
        lengths[prefix.count] = left > 0 ? left : nil
        if prefixes.isEmpty { isOverfull = false }
    }

    private func send(_ topic: [UInt8], _ body: Frame) {
        // A full subscriber loses the message without a word; the dense numbers tell it.
        _ = try? socket.send([Frame(topic), body])
    }
}
