/// What one commit will change, staged: an overlay of whole values over the machine's tables.
///
/// Tables, answers, assignments, acknowledgements and events change or leave only when the
/// transaction has committed; when it fails, the overlay is dropped and everything is as before
/// (trace A8). While one turn is on its way to disk, the next one's inputs are only collected.
struct Turn: Sendable {
    /// Answers to one EDIT message.
    struct EditReply: Sendable {
        let route: ClientRoute
        var answers: [EditAnswer]
    }

    /// An acknowledgement that is owed after the commit.
    struct Acknowledgement: Sendable {
        let incarnation: Incarnation
        var numbers: [UInt64]
    }

    /// What becomes of a member.
    enum MemberChange: Sendable {
        case joined(WorkerRoute, Registration, Incarnation, isKept: Bool)
        case ended(Incarnation, state: String)
    }

    /// A page of a project's files that was taken for a refill.
    struct Page: Sendable {
        let target: TargetURL
        let after: EditPath?
        let isLast: Bool
    }

    /// A producer's acceptances of this turn.
    struct StagedWindow: Sendable {
        var records: [UInt64: AcceptedNumber] = [:]
        var newest: [UInt64: (number: UInt64, sequence: EditSequence)] = [:]
        var highest: UInt64 = 0
        var order: [UInt64] = []
    }

    let number: UInt64
    let time: Timestamp
    var header: JournalHeader
    var files: [FileIndex: FileSlot] = [:]
    var projects: [ProjectName: ProjectRecord] = [:]
    var targetOwners: [TargetURL: ProjectName] = [:]
    var windows: [ProducerKey: StagedWindow] = [:]
    var carried: [AcceptanceLog.Record] = []
    var carriedFrom: UInt64?
    var events: [StatusEvent] = []
    var ends: [(key: ProducerKey, number: UInt64, end: EditEnd?)] = []
    var replies: [EditReply] = []
    var wanted: [(id: EditID, project: ProjectName, route: ClientRoute)] = []
    var acknowledgements: [Acknowledgement] = []
    var members: [MemberChange] = []
    var finished: Set<AssignmentID> = []
    var adopted: [(id: AssignmentID, hold: Hold)] = []
    var away: [(target: TargetURL, project: ProjectName, cause: Failure)] = []
    var back: [TargetURL] = []
    var pages: [Page] = []
    /// Inputs other than edits: they are staged again when the commit fails.
    var kept: [CoordinatorMachine.Input] = []
    var transaction: JournalTransaction
    var pendingFiles = 0
    var pendingBytes = 0

    init(number: UInt64, header: JournalHeader, time: Timestamp) {
        self.number = number
        self.time = time
        self.header = header
        transaction = JournalTransaction(turn: number, header: header)
    }

    /// Stages an event; its numbers are given when the turn closes.
    mutating func tell(_ event: StatusEvent) {
        var event = event
        event.time = time
        events.append(event)
        guard let end = EditEnd(event), let id = event.id else {
            if event.kind == .retried, let id = event.id {
                let key = ProducerKey(project: event.project, producer: id.producer)
                ends.append((key, id.number, nil))
            }
            return
        }
        let key = ProducerKey(project: event.project, producer: id.producer)
        ends.append((key, id.number, end))
    }

    /// Owes a worker an acknowledgement.
    mutating func acknowledge(_ number: UInt64, to incarnation: Incarnation) {
        if let last = acknowledgements.indices.last,
            acknowledgements[last].incarnation == incarnation
        {
            acknowledgements[last].numbers.append(number)
        } else {
            acknowledgements.append(
                Acknowledgement(incarnation: incarnation, numbers: [number]))
        }
    }
}

/// One assignment on the way.
struct Hold: Sendable {
    /// Which file.
    let index: FileIndex
    /// Which edit (or, of a refresh, which sequence the listing gave).
    let sequence: EditSequence
    /// Who has it.
    let incarnation: Incarnation
    /// Where it writes.
    let targets: [TargetURL]
    /// Bytes of content, for credit.
    let byteCount: Int
    /// Whether it is a refresh.
    let isRefresh: Bool
}
