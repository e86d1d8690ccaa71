import DequeModule
import SyncCore

/// The journal's disk: keeps what was committed and nothing else.
struct SimulatedDisk {
    /// What becomes of commits, in the order in which they come.
    enum Mishap {
        /// Nothing takes effect.
        case unavailable
        /// An fsync failed: the process must end; whether the transaction is there is open.
        case fatal
    }

    private(set) var header: JournalHeader
    private(set) var lastTurn: UInt64 = 0
    private(set) var rows: [EditSequence: JournalRow] = [:]
    private(set) var contents: [EditSequence: Content] = [:]
    private(set) var projects: [ProjectName: ProjectRecord] = [:]
    private var incarnations: [Incarnation: IncarnationRecord] = [:]
    private(set) var events = Deque<JournalSegment>()
    private var acceptances: [JournalSegment] = []
    /// The next commits fail so.
    var mishaps = Deque<Mishap>()
    /// Commits fail before this.
    var fullUntil: Nanoseconds = 0
    /// Commits and reads take long before this.
    var slowUntil: Nanoseconds = 0

    init(journal: JournalID) { header = JournalHeader(journal: journal) }

    /// What a coordinator reads at start.
    var snapshot: JournalSnapshot {
        var snapshot = JournalSnapshot(header: header)
        snapshot.lastTurn = lastTurn
        snapshot.rows = rows.values.sorted { $0.sequence < $1.sequence }
        snapshot.projects = projects.values.sorted { $0.name < $1.name }
        snapshot.incarnations = incarnations.values.sorted {
            $0.incarnation.count < $1.incarnation.count
        }
        snapshot.acceptances = acceptances
        snapshot.events = Array(events)
        return snapshot
    }

    /// Makes a transaction true; a sentence when it contradicts what is there.
    mutating func apply(_ turn: JournalTransaction) -> String? {
        var flaw: String?
        if turn.turn <= lastTurn { flaw = "turn \(turn.turn) comes after turn \(lastTurn)" }
        header = turn.header
        lastTurn = turn.turn
        for (from, to) in turn.rowsRenumbered {
            guard let row = rows.removeValue(forKey: from) else { continue }
            rows[to] = row.renumbered(to)
            contents[to] = contents.removeValue(forKey: from)
        }
        for sequence in turn.rowsRemoved {
            if rows.removeValue(forKey: sequence) == nil {
                flaw = "row \(sequence) is removed but is not there"
            }
            contents[sequence] = nil
        }
        for (row, content) in turn.rowsWritten {
            if rows[row.sequence] != nil { flaw = "row \(row.sequence) is written twice" }
            if !row.edit.isDelete, content == nil { flaw = "row \(row.sequence) has no content" }
            rows[row.sequence] = row
            contents[row.sequence] = content
        }
        for row in turn.rowsAmended {
            if rows[row.sequence] == nil { flaw = "row \(row.sequence) is amended, not there" }
            rows[row.sequence]?.open = row.open
            rows[row.sequence]?.failure = row.failure
        }
        for project in turn.projects { projects[project.name] = project }
        for record in turn.incarnationsAdded { incarnations[record.incarnation] = record }
        for incarnation in turn.incarnationsEnded { incarnations[incarnation] = nil }
        applySegments(turn)
        return flaw
    }

    private mutating func applySegments(_ turn: JournalTransaction) {
        if let through = turn.eventsTrimmedThrough {
            while let first = events.first, first.turn <= through { events.removeFirst() }
        }
        if !turn.acceptancesRemoved.isEmpty {
            let removed = Set(turn.acceptancesRemoved)
            acceptances.removeAll { removed.contains($0.turn) }
        }
        if let segment = turn.events { events.append(segment) }
        if let segment = turn.acceptances { acceptances.append(segment) }
    }

    /// Segments from the one that holds an event, as ``Journal/events(from:bytesMax:)`` gives them.
    func events(from first: UInt64, bytesMax: Int) -> [JournalSegment] {
        var result: [JournalSegment] = []
        var byteCount = 0
        for segment in events where segment.first + UInt64(segment.count) > first {
            byteCount += segment.bytes.count
            if !result.isEmpty, byteCount > bytesMax { break }
            result.append(segment)
        }
        return result
    }
}
