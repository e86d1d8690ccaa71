internal import SyncCore

extension SandboxConformance {
    /// Clauses on stages: made once, revoked for ever.
    static let stages: [SandboxClause] = [
        SandboxClause("two processes write side by side, each through its own stage") { harness in
            let first = try await harness.open()
            let second = try await harness.open()
            try await first.enter(stage(1))
            try await second.enter(stage(2))
            try await first.enter(stage(1))
            try await first.apply(put("d/a", "1"), through: stage(1))
            try await second.apply(put("d/b", "2"), through: stage(2))
            try await expect("d/a", .text("1"), harness)
            try await expect("d/b", .text("2"), harness)
        },
        SandboxClause("nothing is written through a stage that was not entered") { harness in
            let writer = try await entered(harness)
            try await expectFailure(.worker) {
                try await writer.apply(put("a", "1"), through: stage(9))
            }
            try await expect("a", nil, harness)
        },
        SandboxClause("after a revocation every call through the stage is refused") { harness in
            let zombie = try await entered(harness)
            try await zombie.apply(put("a", "1"), through: stage(1))
            let successor = try await harness.open()
            try await successor.revoke([stage(1)], others: false, keeping: stage(2))
            try await successor.enter(stage(2))
            for _ in 0..<2 {
                for edit in [try put("a", "2"), try put("new/b", "2"), try delete("a")] {
                    try await expectFailure(.worker, code: SandboxError.revokedCode) {
                        try await zombie.apply(edit, through: stage(1))
                    }
                }
                try await expectFailure(.worker, code: SandboxError.revokedCode) {
                    try await zombie.enter(stage(1))
                }
            }
            try await expect("a", .text("1"), harness)
            try await expect("new/b", nil, harness)
            try await successor.apply(put("a", "3"), through: stage(2))
            try await expect("a", .text("3"), harness)
        },
        SandboxClause("a revoked process goes on as another incarnation") { harness in
            let writer = try await entered(harness)
            try await harness.open().revoke([stage(1)], others: false, keeping: stage(2))
            try await writer.enter(stage(2))
            try await writer.apply(put("a", "2"), through: stage(2))
            try await expect("a", .text("2"), harness)
        },
        SandboxClause("a stage that was never made can be revoked, and then not be made") {
            harness in
            let successor = try await harness.open()
            try await successor.revoke([stage(1), stage(3)], others: false, keeping: stage(2))
            try await successor.revoke([stage(1)], others: false, keeping: stage(2))
            let zombie = try await harness.open()
            for count in [1, 3] as [UInt64] {
                try await expectFailure(.worker, code: SandboxError.revokedCode) {
                    try await zombie.enter(stage(count))
                }
            }
        },
        SandboxClause("revoking the others spares only the one that is kept") { harness in
            let writers = [
                try await harness.open(), try await harness.open(), try await harness.open(),
            ]
            for (index, writer) in writers.enumerated() {
                try await writer.enter(stage(UInt64(index + 1)))
            }
            try await writers[1].revoke([stage(9)], others: true, keeping: stage(2))
            for (index, writer) in writers.enumerated() where index != 1 {
                try await expectFailure(.worker, code: SandboxError.revokedCode) {
                    try await writer.apply(put("a", "1"), through: stage(UInt64(index + 1)))
                }
            }
            try await writers[1].apply(put("a", "2"), through: stage(2))
            try await expect("a", .text("2"), harness)
            try await expectFailure(.worker, code: SandboxError.revokedCode) {
                try await writers[0].enter(stage(9))
            }
        },
    ]

    /// The clause for which stages are there: a zombie that goes on writing has no effect (traces
    /// A4 and A5).
    static let zombies: [SandboxClause] = [
        SandboxClause("no write of a zombie takes effect once it has been revoked") { harness in
            for round in 1...20 {
                try await fence(round: UInt64(round), harness)
            }
        }
    ]

    /// A zombie puts and deletes without pause while its successor revokes it and writes.
    private static func fence(round: UInt64, _ harness: SandboxHarness) async throws {
        let zombie = try await harness.open()
        let (old, new) = (stage(round * 2), stage(round * 2 + 1))
        let folders = 0..<4
        try await zombie.enter(old)
        let (begun, begin) = AsyncStream.makeStream(of: Int.self)
        try await withThrowingTaskGroup { group in
            for folder in folders {
                group.addTask {
                    try await haunt("d\(folder)", zombie, old) { begin.yield(folder) }
                }
            }
            var waiting = Set(folders)
            for await folder in begun {
                waiting.remove(folder)
                if waiting.isEmpty { break }
            }
            let successor = try await harness.open()
            try await successor.revoke([old], others: false, keeping: new)
            try await successor.enter(new)
            for folder in folders {
                let kept = "d\(folder)/kept"
                try await successor.apply(put(kept, "new \(round)"), through: new)
                try await successor.apply(delete("d\(folder)/gone"), through: new)
            }
            try await group.waitForAll()
        }
        for folder in folders {
            try await expect("d\(folder)/kept", .text("new \(round)"), harness)
            try await expect("d\(folder)/gone", nil, harness)
        }
    }

    /// Writes until it is refused; any other failure than the refusal is a complaint.
    private static func haunt(
        _ folder: String, _ zombie: any SandboxWriter, _ stage: StageName, begun: () -> Void
    ) async throws {
        for count in 0... {
            do {
                try await zombie.apply(put("\(folder)/kept", "old"), through: stage)
                try await zombie.apply(put("\(folder)/gone", "old"), through: stage)
                if count % 3 == 0 {
                    try await zombie.apply(delete("\(folder)/kept"), through: stage)
                }
            } catch let error as SandboxError {
                guard error.code == SandboxError.revokedCode else { throw error }
                begun()
                return
            }
            if count == 3 { begun() }
            // A sandbox in memory never waits; the successor needs a thread too.
            await Task.yield()
        }
    }
}
