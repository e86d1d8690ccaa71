internal import SyncCore

/// The one end of an accepted edit.
public enum EditOutcome: Sendable, Hashable {
    /// In the store under this version, and visible in every sandbox.
    case synced(version: UInt64)
    /// A newer edit of the file took its place.
    ///
    /// `by` is the newer edit's sequence; nil when this edit was never sent.
    case superseded(by: UInt64?)
    /// In the failed list, with its content.
    case failed(SyncFailure)
    /// Taken off the failed list by an operator.
    case discarded

    init(_ event: StatusEvent) {
        switch event.kind {
        case .synced: self = .synced(version: event.version.value)
        case .superseded: self = .superseded(by: event.by.value)
        case .discarded: self = .discarded
        case .failed, .accepted, .retrying, .parked, .stored, .retried, .attached, .detached,
            .away, .back, .refreshing, .refreshed, .drifted:
            self = .failed(
                SyncFailure(code: event.code, sentence: event.reason, attempts: event.attempts))
        }
    }

    init(_ end: EditEnd) {
        switch end.kind {
        case .synced: self = .synced(version: end.value)
        case .superseded: self = .superseded(by: end.value)
        case .discarded: self = .discarded
        case .failed, .accepted, .retrying, .parked, .stored, .retried, .attached, .detached,
            .away, .back, .refreshing, .refreshed, .drifted:
            self = .failed(
                SyncFailure(
                    code: end.code, sentence: "See 'syncd failed list' for the reason.",
                    attempts: 0))
        }
    }
}

/// Why a file could not be brought into the store or a sandbox.
public struct SyncFailure: Sendable, Hashable, CustomStringConvertible {
    /// Stable word, for instance `EACCES` or `conflict`.
    public let code: String
    /// What failed, why, and what to do.
    public let sentence: String
    /// Attempts that were made.
    public let attempts: Int

    /// Describes a failure.
    public init(code: String, sentence: String, attempts: Int) {
        self.code = code
        self.sentence = sentence
        self.attempts = attempts
    }

    /// The word and the sentence.
    public var description: String { "\(code): \(sentence)" }
}

/// What an editor shows beside a file: a spinner, an error, a version.
public struct FileState: Sendable, Hashable {
    /// The file, in NFC.
    public let path: String
    /// Whether an edit of the file is on its way, from this client or from anybody else.
    public let isSyncing: Bool
    /// What went wrong last; nil when all is well, and as soon as a newer edit is accepted.
    public let lastError: SyncFailure?
    /// The newest version that this client has heard of; nil before the first.
    public let version: UInt64?

    init(_ view: FileView, isOwnUnanswered: Bool, refusal: SyncError?) {
        path = view.path.text
        isSyncing = view.isSyncing || isOwnUnanswered
        version = view.version?.value
        if let refusal {
            lastError = SyncFailure(
                code: refusal.code.rawValue, sentence: refusal.sentence, attempts: 0)
        } else {
            lastError = view.trouble.map {
                SyncFailure(code: $0.code, sentence: $0.reason, attempts: $0.attempts)
            }
        }
    }
}

/// A numbered fact about a file or the whole project.
public struct FileEvent: Sendable, Hashable {
    /// What an event tells.
    public enum Kind: String, Sendable, CaseIterable {
        /// The edit is durable.
        case accepted
        /// An attempt failed; the next one comes.
        case retrying
        /// The edit waits for a sandbox that is away.
        case parked
        /// In the store under a version.
        case stored
        /// Visible everywhere: an end.
        case synced
        /// A newer edit took its place: an end.
        case superseded
        /// In the failed list: an end that can be reopened.
        case failed
        /// Taken off the failed list: an end.
        case discarded
        /// A failed edit is tried again.
        case retried
        /// A sandbox was attached to the project.
        case attached
        /// A sandbox was detached.
        case detached
        /// A sandbox can't be reached.
        case away
        /// It can be reached again.
        case back
        /// A sandbox is filled again.
        case refreshing
        /// It holds everything again.
        case refreshed
        /// Somebody else had changed the file in a sandbox, and the edit was written over it.
        case drifted
    }

    /// Dense over everything that the coordinator does.
    public let number: UInt64
    /// Dense within the project.
    public let projectNumber: UInt64
    /// By the coordinator's wall clock, in milliseconds since 1970.
    public let milliseconds: UInt64
    /// What.
    public let kind: Kind
    /// Which file; nil for what concerns the whole project.
    public let path: String?
    /// Which edit; nil when it is about none.
    public let sequence: UInt64?
    /// The edit's id, for those who pushed it.
    public let editID: EditReference?
    /// The store's version, where there is one.
    public let version: UInt64?
    /// The newer edit (superseded).
    public let supersededBy: UInt64?
    /// Which sandbox.
    public let target: String?
    /// Why (retrying, parked, failed, away), or what was found (drifted: `changed`, `foreign`).
    public let cause: SyncFailure?

    init?(_ event: StatusEvent) {
        guard let kind = Kind(rawValue: event.kind.word) else { return nil }
        self.kind = kind
        number = event.number
        projectNumber = event.projectNumber
        milliseconds = event.time.milliseconds
        path = event.path?.text
        sequence = event.sequence == .none ? nil : event.sequence.value
        editID = event.id.map { EditReference($0) }
        version = event.version == .none ? nil : event.version.value
        supersededBy = event.by == .none ? nil : event.by.value
        target = event.target?.text
        cause =
            event.code.isEmpty && event.reason.isEmpty
            ? nil
            : SyncFailure(code: event.code, sentence: event.reason, attempts: event.attempts)
    }
}

/// What the sequence of events yields.
public enum SyncEvent: Sendable, Hashable {
    /// The next event.
    case event(FileEvent)
    /// Events of these numbers can't be told: the coordinator's log begins later.
    case gap(ClosedRange<UInt64>)
    /// The connection was made; what happened meanwhile comes next.
    case connected
    /// The connection was lost; it is made again by itself.
    case disconnected
    /// The coordinator counts from a lower number than before: it has another journal.
    case rewound(to: UInt64)
}

/// The name of an edit over all time: who pushed it, and its number.
public struct EditReference: Sendable, Hashable, Codable, CustomStringConvertible {
    /// One life of a client: `NAME/0123456789abcdef`.
    public let producer: String
    /// Counted by that life.
    public let number: UInt64

    /// Names an edit.
    public init(producer: String, number: UInt64) {
        self.producer = producer
        self.number = number
    }

    init(_ id: EditID) { self.init(producer: id.producer.text, number: id.number) }

    /// `NAME/LIFE#NUMBER`.
    public var description: String { "\(producer)#\(number)" }
}
