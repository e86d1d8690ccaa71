internal import SyncCore
internal import SyncTransport

/// States of files, each as it is when it is looked at.
///
/// Begins with every file that is not at rest. A file that changes ten times while nobody looks is
/// told once, with its last state, so a slow reader is never behind. For one reader.
public struct FileStates: AsyncSequence, Sendable {
    /// A file's state.
    public typealias Element = FileState
    /// Nothing is thrown.
    public typealias Failure = Never

    let core: ClientCore
    let listener: StateListener

    /// Takes one state after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let core: ClientCore
        private let listener: StateListener
        private var signals: AsyncStream<Void>.Iterator
        private var paths: ArraySlice<EditPath> = []

        init(_ states: FileStates) {
            core = states.core
            listener = states.listener
            signals = states.listener.signals
        }

        /// Waits for the next state; nil when the client is closed or the task cancelled.
        public mutating func next(isolation actor: isolated (any Actor)?) async -> FileState? {
            if paths.isEmpty {
                guard let changed = await listener.next(&signals, isolation: actor) else {
                    return nil
                }
                paths = changed[...]
            }
            guard let path = paths.popFirst() else { return nil }
            return await core.state(of: path)
        }

        /// Waits for the next state; nil when the client is closed or the task cancelled.
        public mutating func next() async -> FileState? { await next(isolation: #isolation) }
    }

    /// Starts to take states.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

/// Events of the project in the order of their numbers, each once.
///
/// Whatever the channel loses (a slow reader, a broken connection, a coordinator that starts anew)
/// is fetched from the coordinator's log; what the log no longer has is told as a gap. Nothing is
/// kept for a slow reader beyond a fixed number of events. For one reader.
public struct SyncEvents: AsyncSequence, Sendable {
    /// An event of the log.
    public typealias Element = SyncEvent
    /// Why no more can be told.
    public typealias Failure = SyncError

    let cursor: EventCursor
    let notices: AsyncStream<StatusSubscriber.Notice>
    let producer: Producer
    let prefix: String

    /// Takes one event after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private var follower: EventFollower
        private let prefix: String

        init(_ events: SyncEvents) {
            follower = EventFollower(
                events.cursor, notices: events.notices, producer: events.producer)
            prefix = events.prefix
        }

        /// Waits for the next event; nil when the client is closed or the task cancelled.
        public mutating func next(
            isolation actor: isolated (any Actor)?
        ) async throws(SyncError) -> SyncEvent? {
            while let item = try await item(isolation: actor) {
                switch item {
                case .event(let event):
                    if let path = event.path, !path.isCovered(by: prefix) { continue }
                    // A kind that this library does not know is newer than it is.
                    guard let event = FileEvent(event) else { continue }
                    return .event(event)
                case .gap(let numbers): return .gap(numbers)
                case .connection(let isUp): return isUp ? .connected : .disconnected
                case .rewound(let number): return .rewound(to: number)
                }
            }
            return nil
        }

        /// Waits for the next event; nil when the client is closed or the task cancelled.
        public mutating func next() async throws(SyncError) -> SyncEvent? {
            try await next(isolation: #isolation)
        }

        private mutating func item(
            isolation: isolated (any Actor)?
        ) async throws(SyncError) -> EventFollower.Item? {
            do {
                return try await follower.next()
            } catch {
                throw SyncError(asking: error)
            }
        }
    }

    /// Starts to take events.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

extension SyncError {
    /// What a question to the coordinator failed with.
    init(asking error: any Error) {
        switch error {
        case let error as SyncError: self = error
        case let rejection as Rejection: self.init(rejection)
        case let silence as Producer.Silence: self.init(.silent, silence.description)
        case is Producer.Closed: self = .closed
        case is CancellationError: self = .cancelled
        default: self.init(.transport, "\(error)")
        }
    }
}
