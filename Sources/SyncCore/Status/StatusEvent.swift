/// What a numbered event tells; numbers up to 31 fit into the journal's log.
package enum EventKind: UInt8, Sendable, CaseIterable {
    case accepted = 1
    case retrying = 2
    case parked = 3
    case stored = 4
    case synced = 5
    case superseded = 6
    case failed = 7
    case discarded = 8
    case retried = 9
    case attached = 10
    case detached = 11
    case away = 12
    case back = 13
    case refreshing = 14
    case refreshed = 15
    case drifted = 16

    /// The word on the wire.
    package var word: String { String(describing: self) }

    /// Whether it ends an edit.
    package var isEnd: Bool {
        switch self {
        case .synced, .superseded, .failed, .discarded: true
        case .accepted, .retrying, .parked, .stored, .retried, .attached, .detached, .away, .back,
            .refreshing, .refreshed, .drifted:
            false
        }
    }
}

/// One numbered, logged fact about a file or a project.
package struct StatusEvent: Sendable, Equatable {
    /// Dense over everything.
    package var number: UInt64
    /// Dense within the project.
    package var projectNumber: UInt64
    /// When, by the coordinator's wall clock.
    package var time: Timestamp
    /// What.
    package var kind: EventKind
    /// Whose.
    package var project: ProjectName
    /// Which file; nil for what concerns the whole project.
    package var path: EditPath?
    /// Which edit.
    package var sequence: EditSequence
    /// Who pushed it.
    package var id: EditID?
    /// The store's version (stored, synced), or the current one (a conflict).
    package var version: Version
    /// The newer edit (superseded).
    package var by: EditSequence
    /// Attempts so far (retrying, failed).
    package var attempts: Int
    /// When the next attempt comes, from now (retrying).
    package var delayMilliseconds: UInt64
    /// Which sandbox.
    package var target: TargetURL?
    /// Stable word for the cause.
    package var code: String
    /// Sentence for a person.
    package var reason: String

    /// Describes an event; its numbers are given when the turn closes.
    package init(
        _ kind: EventKind, project: ProjectName, path: EditPath? = nil,
        sequence: EditSequence = .none, id: EditID? = nil, version: Version = .none,
        by: EditSequence = .none, attempts: Int = 0, delayMilliseconds: UInt64 = 0,
        target: TargetURL? = nil, code: String = "", reason: String = "",
        time: Timestamp = Timestamp(milliseconds: 0), number: UInt64 = 0, projectNumber: UInt64 = 0
    ) {
        self.number = number
        self.projectNumber = projectNumber
        self.time = time
        self.kind = kind
        self.project = project
        self.path = path
        self.sequence = sequence
        self.id = id
        self.version = version
        self.by = by
        self.attempts = attempts
        self.delayMilliseconds = delayMilliseconds
        self.target = target
        self.code = code
        self.reason = reason
    }
}

/// An edit's one end.
package struct EditEnd: Sendable, Equatable {
    /// `synced`, `superseded`, `failed` or `discarded`.
    package let kind: EventKind
    /// Version (synced), newer sequence (superseded), 0 otherwise.
    package let value: UInt64
    /// Stable word for the cause of a failure; empty otherwise.
    package let code: String

    /// Describes an end.
    package init(kind: EventKind, value: UInt64, code: String = "") {
        self.kind = kind
        self.value = value
        self.code = code
    }

    /// The end that an event tells; nil when it tells none.
    package init?(_ event: StatusEvent) {
        guard event.kind.isEnd else { return nil }
        let value = event.kind == .synced ? event.version.value : event.by.value
        self.init(kind: event.kind, value: value, code: event.code)
    }
}
