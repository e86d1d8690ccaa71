import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import SyncTransport
import Testing

/// A producer under test with its own book: half of its edits go to files that are edited once.
struct LoadedProducer: Sendable {
    let project: String
    let book = ProducerBook()
    let producer: Producer
    let seed: UInt64
    let contentBytes: Int

    init(
        _ project: String, of cluster: DaemonCluster, seed: UInt64, contentBytes: Int = 0
    ) async throws {
        self.project = project
        self.seed = seed
        self.contentBytes = contentBytes
        producer = try await cluster.producer(project)
    }

    /// Writes down what the producer hears, until the task is cancelled.
    func keep() async { await book.keep(producer.updates) }

    /// Pushes the edits of these places in the load, in order.
    func push(_ places: ClosedRange<Int>) async {
        var random = SeededGenerator(seed: seed &+ UInt64(places.lowerBound))
        for place in places {
            let path =
                place % 2 == 0
                ? "once/\(seed)-\(place)" : "hot/\(Int.random(in: 0..<20, using: &random))"
            let filling = String(repeating: "x", count: contentBytes)
            let edit = MachineCluster.put(path, "\(seed):\(place)\(filling)")
            await book.pushed(await producer.submit(edit), edit)
        }
    }

    /// Checks P1 to P5 from the book alone: nothing was given up, store and sandbox hold each
    /// file's last accepted edit, and a file's versions are edits of the book in their order, each
    /// once, without a gap.
    ///
    /// - Parameter settings: How the store is opened.
    func check(
        _ cluster: DaemonCluster, _ settings: StoreSettings = StoreSettings()
    ) async throws {
        #expect(await book.unknown.isEmpty)
        #expect(await book.refused.values.allSatisfy { $0.code == .overtaken })
        let newest = await book.newest
        let accepted = await book.accepted
        let edits = await book.edits
        let sandbox = try DirectoryTree.read(at: cluster.sandboxes + "/" + project)
        let store = try await StoreURL(cluster.storeURL).openForReading(settings)
        var wrong: [String] = []
        for (path, last) in newest {
            let wanted = last.edit.change.content?.bytes
            if sandbox[path.text]?.bytes != wanted { wrong.append("sandbox \(path)") }
            let key = FileKey(project: MachineCluster.name(project), path: path)
            let stored = try await store.version(of: key, nil)
            if stored?.change.content?.bytes != wanted { wrong.append("store \(path)") }
            let versions = try await store.history(of: key)
            if let first = versions.first?.version.value, let last = versions.last?.version.value {
                let isDense = versions.map(\.version.value) == Array((last...first).reversed())
                if !isDense { wrong.append("versions of \(path)") }
            }
            let numbers = versions.map(\.id.number)
            if numbers != Set(numbers).sorted(by: >) { wrong.append("order of \(path)") }
            for version in versions
            where edits[version.id.number]?.path != path
                || accepted[version.id.number] != version.sequence
            {
                wrong.append("version \(version.version) of \(path) was never accepted")
            }
        }
        await store.close()
        #expect(wrong == [], "\(project)")
    }

    /// Accepted edits that neither this journal nor this store has, nor a newer one of their file.
    func lost(journal: JournalSnapshot, store: SQLiteStore) async throws -> [UInt64] {
        let name = MachineCluster.name(project)
        var held: [EditPath: EditSequence] = [:]
        for row in journal.rows where row.file.project == name {
            held[row.file.path] = max(held[row.file.path] ?? .none, row.sequence)
        }
        var after: EditPath?
        while true {
            let page = try await store.files(of: name, after: after, countMax: 10_000)
            for file in page { held[file.path] = max(held[file.path] ?? .none, file.sequence) }
            guard page.count == 10_000, let last = page.last else { break }
            after = last.path
        }
        let accepted = await book.accepted
        // An answer can be faster than the line that notes what was asked.
        var edits: [UInt64: Edit] = [:]
        try await Patience.until("the book is complete") {
            edits = await book.edits
            return accepted.keys.allSatisfy { edits[$0] != nil }
        }
        return accepted.filter { number, sequence in
            guard let path = edits[number]?.path, let newest = held[path] else { return true }
            return newest < sequence
        }.keys.sorted()
    }
}
