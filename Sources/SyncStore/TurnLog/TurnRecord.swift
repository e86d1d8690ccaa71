internal import SyncCore

/// Bytes in a file of turns.
struct LoggedBytes: Sendable, Equatable {
    /// Where they begin.
    let offset: Int
    /// How many.
    let count: Int
}

/// One turn as a file of turns holds it.
///
///     hash · lap · turn · turn before it · bytes of the head · bytes of the body · head · body
///
/// The first six are numbers of eight bytes, little-endian. The hash is ``StableHash`` of all that
/// follows it, so a record that a power cut left half written is none. The lap is drawn by chance
/// whenever the file is written from its beginning again: bytes of a former lap, which may be a
/// content that somebody has made up, are no record of this one. The head tells what changes,
/// packed; the body holds contents and segments, so that they can be read where they lie.
struct TurnRecord: Sendable {
    /// Bytes before the head.
    static let prefixBytes = 48

    /// What changes; contents and the segments' bytes are left out when it was read back.
    let transaction: JournalTransaction
    /// The turn that was committed before it.
    let previousTurn: UInt64
    /// The lap of its file.
    let lap: UInt64
    /// Where the contents of `rowsWritten` lie; nil for those without one.
    let contents: [LoggedBytes?]
    /// Where the events lie, if there are any.
    let events: LoggedBytes?
    /// Where the acceptances lie, if there are any.
    let acceptances: LoggedBytes?
}

/// What the first bytes of a record say.
struct TurnPrefix: Sendable {
    let hash: UInt64
    let lap: UInt64
    let turn: UInt64
    let previousTurn: UInt64
    let headCount: Int
    let bodyCount: Int

    /// Bytes of the whole record.
    var count: Int { TurnRecord.prefixBytes + headCount + bodyCount }

    /// Reads a prefix; nil when it is none.
    ///
    /// - Parameter countMax: Bytes that the whole record can have at most.
    init?(_ bytes: [UInt8], countMax: Int) {
        var reader = PackedReader(bytes)
        guard bytes.count >= TurnRecord.prefixBytes, let hash = reader.fixed(),
            let lap = reader.fixed(), let turn = reader.fixed(), let previous = reader.fixed(),
            let head = reader.fixed(),
            let body = reader.fixed(), turn > previous, countMax >= TurnRecord.prefixBytes
        else { return nil }
        let most = UInt64(countMax - TurnRecord.prefixBytes)
        guard head <= most, body <= most - head else { return nil }
        self.hash = hash
        self.lap = lap
        self.turn = turn
        previousTurn = previous
        headCount = Int(head)
        bodyCount = Int(body)
    }
}

extension TurnRecord {
    /// Packs a turn.
    ///
    /// - Parameters:
    ///   - transaction: It renumbers no rows.
    ///   - lap: Of the file that it goes into.
    ///   - offset: Where it begins there.
    ///   - bytes: Emptied first; holds the record then.
    static func encode(
        _ transaction: JournalTransaction, after previousTurn: UInt64, lap: UInt64,
        at offset: Int, into bytes: inout [UInt8]
    ) -> TurnRecord {
        var head = TurnHead.Writer()
        head.write(transaction)
        var prefix = PackedWriter()
        let start = offset + prefixBytes + head.bytes.count
        var body = TurnBody(startingAt: start)
        let contents = transaction.rowsWritten.map { body.place($0.content?.count) }
        let events = body.place(transaction.events?.bytes.count)
        let acceptances = body.place(transaction.acceptances?.bytes.count)
        for number in [
            0, lap, transaction.turn, previousTurn, UInt64(head.bytes.count),
            UInt64(body.end - start),
        ] { prefix.fixed(number) }
        bytes.removeAll(keepingCapacity: true)
        bytes.reserveCapacity(body.end - offset)
        bytes.append(contentsOf: prefix.bytes)
        bytes.append(contentsOf: head.bytes)
        for (_, content) in transaction.rowsWritten {
            content?.withBytes { bytes.append(contentsOf: $0) }
        }
        if let segment = transaction.events { bytes.append(contentsOf: segment.bytes) }
        if let segment = transaction.acceptances { bytes.append(contentsOf: segment.bytes) }
        var hash = PackedWriter()
        hash.fixed(Self.hash(of: bytes))
        bytes.replaceSubrange(0..<8, with: hash.bytes)
        return TurnRecord(
            transaction: transaction, previousTurn: previousTurn, lap: lap, contents: contents,
            events: events, acceptances: acceptances)
    }

    /// Unpacks a turn; nil when the bytes are not whole.
    ///
    /// - Parameter offset: Where it begins in its file.
    /// - Throws: When they are, and make no sense all the same.
    static func decode(_ bytes: [UInt8], at offset: Int) throws(Nonsense) -> TurnRecord? {
        guard let prefix = TurnPrefix(bytes, countMax: bytes.count), prefix.count == bytes.count,
            hash(of: bytes) == prefix.hash
        else { return nil }
        let end = prefixBytes + prefix.headCount
        var reader = TurnHead.Reader(Array(bytes[prefixBytes..<end]))
        let head = try reader.read(turn: prefix.turn)
        var body = TurnBody(startingAt: offset + end)
        let contents = head.contentCounts.map { body.place($0) }
        let events = body.place(head.eventByteCount)
        let acceptances = body.place(head.acceptanceByteCount)
        guard body.end == offset + bytes.count else { throw Nonsense() }
        return TurnRecord(
            transaction: head.transaction, previousTurn: prefix.previousTurn, lap: prefix.lap,
            contents: contents, events: events, acceptances: acceptances)
    }

    private static func hash(of bytes: [UInt8]) -> UInt64 {
        bytes.withUnsafeBytes { StableHash.hash(UnsafeRawBufferPointer(rebasing: $0[8...])) }
    }
}

/// Gives the pieces of a body their places, one behind the other.
private struct TurnBody {
    private(set) var end: Int

    init(startingAt start: Int) { end = start }

    mutating func place(_ count: Int?) -> LoggedBytes? {
        guard let count else { return nil }
        defer { end += count }
        return LoggedBytes(offset: end, count: count)
    }
}
