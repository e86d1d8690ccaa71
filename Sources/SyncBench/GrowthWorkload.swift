import ArgumentParser
import SyncCore

/// What grows.
enum GrowthPart: String, ExpressibleByArgument, CaseIterable, Sendable {
    /// Files that wait.
    case files
    /// Worker processes.
    case workers
    /// Content of an edit.
    case content

    /// The measurement of this part.
    func workload(_ options: BenchOptions) -> any Workload {
        switch self {
        case .files:
            GrowthFilesWorkload(
                size: WorkloadSize(options, edits: 20_000),
                filesMax: options.filesMax ?? 1_000_000)
        case .workers: GrowthWorkersWorkload(size: WorkloadSize(options, edits: 20_000))
        case .content: GrowthContentWorkload(size: WorkloadSize(options, edits: 0))
        }
    }
}

/// What an edit costs the coordinator beside more and more dirty files, and what a file weighs.
struct GrowthFilesWorkload: Workload {
    let name = "growth files"
    let size: WorkloadSize
    let filesMax: Int
    var pairsStandard: Int { 1 }

    private static let counts = [1_000, 10_000, 100_000, 1_000_000]
    /// Bytes of the coordinator's memory beyond its budget of content and the path, for each file.
    private static let bytesMax = 300.0
    /// Files below which the memory of the process itself hides that of the files.
    private static let weighableMin = 100_000

    var setup: String {
        "\(size.edits) edits of files that wait, at \(Self.counts.filter { $0 <= filesMax }) dirty "
            + "files, \(size.bytes) bytes each, 256 a message, 512 unanswered, workers off; limit: "
            + "the cost at \(Self.counts[0]); memory: growth since the start beyond what "
            + "counts against memory-mib and the paths, over all files"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        try await Pool.with(in: folder) { try await measure($0) }
    }

    private func measure(_ pool: Pool) async throws -> Pair {
        var pair = Pair()
        // One project may have half of what is left of each limit.
        try await pool.startCoordinator([
            "--set", "pending-files=4000000", "--set", "pending-mib=65536",
        ])
        let pusher = try await pool.pusher("bench")
        let empty = try await pool.coordinatorUsage()
        var filled = 0
        var first: Double?
        for count in Self.counts where count <= filesMax {
            BenchOutput.progress("\(name): \(count) dirty files")
            try await fill(filled..<count, pusher)
            filled = count
            try await weigh(count, pool, since: empty, into: &pair)
            let microseconds = try await cost(beside: count, pool, pusher)
            pair.add(
                "CPU an edit, \(count) dirty", microseconds, "µs", limit: first,
                ratioMax: count == 1_000_000 ? 2.5 : nil)
            first = first ?? microseconds
        }
        return pair
    }

    /// Makes files dirty that are clean.
    private func fill(_ places: Range<Int>, _ pusher: Pusher) async throws {
        let (bytes, first) = (size.bytes, places.lowerBound)
        try await pusher.push(
            Pusher.Run(count: places.count, batch: 256, window: 4_000) {
                BenchEdits.put(
                    BenchEdits.distinctPath(first + $0), place: first + $0, bytes: bytes)
            })
    }

    /// Microseconds of the coordinator's CPU for an edit of a file that waits.
    ///
    /// Fewer edits are unanswered than there are files, so that none meets another one of its file
    /// in the same turn, which would be cheaper.
    private func cost(beside count: Int, _ pool: Pool, _ pusher: Pusher) async throws -> Double {
        let bytes = size.bytes
        let before = try await pool.coordinatorUsage()
        try await pusher.push(
            Pusher.Run(count: size.edits, batch: 256, window: 512) {
                // A prime that is none of ten's: every file once before one comes again.
                BenchEdits.put(
                    BenchEdits.distinctPath($0 * 7_919 % count), place: $0, bytes: bytes)
            })
        let after = try await pool.coordinatorUsage()
        return (after.cpuSeconds - before.cpuSeconds) * 1_000_000 / Double(size.edits)
    }

    /// What a waiting file weighs.
    private func weigh(
        _ count: Int, _ pool: Pool, since empty: ProcessUsage, into pair: inout Pair
    ) async throws {
        let content = Double(try await pool.queue().memoryBytes)
        let usage = try await pool.coordinatorUsage()
        let paths = (0..<count).reduce(0) { $0 + BenchEdits.distinctPath($1).utf8.count }
        func bytes(_ now: Double, _ before: Double) -> Double {
            ((now - before) * 1_048_576 - content - Double(paths)) / Double(count)
        }
        let valueMax = count >= Self.weighableMin ? Self.bytesMax : nil
        pair.add(
            "resident a file, \(count) dirty",
            bytes(usage.residentMebibytes, empty.residentMebibytes), "bytes", valueMax: valueMax)
        pair.add(
            "peak a file, \(count) dirty", bytes(usage.peakMebibytes, empty.peakMebibytes),
            "bytes", valueMax: valueMax)
    }
}

/// What an edit costs all processes with more and more workers.
struct GrowthWorkersWorkload: Workload {
    let name = "growth workers"
    let size: WorkloadSize
    var pairsStandard: Int { 1 }

    private static let counts = [1, 2, 4, 16, 64]

    var setup: String {
        "\(size.edits) edits of \(size.edits) files, \(size.bytes) bytes each, from the first push "
            + "to the last outcome, \(Self.counts) workers, whose store and sandboxes do nothing; "
            + "then workers of one SQLite file and local folders without fsync; limit: the cost "
            + "with 2"
    }

    func pair(in folder: BenchFolder) async throws -> Pair {
        var pair = Pair()
        for isNull in [true, false] {
            let what = isNull ? "null" : "SQLite and local"
            var costs: [Int: Double] = [:]
            for count in Self.counts {
                BenchOutput.progress("\(name): \(count) workers, \(what)")
                costs[count] = try await Pool.with(in: folder, isKept: false) {
                    try await cost(with: count, isNull: isNull, in: $0)
                }
            }
            for count in Self.counts {
                pair.add(
                    "CPU an edit, \(count) workers, \(what)", costs[count] ?? 0, "µs",
                    limit: costs[2], ratioMax: isNull && count == 64 ? 1.2 : nil)
            }
        }
        return pair
    }

    /// Microseconds of CPU of coordinator and workers for an edit.
    private func cost(with count: Int, isNull: Bool, in pool: Pool) async throws -> Double {
        try await pool.startCoordinator()
        if isNull {
            try await pool.startNullWorkers(count)
        } else {
            try await pool.startWorkers(count)
        }
        try await pool.waitForWorkers(count)
        let pusher = try await pool.pusher("bench")
        let run = DistinctSteps(size: size).run
        // Every worker has met the sandbox.
        try await pusher.push(
            Pusher.Run(count: 64 * count, batch: 64, window: 1_024) {
                BenchEdits.put("before/f\($0)", place: $0, bytes: 64)
            })
        try await pool.flush("bench")
        let watch = UsageWatch(await pool.processes)
        try await pusher.push(run)
        try await pool.flush("bench")
        return watch.cpuSeconds * 1_000_000 / Double(size.edits)
    }
}
