internal import Foundation
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Testing

private let stage = SandboxConformance.stage(1)

/// Trouble that lasts: each refusal is told after a few requests, and as what it is.
struct E2BTroubleTests {
    private static func put(_ path: String = "a") throws -> SandboxEdit {
        try SandboxConformance.put(path, "1")
    }

    @Test func `a move that is refused again and again is asked once an attempt`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(
                .move, times: 1_000, with: .refuse(500, "rename: input/output error"))
            let error = try await failure { try await writer.apply(Self.put(), through: stage) }
            #expect(error.failureClass == .attempt)
            #expect(error.code == "e2b-500")
            #expect(sandbox.double.count(.move) == 1)
            #expect(try sandbox.names(".syncd/stage/\(stage)").isEmpty)
        }
    }

    @Test func `a stage that is cleared again and again is this attempt's trouble`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(
                .upload, times: 1_000,
                with: .refuse(500, "error opening file: no such file or directory"))
            let error = try await failure { try await writer.apply(Self.put(), through: stage) }
            // The worker has lost nothing: it goes on as the same incarnation.
            #expect(error.failureClass == .attempt)
            #expect(error.code == "stage-cleared")
            #expect(sandbox.double.count(.upload) == 10)
        }
    }

    @Test func `a revocation that is refused is told, not repeated`() async throws {
        try await E2BSandbox.with { sandbox in
            _ = try await sandbox.entered()
            sandbox.double.fail(
                .move, times: 1_000, with: .refuse(500, "rename: read-only file system"))
            let error = try await failure {
                try await sandbox.writer().revoke(
                    [stage], others: false, keeping: SandboxConformance.stage(2))
            }
            #expect(error.failureClass == .target)
            #expect(error.code == "EROFS")
            #expect(sandbox.double.count(.move) == 1)
        }
    }

    @Test func `what goes while it is listed is listed again, at a revocation too`() async throws {
        try await E2BSandbox.with { sandbox in
            _ = try await sandbox.entered()
            let gone = "error reading directory /9: no such file or directory"
            sandbox.double.fail(
                .list, times: 2, path: ".syncd/revoked", with: .refuse(500, gone))
            let next = SandboxConformance.stage(2)
            try await sandbox.writer().revoke([stage], others: false, keeping: next)
            #expect(try sandbox.entry(".syncd/stage/\(stage)") == .text(""))
        }
    }

    @Test func `a revocation without an answer is tried three times`() async throws {
        try await E2BSandbox.with { sandbox in
            _ = try await sandbox.entered()
            sandbox.double.fail(.move, times: 1_000, with: .lateTimedOut)
            let error = try await failure {
                try await sandbox.writer().revoke(
                    [stage], others: false, keeping: SandboxConformance.stage(2))
            }
            #expect(error.failureClass == .attempt)
            #expect(sandbox.double.count(.move) == 3)
        }
    }

    @Test(arguments: ["1.é", "1. 2", "ü"])
    func `a stage is revoked whatever its name`(name: String) async throws {
        try await E2BSandbox.with { sandbox in
            try sandbox.makeDirectory(".syncd/stage/\(name)")
            try await sandbox.writer().revoke(
                [], others: true, keeping: SandboxConformance.stage(2))
            #expect(try sandbox.entry(".syncd/stage/\(name)") == .text(""))
        }
    }

    @Test func `a chmod that was killed is tried again, one that is refused is not`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            let edit = try SandboxConformance.put("a", "1", isExecutable: true)
            sandbox.double.fail(.run, path: "chmod", with: .killCommand)
            let killed = try await failure { try await writer.apply(edit, through: stage) }
            #expect(killed.failureClass == .attempt)
            #expect(killed.code == "chmod-killed")
            sandbox.double.fail(
                .run, path: "chmod", with: .refuseCommand("not_found", "chmod: not found"))
            let missing = try await failure { try await writer.apply(edit, through: stage) }
            #expect(missing.failureClass == .file)
            #expect(missing.code == "chmod-failed")
            sandbox.double.fail(
                .run, path: "chmod", with: .refuseCommand("unknown", "fork: cannot allocate"))
            let short = try await failure { try await writer.apply(edit, through: stage) }
            #expect(short.failureClass == .attempt)
            try await writer.apply(edit, through: stage)
            #expect(try sandbox.entry("a") == .file(Array("1".utf8), isExecutable: true))
        }
    }

    @Test(arguments: [E2BDouble.Kind.stat, .move])
    func `a 404 of something on the way does not say that there is no file`(
        kind: E2BDouble.Kind
    ) async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try await writer.apply(Self.put(), through: stage)
            sandbox.double.fail(kind, path: "/a", with: .refuse(404, "no such route"))
            let delete = try SandboxConformance.delete("a")
            let error = try await failure { try await writer.apply(delete, through: stage) }
            #expect(error.failureClass == .attempt)
            #expect(try sandbox.entry("a") == .text("1"))
            try await writer.apply(delete, through: stage)
            #expect(try sandbox.entry("a") == nil)
        }
    }

    @Test(arguments: [1, 2])
    func `a folder that took the file's place is put back, though answers are lost`(
        losses: Int
    ) async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try await writer.apply(Self.put(), through: stage)
            sandbox.double.fail(.move, with: losses == 1 ? .hold : .holdAndLoseAnswer)
            sandbox.double.fail(.move, with: .loseAnswer)
            let delete = try SandboxConformance.delete("a")
            async let deleted = writer.apply(delete, through: stage)
            try await Patience.until("the move is on its way") { sandbox.double.heldCount == 1 }
            try FileManager.default.removeItem(atPath: sandbox.path + "/a")
            try sandbox.makeDirectory("a/keep")
            sandbox.double.release()
            _ = try await deleted
            #expect(try sandbox.names("a") == ["keep"])
            #expect(try sandbox.names(".syncd/stage/\(stage)").isEmpty)
        }
    }
}
