package import SyncCore
internal import Testing

/// The journal's contract as tests that run over any implementation.
///
/// A test target runs them over its own journal:
///
///     @Test(arguments: JournalConformance.cases)
///     func `SQLite keeps the journal's contract`(_ promise: JournalConformance) async throws {
///         let file = folder.file("journal.db")
///         try await promise.check { try await SQLiteJournal(file: file) }
///     }
package struct JournalConformance: Sendable, CustomTestStringConvertible {
    /// Opens the journal at one place.
    ///
    /// The first call finds nothing there, later ones what the earlier left; the one opened before
    /// has been closed or dropped.
    package typealias Opening = @Sendable () async throws -> any Journal

    /// What is promised.
    package let sentence: String
    /// Throws or records an issue when the promise is broken.
    package let check: @Sendable (Opening) async throws -> Void

    package var testDescription: String { sentence }

    init(_ sentence: String, check: @escaping @Sendable (Opening) async throws -> Void) {
        self.sentence = sentence
        self.check = check
    }

    /// Every promise; each wants a place of its own.
    package static let cases =
        rowCases + contentCases + recordCases + segmentCases + turnCases

    /// Runs every promise.
    ///
    /// - Parameter makeOpening: Called once for each promise; what it gives opens a fresh place.
    package static func exercise(makeOpening: () async throws -> Opening) async throws {
        for promise in cases { try await promise.check(try await makeOpening()) }
    }
}

