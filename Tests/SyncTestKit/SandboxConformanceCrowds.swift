internal import SyncCore
internal import Synchronization

extension SandboxConformance {
    /// Clauses on what happens at the same time.
    static let crowds: [SandboxClause] = [
        SandboxClause("of several edits each lands once, under its place") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("gone", "x"), through: stage(1))
            let edits = try [put("a", "1"), delete("gone"), put("d/e", "2"), put("d/f", "3")]
            let seen = Landed()
            await writer.apply(edits, through: stage(1), isLeased: { true }, landed: seen.note)
            guard seen.places == [0, 1, 2, 3], seen.codes.isEmpty else {
                throw SandboxComplaint("landed: \(seen.places), \(seen.codes)")
            }
            try await expect("a", .text("1"), harness)
            try await expect("gone", nil, harness)
            try await expect("d/e", .text("2"), harness)
            try await expect("d/f", .text("3"), harness)
        },
        SandboxClause("of several edits a failure harms no other, and none is made unleased") {
            harness in
            let writer = try await entered(harness)
            try await harness.makeDirectory("shape/below")
            let seen = Landed()
            await writer.apply(
                [try put("shape", "1"), try put("a", "2")], through: stage(1), isLeased: { true },
                landed: seen.note)
            guard seen.places == [0, 1], seen.codes.count == 1 else {
                throw SandboxComplaint("landed: \(seen.places), \(seen.codes)")
            }
            try await expect("a", .text("2"), harness)
            let late = Landed()
            await writer.apply(
                [try put("a", "3"), try put("b", "4")], through: stage(1), isLeased: { false },
                landed: late.note)
            guard late.codes == ["lease-over", "lease-over"] else {
                throw SandboxComplaint("without a lease: \(late.places), \(late.codes)")
            }
            try await expect("a", .text("2"), harness)
            try await expect("b", nil, harness)
        },
        SandboxClause("whoever reads sees the old content or the new one, never a part") {
            harness in
            let writer = try await entered(harness)
            let texts = ["a", "b"].map { String(repeating: $0, count: 200_000) }
            try await writer.apply(put("f", texts[0]), through: stage(1))
            try await withThrowingTaskGroup { group in
                group.addTask {
                    for round in 1...60 {
                        try await writer.apply(put("f", texts[round % 2]), through: stage(1))
                    }
                }
                group.addTask {
                    for _ in 0..<60 {
                        let entry = try await harness.entry("f")
                        guard texts.contains(where: { entry == .text($0) }) else {
                            throw SandboxComplaint("half a file was read")
                        }
                        await Task.yield()
                    }
                }
                try await group.waitForAll()
            }
        },
        SandboxClause("deletes of siblings never take a folder from under a put") { harness in
            let writer = try await entered(harness)
            try await withThrowingTaskGroup { group in
                for number in 0..<6 {
                    group.addTask {
                        for round in 0..<30 {
                            let path = "d/e/f\(number)"
                            try await writer.apply(put(path, "\(round)"), through: stage(1))
                            if number % 2 == 0 {
                                try await writer.apply(delete(path), through: stage(1))
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            for number in 0..<6 {
                try await expect("d/e/f\(number)", number % 2 == 0 ? nil : .text("29"), harness)
            }
        },
        SandboxClause("two processes that revoke at once both succeed, and the stage is over") {
            harness in
            let zombie = try await entered(harness)
            try await zombie.apply(put("a", "1"), through: stage(1))
            let successors = [try await harness.open(), try await harness.open()]
            try await withThrowingTaskGroup { group in
                for (place, successor) in successors.enumerated() {
                    group.addTask {
                        let own = stage(UInt64(place + 2))
                        try await successor.revoke([stage(1)], others: false, keeping: own)
                        try await successor.enter(own)
                        try await successor.apply(put("s\(place)", "2"), through: own)
                    }
                }
                try await group.waitForAll()
            }
            try await expectFailure(.worker, code: SandboxError.revokedCode) {
                try await zombie.apply(put("a", "2"), through: stage(1))
            }
            try await expect("a", .text("1"), harness)
            try await expect("s0", .text("2"), harness)
            try await expect("s1", .text("2"), harness)
        },
    ]
}

/// Which edits of several have landed, and how.
private final class Landed: Sendable {
    private let results = Mutex<[(place: Int, code: String?)]>([])

    /// Places, in order.
    var places: [Int] { results.withLock { $0.map(\.place).sorted() } }

    /// Codes of failures.
    var codes: [String] { results.withLock { $0.compactMap(\.code) } }

    @Sendable func note(_ place: Int, _ result: Result<Drift?, SandboxError>) {
        var code: String?
        if case .failure(let error) = result { code = error.code }
        results.withLock { $0.append((place, code)) }
    }
}
