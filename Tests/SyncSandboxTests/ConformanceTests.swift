internal import SyncCore
internal import SyncTestKit
internal import Testing

/// The one suite that runs over every sandbox.
struct ConformanceTests {
    @Test(arguments: SandboxConformance.clauses)
    func `a local directory keeps the contract`(clause: SandboxClause) async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        try await clause.check(sandbox.harness())
    }

    @Test(arguments: SandboxConformance.clauses)
    func `a local directory keeps the contract while one stage can be open`(
        clause: SandboxClause
    ) async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        try await clause.check(sandbox.harness(fsync: true, openStagesMax: 1))
    }

    @Test(arguments: SandboxConformance.clauses)
    func `a sandbox of E2B keeps the contract`(clause: SandboxClause) async throws {
        try await E2BSandbox.with { try await clause.check($0.harness()) }
    }

    @Test(arguments: SandboxConformance.clauses)
    func `a directory in a sandbox of E2B keeps the contract`(clause: SandboxClause) async throws {
        try await E2BSandbox.with(directory: "app") { sandbox in
            try sandbox.makeDirectory("")
            try await clause.check(sandbox.harness())
        }
    }

    @Test(arguments: SandboxConformance.clauses)
    func `the sandbox in memory keeps the contract`(clause: SandboxClause) async throws {
        let sandbox = RecordingSandbox()
        try await clause.check(
            SandboxHarness(
                open: { sandbox.writer() }, entry: { sandbox.entry($0) },
                makeDirectory: { sandbox.makeDirectory($0) },
                removeAll: { sandbox.removeAll() }))
    }
}

/// What tests of workers rely on.
struct RecordingSandboxTests {
    private let stage = SandboxConformance.stage(1)

    @Test func `a held write that goes on after the revocation has no effect`() async throws {
        let sandbox = RecordingSandbox()
        let zombie = sandbox.writer()
        try await zombie.enter(stage)
        sandbox.hold()
        let put = try SandboxConformance.put("a", "old")
        async let outcome = failure { try await zombie.apply(put, through: stage) }
        await sandbox.holds(1)
        try await sandbox.writer().revoke(
            [stage], others: false, keeping: SandboxConformance.stage(2))
        sandbox.release()
        #expect(try await outcome.code == SandboxError.revokedCode)
        #expect(sandbox.paths.isEmpty)
    }

    @Test func `it fails where the test says so, and remembers the call`() async throws {
        let sandbox = RecordingSandbox()
        sandbox.fail { call in
            guard case .apply = call else { return nil }
            return SandboxError(.target, code: "ENOSPC", "full")
        }
        let writer = sandbox.writer()
        try await writer.enter(stage)
        let put = try SandboxConformance.put("a", "1")
        let error = try await failure { try await writer.apply(put, through: stage) }
        #expect(error.failureClass == .target)
        #expect(
            sandbox.calls == [.enter(stage), .apply(put.path, put.change, put.sequence, stage)])
    }
}
