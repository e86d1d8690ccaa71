package import SyncCore

/// Follows events in the order of their numbers, each once, and tells what the log no longer has.
///
/// Nothing runs between two calls of ``next()``: a slow caller slows nobody but itself.
package struct EventFollower {
    /// What a follower tells.
    package enum Item: Sendable, Equatable {
        /// The next event.
        case event(StatusEvent)
        /// Events of these numbers are lost: the log no longer has them.
        case gap(ClosedRange<UInt64>)
        /// The connection was made, or lost; what happens meanwhile is told afterwards.
        case connection(isUp: Bool)
        /// The coordinator counts from a lower number than before: it has another journal.
        case rewound(to: UInt64)
    }

    private static let pageMax = 1_000
    private static let patience: Duration = .seconds(30)

    private var cursor: EventCursor
    private let producer: Producer
    private var notices: AsyncStream<StatusSubscriber.Notice>.Iterator
    private var ready: [Item] = []
    private var readyStart = 0
    private var fetchFrom: UInt64?
    private var hasEnded = false

    /// Follows from where a cursor stands.
    ///
    /// - Parameters:
    ///   - notices: From an ear under the cursor's own prefix.
    ///   - producer: Asks the coordinator for the log.
    package init(
        _ cursor: EventCursor, notices: AsyncStream<StatusSubscriber.Notice>, producer: Producer
    ) {
        self.cursor = cursor
        self.producer = producer
        self.notices = notices.makeAsyncIterator()
    }

    /// The number up to which everything was told, or did not concern the scope.
    package var last: UInt64? { ready.count > readyStart ? nil : cursor.last }

    /// The next item; nil when the loop has ended or the task was cancelled.
    ///
    /// - Throws: A ``Rejection`` when the coordinator refuses to replay.
    package mutating func next() async throws -> Item? {
        while true {
            if readyStart < ready.count {
                defer { readyStart += 1 }
                return ready[readyStart]
            }
            ready.removeAll(keepingCapacity: true)
            readyStart = 0
            if let from = fetchFrom {
                if hasEnded || Task.isCancelled { return nil }
                do {
                    try await fetch(from)
                } catch is CancellationError where Task.isCancelled {
                    return nil
                }
                continue
            }
            guard let notice = await notices.next(isolation: #isolation) else { return nil }
            take(notice)
        }
    }

    private mutating func take(_ notice: StatusSubscriber.Notice) {
        let step: EventCursor.Step
        switch notice {
        case .event(let event): step = cursor.heard(event)
        case .mark(_, let number, let projectNumber):
            step = cursor.marked(number: number, projectNumber: projectNumber)
        case .connection(let isUp):
            ready.append(.connection(isUp: isUp))
            return
        case .worker: return
        }
        switch step {
        case .idle: return
        case .tell(let event): ready.append(.event(event))
        case .fetch(let from): fetchFrom = from
        }
    }

    private mutating func fetch(_ from: UInt64) async throws {
        let request = ClientRequest.replay(
            from: from, project: cursor.scope.project, countMax: Self.pageMax)
        let reply: ClientReply
        do {
            reply = try await producer.ask(request, patience: Self.patience)
        } catch is Producer.Silence {
            // The coordinator is away or busy; there is nothing better to do than to ask again.
            return
        } catch is Producer.Closed {
            hasEnded = true
            return
        }
        switch reply {
        case .events(let events, let next, let last):
            let page = cursor.fetched(events, next: next, last: last)
            if let number = page.rewoundTo { ready.append(.rewound(to: number)) }
            if let gap = page.gap { ready.append(.gap(gap)) }
            ready += page.events.map { .event($0) }
            fetchFrom = page.fetchFrom
        case .gap(let first, _): fetchFrom = cursor.begins(at: first)
        case .rejected(let rejection) where rejection.code == .busy:
            try await Task.sleep(for: rejection.retryAfter ?? .milliseconds(200))
        case .rejected(let rejection): throw rejection
        case .edits, .end, .queue, .flushed, .blocked, .snapshot, .failed, .ordered, .project,
            .done:
            throw Rejection(.badRequest, "The coordinator gave an answer that fits no replay.")
        }
    }
}
