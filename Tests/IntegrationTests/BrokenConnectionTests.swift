import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing
import ZeroMQ

/// P3 over connections that break in the middle of messages, by the producers' own books.
@Suite(.serialized) struct BrokenConnectionTests {
    /// Bytes after which each connection breaks, handshake included; the last one holds.
    private static func budgets(_ count: Int, seed: UInt64) -> @Sendable (Int) -> Int? {
        var random = SeededGenerator(seed: seed)
        let budgets = (0..<count).map { _ in Int.random(in: 300..<8_000, using: &random) }
        return { budgets.indices.contains($0) ? budgets[$0] : nil }
    }

    // Trace A1. Without the rule that answers `overtaken` it fails.
    @Test(.timeLimit(.patience))
    func `one producer's edits keep their order over a thousand broken connections`() async throws {
        let cluster = try await DaemonCluster.start(workers: 1)
        let plainProxy = try FaultyProxy(to: cluster.intake, budget: Self.budgets(600, seed: 1))
        let ownProxy = try FaultyProxy(to: cluster.intake, budget: Self.budgets(400, seed: 2))

        async let plain = Self.runPlain(plainProxy, breaks: 600)
        let producer = try await cluster.producer(
            "own", endpoint: ownProxy.endpoint, reconnectWait: .milliseconds(1))
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        let count = await Self.push(producer, book, while: { ownProxy.breakCount < 400 })
        await book.reach(count)
        let plainBook = try await plain

        #expect(plainProxy.breakCount + ownProxy.breakCount >= 1_000)
        #expect(plainBook.complaints == [])
        #expect(!plainBook.overtaken.isEmpty)
        let paths = plainBook.edits.mapValues(\.path)
        Self.checkOrder(plainBook.accepted, paths, "plain")
        let ownPaths = await book.edits.mapValues(\.path)
        Self.checkOrder(await book.accepted.mapValues(\.value), ownPaths, "own")
        #expect(await book.unknown.isEmpty)
        #expect(await book.refused.values.allSatisfy { $0.code == .overtaken })

        try await cluster.flush("plain")
        try await cluster.flush("own")
        var newest: [EditPath: (number: UInt64, edit: Edit)] = [:]
        for number in plainBook.accepted.keys.sorted() {
            guard let edit = plainBook.edits[number] else { continue }
            newest[edit.path] = (number, MachineCluster.put(edit.path.text, edit.text))
        }
        try await CrashTests.check(cluster, "plain", newest)
        try await CrashTests.check(cluster, "own", await book.newest)
        keeping.cancel()
        plainProxy.stop()
        ownProxy.stop()
        await cluster.stop()
    }

    /// A later number of a file has a later sequence.
    private static func checkOrder(
        _ accepted: [UInt64: UInt64], _ paths: [UInt64: EditPath], _ who: String
    ) {
        var last: [EditPath: UInt64] = [:]
        for (number, sequence) in accepted.sorted(by: { $0.key < $1.key }) {
            guard let path = paths[number] else { continue }
            #expect(sequence > last[path] ?? 0, "\(who) #\(number)")
            last[path] = sequence
        }
    }

    private static func push(
        _ producer: Producer, _ book: ProducerBook, while isLasting: () -> Bool
    ) async -> Int {
        var count = 0
        while isLasting() {
            count += 1
            let edit = MachineCluster.put(
                "f\(count % 4)", "\(count) " + String(repeating: ".", count: 200))
            await book.pushed(await producer.submit(edit), edit)
            await book.reach(count - 40)
        }
        return count
    }

    private static func runPlain(
        _ proxy: FaultyProxy, breaks: Int
    ) async throws -> PlainProducer.Book {
        // Its waits block, so it has a thread of its own.
        try await withCheckedThrowingContinuation { done in
            Thread.detachNewThread {
                done.resume(
                    with: Result {
                        let client = try RawClient(
                            to: proxy.endpoint, in: Context(),
                            options: [.reconnectInterval(.milliseconds(1))])
                        var plain = PlainProducer(client, project: "plain", seed: 77)
                        return try plain.run { proxy.breakCount >= breaks }
                    })
            }
        }
    }
}
