package import SyncCore

/// Where a monitor stands in the log of events, and what it does with what it hears.
///
/// The channel may lose anything at any time: a slow reader, a broken connection, a coordinator
/// that starts anew. Numbers are dense over everything and within each project, and marks repeat
/// the last ones, so that each loss is noticed and fetched from the log (trace A14).
///
///     fresh ──mark──▶ following ──next number──▶ following, told
///                     following ──a number is missing──▶ fetching ──page──▶ following
///                                                        fetching ──log begins later──▶ gap
///                                                        fetching ──log ends earlier──▶ rewound
package struct EventCursor: Sendable {
    /// What a monitor listens to.
    package enum Scope: Sendable, Equatable {
        /// Everything.
        case all
        /// One project, whole: a folder's own numbers have holes by nature.
        case project(ProjectName)

        /// The prefix to subscribe to.
        package var prefix: String {
            switch self {
            case .all: "edit/"
            case .project(let name): "edit/\(name)/"
            }
        }

        /// What a replay is limited to.
        package var project: ProjectName? {
            switch self {
            case .all: nil
            case .project(let name): name
            }
        }
    }

    /// What to do next.
    package enum Step: Sendable, Equatable {
        /// Nothing.
        case idle
        /// Tell this event.
        case tell(StatusEvent)
        /// Ask the log for events from here on.
        case fetch(from: UInt64)
    }

    /// What a page of the log brought.
    package struct Page: Sendable, Equatable {
        /// The log ends at this number, before what was told: it is another journal's.
        package var rewoundTo: UInt64?
        /// Numbers that are lost for good, before the events.
        package var gap: ClosedRange<UInt64>?
        /// To be told, in order.
        package var events: [StatusEvent] = []
        /// Where to ask on; nil when the log has been read to its end.
        package var fetchFrom: UInt64?
    }

    /// What is listened to.
    package let scope: Scope
    /// Everything up to this number was told, or did not concern the scope; nil before the first
    /// mark.
    package private(set) var last: UInt64?
    /// The same, counted within the scope.
    private var lastOwn: UInt64?
    /// Numbers that the log no longer has, and whose loss is not proven yet.
    private var missing: ClosedRange<UInt64>?
    /// What the last mark said.
    private var marked: (number: UInt64, own: UInt64)?
    /// Whether the coordinator was seen at or above `last`: a caller may ask for the future.
    private var isConfirmed = false

    /// Starts before an event; nil: after whatever the first mark names.
    package init(_ scope: Scope, from: UInt64?) {
        self.scope = scope
        guard let from else { return }
        let last = from == 0 ? 0 : from - 1
        self.last = last
        lastOwn = scope == .all || last == 0 ? last : nil
    }

    /// Starts after a snapshot that is true at these numbers.
    package init(_ scope: Scope, after number: UInt64, own: UInt64) {
        self.scope = scope
        last = number
        lastOwn = own
        isConfirmed = true
    }

    /// Takes current numbers.
    package mutating func marked(number: UInt64, projectNumber: UInt64?) -> Step {
        let own: UInt64
        switch scope {
        case .all: own = number
        case .project:
            guard let projectNumber else { return .idle }
            own = projectNumber
        }
        marked = (number, own)
        guard let last else {
            self.last = number
            lastOwn = own
            isConfirmed = true
            return .idle
        }
        if number < last {
            // An old mark, which waited while the log was read, or another journal: the log tells.
            return isConfirmed ? .fetch(from: last + 1) : .idle
        }
        isConfirmed = true
        if lastOwn == own {
            self.last = number
            return .idle
        }
        return .fetch(from: last + 1)
    }

    /// Takes an event from the channel.
    package mutating func heard(_ event: StatusEvent) -> Step {
        if let project = scope.project, event.project != project { return .idle }
        // Before the first mark nothing is sure to be heard.
        guard let last, event.number > last else { return .idle }
        guard let lastOwn, own(event) == lastOwn + 1 else { return .fetch(from: last + 1) }
        advance(to: event)
        return .tell(event)
    }

    /// Takes a page of the log.
    package mutating func fetched(_ events: [StatusEvent], next: UInt64, last end: UInt64) -> Page {
        var page = Page()
        if isConfirmed, end < last ?? 0 {
            page.rewoundTo = end
            last = end
            lastOwn = nil
            missing = nil
        }
        for event in events where event.number > last ?? 0 {
            if let missing {
                if lastOwn.map({ own(event) != $0 + 1 }) ?? true { page.gap = missing }
                self.missing = nil
            }
            advance(to: event)
            page.events.append(event)
        }
        if next > 0 { last = max(last ?? 0, next - 1) }
        if scope == .all, missing == nil { lastOwn = last }
        if next <= end {
            page.fetchFrom = next
            return page
        }
        concludeFetch(&page)
        return page
    }

    /// The log was read to its end: what the mark has promised is told by now, or lost.
    private mutating func concludeFetch(_ page: inout Page) {
        let isReached = marked.map { $0.number <= last ?? 0 } ?? false
        if let missing {
            if !isReached || lastOwn == nil || lastOwn != marked?.own { page.gap = missing }
            self.missing = nil
        }
        switch scope {
        case .all: lastOwn = last
        case .project:
            if isReached, let own = marked?.own { lastOwn = max(lastOwn ?? 0, own) }
        }
    }

    /// The log begins later than was asked for.
    ///
    /// - Returns: Where to ask on.
    package mutating func begins(at first: UInt64) -> UInt64 {
        let from = (last ?? 0) + 1
        if first > from {
            missing = (missing?.lowerBound ?? from)...(first - 1)
            last = first - 1
            if scope == .all { lastOwn = nil }
        }
        return max(first, from)
    }

    private func own(_ event: StatusEvent) -> UInt64 {
        scope == .all ? event.number : event.projectNumber
    }

    private mutating func advance(to event: StatusEvent) {
        last = event.number
        lastOwn = own(event)
        isConfirmed = true
    }
}
