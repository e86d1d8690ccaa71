internal import SyncCore
internal import Testing

extension JournalConformance {
    static let segmentCases = [
        JournalConformance("the event log is trimmed through a turn, inclusive") { open in
            let journal = try await JournalSamples.journalWithEvents(open)
            var turn = try await JournalSamples.turn(9, journal, rows: [])
            turn.eventsTrimmedThrough = 2
            try await journal.commit(turn)
            #expect(try await journal.snapshot().events.map(\.turn) == [3, 4])
            await journal.close()
        },
        JournalConformance("acceptances go one by one") { open in
            let journal = try await open()
            for number in UInt64(1)...3 {
                var turn = try await JournalSamples.turn(number, journal, rows: [])
                turn.acceptances = JournalSegment(
                    turn: number, first: 0, count: 1, bytes: [UInt8(number), 0])
                try await journal.commit(turn)
            }
            var turn = try await JournalSamples.turn(4, journal, rows: [])
            turn.acceptancesRemoved = [2, 77]
            try await journal.commit(turn)
            let left = try await journal.snapshot().acceptances
            #expect(left.map(\.turn) == [1, 3])
            #expect(left.map(\.bytes) == [[1, 0], [3, 0]])
            await journal.close()
        },
        JournalConformance("events are read from the segment that holds the asked one") { open in
            // Segments of turns 1...4 hold events 1-10, 11-20, 21-30, 31-40, in 100 bytes each.
            let journal = try await JournalSamples.journalWithEvents(open)
            func turns(from first: UInt64, bytesMax: Int = 1_000) async throws -> [UInt64] {
                try await journal.events(from: first, bytesMax: bytesMax).map(\.turn)
            }
            #expect(try await turns(from: 0) == [1, 2, 3, 4])
            #expect(try await turns(from: 1) == [1, 2, 3, 4])
            #expect(try await turns(from: 10) == [1, 2, 3, 4])
            #expect(try await turns(from: 11) == [2, 3, 4])
            #expect(try await turns(from: 40) == [4])
            #expect(try await turns(from: 41) == [])
            #expect(try await turns(from: .max >> 1) == [])
            #expect(try await turns(from: 11, bytesMax: 200) == [2, 3])
            #expect(try await turns(from: 11, bytesMax: 150) == [2])
            #expect(try await turns(from: 11, bytesMax: 1) == [2], "at least one")
            await journal.close()
        },
        JournalConformance("events older than the log start at what is left of it") { open in
            let journal = try await JournalSamples.journalWithEvents(open)
            var turn = try await JournalSamples.turn(5, journal, rows: [])
            turn.eventsTrimmedThrough = 2
            try await journal.commit(turn)
            #expect(try await journal.events(from: 5, bytesMax: 1_000).map(\.turn) == [3, 4])
            await journal.close()
        },
        JournalConformance("the last turn never goes back, even when its segments went") { open in
            let journal = try await JournalSamples.journalWithEvents(open)
            var turn = try await JournalSamples.turn(5, journal, rows: [])
            turn.eventsTrimmedThrough = 4
            try await journal.commit(turn)
            await journal.close()
            let again = try await open()
            #expect(try await again.snapshot().lastTurn == 5)
            await again.close()
        },
    ]
}

/// Rows, records and turns for the journal's suite.
enum JournalSamples {
    static let failure = FailureRecord(
        code: "eacces", reason: "Could not write: permission denied. Make it writable.",
        attempts: 4, failedAt: Timestamp(milliseconds: 1_700_000_000_123))

    static let oddPaths = [
        "src/App.tsx", "a b/c'd\"e;--", "日本語/ファイル.txt", "e\u{301}/cafe\u{301}", "👩‍👩‍👧/🇦🇶.md",
        "\u{202E}gpj.exe", "%s%n", "ﬁ/ﬀ", "\u{10FFFD}", String(repeating: "ü", count: 127),
    ]

    static func id(_ number: UInt64) -> EditID {
        EditID(producer: ProducerID(name: .demo, life: .max), number: number)
    }

    static func content(_ sequence: UInt64) -> Content {
        Content(Array("content \(sequence)".utf8))
    }

    static func row(
        _ sequence: UInt64, path: EditPath? = nil, byteCount: Int? = nil, isDelete: Bool = false,
        open: OpenEdit? = nil, failure: FailureRecord? = nil
    ) -> JournalRow {
        JournalRow(
            file: FileKey(project: .demo, path: path ?? Self.path(sequence)),
            edit: JournaledEdit(
                sequence: EditSequence(sequence), id: id(sequence),
                digest: sequence &* 0x9E37_79B9_7F4A_7C15,
                expectedVersion: sequence % 2 == 0 ? Version(sequence) : nil,
                acceptedAt: Timestamp(milliseconds: 1_700_000_000_000 + sequence),
                isDelete: isDelete, isExecutable: sequence % 3 == 0,
                byteCount: isDelete ? 0 : byteCount ?? content(sequence).count, open: open,
                failure: failure))
    }

