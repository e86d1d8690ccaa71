/// A project's durable line: its count of events and its targets.
package struct ProjectRecord: Sendable, Equatable {
    /// Which project.
    package let name: ProjectName
    /// Last event number within the project.
    package var eventNumber: UInt64
    /// Every target that was ever attached.
    package var targets: [TargetRecord] { didSet { derive() } }
    /// Those that are attached now; kept, since it is asked for each file.
    package private(set) var attached: [TargetURL] = []
    /// Their schemes, each once, in order; kept likewise.
    package private(set) var schemes: [String] = []

    /// Describes a project.
    package init(name: ProjectName, eventNumber: UInt64 = 0, targets: [TargetRecord] = []) {
        self.name = name
        self.eventNumber = eventNumber
        self.targets = targets
        derive()
    }

    private mutating func derive() {
        attached = targets.filter(\.isAttached).map(\.url)
        schemes = Set(attached.map(\.scheme)).sorted()
    }
}

/// What the journal knows of one target of a project.
package struct TargetRecord: Sendable, Equatable {
    /// Which sandbox.
    package let url: TargetURL
    /// Attached, or detached and refused until an operator attaches it again.
    package var isAttached: Bool
    /// Which filling; raised whenever it is found blank or rolled back, never used twice.
    package var generation: UInt64
    /// Whether the marker of this generation is known to have been written.
    package var isMarked: Bool
    /// ``SandboxMarker/mark`` of the marker that was told of first in this generation; nil when
    /// none was.
    package var mark: String?
    /// Whether files are still to be written again because it came back blank or was attached late.
    package var needsRefresh: Bool
    /// Whether every other stage must be revoked before the first write (a new generation).
    package var revokesOthers: Bool
    /// Incarnations that ended otherwise than by a completed drain and are not yet revoked here.
    package var debts: [Incarnation]
    /// Since when it does not answer; nil while it does.
    package var awaySince: Timestamp?

    /// Describes a target.
    package init(
        url: TargetURL, isAttached: Bool = true, generation: UInt64 = 1, isMarked: Bool = false,
        mark: String? = nil, needsRefresh: Bool = false, revokesOthers: Bool = false,
        debts: [Incarnation] = [], awaySince: Timestamp? = nil
    ) {
        self.url = url
        self.isAttached = isAttached
        self.generation = generation
        self.isMarked = isMarked
        self.mark = mark
        self.needsRefresh = needsRefresh
        self.revokesOthers = revokesOthers
        self.debts = debts
        self.awaySince = awaySince
    }
}

/// An incarnation that was or may have been given a lease and has not ended.
package struct IncarnationRecord: Sendable, Equatable {
    /// Which.
    package let incarnation: Incarnation
    /// The worker's label.
    package let label: WorkerLabel
    /// The random token of its process.
    package let life: UInt64
    /// Schemes of targets that it can reach.
    package let schemes: [String]

    /// Describes an incarnation.
    package init(incarnation: Incarnation, label: WorkerLabel, life: UInt64, schemes: [String]) {
        self.incarnation = incarnation
        self.label = label
        self.life = life
        self.schemes = schemes
    }
}

/// Single values that survive a restart.
package struct JournalHeader: Sendable, Equatable {
    /// Drawn when the journal was made.
    package let journal: JournalID
    /// Highest sequence handed out.
    package var lastSequence: EditSequence
    /// Highest event number handed out.
    package var lastEvent: UInt64
    /// Count of incarnations handed out, over all epochs.
    package var incarnationCount: UInt64
    /// Longest lease ever granted, in milliseconds; what a restart waits for.
    package var longestLeaseMilliseconds: UInt64
    /// Identity of the pool's store; nil until the first worker registered.
    package var storeID: String?
    /// Identity of the pool's local root; nil until the first worker that has one registered.
    package var localRootID: String?

    /// Describes a new journal.
    package init(journal: JournalID) {
        self.journal = journal
        lastSequence = .none
        lastEvent = 0
        incarnationCount = 0
        longestLeaseMilliseconds = 0
    }
}

/// Packed records of one turn: events of the log, or acceptances of the window.
///
/// Opaque to the
/// journal.
package struct JournalSegment: Sendable, Equatable {
    /// Which turn wrote it; ascending, the key within its kind.
    package let turn: UInt64
    /// Number of the first record (an event number; 0 for the window).
    package let first: UInt64
    /// How many records.
    package let count: Int
    /// The records.
    package let bytes: [UInt8]

    /// Describes a segment.
    package init(turn: UInt64, first: UInt64, count: Int, bytes: [UInt8]) {
        self.turn = turn
        self.first = first
        self.count = count
        self.bytes = bytes
    }
}

