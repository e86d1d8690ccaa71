internal import DequeModule
internal import Dispatch
internal import SyncCore
internal import Synchronization

/// Turns on their way into the database: written one behind the other, which takes one write and
/// one sync each, and copied into the database later, many at a time.
///
/// Most of what a turn writes is gone again soon: a row is removed when its file is synced. What is
/// written and removed within the log never reaches the database (a log-structured merge, as O'Neil
/// and others described in 1996, of two levels).
///
/// There are two files. One takes turns until it is full; then the other one does, while the
/// database takes over what the first one holds:
///
///     empty ──first turn──▶ taking turns ──full──▶ being copied ──copied──▶ empty
///
/// A file is not cut when it is empty. What it still holds is of turns that the database knows
/// already, and is passed over.
final class TurnLog: Sendable {
    /// What is known of one file.
    private struct Side {
        var turns = LoggedTurns()
        /// Where the next turn goes.
        var end = 0
        /// Drawn anew whenever the file is written from its beginning again.
        var lap = UInt64.random(in: .min ... .max)
    }

    private struct State {
        var sides = [Side(), Side()]
        /// The one that takes turns.
        var current = 0
        var lastTurn: UInt64
        /// What a turn is packed into.
        var buffer: [UInt8] = []
    }

    /// What became of a turn.
    enum Appending: Sendable {
        /// It is on the disk.
        case done
        /// The file that takes turns has no room for it.
        case full
        /// No file can take it, whatever room it has.
        case unfit
    }

    private let files: [TurnFile]
    private let bytesMax: Int
    private let state: Mutex<State>
    /// A serial queue has a thread beyond the cooperative pool.
    private let queue = DispatchQueue(label: "syncd.journal.turns")

    /// Bytes of each file that only turns without new rows may fill: those make room.
    private let reservedBytes: Int
    /// Bytes of memory that are kept to pack the next turn into.
    private static let bufferBytesMax = 4 << 20

    /// Opens both files beside a journal and reads what they hold.
    ///
    /// - Parameters:
    ///   - file: The journal's database.
    ///   - bytesMax: Most bytes of one file.
    ///   - lastTurn: The last turn that the database has.
    ///   - journal: Which journal it is.
    init(
        beside file: String, bytesMax: Int, lastTurn: UInt64, journal: JournalID
    ) throws(SQLiteFailure) {
        self.bytesMax = bytesMax
        reservedBytes = min(256 << 10, bytesMax / 8)
        files = [
            try TurnFile(Self.names(beside: file)[0]), try TurnFile(Self.names(beside: file)[1]),
        ]
        try TurnFile.syncNames(beside: file)
        var state = State(lastTurn: lastTurn)
        var found: [(side: Int, record: TurnRecord)] = []
        var lastPlaces: [LoggedBytes?] = []
        for (side, file) in files.enumerated() {
            let (records, last, end) = try file.records(after: lastTurn)
            state.sides[side].end = end
            lastPlaces.append(last)
            if let lap = records.first?.lap { state.sides[side].lap = lap }
            found += records.filter { $0.transaction.turn > lastTurn }.map { (side, $0) }
        }
        found.sort { $0.record.transaction.turn < $1.record.transaction.turn }
        for (side, record) in found {
            guard record.previousTurn == state.lastTurn,
                record.transaction.header.journal == journal
            else { throw Self.strange(record, after: state.lastTurn, file: file) }
            state.sides[side].turns.add(record)
            state.lastTurn = record.transaction.turn
            state.current = side
        }
        for side in state.sides.indices where state.sides[side].turns.isEmpty {
            state.sides[side] = Side()
            // What makes room must find some when the disk is full.
            _ = try files[side].reserve(reservedBytes)
        }
        if let side = found.last?.side, let place = lastPlaces[side] {
            try files[side].rewrite(place)
        }
        self.state = Mutex(state)
    }

    /// Both files beside a journal.
    static func names(beside file: String) -> [String] { [file + "-turns1", file + "-turns2"] }

    private static func strange(
        _ record: TurnRecord, after lastTurn: UInt64, file: String
    ) -> SQLiteFailure {
        SQLiteFailure(
            .corrupt,
            "The files \(file)-turns1 and -turns2 do not go on where \(file) ends: it has turns up "
                + "to \(lastTurn), they begin with \(record.transaction.turn) after "
                + "\(record.previousTurn). Put the files back that belong together; to start from "
                + "an older copy of \(file), move those two away and start with --adopt.")
    }

    /// Writes a turn, off the caller's thread; one at a time.
    func append(_ turn: JournalTransaction) async throws(SQLiteFailure) -> Appending {
        try await Connection.offThread(on: queue) { () throws(SQLiteFailure) in
            try self.write(turn)
        }
    }

