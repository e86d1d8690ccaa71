import DequeModule

/// Keeps the window durable in packed segments, one a turn, and cleans up behind it.
///
/// A record dies when its number falls out of its producer's window or the producer is forgotten.
/// A segment without living records is removed. So that one slow producer can't hold big segments
/// for ever, the oldest segment is rewritten (its living records are carried into the current turn)
/// whenever more than half of all bytes are dead: the cleaner of a log-structured store
/// (Rosenblum and Ousterhout, 1991), with "oldest first" as its policy.
package struct AcceptanceLog: Sendable {
    /// One record with its producer.
    package struct Record: Sendable {
        /// Whose.
        package let key: ProducerKey
        /// What.
        package let accepted: AcceptedNumber

        /// Pairs a producer with an acceptance.
        package init(key: ProducerKey, accepted: AcceptedNumber) {
            self.key = key
            self.accepted = accepted
        }
    }

    private struct Segment: Sendable {
        let turn: UInt64
        let sequences: ClosedRange<UInt64>
        var living: Int
        let count: Int
        let byteCount: Int
    }

    /// Bytes below which nothing is rewritten.
    private static let idleBytesMax = 1 << 20

    private var segments: Deque<Segment> = []
    private var turnOfSequence: [EditSequence: UInt64] = [:]
    private var bytes = 0
    private var deadBytes = 0
    private var empty: [UInt64] = []

    /// An empty log.
    package init() {}

    /// Notes a segment that was written, or read at start.
    package mutating func add(turn: UInt64, sequences: [EditSequence], byteCount: Int) {
        for sequence in sequences { turnOfSequence[sequence] = turn }
        let values = sequences.map(\.value)
        segments.append(
            Segment(
                turn: turn, sequences: (values.min() ?? 0)...(values.max() ?? 0),
                living: sequences.count, count: sequences.count, byteCount: byteCount))
        bytes += byteCount
    }

    /// Notes that records are dead.
    package mutating func forget(_ sequences: [EditSequence]) {
        for sequence in sequences {
            guard let turn = turnOfSequence.removeValue(forKey: sequence),
                let index = place(of: turn)
            else { continue }
            segments[index].living -= 1
            deadBytes += segments[index].byteCount / max(segments[index].count, 1)
            if segments[index].living == 0 { empty.append(turn) }
        }
    }

    /// Segments without living records, to be removed by the next turn.
    package var removable: [UInt64] { empty }

    /// Notes that segments were removed from the journal.
    package mutating func removed(_ turns: [UInt64]) {
        for turn in turns {
            guard let index = place(of: turn) else { continue }
            let segment = segments.remove(at: index)
            bytes -= segment.byteCount
            deadBytes -= segment.byteCount / max(segment.count, 1) * segment.count
        }
        empty.removeAll { turns.contains($0) }
        deadBytes = max(deadBytes, 0)
    }

    /// The turn whose segment should be carried into the current one; nil when nothing is to be
    /// done.
    package var turnToClean: UInt64? {
        guard bytes > Self.idleBytesMax, deadBytes * 2 > bytes, segments.count > 1,
            let oldest = segments.first(where: { $0.living > 0 })
        else { return nil }
        return oldest.turn
    }

    /// Lowest and highest sequence of a turn's segment.
    package func sequences(of turn: UInt64) -> ClosedRange<UInt64> {
        place(of: turn).map { segments[$0].sequences } ?? 0...0
    }

    /// Whether a record of this sequence lives in that turn's segment.
    package func isLiving(_ sequence: EditSequence, in turn: UInt64) -> Bool {
        turnOfSequence[sequence] == turn
    }

    private func place(of turn: UInt64) -> Int? {
        var range = segments.startIndex..<segments.endIndex
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            if segments[middle].turn == turn { return middle }
            range =
                segments[middle].turn < turn
                ? (middle + 1)..<range.upperBound : range.lowerBound..<middle
        }
        return nil
    }

    /// Packs records: about 20 bytes each.
    package static func pack(_ records: [Record]) -> [UInt8] {
        var writer = PackedWriter()
        var last = (number: UInt64(0), sequence: UInt64(0))
        for record in records {
            writer.text(record.key.project.text)
            writer.text(record.key.producer.text)
            writer.difference(record.accepted.number, from: last.number)
            writer.difference(record.accepted.sequence.value, from: last.sequence)
            writer.fixed(record.accepted.fileHash)
            writer.fixed(record.accepted.digest)
            last = (record.accepted.number, record.accepted.sequence.value)
        }
        return writer.bytes
    }

    /// Unpacks a segment; nil when the bytes make no sense.
    package static func unpack(_ segment: JournalSegment) -> [Record]? {
        var reader = PackedReader(segment.bytes)
        var records: [Record] = []
        var last = (number: UInt64(0), sequence: UInt64(0))
        for _ in 0..<segment.count {
            guard let projectText = reader.text(), let project = Name(projectText),
                let producerText = reader.text(), let producer = ProducerID(producerText),
                let number = reader.difference(from: last.number),
                let sequence = reader.difference(from: last.sequence),
                let fileHash = reader.fixed(), let digest = reader.fixed()
            else { return nil }
            last = (number, sequence)
            records.append(
                Record(
                    key: ProducerKey(project: project, producer: producer),
                    accepted: AcceptedNumber(
                        number: number, sequence: EditSequence(sequence), fileHash: fileHash,
                        digest: digest)))
        }
        return reader.isAtEnd ? records : nil
    }
}
