import OrderedCollections

/// What one commit will change, staged: an overlay of whole values over the machine's tables.
///
/// Tables, answers, assignments, acknowledgements and events change or leave only when the
/// transaction has committed; when it fails, the overlay is dropped and everything is as before
/// (trace A8). While one turn is on its way to disk, edits are staged ahead on top of it, and all
/// other inputs are only collected.
struct Turn: Sendable {
    /// Answers to a part of one EDIT message.
    struct EditReply: Sendable {
        let route: ClientRoute
        /// Which message of this process.
        let message: UInt64
        /// Whether the message has no further part.
        let isLast: Bool
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

    /// Who registered, as who, and whether as who it was.
    var joins: [(registration: Registration, incarnation: Incarnation, isKept: Bool)] {
        members.compactMap { change in
            guard case .joined(_, let registration, let incarnation, let isKept) = change else {
                return nil
            }
            return (registration, incarnation, isKept)
        }
    }

    /// A page of a project's files that was taken for a refill.
    struct Page: Sendable {
        let target: TargetURL
        let question: UInt64
        let after: EditPath?
        let count: Int
        let isLast: Bool
    }

    /// A write that did not come back within its deadline, or has come back after all.
    struct StuckChange: Sendable {
        let target: TargetURL
        let path: EditPath
        let holder: Incarnation
        let isSettled: Bool
    }

    /// The answer to an operator's command: what was done, or why not.
    struct ProjectAnswer: Sendable {
        let route: ClientRoute
        let project: ProjectName
        let result: Result<String, Rejection>
    }

    /// A producer's acceptances of this turn.
    struct StagedWindow: Sendable {
        var records: [UInt64: AcceptedNumber] = [:]
        var newest: [UInt64: (number: UInt64, sequence: EditSequence)] = [:]
        var highest: UInt64 = 0
        var order: [UInt64] = []

        /// Stages an acceptance.
        mutating func accept(_ accepted: AcceptedNumber) {
            records[accepted.number] = accepted
            order.append(accepted.number)
            highest = max(highest, accepted.number)
            if newest[accepted.fileHash].map({ $0.number < accepted.number }) ?? true {
                newest[accepted.fileHash] = (accepted.number, accepted.sequence)
            }
        }
    }

    let number: UInt64
    let time: Timestamp
    var header: JournalHeader
    /// In the order in which they were touched first.
    var files: OrderedDictionary<FileIndex, FileSlot> = [:]
    var projects: [ProjectName: ProjectRecord] = [:]
    var targetOwners: [TargetURL: ProjectName] = [:]
    var windows: [ProducerKey: StagedWindow] = [:]
    var carried: [AcceptanceLog.Record] = []
    var carriedFrom: UInt64?
    var events: [StatusEvent] = []
    var ends: [(key: ProducerKey, number: UInt64, end: EditEnd?)] = []
    var replies: [EditReply] = []
    /// Answers to orders about the failed list.
    var orders: [(route: ClientRoute, results: [FailedResult])] = []
    var wanted: [(id: EditID, project: ProjectName, route: ClientRoute)] = []
    var acknowledgements: [Acknowledgement] = []
    var members: [MemberChange] = []
    /// Processes whose death was reported and that join with this turn.
    var deaths: [(life: UInt64, isKilled: Bool)] = []
    var finished: Set<AssignmentID> = []
    var adopted: [(id: AssignmentID, hold: Hold)] = []
    var away: [(target: TargetURL, project: ProjectName, cause: Failure)] = []
    var back: [TargetURL] = []
    var stuck: [StuckChange] = []
    /// Incarnations that registered again and said anew what is stuck; before the changes above.
    var stuckRestated: [Incarnation] = []
    /// Targets filled anew: whatever was stuck there is revoked before the next write.
    var unstuck: [TargetURL] = []
    /// Waits that targets asked for.
    var held: [(target: TargetURL, until: Instant)] = []
    var pages: [Page] = []
    /// Targets whose files must be written again from now on.
    var refilled: [TargetURL] = []
    /// Targets whose marker was read, or could not be.
    var verified: [TargetURL] = []
    /// Targets that hold everything again.
    var refreshed: [TargetURL] = []
    /// Targets that no longer belong to what their project writes.
    var detached: [TargetURL] = []
    /// Answers to an operator's command about a project.
    var projectAnswers: [ProjectAnswer] = []
    var flushes: [(route: ClientRoute, project: ProjectName, prefix: String)] = []
    /// Inputs other than edits: they are staged again when the commit fails.
    var kept: [TurnInput] = []
    /// Edits that it took, and what else weighs as much; and bytes of their content.
    var editCount = 0
    var byteCount = 0
    /// Edits that it took, by project.
    var editCounts: [ProjectName: Int] = [:]
    /// Whether it changes nothing; known when it is finished.
    var isIdle = false
    /// Whether a store is taken over.
    var isAdopting = false
    /// Whether it lies within a flood's pause.
    var isInterlude = false
    var transaction: JournalTransaction
    var pendingFiles = 0
    var pendingBytes = 0
    /// Edits that replaced one that was waiting or in hand, by project.
    var replacing: [ProjectName: Int] = [:]

    init(number: UInt64, header: JournalHeader, time: Timestamp) {
        self.number = number
        self.time = time
        self.header = header
        transaction = JournalTransaction(turn: number, header: header)
    }

    /// Counts an input, and keeps it for when the commit fails; edits are answered then.
    mutating func take(_ input: TurnInput) {
        if case .edits(let part) = input {
            editCount += part.items.count
            editCounts[part.project, default: 0] += part.items.count
            byteCount += part.byteCount
            return
        }
        editCount += input.orderedCount
        if case .settle = input { editCount += 1 }
        kept.append(input)
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

    /// Stages an event that is no end of its edit for whoever waits for it.
    mutating func tellOnly(_ event: StatusEvent) {
        var event = event
        event.time = time
        events.append(event)
    }

    /// Stages that all files are written into a target, and who is told why; what was stuck there
    /// is free.
    mutating func fill(
        _ target: TargetURL, of project: ProjectName, telling kind: EventKind = .refreshing,
        code: String, reason: String
    ) {
        refilled.append(target)
        unstuck.append(target)
        tell(StatusEvent(kind, project: project, target: target, code: code, reason: reason))
    }

    /// Stages a change of one target's record.
    mutating func changeTarget(
        _ target: TargetURL, of project: ProjectName,
        from committed: [ProjectName: ProjectRecord], _ body: (inout TargetRecord) -> Void
    ) {
        guard var record = projects[project] ?? committed[project],
            let place = record.targets.firstIndex(where: { $0.url == target })
        else { return }
        body(&record.targets[place])
        projects[project] = record
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
    /// Whether a worker has died with this edit in hand before.
    var isSuspect = false
    /// Which filling of each target it writes into; empty when it was taken over from another
    /// epoch.
    var generations: [TargetURL: UInt64] = [:]
}
