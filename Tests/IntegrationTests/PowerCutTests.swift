import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import Testing

/// P1 over a power cut, played by the image of a disk that is copied while all processes stand.
@Suite(.serialized) struct PowerCutTests {
    private static let reason: Comment = "a disk in an image file needs root and loop devices"

    // Trace A7.
    @Test(.enabled(if: Capability.loopDisks, reason), .timeLimit(.patience))
    func `what was accepted is on the disk at twenty moments under load`() async throws {
        let seed = UInt64.random(in: 1 ... .max >> 1)
        print("power cut: seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let disk = try TestDisk.inImage(mebibytes: 128)
        defer { disk.remove() }
        let cluster = try await DaemonCluster.start(
            workers: 2, places: DaemonCluster.Places(all: disk.path),
            coordinatorFlags: ["--lease-ms", "30000", "--set", "journal-front-mib=1"])
        let loads = [
            try await LoadedProducer("p1", of: cluster, seed: seed),
            try await LoadedProducer("p2", of: cluster, seed: seed + 1),
        ]
        let perRound = 200
        try await withThrowingTaskGroup(of: Void.self) { group in
            for load in loads { group.addTask { await load.keep() } }
            for round in 0..<20 {
                let goal = round * perRound + Int.random(in: 1..<perRound, using: &random)
                let places = round * perRound + 1...(round + 1) * perRound
                for load in loads { group.addTask { await load.push(places) } }
                for load in loads { await load.book.reach(goal) }
                try await Self.cut(disk, cluster, loads, round: round)
            }
            for load in loads { await load.book.reach(20 * perRound) }
            group.cancelAll()
        }
        await cluster.stop()
    }

    /// One moment: everything stands, the disk's image is copied, and searched.
    private static func cut(
        _ disk: TestDisk, _ cluster: DaemonCluster, _ loads: [LoadedProducer], round: Int
    ) async throws {
        try await cluster.pause()
        let copy = try disk.afterPowerCut()
        defer { copy.remove() }
        // Whatever arrives from now on was answered by processes that stand.
        var counts: [Int] = []
        let journal = try await SQLiteJournal(file: copy.path + "/journal.db")
        let store = try await SQLiteStore(file: copy.path + "/store.db")
        let snapshot = try await journal.snapshot()
        for load in loads {
            counts.append(await load.book.accepted.count)
            let lost = try await load.lost(journal: snapshot, store: store)
            #expect(lost == [], "\(load.project) lost accepted edits in round \(round)")
        }
        await journal.close()
        await store.close()
        cluster.resume()
        print("power cut \(round): \(counts) accepted, \(snapshot.rows.count) rows wait")
    }

    // Trace A7: what the test above can see.
    @Test(.enabled(if: Capability.loopDisks, reason), .timeLimit(.patience))
    func `without FULL a power cut takes what was committed`() async throws {
        for (durability, isKept) in [(Durability.full, true), (.normal, false)] {
            let disk = try TestDisk.inImage(mebibytes: 32)
            let options = SQLiteOptions(durability: durability, turnLogBytesMax: 0)
            let journal = try await SQLiteJournal(
                file: disk.path + "/journal.db", options: options)
            let header = try await journal.snapshot().header
            for number in UInt64(1)...100 {
                var turn = JournalTransaction(turn: number, header: header)
                turn.header.lastSequence = EditSequence(number)
                turn.rowsWritten = [(Self.row(number), Content(Array("\(number)".utf8)))]
                try await journal.commit(turn)
            }
            let copy = try disk.afterPowerCut()
            await journal.close()
            let found = try await SQLiteJournal(file: copy.path + "/journal.db")
            let count = try await found.snapshot().rows.count
            await found.close()
            print("power cut with \(durability): \(count) of 100 commits are on the disk")
            #expect((count == 100) == isKept)
            copy.remove()
            disk.remove()
        }
    }

    private static func row(_ number: UInt64) -> JournalRow {
        JournalRow(
            file: .named("f\(number)"),
            edit: JournaledEdit(
                sequence: EditSequence(number),
                id: EditID(producer: MachineCluster.producer(), number: number), digest: number,
                expectedVersion: nil, acceptedAt: Timestamp(milliseconds: number),
                isDelete: false, isExecutable: false, byteCount: String(number).utf8.count,
                open: nil, failure: nil))
    }
}
