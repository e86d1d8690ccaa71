internal import Foundation
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Testing

private let stage = SandboxConformance.stage(1)

/// Each fault of E2B, played by the double, and what a worker makes of it.
struct E2BFaultTests {
    private static func put(
        _ text: String, _ path: String = "a", sequence: UInt64 = 1
    ) throws -> SandboxEdit {
        try SandboxConformance.put(path, text, sequence: sequence)
    }

    // MARK: Answers that get lost

    // Trace A4.
    @Test(arguments: [E2BDouble.Fault.late, .lateTimedOut])
    func `a late move of the same worker loses`(fault: E2BDouble.Fault) async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(.move, with: fault)
            let error = try await failure {
                try await writer.apply(Self.put("old", sequence: 5), through: stage)
            }
            #expect(error.failureClass == .attempt)
            #expect(sandbox.double.lateCount == 1)
            try await writer.apply(Self.put("new", sequence: 7), through: stage)
            #expect(sandbox.double.executeLate() == [404])
            #expect(try sandbox.entry("a") == .text("new"))
        }
    }

    @Test(arguments: [E2BDouble.Fault.loseAnswer, .unreachableAfterEffect])
    func `a move whose answer was lost is found to be done`(fault: E2BDouble.Fault) async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(.move, with: fault)
            try await writer.apply(Self.put("1"), through: stage)
            #expect(try sandbox.entry("a") == .text("1"))
            #expect(sandbox.double.count(.move) == 1)
            #expect(sandbox.double.count(.upload) == 1)
        }
    }

    @Test func `a move is settled before its attempt ends, however often that fails`()
        async throws
    {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(.move, with: .late)
            sandbox.double.fail(.remove, times: 3, with: .refuse(503, "unavailable"))
            sandbox.double.fail(.remove, times: 2, with: .loseAnswer)
            sandbox.double.fail(.stat, times: 2, path: "/a", with: .loseAnswer)
            await #expect(throws: SandboxError.self) {
                try await writer.apply(Self.put("old"), through: stage)
            }
            // The staged file is gone for certain: what is executed now finds nothing.
            #expect(sandbox.double.executeLate() == [404])
            #expect(try sandbox.entry("a") == nil)
        }
    }

    @Test func `a late delete loses against the put that follows it`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try await writer.apply(Self.put("1"), through: stage)
            sandbox.double.fail(.move, with: .late)
            let delete = try SandboxConformance.delete("a")
            let error = try await failure { try await writer.apply(delete, through: stage) }
            #expect(error.failureClass == .attempt)
            try await writer.apply(Self.put("2", sequence: 3), through: stage)
            #expect(sandbox.double.executeLate() == [500])
            #expect(try sandbox.entry("a") == .text("2"))
        }
    }

    @Test func `a delete whose answer was lost is found to be done`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try await writer.apply(Self.put("1", "d/a"), through: stage)
            sandbox.double.fail(.move, with: .loseAnswer)
            try await writer.apply(SandboxConformance.delete("d/a"), through: stage)
            #expect(try sandbox.entry("d") == nil)
        }
    }

    @Test func `a late upload never mixes with the next attempt`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(.upload, path: "stage", with: .late)
            let error = try await failure {
                try await writer.apply(Self.put("old and long"), through: stage)
            }
            #expect(error.failureClass == .attempt)
            try await writer.apply(Self.put("new", sequence: 2), through: stage)
            #expect(sandbox.double.executeLate() == [200])
            #expect(try sandbox.entry("a") == .text("new"))
        }
    }

    // MARK: Zombies

    // Trace A4.
    @Test func `what a zombie sent before its revocation has no effect when it is executed after`()
        async throws
    {
        try await E2BSandbox.with { sandbox in
            let zombie = try await sandbox.entered()
            try await zombie.apply(Self.put("1"), through: stage)
            sandbox.double.fail(.upload, path: "stage", with: .late)
            sandbox.double.fail(.move, times: 2, with: .late)
            await #expect(throws: SandboxError.self) {
                try await zombie.apply(Self.put("zombie", sequence: 2), through: stage)
            }
            sandbox.double.fail(.remove, times: 1_000, with: .refuse(503, "unavailable"))
            async let put = failure {
                try await zombie.apply(Self.put("zombie", sequence: 3), through: stage)
            }
            try await Patience.until("a move is on its way") { sandbox.double.lateCount == 2 }
            let successor = try sandbox.writer()
            let next = SandboxConformance.stage(2)
            sandbox.double.mend()
            sandbox.double.fail(.move, path: "\(stage)", with: .loseAnswer)
            try await successor.revoke([stage], others: false, keeping: next)
            try await successor.enter(next)
            try await successor.apply(Self.put("new", sequence: 4), through: next)
            _ = try await put
            let statuses = sandbox.double.executeLate()
            #expect(statuses.allSatisfy { $0 >= 400 })
            #expect(statuses.count >= 2)
            #expect(try sandbox.entry("a") == .text("new"))
        }
    }

    @Test func `a revocation that is executed late takes no plain file away`() async throws {
        try await E2BSandbox.with { sandbox in
            let zombie = try await sandbox.entered()
            try await zombie.apply(Self.put("1"), through: stage)
            sandbox.double.fail(.move, path: ".syncd/revoked", with: .late)
            let successor = try sandbox.writer()
            let next = SandboxConformance.stage(2)
            try await successor.revoke([stage], others: false, keeping: next)
            #expect(sandbox.double.executeLate().allSatisfy { $0 >= 400 })
            let error = try await failure {
                try await zombie.apply(Self.put("2", sequence: 2), through: stage)
            }
            #expect(error.code == SandboxError.revokedCode)
            #expect(try sandbox.entry(".syncd/stage/\(stage)") == .text(""))
            #expect(try sandbox.entry("a") == .text("1"))
        }
    }

    @Test func `a revoker's late move loses although nobody else moved the stage away`()
        async throws
    {
        try await E2BSandbox.with { sandbox in
            _ = try await sandbox.entered()
            let next = SandboxConformance.stage(2)
            sandbox.double.fail(.move, path: ".syncd/revoked", with: .late)
            sandbox.double.fail(.move, path: ".syncd/revoked", with: .refuse(429, "limit"))
            await #expect(throws: SandboxError.self) {
                try await sandbox.writer().revoke([stage], others: false, keeping: next)
            }
            // A program in the sandbox takes the directory away.
            let path = sandbox.path + "/.syncd/stage/\(stage)"
            try FileManager.default.removeItem(atPath: path)
            try await sandbox.writer().revoke([stage], others: false, keeping: next)
            #expect(sandbox.double.executeLate() == [500])
            #expect(try sandbox.entry(".syncd/stage/\(stage)") == .text(""))
        }
    }

    // MARK: Readers

    @Test func `a reader during a thousand overwrites sees no torn content`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            let texts = ["x", "y"].map { String(repeating: $0, count: 20_000) }
            try await writer.apply(Self.put(texts[0]), through: stage)
            try await withThrowingTaskGroup { group in
                let isOver = Over()
                group.addTask {
                    defer { isOver.set() }
                    for round in 1...1_000 {
                        try await writer.apply(
                            Self.put(texts[round % 2], sequence: UInt64(round)), through: stage)
                    }
                }
                group.addTask {
                    while !isOver.isSet {
                        guard case .file(let bytes, _) = try sandbox.entry("a"),
                            bytes.count == 20_000, bytes.allSatisfy({ $0 == bytes[0] })
                        else { throw SandboxComplaint("half a file was read") }
                        await Task.yield()
                    }
                }
                try await group.waitForAll()
            }
            // The stage keeps nothing of it.
            #expect(try sandbox.names(".syncd/stage/\(stage)").isEmpty)
        }
    }
}

/// A word between a writer and a reader.
private final class Over: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false

    var isSet: Bool { lock.withLock { value } }
    func set() { lock.withLock { value = true } }
}
