package import SyncCore

/// The story as the journal tells it, followed event by event, and what is wrong with it.
package struct Ledger {
    /// One accepted edit.
    package struct Entry {
        /// Which edit.
        package let id: EditID
        /// Of which file.
        package let file: FileKey
        /// Its end, if it has one.
        package var end: EventKind?
        /// Word of a failure.
        package var code = ""
        /// Whether it failed before it ended otherwise.
        var hasFailed = false
    }

    /// Whether an edit has ended so, or had failed when the answer under way was given: a turn that
    /// is on the disk already is told to the coordinator a moment later.
    func hasEnded(_ sequence: EditSequence, _ end: EventKind) -> Bool {
        guard let entry = entries[sequence] else { return false }
        return entry.end == end || (end == .failed && entry.hasFailed)
    }

    private struct Author: Hashable {
        let producer: ProducerID
        let file: FileKey
    }

    /// Accepted edits.
    package private(set) var entries: [EditSequence: Entry] = [:]
    /// What each edit got.
    package private(set) var sequences: [EditID: EditSequence] = [:]
    /// The accepted edit with the highest sequence, per file.
    package private(set) var newest: [FileKey: EditSequence] = [:]
    /// Every event ever journaled, in order; kept when the journal forgets.
    package private(set) var events: [StatusEvent] = []
    /// The number before the first of them: where the log went on after an adoption.
    private(set) var eventBase: UInt64 = 0
    /// Whether it was restored and has not gone on yet.
    private(set) var isRestored = false
    private var rebased: Set<ProjectName> = []
    /// Edits that were accepted and lost with the journal.
    private(set) var lost: [EditSequence: Entry] = [:]
    /// Under which sequences an adopted journal went on with edits.
    private var renumbered: [EditSequence: EditSequence] = [:]
    private var projectNumbers: [ProjectName: UInt64] = [:]
    private var numbers: [Author: UInt64] = [:]
    private var highestNumbers: [ProducerID: UInt64] = [:]
    private var highest = EditSequence.none
    /// How often each edit was written over somebody else's change and has not told of it.
    private var drifts: [EditSequence: Int] = [:]
    private(set) var flaws: [String] = []

    /// A story that has not begun.
    package init() {}

    /// Takes what was found wrong since the last call.
    package mutating func takeFlaws() -> [String] {
        defer { flaws = [] }
        return flaws
    }

    /// Follows a transaction that is on disk now; returns its events.
    mutating func follow(_ transaction: JournalTransaction, books: Books) -> [StatusEvent] {
        for (row, content) in transaction.rowsWritten {
            guard let line = books.lines[row.edit.id] else {
                flaws.append("row \(row.sequence) has an id that nobody used")
                continue
            }
            if line.edit.change.content != content || line.edit.change.isDelete != row.edit.isDelete
            {
                flaws.append("row \(row.sequence) has another content than \(row.edit.id)")
            }
        }
        for (from, to) in transaction.rowsRenumbered { renumbered[from] = to }
        guard let segment = transaction.events else { return [] }
        guard let fresh = EventLogCodec.unpack(segment) else {
            flaws.append("the events of turn \(transaction.turn) can't be read")
            return []
        }
        for event in fresh { follow(event, books: books) }
        return fresh
    }

    /// Follows an event that is on disk; the books must know its edit.
    package mutating func follow(_ event: StatusEvent, books: Books) {
        checkNumbers(event)
        check(event, books: books)
        events.append(event)
    }

    /// The last event.
    var lastEvent: UInt64 { eventBase + UInt64(events.count) }

    /// An event by its number.
    func event(_ number: UInt64) -> StatusEvent? {
        guard number > eventBase, number <= lastEvent else { return nil }
        return events[Int(number - eventBase) - 1]
    }

    /// The journal is restored to this; what another one had beyond it is lost.
    mutating func forget(_ other: Ledger) {
        lost = other.lost
        for (sequence, entry) in other.entries where entries[sequence]?.id != entry.id {
            lost[sequence] = entry
        }
    }

    /// An adopting coordinator starts: its log goes on with numbers far above.
    mutating func beginsAnew() { isRestored = true }

    /// After an adoption numbers go on above all that was lost, over all and in each project.
    private mutating func beginAnew(_ event: StatusEvent) {
        isRestored = false
        events = []
        eventBase = event.number - 1
        rebased = Set(projectNumbers.keys)
    }

    private mutating func checkNumbers(_ event: StatusEvent) {
        if isRestored { beginAnew(event) }
        if event.number != lastEvent + 1 {
            flaws.append("event \(event.number) comes after event \(lastEvent)")
        }
        var last = projectNumbers[event.project] ?? 0
        let isNew = eventBase > 0 && projectNumbers[event.project] == nil
        if rebased.remove(event.project) != nil || isNew, event.projectNumber > last {
            last = event.projectNumber - 1
        }
        if event.projectNumber != last + 1 {
            flaws.append(
                "event \(event.number) is number \(event.projectNumber) of \(event.project), "
                    + "after number \(last)")
        }
        projectNumbers[event.project] = event.projectNumber
    }

    private mutating func check(_ event: StatusEvent, books: Books) {
        switch event.kind {
        case .accepted: accept(event, books: books)
        case .retried: reopen(event)
        case .synced, .superseded, .failed, .discarded:
            // A refresh that failed is told too; it is not an edit's end.
            if event.id != nil { end(event) }
        case .drifted:
            checkOpen(event)
            let found = drifts[event.sequence] ?? 0
            drifts[event.sequence] = found - 1
            if found < 1 { flaws.append("\(event.sequence) tells of a drift that is none") }
        case .retrying, .parked, .stored: checkOpen(event)
        case .attached, .detached, .away, .back, .refreshing, .refreshed: break
        }
    }

    private mutating func checkOpen(_ event: StatusEvent) {
        guard let entry = entries[event.sequence] else {
            flaws.append("\(event.kind) of \(event.sequence), which was never accepted")
            return
        }
        if let end = entry.end {
            flaws.append("\(event.kind) of \(event.sequence), which ended \(end)")
        }
    }

    /// Notes that an edit was written over somebody else's change: that may be told.
    mutating func noteDrift(of sequence: EditSequence) { drifts[sequence, default: 0] += 1 }

    private mutating func accept(_ event: StatusEvent, books: Books) {
        guard let id = event.id, let path = event.path else { return }
        let file = FileKey(project: event.project, path: path)
        if event.sequence <= highest {
            flaws.append("sequence \(event.sequence) was accepted after \(highest)")
        }
        highest = max(highest, event.sequence)
        if let before = sequences[id], renumbered[before] != event.sequence {
            flaws.append("\(id) was accepted as \(before) and again as \(event.sequence)")
        }
        guard let line = books.lines[id], line.edit.path == path, line.project == event.project
        else {
            flaws.append("\(event.sequence) was accepted, but \(id) is another edit")
            return
        }
        let author = Author(producer: id.producer, file: file)
        if let before = numbers[author], before > id.number {
            flaws.append("\(id) of \(file) was accepted after number \(before)")
        }
        numbers[author] = id.number
        highestNumbers[id.producer] = max(highestNumbers[id.producer] ?? 0, id.number)
        sequences[id] = event.sequence
        entries[event.sequence] = Entry(id: id, file: file)
        newest[file] = max(newest[file] ?? .none, event.sequence)
    }

    private mutating func reopen(_ event: StatusEvent) {
        guard let entry = entries[event.sequence], entry.end == .failed else {
            flaws.append("\(event.sequence) was retried without having failed")
            return
        }
        entries[event.sequence]?.end = nil
    }

    private mutating func end(_ event: StatusEvent) {
        guard let entry = entries[event.sequence] else {
            flaws.append("\(event.kind) of \(event.sequence), which was never accepted")
            return
        }
        if entry.id != event.id || entry.file.path != event.path {
            flaws.append("\(event.kind) of \(event.sequence) names another edit")
        }
        if let end = entry.end {
            let closes = event.kind == .superseded || event.kind == .discarded
            if end != .failed || entry.code == "conflict" || !closes {
                flaws.append("\(event.sequence) ended \(end) and again \(event.kind)")
            }
        }
        if event.kind == .superseded {
            let by = entries[event.by]
            if event.by <= event.sequence || by?.file != entry.file {
                flaws.append("\(event.sequence) was superseded by \(event.by)")
            }
        }
        entries[event.sequence]?.end = event.kind
        entries[event.sequence]?.code = event.code
        if event.kind == .failed { entries[event.sequence]?.hasFailed = true }
    }

    /// The sequence under which an edit goes on that was accepted under this one.
    func current(_ sequence: EditSequence) -> EditSequence {
        var sequence = sequence
        while let next = renumbered[sequence] { sequence = next }
        return sequence
    }

    /// The highest number of a producer that was accepted.
    func highest(of producer: ProducerID) -> UInt64? { highestNumbers[producer] }

    /// The accepted edit with the highest sequence of each file, refused conditions apart.
    package func winners() -> [FileKey: EditSequence] {
        var winners: [FileKey: EditSequence] = [:]
        for (sequence, entry) in entries {
            if entry.end == .failed, entry.code == "conflict" { continue }
            // An adopted journal goes on with it under another sequence.
            if renumbered[sequence] != nil { continue }
            winners[entry.file] = max(winners[entry.file] ?? .none, sequence)
        }
        return winners
    }
}