    static var largestRow: JournalRow {
        JournalRow(
            file: FileKey(project: .demo, path: path(1)),
            edit: JournaledEdit(
                sequence: EditSequence(countMax),
                id: EditID(producer: id(1).producer, number: .max), digest: .max,
                expectedVersion: Version(countMax), acceptedAt: Timestamp(milliseconds: .max),
                isDelete: false, isExecutable: true, byteCount: 0, open: nil, failure: nil))
    }

    static func path(_ sequence: UInt64) -> EditPath {
        guard let path = try? EditPath("src/file-\(sequence).txt") else {
            preconditionFailure("a plain path is valid")
        }
        return path
    }

    static var project: ProjectRecord {
        var first = TargetRecord(url: TargetURL(defaultOf: .demo), generation: 3)
        first.debts = [incarnation(4).incarnation, incarnation(5).incarnation]
        first.isMarked = true
        first.mark = "0000000000000007-3/2"
        first.awaySince = Timestamp(milliseconds: 1_700_000_000_123)
        var second = TargetRecord(url: first.url, isAttached: false, needsRefresh: true)
        if let url = TargetURL("e2b:abc-1") {
            second = TargetRecord(
                url: url, isAttached: false, needsRefresh: true, revokesOthers: true,
                debts: [incarnation(6).incarnation])
        }
        return ProjectRecord(name: .demo, eventNumber: 17, targets: [first, second])
    }

    static func incarnation(_ count: UInt64) -> IncarnationRecord {
        IncarnationRecord(
            incarnation: Incarnation(epoch: Epoch(bits: .max - 7), count: count),
            label: .demo, life: .max - count, schemes: ["local", "e2b"])
    }

    /// A turn that writes rows with content.
    static func turn(
        _ number: UInt64, _ journal: any Journal, rows: [UInt64]
    ) async throws -> JournalTransaction {
        var turn = JournalTransaction(turn: number, header: try await journal.snapshot().header)
        turn.rowsWritten = rows.map { (row($0), content($0)) }
        if let last = rows.max() {
            turn.header.lastSequence = max(turn.header.lastSequence, EditSequence(last))
        }
        return turn
    }

    /// A turn with something of everything.
    static func fullTurn(_ journal: any Journal) async throws -> JournalTransaction {
        var turn = try await turn(3, journal, rows: [1, 2, 6])
        turn.rowsWritten.append(
            (row(8, isDelete: true, open: OpenEdit(sequence: EditSequence(7), id: id(7))), nil))
        turn.rowsWritten.append((row(9, failure: failure), content(9)))
        turn.header.lastSequence = EditSequence(11)
        turn.header.lastEvent = 21
        turn.header.incarnationCount = 7
        turn.header.longestLeaseMilliseconds = 2_500
        turn.header.storeID = "0123456789abcdef"
        turn.header.localRootID = "fedcba9876543210"
        turn.projects = [project]
        turn.incarnationsAdded = [incarnation(1), incarnation(2)]
        turn.events = JournalSegment(turn: 3, first: 1, count: 21, bytes: [0, 1, 2, 0])
        turn.acceptances = JournalSegment(turn: 3, first: 0, count: 2, bytes: [])
        return turn
    }

    static func commitAndDrop(_ open: JournalConformance.Opening) async throws {
        let journal = try await open()
        try await journal.commit(try await turn(1, journal, rows: [1, 2]))
        try await journal.commit(try await turn(2, journal, rows: [3]))
    }

    static func journalWithEvents(
        _ open: JournalConformance.Opening
    ) async throws -> any Journal {
        let journal = try await open()
        for number in UInt64(1)...4 {
            var turn = try await turn(number, journal, rows: [])
            turn.events = JournalSegment(
                turn: number, first: (number - 1) * 10 + 1, count: 10,
                bytes: [UInt8](repeating: UInt8(number), count: 100))
            try await journal.commit(turn)
        }
        return journal
    }

    /// Compares everything of two snapshots.
    static func expectEqual(_ left: JournalSnapshot, _ right: JournalSnapshot) {
        #expect(left.header == right.header)
        #expect(left.lastTurn == right.lastTurn)
        #expect(left.rows == right.rows)
        #expect(left.projects == right.projects)
        #expect(left.incarnations == right.incarnations)
        #expect(left.acceptances == right.acceptances)
        #expect(left.events == right.events)
    }
}

extension JournalSnapshot {
    /// Whether nothing was ever committed.
    var isEmpty: Bool {
        rows.isEmpty && projects.isEmpty && incarnations.isEmpty && acceptances.isEmpty
            && events.isEmpty && lastTurn == 0 && header == JournalHeader(journal: header.journal)
    }
}
