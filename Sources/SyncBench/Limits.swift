import ArgumentParser
import Foundation
import Glibc
import SyncCore
import SyncStore

/// What a durable acceptance can cost at least: SQLite upserts with the journal's settings.
enum AcceptLimit {
    /// Rows in one transaction, as in a full turn.
    static let batch = 1_000

    /// Rows a second.
    static func measure(
        in folder: BenchFolder, count: Int, row: (Int) -> (path: String, content: Content)
    ) async throws -> Double {
        let probe = try await UpsertProbe(file: folder.path + "/accept-limit.db")
        let rows = (0..<count).map(row)
        let start = ContinuousClock.now
        for first in stride(from: 0, to: count, by: batch) {
            try await probe.upsert(Array(rows[first..<min(first + batch, count)]))
        }
        let time = ContinuousClock.now - start
        await probe.close()
        return Double(count) / time.seconds
    }
}

/// What one edit at a time must take: a message there and back, a commit, a store commit, a write
/// and a rename.
enum LatencyLimit {
    static func measure(
        in folder: BenchFolder, count: Int, bytes: Int
    ) async throws -> LatencyHistogram {
        // Sums of two runs, so that no thread of the pool waits for a message.
        let trips = try await MessageLimit.roundTrips(in: folder, count: count, bytes: bytes)
        let probe = try await UpsertProbe(file: folder.path + "/latency-limit.db")
        let store = try await SQLiteStore(file: folder.path + "/latency-limit-store.db")
        let files = try BareFiles(in: folder.path + "/latency-limit")
        var histogram = LatencyHistogram()
        for (place, trip) in trips.enumerated() {
            let path = "f\(place % 200)"
            let content = BenchEdits.content(place, bytes: bytes)
            let start = ContinuousClock.now
            try await probe.upsert([(path, content)])
            _ = try await store.apply([try BareDrain.edit(path, content, sequence: place + 1)])
            try files.write(path, content)
            histogram.record(trip + (ContinuousClock.now - start))
        }
        await probe.close()
        await store.close()
        return histogram
    }
}

/// What draining can cost at least: processes that apply batches to one store and write the files.
enum DrainLimit {
    /// Edits a second over all processes.
    static func measure(
        in folder: BenchFolder, count: Int, bytes: Int, processes: Int
    ) async throws -> Double {
        let share = (count + processes - 1) / processes
        var children: [BenchProcess] = []
        for number in 0..<processes {
            let first = number * share
            children.append(
                try BenchProcess(
                    "bare \(number)", program: "SyncBench",
                    [
                        "bare-drain", "--store", folder.path + "/drain-limit.db", "--root",
                        folder.path + "/drain-limit", "--first", String(first), "--count",
                        String(max(min(share, count - first), 0)), "--bytes", String(bytes),
                    ], log: "", watchesParent: false))
        }
        for child in children { _ = await child.line() }
        let start = ContinuousClock.now
        for child in children { child.tell("go") }
        for child in children {
            guard await child.ending() == 0 else {
                throw BenchError("a process of the drain's limit failed; see its message above")
            }
            Interruption.forget(child.pid)
        }
        return Double(count) / (ContinuousClock.now - start).seconds
    }
}

/// The work of a worker without a queue.
enum BareDrain {
    /// Edits in one store transaction, as many as a worker's batch.
    static let batch = 256

    static func edit(
        _ path: String, _ content: Content, sequence: Int
    ) throws -> SequencedEdit {
        SequencedEdit(
            sequence: EditSequence(UInt64(sequence)),
            file: FileKey(project: try Pool.name("bare"), path: try EditPath(path)),
            change: .put(content, isExecutable: false), expectedVersion: nil,
            id: EditID(
                producer: ProducerID(name: try Pool.name("bare"), life: 1),
                number: UInt64(sequence)), acceptedAt: Timestamp(milliseconds: 1))
    }
}

/// One process of the drain's limit: waits for a line, then does its share.
struct BareDrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bare-drain", abstract: "A share of the drain's limit.", shouldDisplay: false)

    @Option var store: String
    @Option var root: String
    @Option var first: Int
    @Option var count: Int
    @Option var bytes: Int

    func run() async throws {
        let store = try await SQLiteStore(file: store)
        let files = try BareFiles(in: root)
        let edits = try (first..<first + count).map { place in
            try BareDrain.edit(
                BenchEdits.distinctPath(place), BenchEdits.content(place, bytes: bytes),
                sequence: place + 1)
        }
        BenchOutput.write("ready")
        _ = readLine()
        for start in stride(from: 0, to: count, by: BareDrain.batch) {
            let batch = Array(edits[start..<min(start + BareDrain.batch, count)])
            _ = try await store.apply(batch)
            for edit in batch {
                guard case .put(let content, _) = edit.change else { continue }
                try files.write(edit.file.path.text, content)
            }
        }
        await store.close()
    }
}

/// Writes files as plainly as the system calls allow: made under another name, renamed into place.
final class BareFiles {
    private let root: String
    private var folders: Set<String> = []

    init(in root: String) throws {
        self.root = root
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
    }

    func write(_ path: String, _ content: Content) throws {
        if let slash = path.lastIndex(of: "/"), folders.insert(String(path[..<slash])).inserted {
            try FileManager.default.createDirectory(
                atPath: root + "/" + path[..<slash], withIntermediateDirectories: true)
        }
        let staged = root + "/.staged-\(getpid())"
        let descriptor = open(staged, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw failure("open", staged) }
        let count = content.withBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard close(descriptor) == 0, count == content.count,
            rename(staged, root + "/" + path) == 0
        else { throw failure("write", path) }
    }

    private func failure(_ task: String, _ path: String) -> BenchError {
        BenchError("could not \(task) \(path): \(String(cString: strerror(errno)))")
    }
}
