import Foundation
import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

/// The files that turns go into before the journal's database.
@Suite struct TurnLogTests {
    let folder: TemporaryFolder
    let file: String

    init() throws {
        folder = try TemporaryFolder()
        file = folder.file("journal.db")
    }

    private static func options(_ turnLogBytesMax: Int) -> SQLiteOptions {
        SQLiteOptions(turnLogBytesMax: turnLogBytesMax)
    }

    // MARK: Against a model

    /// Sizes of the files: of a few turns, of many, and larger than all.
    @Test(arguments: [3_000, 20_000, 1 << 20], [UInt64(1), 2, 3])
    func `it says what a journal without files says, over closes and turns of any kind`(
        bytesMax: Int, seed: UInt64
    ) async throws {
        var random = SeededGenerator(seed: seed &* 31 &+ UInt64(bytesMax))
        var journal = try await SQLiteJournal(file: file, options: Self.options(bytesMax))
        let header = try await journal.snapshot().header
        let model = try InMemoryJournal(disk: InMemoryJournal.Disk(journal: header.journal))
        var turns = RandomTurns(seed: seed, header: header)
        for _ in 0..<300 {
            let turn = turns.next()
            try await journal.commit(turn)
            try await model.commit(turn)
            try await Self.compareReading(journal, model, turns, &random)
            if Int.random(in: 0..<50, using: &random) == 0 {
                try await Self.compare(journal, model)
            }
            if Int.random(in: 0..<30, using: &random) == 0 {
                await journal.close()
                journal = try await SQLiteJournal(file: file, options: Self.options(bytesMax))
            }
        }
        try await Self.compare(journal, model)
        await journal.close()
        // Switched off, it has lost nothing either.
        let plain = try await SQLiteJournal(file: file, options: Self.options(0))
        try await Self.compare(plain, model)
        #expect(!FileManager.default.fileExists(atPath: file + "-turns1"))
        await plain.close()
    }

    private static func compare(_ journal: SQLiteJournal, _ model: InMemoryJournal) async throws {
        let (found, meant) = (try await journal.snapshot(), try await model.snapshot())
        #expect(found.header == meant.header)
        #expect(found.lastTurn == meant.lastTurn)
        #expect(found.rows == meant.rows)
        #expect(found.projects == meant.projects)
        #expect(found.incarnations == meant.incarnations)
        #expect(found.acceptances == meant.acceptances)
        #expect(found.events == meant.events)
        let all = found.rows.map(\.sequence)
        #expect(try await journal.contents(of: all) == model.contents(of: all))
    }

