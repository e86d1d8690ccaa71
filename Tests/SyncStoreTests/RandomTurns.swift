import SyncCore
import SyncTestKit

/// Turns drawn by seed, with something of everything, as a coordinator might write them.
struct RandomTurns {
    private var random: SeededGenerator
    private var live: [EditSequence] = []
    private var gone: [EditSequence] = []
    private var header: JournalHeader
    private var turn: UInt64
    private var lastEvent: UInt64 = 0
    private var segments: [UInt64] = []
    private var acceptances: [UInt64] = []
    private var incarnations: [Incarnation] = []
    /// Whether rows are renumbered now and then, which goes past the log.
    var isRenumbering = true
    /// Bytes of the largest contents.
    var contentBytesMax = 3_000

    init(seed: UInt64, header: JournalHeader) {
        random = SeededGenerator(seed: seed)
        self.header = header
        turn = 0
    }

    private let names = ["demo", "other"].compactMap { Name($0) }

    /// Rows that were written and not removed.
    var rows: [EditSequence] { live }

    /// The next turn; numbers are left out now and then, as after a turn that failed.
    mutating func next() -> JournalTransaction {
        turn += chance(1, 9) ? 3 : 1
        var next = JournalTransaction(turn: turn, header: header)
        for _ in 0..<draw(0...3) where !live.isEmpty {
            next.rowsRemoved.append(live.remove(at: draw(0...live.count - 1)))
        }
        if isRenumbering, chance(1, 40), let last = live.last {
            header.lastSequence = header.lastSequence.next
            next.rowsRenumbered = [(last, header.lastSequence)]
            live[live.count - 1] = header.lastSequence
        }
        for _ in 0..<draw(0...4) { writeRow(&next) }
        // Removed and written anew in one turn, or removed a while ago and written again.
        if chance(1, 6), let again = next.rowsRemoved.last ?? gone.last {
            gone.removeAll { $0 == again }
            let content = Content(bytes(draw(0...50)))
            next.rowsWritten.append((row(again, byteCount: content.count), content))
            live.append(again)
        }
        gone = (gone + next.rowsRemoved).filter { !live.contains($0) }.suffix(9)
        if chance(1, 3), let sequence = live.randomElement(using: &random) {
            next.rowsAmended = [row(sequence, isAmended: true)]
        }
        if chance(1, 9) { next.rowsAmended.append(row(EditSequence(1 << 40), isAmended: true)) }
        writeRecords(&next)
        writeSegments(&next)
        next.header = header
        return next
    }

    private mutating func writeRow(_ next: inout JournalTransaction) {
        header.lastSequence = EditSequence(header.lastSequence.value + UInt64(draw(1...3)))
        let sequence = header.lastSequence
        let isDelete = chance(1, 6)
        let count = isDelete ? 0 : draw(0...contentBytesMax)
        let content = Content((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ count) })
        next.rowsWritten.append(
            (row(sequence, isDelete: isDelete, byteCount: count), isDelete ? nil : content))
        live.append(sequence)
    }

    private mutating func writeRecords(_ next: inout JournalTransaction) {
        if chance(1, 2) {
            let targets = (0..<draw(0...2)).map { place in
                TargetRecord(
                    url: TargetURL(defaultOf: names[place]),
                    isAttached: chance(1, 2), generation: UInt64(draw(1...1_000_000)),
                    isMarked: chance(1, 2), mark: chance(1, 2) ? "m/\(draw(1...9))" : nil,
                    needsRefresh: chance(1, 2), revokesOthers: chance(1, 2),
                    debts: Array(incarnations.prefix(draw(0...2))),
                    awaySince: chance(1, 2) ? Timestamp(milliseconds: random.next() >> 20) : nil)
            }
            next.projects = [
                ProjectRecord(name: .demo, eventNumber: lastEvent, targets: targets)
            ]
        }
        if chance(1, 5) {
            header.incarnationCount += 1
            let incarnation = Incarnation(epoch: Epoch(bits: 7), count: header.incarnationCount)
            incarnations.append(incarnation)
            next.incarnationsAdded = [
                IncarnationRecord(
                    incarnation: incarnation, label: .demo, life: random.next(),
                    schemes: ["local", "e2b"])
            ]
        }
        if chance(1, 6), incarnations.count > 1 {
            next.incarnationsEnded = [incarnations.removeFirst()]
        }
        if chance(1, 9) { header.storeID = chance(1, 2) ? nil : "00000000000000ab" }
    }

    private mutating func writeSegments(_ next: inout JournalTransaction) {
        if chance(3, 4) {
            let count = draw(1...9)
            next.events = JournalSegment(
                turn: turn, first: lastEvent + 1, count: count, bytes: bytes(draw(0...400)))
            lastEvent += UInt64(count)
            header.lastEvent = lastEvent
            segments.append(turn)
        }
        if chance(1, 12), segments.count > 4 {
            next.eventsTrimmedThrough = segments[segments.count / 2]
            segments.removeFirst(segments.count / 2 + 1)
        }
        if chance(2, 3) {
            next.acceptances = JournalSegment(
                turn: turn, first: 0, count: draw(1...9), bytes: bytes(draw(0...200)))
            acceptances.append(turn)
        }
        if chance(1, 4), acceptances.count > 2 {
            next.acceptancesRemoved = [acceptances.remove(at: draw(0...acceptances.count - 2))]
        }
    }

    private mutating func row(
        _ sequence: EditSequence, isAmended: Bool = false, isDelete: Bool = false,
        byteCount: Int = 0
    ) -> JournalRow {
        var row = Turns.row(
            sequence.value, file: Int(sequence.value % 50), byteCount: byteCount,
            isDelete: isDelete)
        if isAmended || chance(1, 4) {
            row.open = OpenEdit(
                sequence: EditSequence(UInt64(draw(1...99))),
                id: EditID(producer: SequencedEdit.producer, number: random.next()))
        }
        if isAmended, chance(1, 2) {
            row.failure = FailureRecord(
                code: "eacces", reason: "Could not write: “permission denied”.",
                attempts: draw(1...9), failedAt: Timestamp(milliseconds: random.next() >> 20))
        }
        return row
    }

    private mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    private mutating func draw(_ range: ClosedRange<Int>) -> Int {
        Int.random(in: range, using: &random)
    }

    private mutating func chance(_ times: Int, _ of: Int) -> Bool { draw(1...of) <= times }
}
