internal import SyncCore

extension SandboxConformance {
    /// Clauses on what happens at the same time.
    static let crowds: [SandboxClause] = [
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
