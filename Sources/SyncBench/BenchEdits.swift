import SyncCore

/// Contents and paths that the workloads push.
enum BenchEdits {
    /// Content that begins with its place in sixteen digits.
    static func content(_ place: Int, bytes: Int) -> Content {
        let digits = String(place)
        var content = [UInt8](repeating: UInt8(ascii: "0"), count: 16 - digits.utf8.count)
        content.append(contentsOf: digits.utf8)
        var word = UInt64(truncatingIfNeeded: place) &* 0x9E37_79B9_7F4A_7C15 | 1
        while content.count < bytes {
            word ^= word << 13
            word ^= word >> 7
            word ^= word << 17
            withUnsafeBytes(of: word) { content.append(contentsOf: $0) }
        }
        return Content(Array(content.prefix(bytes)))
    }

    /// A put of a file.
    static func put(_ path: String, place: Int, bytes: Int, targets: [TargetURL] = []) -> Edit {
        put(path, content(place, bytes: bytes), targets: targets)
    }

    /// A put of a content that was made before.
    static func put(_ path: String, _ content: Content, targets: [TargetURL] = []) -> Edit {
        guard let path = try? EditPath(path) else { preconditionFailure("bad path of a workload") }
        return Edit(path: path, change: .put(content, isExecutable: false), targets: targets)
    }

    /// Paths of distinct files, a hundred in a folder.
    static func distinctPath(_ place: Int) -> String { "d\(place / 100)/f\(place % 100)" }

    /// Which of `count` files each edit is of, by Zipf's law with exponent 1; the same every time.
    static func zipf(_ edits: Int, over count: Int) -> [Int] {
        var sums: [Double] = []
        for rank in 1...count { sums.append((sums.last ?? 0) + 1 / Double(rank)) }
        let total = sums.last ?? 1
        var state: UInt64 = 42
        return (0..<edits).map { _ in
            // SplitMix64 (Steele, Lea and Flood, 2014).
            state &+= 0x9E37_79B9_7F4A_7C15
            var word = state
            word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
            word ^= word >> 31
            let drawn = Double(word >> 11) / Double(1 << 53) * total
            var low = 0
            var high = count - 1
            while low < high {
                let middle = (low + high) / 2
                if sums[middle] < drawn { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }
}

/// Edits at fixed times, whatever becomes of them.
struct OpenLoop: Sendable {
    /// How many edits.
    let count: Int
    /// Edits a second.
    let rate: Int
    /// Over how many files they go in turn.
    let files: Int
    let bytes: Int
    /// Place of the first edit: digits in contents go on from loop to loop.
    let firstPlace: Int

    /// Pushes each edit when it is due and tells the meter.
    func run(_ pusher: Pusher, _ meter: VisibleMeter) async throws {
        let start = ContinuousClock.now + .milliseconds(10)
        for step in 0..<count {
            let dueAt = start + .nanoseconds(1_000_000_000 / rate) * step
            try await Task.sleep(until: dueAt, tolerance: .zero)
            let place = firstPlace + step
            let file = "f\(place % files)"
            meter.expect(place, of: file, dueAt: dueAt)
            await pusher.send(BenchEdits.put(file, place: place, bytes: bytes))
        }
    }

    /// Makes every file once and waits until all are visible, so that the loop replaces files.
    static func prepare(
        _ project: String, files: Int, bytes: Int, in pool: Pool, _ pusher: Pusher
    ) async throws {
        let run = Pusher.Run(count: files, batch: 50, window: 400) {
            BenchEdits.put("f\($0)", place: $0, bytes: bytes)
        }
        try await pusher.push(run)
        try await pool.flush(project)
    }
}
