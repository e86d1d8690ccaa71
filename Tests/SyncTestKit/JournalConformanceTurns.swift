internal import SyncCore
internal import Testing

extension JournalConformance {
    /// Clauses on rows that get other sequences, and on what a turn that failed leaves.
    static let turnCases = [
        JournalConformance("a renumbered row keeps its content, what is open and why it failed") {
            open in
            let journal = try await open()
            let open5 = OpenEdit(sequence: EditSequence(4), id: JournalSamples.id(4))
            var turn = try await JournalSamples.turn(1, journal, rows: [3])
            turn.rowsWritten.append(
                (JournalSamples.row(5, open: open5), JournalSamples.content(5)))
            turn.rowsWritten.append(
                (JournalSamples.row(6, failure: JournalSamples.failure), JournalSamples.content(6)))
            turn.rowsWritten.append((JournalSamples.row(7, isDelete: true), nil))
            try await journal.commit(turn)
            let before = try await journal.snapshot().rows
            turn = try await JournalSamples.turn(2, journal, rows: [])
            turn.rowsRenumbered = [3, 5, 6, 7, 99].map {
                (from: EditSequence($0), to: EditSequence($0 + 100))
            }
            try await journal.commit(turn)
            await journal.close()
            let again = try await open()
            let wanted = before.map { $0.renumbered(EditSequence($0.sequence.value + 100)) }
            #expect(try await again.snapshot().rows == wanted)
            let contents = try await again.contents(
                of: [3, 5, 6, 103, 105, 106, 107].map(EditSequence.init))
            #expect(
                contents == [
                    EditSequence(103): JournalSamples.content(3),
                    EditSequence(105): JournalSamples.content(5),
                    EditSequence(106): JournalSamples.content(6),
                ])
            await again.close()
        },
        JournalConformance("renumbering comes first in its turn") { open in
            let journal = try await open()
            try await journal.commit(try await JournalSamples.turn(1, journal, rows: [1, 2]))
            var turn = try await JournalSamples.turn(2, journal, rows: [1, 2])
            turn.rowsRenumbered = [1, 2].map {
                (from: EditSequence($0), to: EditSequence($0 + 10))
            }
            turn.rowsRemoved = [EditSequence(11)]
            try await journal.commit(turn)
            #expect(try await journal.snapshot().rows.map(\.sequence.value) == [1, 2, 12])
            #expect(
                try await journal.contents(of: [EditSequence(12)]).values.first
                    == JournalSamples.content(2))
            await journal.close()
        },
    ]
}
