import Glibc
import SyncCore

/// A thousand workers and millions of files put to them by the production code, in this process.
struct PlacementWorkload: Workload {
    let name = "placement"
    let size: WorkloadSize
    let files: Int
    var pairsStandard: Int { 1 }

    private static let workers = 1_000
    private static let lookups = 20_000

    var setup: String {
        "\(files) files put to \(Self.workers) workers in this process, without syncd; then a "
            + "worker joins, then another one leaves; moved: times what must move at least; "
            + "\(Self.lookups) lookups one after the other"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        var pair = Pair()
        let labels = try (0...Self.workers).map { try Pool.name("worker-\($0)") }
        let first = Array(labels.dropLast())
        let residentBefore = ProcessUsage(of: getpid())?.residentMebibytes ?? 0
        let start = ContinuousClock.now
        let tables = RendezvousHash(first)
        let made = ContinuousClock.now - start
        let residentAfter = ProcessUsage(of: getpid())?.residentMebibytes ?? 0
        pair.add("tables made in", made.seconds * 1_000, "ms")
        pair.add("memory of the tables", residentAfter - residentBefore, "MiB")
        pair.add("lookup", try lookup(in: tables), "µs", valueMax: 1)

        BenchOutput.progress("\(name): \(first.count) workers")
        let before = try await owners(in: tables, of: labels)
        pair.add(
            "files of the fullest over the mean", fullness(of: before), "times", valueMax: 1.1)
        BenchOutput.progress("\(name): one joins")
        let joined = try await owners(in: RendezvousHash(labels), of: labels)
        pair.add(
            "moved on a join", moved(before, joined, among: labels.count), "times", valueMax: 1.05)
        BenchOutput.progress("\(name): one leaves")
        var rest = first
        rest.remove(at: rest.count / 2)
        let left = try await owners(in: RendezvousHash(rest), of: labels)
        pair.add(
            "moved on a leave", moved(before, left, among: first.count), "times", valueMax: 1.05)
        return pair
    }

    private static func key(_ place: Int, _ project: ProjectName) throws -> FileKey {
        FileKey(project: project, path: try EditPath(BenchEdits.distinctPath(place)))
    }

    /// Microseconds of one lookup.
    private func lookup(in tables: RendezvousHash) throws -> Double {
        let project = try Pool.name("bench")
        let keys = try (0..<Self.lookups).map { try Self.key($0, project) }
        var found = 0
        let start = ContinuousClock.now
        for key in keys where tables.owner(of: key) != nil { found += 1 }
        let time = ContinuousClock.now - start
        guard found == keys.count else { throw BenchError("a file has no owner; report this") }
        return time.seconds * 1_000_000 / Double(keys.count)
    }

    /// Each file's owner, as its place among the labels.
    private func owners(
        in tables: RendezvousHash, of labels: [WorkerLabel]
    ) async throws -> [Int16] {
        let project = try Pool.name("bench")
        var places: [WorkerLabel: Int16] = [:]
        for (place, label) in labels.enumerated() { places[label] = Int16(place) }
        let known = places
        let count = self.files
        let share = 50_000
        return try await withThrowingTaskGroup(of: Part.self) { group in
            for first in stride(from: 0, to: count, by: share) {
                group.addTask {
                    let range = first..<min(first + share, count)
                    let owners = try range.map { place -> Int16 in
                        let owner = tables.owner(of: try Self.key(place, project))
                        return owner.flatMap { known[$0] } ?? -1
                    }
                    return Part(first: first, owners: owners)
                }
            }
            var owners = [Int16](repeating: -1, count: count)
            for try await part in group {
                owners.replaceSubrange(
                    part.first..<part.first + part.owners.count, with: part.owners)
            }
            return owners
        }
    }

    /// Owners of files that follow each other.
    private struct Part: Sendable {
        let first: Int
        let owners: [Int16]
    }

    /// Files of the worker that has most, over the mean.
    private func fullness(of owners: [Int16]) -> Double {
        var counts = [Int](repeating: 0, count: Self.workers)
        for owner in owners where owner >= 0 { counts[Int(owner)] += 1 }
        return Double(counts.max() ?? 0) * Double(Self.workers) / Double(owners.count)
    }

    /// Files with another owner than before, over the share of one worker.
    private func moved(_ before: [Int16], _ after: [Int16], among count: Int) -> Double {
        let moved = zip(before, after).reduce(0) { $0 + ($1.0 == $1.1 ? 0 : 1) }
        return Double(moved) * Double(count) / Double(before.count)
    }
}
