internal import DequeModule
internal import SyncCore

/// What turns have changed that lie in a file of turns and not yet in the database: their sum.
///
/// Rows that were written and removed again within them are in none of it.
struct LoggedTurns: Sendable {
    /// A row and where its content lies.
    struct Written: Sendable {
        var row: JournalRow
        let content: LoggedBytes?
    }

    /// A segment and where its bytes lie.
    struct Segment: Sendable {
        let turn: UInt64
        let first: UInt64
        let count: Int
        let bytes: LoggedBytes

        /// The number after its last record's.
        var end: UInt64 { first + UInt64(count) }
    }

    private(set) var lastTurn: UInt64 = 0
    private(set) var header: JournalHeader?
    private(set) var written: [EditSequence: Written] = [:]
    /// Rows that older turns have written and that are gone.
    private(set) var removed: Set<EditSequence> = []
    /// Rows that older turns have written, as they are now.
    private(set) var amended: [EditSequence: JournalRow] = [:]
    private(set) var projects: [ProjectName: ProjectRecord] = [:]
    /// Incarnations that were added, and nil for those that ended.
    private(set) var incarnations: [Incarnation: IncarnationRecord?] = [:]
    private(set) var events: Deque<Segment> = []
    private(set) var eventsTrimmedThrough: UInt64?
    private(set) var acceptances: [UInt64: Segment] = [:]
    private(set) var acceptancesRemoved: Set<UInt64> = []

    /// Whether no turn was added.
    var isEmpty: Bool { header == nil }

    /// Adds the next turn.
    mutating func add(_ record: TurnRecord) {
        let turn = record.transaction
        lastTurn = turn.turn
        header = turn.header
        for sequence in turn.rowsRemoved { remove(sequence) }
        for ((row, _), content) in zip(turn.rowsWritten, record.contents) {
            written[row.sequence] = Written(row: row, content: content)
        }
        for row in turn.rowsAmended { amend(row) }
        for project in turn.projects { projects[project.name] = project }
        for added in turn.incarnationsAdded {
            incarnations.updateValue(added, forKey: added.incarnation)
        }
        for ended in turn.incarnationsEnded { incarnations.updateValue(nil, forKey: ended) }
        if let through = turn.eventsTrimmedThrough {
            eventsTrimmedThrough = max(eventsTrimmedThrough ?? 0, through)
            while let first = events.first, first.turn <= through { events.removeFirst() }
        }
        for turn in turn.acceptancesRemoved where acceptances.removeValue(forKey: turn) == nil {
            acceptancesRemoved.insert(turn)
        }
        if let segment = Segment(turn.events, at: record.events) { events.append(segment) }
        if let segment = Segment(turn.acceptances, at: record.acceptances) {
            acceptances[segment.turn] = segment
        }
    }

    private mutating func remove(_ sequence: EditSequence) {
        if written.removeValue(forKey: sequence) != nil { return }
        amended[sequence] = nil
        removed.insert(sequence)
    }

    /// One that is gone has nothing to amend.
    private mutating func amend(_ row: JournalRow) {
        if let former = written[row.sequence]?.row {
            var changed = former
            changed.open = row.open
            changed.failure = row.failure
            written[row.sequence]?.row = changed
        } else if !removed.contains(row.sequence) {
            amended[row.sequence] = row
        }
    }
}

extension LoggedTurns {
    /// Adds what the turns have changed to what was read of the database.
    ///
    /// - Parameter file: Holds the turns.
    func add(
        to snapshot: inout JournalSnapshot, from file: TurnFile
    ) throws(SQLiteFailure) {
        guard let header else { return }
        snapshot.header = header
        snapshot.lastTurn = max(snapshot.lastTurn, lastTurn)
        addRows(to: &snapshot)
        var projects = Dictionary(
            snapshot.projects.map { ($0.name, $0) }, uniquingKeysWith: { _, later in later })
        projects.merge(self.projects) { _, later in later }
        snapshot.projects = projects.values.sorted { $0.name < $1.name }
        var incarnations = Dictionary(
            snapshot.incarnations.map { ($0.incarnation, $0) },
            uniquingKeysWith: { _, later in later })
        for (incarnation, record) in self.incarnations { incarnations[incarnation] = record }
        snapshot.incarnations = incarnations.values.sorted {
            $0.incarnation.description < $1.incarnation.description
        }
        snapshot.acceptances.removeAll { acceptancesRemoved.contains($0.turn) }
        for (_, segment) in acceptances.sorted(by: { $0.key < $1.key }) {
            snapshot.acceptances.append(try segment.read(from: file))
        }
        snapshot.events.removeAll { $0.turn <= eventsTrimmedThrough ?? 0 }
        for segment in events { snapshot.events.append(try segment.read(from: file)) }
    }

    private func addRows(to snapshot: inout JournalSnapshot) {
        if !removed.isEmpty { snapshot.rows.removeAll { removed.contains($0.sequence) } }
        if !amended.isEmpty {
            for place in snapshot.rows.indices {
                guard let row = amended[snapshot.rows[place].sequence] else { continue }
                snapshot.rows[place].open = row.open
                snapshot.rows[place].failure = row.failure
            }
        }
        snapshot.rows += written.values.map(\.row)
        snapshot.rows.sort { $0.sequence < $1.sequence }
    }
}

extension LoggedTurns.Segment {
    fileprivate func read(from file: TurnFile) throws(SQLiteFailure) -> JournalSegment {
        JournalSegment(turn: turn, first: first, count: count, bytes: try file.read(bytes))
    }

    fileprivate init?(_ segment: JournalSegment?, at bytes: LoggedBytes?) {
        guard let segment, let bytes else { return nil }
        self.init(turn: segment.turn, first: segment.first, count: segment.count, bytes: bytes)
    }
}