/// Everything that one turn changes.
///
/// All of it takes effect, or nothing.
package struct JournalTransaction: Sendable {
    /// Which turn; ascending within an epoch and over restarts.
    package let turn: UInt64
    /// The header as it is after the turn.
    package var header: JournalHeader
    /// Rows that go: done, discarded, or replaced by one of `rowsWritten`.
    package var rowsRemoved: [EditSequence] = []
    /// New rows with their content (nil for a delete).
    package var rowsWritten: [(row: JournalRow, content: Content?)] = []
    /// Rows whose `open` or `failure` changed; the content stays.
    package var rowsAmended: [JournalRow] = []
    /// Rows that get another sequence, before anything else of the transaction (a store was
    /// adopted).
    package var rowsRenumbered: [(from: EditSequence, to: EditSequence)] = []
    /// Projects that changed, whole.
    package var projects: [ProjectRecord] = []
    /// Incarnations given a lease from now on.
    package var incarnationsAdded: [IncarnationRecord] = []
    /// Incarnations that ended.
    package var incarnationsEnded: [Incarnation] = []
    /// This turn's events; nil when there are none.
    package var events: JournalSegment?
    /// This turn's acceptances; nil when there are none.
    package var acceptances: JournalSegment?
    /// Segments of the event log up to this turn, inclusive, go: nil keeps all.
    package var eventsTrimmedThrough: UInt64?
    /// Segments of the window that hold nothing alive any more.
    package var acceptancesRemoved: [UInt64] = []

    /// An empty transaction.
    package init(turn: UInt64, header: JournalHeader) {
        self.turn = turn
        self.header = header
    }

    /// Whether nothing would change but the header.
    package var isEmpty: Bool {
        rowsRemoved.isEmpty && rowsWritten.isEmpty && rowsAmended.isEmpty
            && rowsRenumbered.isEmpty && projects.isEmpty
            && incarnationsAdded.isEmpty && incarnationsEnded.isEmpty && events == nil
            && acceptances == nil && eventsTrimmedThrough == nil && acceptancesRemoved.isEmpty
    }
}

/// What a journal holds at start.
package struct JournalSnapshot: Sendable {
    /// Single values.
    package var header: JournalHeader
    /// Highest turn of any segment.
    package var lastTurn: UInt64 = 0
    /// Rows in ascending sequence, without content.
    package var rows: [JournalRow] = []
    /// Projects.
    package var projects: [ProjectRecord] = []
    /// Incarnations that may be alive.
    package var incarnations: [IncarnationRecord] = []
    /// The window, oldest first.
    package var acceptances: [JournalSegment] = []
    /// The event log, oldest first.
    package var events: [JournalSegment] = []

    /// An empty journal.
    package init(header: JournalHeader) { self.header = header }
}

/// A journal's failure.
///
/// Unless `isFatal`, nothing of the transaction took effect.
package struct JournalError: Error, Sendable {
    /// Kinds of failure.
    package enum Code: String, Sendable {
        /// Disk full, read-only, busy: nothing was written; try again later.
        case unavailable
        /// An fsync failed, or what was read back makes no sense: what is on disk is unknown, the
        /// process must end and read it back.
        case fatal
        /// Another coordinator holds the journal.
        case held
    }

    /// What kind.
    package let code: Code
    /// What failed, why, and what to do.
    package let message: String

    /// Describes a failure.
    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// Where accepted edits wait, durable.
///
/// The contract, which one conformance suite runs over every implementation:
/// - One user at a time; ``commit(_:)`` is not called again before it returned.
/// - Calls never block the caller's thread; implementations bring their own.
/// - When ``commit(_:)`` returns, the transaction survives a power cut. When it throws
///   `unavailable`, nothing of it took effect and the journal can be used on.
/// - ``snapshot()`` gives what all committed transactions left.
package protocol Journal: Sendable {
    /// Everything but contents.
    func snapshot() async throws(JournalError) -> JournalSnapshot

    /// Makes a turn durable (fsync).
    func commit(_ transaction: JournalTransaction) async throws(JournalError)

    /// Contents of rows; a delete, or a row that is gone, is missing in the answer.
    func contents(of rows: [EditSequence]) async throws(JournalError) -> [EditSequence: Content]

    /// Segments of the event log from the one that holds event `first`, oldest first, up to about
    /// `bytesMax` bytes but at least one.
    func events(
        from first: UInt64, bytesMax: Int
    ) async throws(JournalError) -> [JournalSegment]

    /// Closes files and gives the lock back; no call afterwards.
    func close() async
}
