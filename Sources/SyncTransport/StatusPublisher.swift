package import SyncCore
package import ZeroMQ

/// The coordinator's socket for monitors; used on its loop only.
///
/// A verbose XPUB, read in every turn (unread subscriptions grow without bound). Each subscription is
/// answered with a mark under its own prefix, and again every 5 s, so that a lost last event is
/// noticed (trace A14). Events that no live prefix covers are not even encoded.
package final class StatusPublisher {
    /// Longest prefix that is taken, in bytes; longer ones are ignored.
    private static let prefixBytesMax = 2_048
    /// Most prefixes that get marks; the rest get events only.
    private static let prefixesMax = 10_000
    private static let markInterval: Duration = .seconds(5)

    /// The endpoint as bound.
    package let endpoint: String
    private let socket: LoopSocket
    private var prefixes: Set<String> = []
    private var fresh: [String] = []
    private var marksAt: Instant?

    /// Binds.
    package init(_ endpoint: String, on loop: SocketLoop) throws(ZeroMQError) {
        socket = try LoopSocket(
            .xpub, on: loop,
            options: SocketDefaults.bound(limits: WireLimits()) + [
                .xpubVerbose(true), .sendHighWaterMark(100_000),
            ])
        try socket.bind(endpoint)
        self.endpoint = try socket.lastEndpoint
    }

    /// When marks are due again; nil while nobody listens.
    package var nextDeadline: Instant? { prefixes.isEmpty ? nil : marksAt }

    /// Publishes numbered events, in order.
    package func publish(_ events: [StatusEvent]) {
        if prefixes.isEmpty { return }
        for event in events {
            let topic = "edit/\(event.project)/\(event.path?.text ?? "")"
            guard isHeard(topic) else { continue }
            send(topic, Body.encode(Body.Event(event)))
        }
    }

    /// Publishes a hint about a worker.
    package func publish(_ hint: WorkerHint) {
        let topic = "worker/\(hint.label)"
        guard isHeard(topic) else { return }
        send(
            topic,
            Body.encode(
                Body.Hint(
                    worker: hint.label.text, life: Hexadecimal.digits(of: hint.life),
                    state: hint.state)))
    }

    /// Reads subscriptions and sends the marks that are due.
    ///
    /// - Parameters:
    ///   - number: Last event handed to ``publish(_:)-([StatusEvent])``, over all.
    ///   - projectNumber: Last event of a project.
    package func turn(at now: Instant, number: UInt64, projectNumber: (ProjectName) -> UInt64) {
        readSubscriptions()
        for prefix in fresh { mark(prefix, number, projectNumber) }
        fresh = []
        guard !prefixes.isEmpty else {
            marksAt = nil
            return
        }
        guard let due = marksAt else {
            marksAt = now + Self.markInterval
            return
        }
        guard now >= due else { return }
        marksAt = now + Self.markInterval
        for prefix in prefixes.sorted() { mark(prefix, number, projectNumber) }
    }

    /// Closes the socket.
    package func close() { socket.close() }

    /// Whether a prefix of the topic is subscribed to.
    private func isHeard(_ topic: String) -> Bool {
        if prefixes.count > topic.utf8.count {
            var end = topic.utf8.startIndex
            while true {
                if prefixes.contains(String(topic[..<end])) { return true }
                if end == topic.utf8.endIndex { return false }
                end = topic.index(after: end)
            }
        }
        return prefixes.contains { topic.utf8.starts(with: $0.utf8) }
    }

    private func readSubscriptions() {
        let limit = ReceiveLimit(framesMax: 4, bytesMax: 65_536)
        while let received = try? socket.receive(limit: limit) {
            // A SUB may send data upstream: whatever is no subscription is dropped.
            guard case .message(let frames) = received, frames.count == 1 else { continue }
            let bytes = frames[0].bytes
            guard let first = bytes.first, bytes.count <= Self.prefixBytesMax + 1,
                let prefix = String(validating: bytes.dropFirst(), as: UTF8.self)
            else { continue }
            switch first {
            case 1:
                if prefixes.count < Self.prefixesMax { prefixes.insert(prefix) }
                fresh.append(prefix)
            case 0: prefixes.remove(prefix)
            default: continue
            }
        }
    }

    private func mark(
        _ prefix: String, _ number: UInt64, _ projectNumber: (ProjectName) -> UInt64
    ) {
        var body = Body.Mark(number: number)
        let parts = prefix.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
        if parts.count >= 3, parts[0] == "edit", let project = Name(String(parts[1])) {
            body.project = project.text
            body.projectNumber = projectNumber(project)
        }
        send(prefix, Body.encode(body))
    }

    private func send(_ topic: String, _ body: Frame) {
        // A full subscriber loses the message without a word; the dense numbers tell it.
        _ = try? socket.send([Frame(topic), body])
    }
}
