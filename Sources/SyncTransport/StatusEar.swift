internal import SyncCore
package import ZeroMQ

/// Hears the status channel under one prefix, for any number of listeners of this process.
///
/// Memory is bounded: a listener that is slower than the flow loses its oldest notices, notices it
/// by the numbers, and fetches them from the log (``EventCursor``).
package actor StatusEar: SocketLoopClient {
    private typealias Listener = AsyncStream<StatusSubscriber.Notice>.Continuation

    nonisolated package let loop: SocketLoop
    nonisolated package var unownedExecutor: UnownedSerialExecutor {
        loop.asUnownedSerialExecutor()
    }

    private let endpoint: String
    private let prefix: String
    private var subscriber: StatusSubscriber?
    private var listeners: [Listener] = []
    private var isUp = false
    private var isClosed = false
    /// Whether there was ever a connection.
    package private(set) var hasBeenUp = false
    /// The last numbers heard: where a new listener starts.
    private var known: (number: UInt64, projectNumber: UInt64?)?

    /// Describes an ear; ``open()`` connects it.
    package init(_ endpoint: String, prefix: String, on loop: SocketLoop) {
        self.endpoint = endpoint
        self.prefix = prefix
        self.loop = loop
    }

    /// Subscribes; the coordinator may start later.
    package func open() throws(ZeroMQError) {
        let subscriber = try StatusSubscriber(endpoint, on: loop)
        try subscriber.subscribe(prefix)
        self.subscriber = subscriber
        loop.attach(self)
    }

    /// What arrives from now on; ends with the loop.
    ///
    /// - Parameter countMax: Notices that may wait for the listener.
    package func listen(countMax: Int = 8_192) -> AsyncStream<StatusSubscriber.Notice> {
        let (stream, listener) = AsyncStream<StatusSubscriber.Notice>.makeStream(
            bufferingPolicy: .bufferingNewest(countMax))
        if isClosed {
            listener.finish()
            return stream
        }
        if isUp { listener.yield(.connection(isUp: true)) }
        if let known {
            listener.yield(
                .mark(
                    prefix: prefix, number: known.number, projectNumber: known.projectNumber))
        }
        listeners.append(listener)
        return stream
    }

    nonisolated package func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { ear in
            let heard = ear.subscriber?.receive(countMax: 1_024) ?? []
            for notice in heard { ear.tell(notice) }
            return heard.count >= 1_024 ? now : nil
        }
    }

    nonisolated package func loopWillStop() {
        assumeIsolated {
            $0.subscriber?.close()
            $0.subscriber = nil
            $0.isClosed = true
            for listener in $0.listeners { listener.finish() }
            $0.listeners = []
        }
    }

    private func tell(_ notice: StatusSubscriber.Notice) {
        switch notice {
        case .event(let event): known = (event.number, event.projectNumber)
        case .mark(_, let number, let projectNumber): known = (number, projectNumber)
        case .connection(let isUp):
            self.isUp = isUp
            if isUp { hasBeenUp = true }
        case .worker: break
        }
        listeners.removeAll { listener in
            if case .terminated = listener.yield(notice) { return true }
            return false
        }
    }
}