    /// Some contents, gone ones among them, and a page of events.
    private static func compareReading(
        _ journal: SQLiteJournal, _ model: InMemoryJournal, _ turns: RandomTurns,
        _ random: inout SeededGenerator
    ) async throws {
        let asked =
            (0..<4).map { _ in
                turns.rows.randomElement(using: &random) ?? EditSequence(1)
            } + [EditSequence(UInt64.random(in: 1...500, using: &random))]
        #expect(try await journal.contents(of: asked) == model.contents(of: asked))
        let first = UInt64.random(in: 0...1_000, using: &random)
        let bytesMax = Int.random(in: 1...5_000, using: &random)
        #expect(
            try await journal.events(from: first, bytesMax: bytesMax)
                == model.events(from: first, bytesMax: bytesMax))
    }

    /// A journal with one row in each of four turns, in the first file.
    private func journalOfFourTurns(_ options: SQLiteOptions) async throws -> SQLiteJournal {
        let journal = try await SQLiteJournal(file: file, options: options)
        let header = try await journal.snapshot().header
        let content = Content(Array("content".utf8))
        for turn in UInt64(1)...4 {
            try await journal.commit(
                Turns.writing(turn, turn...turn, content: content, header: header))
        }
        return journal
    }

    // MARK: Crashes

    /// The files as a crash leaves them, under another name.
    private func crashed(_ number: Int, from name: String? = nil) throws -> String {
        let file = name ?? file
        let copy = folder.file("crashed-\(number).db")
        for suffix in ["", "-wal", "-turns1", "-turns2"]
        where FileManager.default.fileExists(atPath: file + suffix) {
            try FileManager.default.copyItem(atPath: file + suffix, toPath: copy + suffix)
        }
        return copy
    }

    @Test func `after a crash every turn that was committed is there`() async throws {
        // Nothing is copied while files are: they are larger than all that is written.
        let options = Self.options(4 << 20)
        var journal = try await SQLiteJournal(file: file, options: options)
        let header = try await journal.snapshot().header
        let model = try InMemoryJournal(disk: InMemoryJournal.Disk(journal: header.journal))
        var turns = RandomTurns(seed: 5, header: header)
        turns.isRenumbering = false
        for number in 0..<120 {
            let turn = turns.next()
            try await journal.commit(turn)
            try await model.commit(turn)
            if number % 10 == 3 {
                let again = try await SQLiteJournal(file: try crashed(number), options: options)
                try await Self.compare(again, model)
                await again.close()
            }
            // From here on the database has what the files begin with, too.
            if number % 40 == 20 {
                await journal.close()
                journal = try await SQLiteJournal(file: file, options: options)
            }
        }
        await journal.close()
    }

    /// Sizes of the files: one that is turned over again and again, and one that never is.
    @Test(arguments: [20_000, 4 << 20])
    func `what a crash left in the files is gone on from there`(bytesMax: Int) async throws {
        let options = Self.options(bytesMax)
        var journal = try await SQLiteJournal(file: file, options: options)
        let header = try await journal.snapshot().header
        let model = try InMemoryJournal(disk: InMemoryJournal.Disk(journal: header.journal))
        var turns = RandomTurns(seed: 9, header: header)
        var name = file
        for number in 1...200 {
            let turn = turns.next()
            try await journal.commit(turn)
            try await model.commit(turn)
            guard number % 7 == 0 else { continue }
            try await Self.compare(journal, model)
            // Waits for what the former one has begun to copy: it must not change the files now.
            _ = try await journal.snapshot()
            name = try crashed(number, from: name)
            let again = try await SQLiteJournal(file: name, options: options)
            try await Self.compare(again, model)
            await journal.close()
            journal = again
        }
        try await Self.compare(journal, model)
        await journal.close()
        let closed = try await SQLiteJournal(file: name, options: options)
        try await Self.compare(closed, model)
        await closed.close()
    }

    @Test func `a turn that was half written is none, wherever it ends`() async throws {
        let options = Self.options(4 << 20)
        var journal = try await SQLiteJournal(file: file, options: options)
        let header = try await journal.snapshot().header
        let content = Content(Array("content".utf8))
        try await journal.commit(Turns.writing(1, 1...2, content: content, header: header))
        // Those that come now are written over one that the database has taken over.
        await journal.close()
        journal = try await SQLiteJournal(file: file, options: options)
        for turn in UInt64(2)...3 {
            try await journal.commit(
                Turns.writing(turn, turn * 10...turn * 10 + 1, content: content, header: header))
        }
        let turnFile = try #require(
            TurnLog.names(beside: file).first {
                try TurnFile($0).records(after: 0).records.count == 2
            })
        let records = try TurnFile(turnFile).records(after: 0)
        let before = try #require(
            try TurnFile(turnFile).records(after: 0).records.first
        ).transaction.turn
        #expect(before == 2)
        let first = try firstRecordBytes(turnFile)
        let suffix = String(turnFile.dropFirst(file.utf8.count))
        for offset in stride(from: first, to: records.end, by: 7) {
            let copy = try crashed(offset)
            var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: copy + suffix)))
            bytes[offset] ^= 0x55
            try Data(bytes).write(to: URL(fileURLWithPath: copy + suffix))
            let again = try await SQLiteJournal(file: copy, options: options)
            #expect(try await again.snapshot().rows.map(\.sequence.value) == [1, 2, 20, 21])
            // And the next turn takes its place.
            try await again.commit(Turns.writing(9, 90...90, content: content, header: header))
            await again.close()
            let last = try await SQLiteJournal(file: copy, options: options)
            #expect(try await last.snapshot().rows.map(\.sequence.value) == [1, 2, 20, 21, 90])
            await last.close()
        }
        await journal.close()
    }

    /// Where the second record begins.
    private func firstRecordBytes(_ path: String) throws -> Int {
        let file = try TurnFile(path)
        let start = try file.read(LoggedBytes(offset: 0, count: TurnRecord.prefixBytes))
        return try #require(TurnPrefix(start, countMax: .max)).count
    }

    @Test func `a damaged turn that others follow is told, not taken for the end`() async throws {
        let options = Self.options(4 << 20)
        let journal = try await journalOfFourTurns(options)
        let turnFile = TurnLog.names(beside: file)[0]
        let second = try firstRecordBytes(turnFile)
        let copy = try crashed(0)
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: copy + "-turns1")))
        bytes[second + TurnRecord.prefixBytes + 20] ^= 1
        try Data(bytes).write(to: URL(fileURLWithPath: copy + "-turns1"))
        let error = await #expect(throws: JournalError.self) {
            try await SQLiteJournal(file: copy, options: options)
        }
        #expect(error?.code == .fatal)
        #expect(error?.message.contains("turn 2 at byte \(second) is not whole") == true)
        await journal.close()
    }

    @Test func `damage to turns that the database has is none`() async throws {
        // As a power cut leaves the first turn of a lap, half written over the former lap's.
        let options = Self.options(4 << 20)
        let journal = try await journalOfFourTurns(options)
        await journal.close()
        let turnFile = TurnLog.names(beside: file)[0]
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: turnFile)))
        bytes[TurnRecord.prefixBytes + 20] ^= 1
        try Data(bytes).write(to: URL(fileURLWithPath: turnFile))
        let again = try await SQLiteJournal(file: file, options: options)
        #expect(try await again.snapshot().rows.map(\.sequence.value) == [1, 2, 3, 4])
        await again.close()
    }

    @Test func `turns of both files are there after a crash before either was copied`()
        async throws
    {
        await (try SQLiteJournal(file: file)).close()
        let journal = try await SQLiteJournal(file: file, options: Self.options(0))
        let header = try await journal.snapshot().header
        await journal.close()
        let log = try TurnLog(
            beside: file, bytesMax: 10_000, lastTurn: 0, journal: header.journal)
        let model = try InMemoryJournal(disk: InMemoryJournal.Disk(journal: header.journal))
        var turns = RandomTurns(seed: 11, header: header)
        turns.isRenumbering = false
        turns.contentBytesMax = 500
        var overs = 0
        while overs < 2 {
            let turn = turns.next()
            if case .full = try await log.append(turn) {
                overs += 1
                guard overs < 2 else { break }
                log.turnOver()
                _ = try await log.append(turn)
            }
            try await model.commit(turn)
        }
        let again = try await SQLiteJournal(file: file, options: Self.options(10_000))
        try await Self.compare(again, model)
        await again.close()
    }

    @Test func `a record with any byte changed, or cut anywhere, is none`() async throws {
        let header = JournalHeader(journal: JournalID(bits: 9))
        var turns = RandomTurns(seed: 8, header: header)
        turns.contentBytesMax = 20
        for _ in 0..<20 {
            var bytes: [UInt8] = []
            var turn = turns.next()
            turn.rowsRenumbered = []
            _ = TurnRecord.encode(turn, after: 0, lap: 1, at: 0, into: &bytes)
            #expect(try TurnRecord.decode(bytes, at: 0)?.transaction.header == turn.header)
            for offset in bytes.indices {
                var changed = bytes
                changed[offset] ^= UInt8(1 << (offset % 8))
                #expect(try TurnRecord.decode(changed, at: 0) == nil, "byte \(offset)")
            }
            for count in 0..<bytes.count {
                #expect(try TurnRecord.decode(Array(bytes[..<count]), at: 0) == nil)
            }
        }
    }

    // MARK: Files that do not belong together

    @Test func `an older database beside newer turns is refused, with what to do`() async throws {
        let options = Self.options(4 << 20)
        let content = Content([1])
        let journal = try await SQLiteJournal(file: file, options: options)
        let header = try await journal.snapshot().header
        try await journal.commit(Turns.writing(1, 1...1, content: content, header: header))
        await journal.close()
        let backup = folder.file("backup.db")
        try FileManager.default.copyItem(atPath: file, toPath: backup)
        var later = try await SQLiteJournal(file: file, options: options)
        // Each takes the former one's place, which the database has.
        for turn in UInt64(2)...4 {
            try await later.commit(
                Turns.writing(turn, turn...turn, content: content, header: header))
            if turn == 4 { break }
            await later.close()
            later = try await SQLiteJournal(file: file, options: options)
        }
        for suffix in ["-turns1", "-turns2"] {
            try FileManager.default.copyItem(atPath: file + suffix, toPath: backup + suffix)
        }
        await later.close()
        let error = await #expect(throws: JournalError.self) {
            try await SQLiteJournal(file: backup, options: options)
        }
        #expect(error?.code == .fatal)
        #expect(error?.message.contains("start with --adopt") == true)
        for suffix in ["-turns1", "-turns2"] {
            try FileManager.default.removeItem(atPath: backup + suffix)
        }
        let restored = try await SQLiteJournal(file: backup, options: options)
        #expect(try await restored.snapshot().rows.map(\.sequence.value) == [1])
        await restored.close()
    }

    // MARK: Reading while turns are copied

    @Test func `a content is read whole while the files are written over and over`() async throws {
        let journal = try await SQLiteJournal(file: file, options: Self.options(30_000))
        let header = try await journal.snapshot().header
        func content(_ sequence: UInt64) -> Content {
            Content([UInt8](repeating: UInt8(truncatingIfNeeded: sequence), count: 2_000))
        }
        // The first rows stay; the last 20 before the present come and go.
        try await withThrowingTaskGroup(of: Void.self) { group in
            let stable = (UInt64(1)...5).map(EditSequence.init)
            for sequence in UInt64(1)...5 {
                try await journal.commit(
                    Turns.writing(
                        sequence, sequence...sequence, content: content(sequence), header: header))
            }
            group.addTask {
                while !Task.isCancelled {
                    let found = try await journal.contents(of: stable)
                    for sequence in stable {
                        #expect(found[sequence] == content(sequence.value))
                    }
                    // Nothing is missing between what the database and the files have.
                    let events = try await journal.events(from: 1, bytesMax: 1 << 20)
                    var next: UInt64 = 1
                    for segment in events {
                        #expect(segment.first == next)
                        next = segment.first + UInt64(segment.count)
                    }
                }
            }
            for number in UInt64(6)...600 {
                var turn = Turns.writing(
                    number, number...number, content: content(number),
                    removing: number > 25 ? [number - 20] : [], header: header)
                turn.events = JournalSegment(
                    turn: number, first: number - 5, count: 1,
                    bytes: [UInt8](repeating: 1, count: 9))
                try await journal.commit(turn)
            }
            group.cancelAll()
            try await group.waitForAll()
        }
        let rows = try await journal.snapshot().rows.map(\.sequence.value)
        #expect(rows == Array(1...5) + Array(581...600))
        await journal.close()
    }

    @Test func `what comes and goes within the files never reaches the database`() async throws {
        let journal = try await SQLiteJournal(file: file, options: Self.options(1 << 20))
        let header = try await journal.snapshot().header
        let content = Content([UInt8](repeating: 7, count: 2_048))
        let before = TemporaryFolder.size(file)
        for number in UInt64(1)...2_000 {
            try await journal.commit(
                Turns.writing(
                    number, number...number, content: content,
                    removing: number > 10 ? [number - 10] : [], header: header))
        }
        await journal.close()
        #expect(TemporaryFolder.size(file) - before < 40 * content.count)
        for name in TurnLog.names(beside: file) {
            #expect(TemporaryFolder.size(name) <= (1 << 20) + (1 << 20))
        }
    }
}