extension JournalConformance {
    private static let rowCases = [
        JournalConformance("a new journal is empty and keeps its identity") { open in
            let first = try await open()
            let snapshot = try await first.snapshot()
            #expect(snapshot.isEmpty)
            await first.close()
            let again = try await open()
            #expect(try await again.snapshot().header == snapshot.header)
            await again.close()
        },
        JournalConformance("a committed turn is there after closing and opening again") { open in
            let journal = try await open()
            let turn = try await JournalSamples.fullTurn(journal)
            try await journal.commit(turn)
            let before = try await journal.snapshot()
            await journal.close()
            let again = try await open()
            let after = try await again.snapshot()
            JournalSamples.expectEqual(before, after)
            #expect(after.rows == turn.rowsWritten.map(\.row))
            #expect(after.header == turn.header)
            #expect(after.projects == turn.projects)
            #expect(after.incarnations == turn.incarnationsAdded)
            #expect(after.events == [turn.events])
            #expect(after.acceptances == [turn.acceptances])
            #expect(after.lastTurn == turn.turn)
            await again.close()
        },
        JournalConformance("a journal that is dropped without closing kept what it committed") {
            open in
            try await JournalSamples.commitAndDrop(open)
            let again = try await open()
            #expect(try await again.snapshot().rows.map(\.sequence.value) == [1, 2, 3])
            await again.close()
        },
        JournalConformance("a newer edit's row replaces the older one's in one turn") { open in
            let journal = try await open()
            try await journal.commit(try await JournalSamples.turn(1, journal, rows: [5]))
            var turn = try await JournalSamples.turn(2, journal, rows: [])
            let five = try await journal.snapshot().rows[0]
            let open = OpenEdit(sequence: five.sequence, id: five.edit.id)
            turn.rowsRemoved = [five.sequence]
            turn.rowsWritten = [(JournalSamples.row(7, open: open), JournalSamples.content(7))]
            try await journal.commit(turn)
            #expect(try await journal.snapshot().rows == [JournalSamples.row(7, open: open)])
            #expect(try await journal.contents(of: [five.sequence]).isEmpty)
            await journal.close()
        },
        JournalConformance("amending changes what is open and why it failed, and keeps the content")
        {
            open in
            let journal = try await open()
            try await journal.commit(try await JournalSamples.turn(1, journal, rows: [5, 6]))
            var turn = try await JournalSamples.turn(2, journal, rows: [])
            let failed = JournalSamples.row(
                5, open: OpenEdit(sequence: EditSequence(4), id: JournalSamples.id(4)),
                failure: JournalSamples.failure)
            turn.rowsAmended = [failed, JournalSamples.row(99, failure: JournalSamples.failure)]
            try await journal.commit(turn)
            #expect(try await journal.snapshot().rows == [failed, JournalSamples.row(6)])
            #expect(
                try await journal.contents(of: [failed.sequence]).values.first
                    == JournalSamples.content(5))
            turn = try await JournalSamples.turn(3, journal, rows: [])
            turn.rowsAmended = [JournalSamples.row(5)]
            try await journal.commit(turn)
            #expect(
                try await journal.snapshot().rows == [JournalSamples.row(5), JournalSamples.row(6)])
            await journal.close()
        },
        JournalConformance("rows come in ascending sequence whatever order they were written in") {
            open in
            let journal = try await open()
            try await journal.commit(
                try await JournalSamples.turn(1, journal, rows: [9, 2, 40, 3]))
            #expect(try await journal.snapshot().rows.map(\.sequence.value) == [2, 3, 9, 40])
            await journal.close()
        },
        JournalConformance("removing a row that is gone changes nothing") { open in
            let journal = try await open()
            var turn = try await JournalSamples.turn(1, journal, rows: [1])
            turn.rowsRemoved = [EditSequence(77)]
            try await journal.commit(turn)
            #expect(try await journal.snapshot().rows == [JournalSamples.row(1)])
            await journal.close()
        },
        JournalConformance("the largest numbers come back as they were") { open in
            let journal = try await open()
            var turn = try await JournalSamples.turn(1, journal, rows: [])
            turn.rowsWritten = [(JournalSamples.largestRow, .empty)]
            turn.header.lastSequence = EditSequence(countMax)
            turn.header.longestLeaseMilliseconds = .max
            try await journal.commit(turn)
            let snapshot = try await journal.snapshot()
            #expect(snapshot.rows == [JournalSamples.largestRow])
            #expect(snapshot.header == turn.header)
            await journal.close()
        },
    ]

    private static let contentCases = [
        JournalConformance("content comes back byte for byte: NULs, none, 16 MiB") { open in
            let journal = try await open()
            let contents = [
                Content([0, 1, 0, 255, 0]), Content.empty,
                Content((0..<(16 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }),
            ]
            var turn = try await JournalSamples.turn(1, journal, rows: [])
            turn.rowsWritten = zip(UInt64(1)..., contents).map { sequence, content in
                (JournalSamples.row(sequence, byteCount: content.count), content)
            }
            try await journal.commit(turn)
            await journal.close()
            let again = try await open()
            let found = try await again.contents(of: (1...3).map(EditSequence.init))
            for (sequence, content) in zip(UInt64(1)..., contents) {
                #expect(found[EditSequence(sequence)] == content, "row \(sequence)")
            }
            await again.close()
        },
        JournalConformance("a delete and a row that is gone have no content") { open in
            let journal = try await open()
            var turn = try await JournalSamples.turn(1, journal, rows: [1])
            turn.rowsWritten.append((JournalSamples.row(2, isDelete: true), nil))
            try await journal.commit(turn)
            let found = try await journal.contents(of: [1, 2, 3].map(EditSequence.init))
            #expect(found == [EditSequence(1): JournalSamples.content(1)])
            #expect(try await journal.contents(of: []).isEmpty)
            await journal.close()
        },
        JournalConformance("paths in any script come back as they were") { open in
            let journal = try await open()
            var turn = try await JournalSamples.turn(1, journal, rows: [])
            turn.rowsWritten = try zip(UInt64(1)..., JournalSamples.oddPaths).map {
                sequence, path in
                (
                    JournalSamples.row(sequence, path: try EditPath(path)),
                    JournalSamples.content(sequence)
                )
            }
            try await journal.commit(turn)
            #expect(try await journal.snapshot().rows == turn.rowsWritten.map(\.row))
            await journal.close()
        },
    ]

    private static let recordCases = [
        JournalConformance("a project is written whole: targets that are left out go") { open in
            let journal = try await open()
            var turn = try await JournalSamples.turn(1, journal, rows: [])
            turn.projects = [JournalSamples.project]
            try await journal.commit(turn)
            var smaller = JournalSamples.project
            smaller.eventNumber = 18
            smaller.targets.removeFirst()
            smaller.targets[0].debts = []
            turn = try await JournalSamples.turn(2, journal, rows: [])
            turn.projects = [smaller]
            try await journal.commit(turn)
            #expect(try await journal.snapshot().projects == [smaller])
            await journal.close()
        },
        JournalConformance("an incarnation is there from its lease to its end") { open in
            let journal = try await open()
            var turn = try await JournalSamples.turn(1, journal, rows: [])
            turn.incarnationsAdded = [JournalSamples.incarnation(1), JournalSamples.incarnation(2)]
            try await journal.commit(turn)
            turn = try await JournalSamples.turn(2, journal, rows: [])
            turn.incarnationsEnded = [JournalSamples.incarnation(1).incarnation]
            try await journal.commit(turn)
            #expect(try await journal.snapshot().incarnations == [JournalSamples.incarnation(2)])
            await journal.close()
        },
        JournalConformance("the header is what the last turn said") { open in
            let journal = try await open()
            var turn = try await JournalSamples.turn(1, journal, rows: [])
            turn.header.storeID = "00000000000000ab"
            turn.header.localRootID = "root"
            try await journal.commit(turn)
            turn = try await JournalSamples.turn(2, journal, rows: [])
            turn.header.storeID = nil
            turn.header.lastEvent = 12
            try await journal.commit(turn)
            #expect(try await journal.snapshot().header == turn.header)
            await journal.close()
        },
    ]
}