    private func write(_ turn: JournalTransaction) throws(SQLiteFailure) -> Appending {
        var (bytes, current, lap, end, lastTurn) = state.withLock { state in
            // Not the turns themselves: they would be copied when they change.
            let (lap, end) = (state.sides[state.current].lap, state.sides[state.current].end)
            defer { state.buffer = [] }
            return (state.buffer, state.current, lap, end, state.lastTurn)
        }
        guard turn.rowsRenumbered.isEmpty, turn.turn > lastTurn else { return .unfit }
        let record = TurnRecord.encode(
            turn, after: lastTurn, lap: lap, at: end, into: &bytes)
        let reserved = turn.rowsWritten.isEmpty ? 0 : reservedBytes
        guard bytes.count + reserved <= bytesMax else { return .unfit }
        let length = end + bytes.count + reserved
        guard length <= bytesMax, try files[current].reserve(length) else { return .full }
        try files[current].append(bytes, at: end)
        let byteCount = bytes.count
        state.withLock { state in
            state.sides[current].turns.add(record)
            state.sides[current].end = end + byteCount
            state.lastTurn = turn.turn
            if byteCount <= Self.bufferBytesMax { state.buffer = bytes }
        }
        return .done
    }

    /// Notes a turn that went into the database at once; the log is empty.
    func skip(_ turn: UInt64) {
        state.withLock { $0.lastTurn = max($0.lastTurn, turn) }
    }

    // MARK: Copying into the database

    /// Whether the file that does not take turns waits to be copied.
    var isCopyDue: Bool { state.withLock { !$0.sides[1 - $0.current].turns.isEmpty } }

    /// Whether there is nothing to copy at all.
    var isEmpty: Bool { state.withLock { $0.sides.allSatisfy(\.turns.isEmpty) } }

    /// What both files hold that the database may not have, oldest first.
    var sides: [(turns: LoggedTurns, file: TurnFile)] {
        state.withLock { state in
            [1 - state.current, state.current].map { (state.sides[$0].turns, files[$0]) }
        }
    }

    /// Lets the other file take turns; it must have been copied.
    func turnOver() {
        state.withLock { state in
            precondition(
                state.sides[1 - state.current].turns.isEmpty, "an uncopied file takes turns")
            state.current = 1 - state.current
        }
    }

    /// What the file that is to be copied holds.
    func copyable() -> (turns: LoggedTurns, file: TurnFile, lap: UInt64) {
        state.withLock { state in
            let side = 1 - state.current
            return (state.sides[side].turns, files[side], state.sides[side].lap)
        }
    }

    /// Notes that a lap of a file was copied: the file can be written from its beginning.
    func noteCopied(_ lap: UInt64) {
        state.withLock { state in
            let side = 1 - state.current
            precondition(state.sides[side].lap == lap, "another lap was copied")
            state.sides[side] = Side()
        }
    }

    // MARK: Reading

    /// Bytes of one lap of a file.
    struct Place: Sendable {
        fileprivate let side: Int
        fileprivate let lap: UInt64
        fileprivate let bytes: LoggedBytes
    }

    /// What is known of a row's content.
    enum Found: Sendable {
        /// It lies in the log.
        case place(Place)
        /// The row is gone, or has none.
        case none
        /// The database knows.
        case unknown
    }

    /// Where a row's content lies.
    func content(of sequence: EditSequence) -> Found {
        state.withLock { state in
            for side in [state.current, 1 - state.current] {
                let found = state.sides[side]
                if let written = found.turns.written[sequence] {
                    guard let bytes = written.content else { return .none }
                    return .place(Place(side: side, lap: found.lap, bytes: bytes))
                }
                if found.turns.removed.contains(sequence) { return .none }
            }
            return .unknown
        }
    }

    /// Segments of events from the one that holds an event, oldest first, as many as a page of so
    /// many bytes may have; and through which turn the older ones were trimmed.
    func events(
        from first: UInt64, bytesMax: Int
    ) -> (segments: [(segment: LoggedTurns.Segment, place: Place)], trimmedThrough: UInt64) {
        state.withLock { state in
            let order = [1 - state.current, state.current]
            let trimmed = order.compactMap { state.sides[$0].turns.eventsTrimmedThrough }.max() ?? 0
            var found: [(segment: LoggedTurns.Segment, place: Place)] = []
            var byteCount = 0
            for side in order {
                let (lap, events) = (state.sides[side].lap, state.sides[side].turns.events)
                let start = events.firstIndex { $0.turn > trimmed && $0.end > first }
                for segment in events[(start ?? events.endIndex)...] {
                    found.append((segment, Place(side: side, lap: lap, bytes: segment.bytes)))
                    byteCount += segment.bytes.count
                    if byteCount >= bytesMax { return (found, trimmed) }
                }
            }
            return (found, trimmed)
        }
    }

    /// Reads bytes, and blocks meanwhile; nil when the database has them by now.
    func read(_ place: Place) throws(SQLiteFailure) -> [UInt8]? {
        func isCurrent() -> Bool { state.withLock { $0.sides[place.side].lap == place.lap } }
        guard isCurrent() else { return nil }
        let bytes = try files[place.side].read(place.bytes)
        // Else the next lap may have been written over them meanwhile.
        return isCurrent() ? bytes : nil
    }
}
