package import SyncCore
internal import Synchronization

/// A journal without a disk: keeps to the contract, forgets with its ``Disk``.
package final class InMemoryJournal: Journal {
    /// What survives the process in play: opened again, it holds what was committed.
    package final class Disk: Sendable {
        fileprivate let state: Mutex<State>

        /// Makes an empty journal.
        package init(journal: JournalID = JournalID(bits: 0x5EED)) {
            state = Mutex(State(header: JournalHeader(journal: journal)))
        }

        /// Has the next commits fail, one error each; nothing of them takes effect.
        package func failCommits(with errors: [JournalError]) {
            state.withLock { $0.failures = errors }
        }

        /// How many commits took effect.
        package var commitCount: Int { state.withLock { $0.commitCount } }
    }

    fileprivate struct State {
        var header: JournalHeader
        var lastTurn: UInt64 = 0
        var rows: [EditSequence: JournalRow] = [:]
        var contents: [EditSequence: Content] = [:]
        var projects: [ProjectName: ProjectRecord] = [:]
        var incarnations: [Incarnation: IncarnationRecord] = [:]
        var events: [JournalSegment] = []
        var acceptances: [JournalSegment] = []
        var failures: [JournalError] = []
        var commitCount = 0
        var isHeld = false
    }

    private let disk: Disk

    /// Opens what a disk holds; `held` while another one has it open.
    package init(disk: Disk = Disk()) throws(JournalError) {
        let isFree = disk.state.withLock { state in
            defer { state.isHeld = true }
            return !state.isHeld
        }
        guard isFree else { throw JournalError(.held, "The journal in memory is open already.") }
        self.disk = disk
    }

    deinit { disk.state.withLock { $0.isHeld = false } }

    package func snapshot() async throws(JournalError) -> JournalSnapshot {
        disk.state.withLock { $0.snapshot }
    }

    package func commit(_ transaction: JournalTransaction) async throws(JournalError) {
        let failure: JournalError? = disk.state.withLock { state in
            if !state.failures.isEmpty { return state.failures.removeFirst() }
            state.apply(transaction)
            state.commitCount += 1
            return nil
        }
        if let failure { throw failure }
    }

    package func contents(
        of rows: [EditSequence]
    ) async throws(JournalError) -> [EditSequence: Content] {
        disk.state.withLock { state in
            var result: [EditSequence: Content] = [:]
            for sequence in rows { result[sequence] = state.contents[sequence] }
            return result
        }
    }

    package func events(
        from first: UInt64, bytesMax: Int
    ) async throws(JournalError) -> [JournalSegment] {
        disk.state.withLock { state in
            var result: [JournalSegment] = []
            var byteCount = 0
            for segment in state.events where segment.first + UInt64(segment.count) > first {
                byteCount += segment.bytes.count
                if !result.isEmpty, byteCount > bytesMax { break }
                result.append(segment)
            }
            return result
        }
    }

    package func close() async { disk.state.withLock { $0.isHeld = false } }
}

extension InMemoryJournal.State {
    fileprivate var snapshot: JournalSnapshot {
        var snapshot = JournalSnapshot(header: header)
        snapshot.lastTurn = lastTurn
        snapshot.rows = rows.values.sorted { $0.sequence < $1.sequence }
        snapshot.projects = projects.values.sorted { $0.name < $1.name }
        snapshot.incarnations = incarnations.values
            .sorted { $0.incarnation.description < $1.incarnation.description }
        snapshot.acceptances = acceptances
        snapshot.events = events
        return snapshot
    }

    fileprivate mutating func apply(_ turn: JournalTransaction) {
        header = turn.header
        lastTurn = max(lastTurn, turn.turn)
        for (from, to) in turn.rowsRenumbered {
            guard let row = rows.removeValue(forKey: from) else { continue }
            rows[to] = row.renumbered(to)
            contents[to] = contents.removeValue(forKey: from)
        }
        for sequence in turn.rowsRemoved {
            rows[sequence] = nil
            contents[sequence] = nil
        }
        for (row, content) in turn.rowsWritten {
            precondition(rows[row.sequence] == nil, "sequence \(row.sequence) is in the journal")
            rows[row.sequence] = row
            contents[row.sequence] = content
        }
        for row in turn.rowsAmended {
            rows[row.sequence]?.open = row.open
            rows[row.sequence]?.failure = row.failure
        }
        for project in turn.projects { projects[project.name] = project }
        for record in turn.incarnationsAdded { incarnations[record.incarnation] = record }
        for incarnation in turn.incarnationsEnded { incarnations[incarnation] = nil }
        if let through = turn.eventsTrimmedThrough { events.removeAll { $0.turn <= through } }
        let removed = Set(turn.acceptancesRemoved)
        acceptances.removeAll { removed.contains($0.turn) }
        if let segment = turn.events { events.append(segment) }
        if let segment = turn.acceptances { acceptances.append(segment) }
    }
}
