internal import Foundation
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Testing

private let stage = SandboxConformance.stage(1)

/// Links and names that somebody in the sandbox makes; envd follows links, as root.
struct E2BLinkTests {
    private static func link(_ sandbox: E2BSandbox, _ path: String, to destination: String) throws {
        try FileManager.default.createSymbolicLink(
            atPath: sandbox.path + "/" + path, withDestinationPath: destination)
    }

    @Test(arguments: ["elsewhere", "./real", "nowhere", "link"], [false, true])
    func `a link is deleted, and nothing that it leads to`(
        destination: String, isAnswerLost: Bool
    ) async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try sandbox.makeDirectory("elsewhere/keep")
            try sandbox.makeDirectory("d")
            try await writer.apply(
                try SandboxConformance.put("d/real", "x", sequence: 1), through: stage)
            try Self.link(
                sandbox, "d/link", to: destination == "elsewhere" ? "../elsewhere" : destination)
            if isAnswerLost { sandbox.double.fail(.move, with: .loseAnswer) }
            try await writer.apply(try SandboxConformance.delete("d/link"), through: stage)
            #expect(try sandbox.names("d") == ["real"])
            #expect(try sandbox.names("elsewhere") == ["keep"])
        }
    }

    @Test func `a revocation removes nothing through a link`() async throws {
        try await E2BSandbox.with { sandbox in
            _ = try await sandbox.entered()
            try sandbox.makeDirectory("elsewhere/keep")
            try Self.link(sandbox, ".syncd/stage/1.9", to: sandbox.path + "/elsewhere")
            let next = SandboxConformance.stage(2)
            try await sandbox.writer().revoke([], others: true, keeping: next)
            #expect(try sandbox.names("elsewhere") == ["keep"])
        }
    }

    @Test func `stages behind a link are revoked by nobody`() async throws {
        try await E2BSandbox.with { sandbox in
            try sandbox.makeDirectory("elsewhere/keep/it")
            try sandbox.makeDirectory(".syncd")
            try Self.link(sandbox, ".syncd/stage", to: sandbox.path + "/elsewhere")
            let error = try await failure {
                try await sandbox.writer().revoke(
                    [], others: true, keeping: SandboxConformance.stage(2))
            }
            #expect(error.failureClass == .target)
            #expect(error.code == "ELOOP")
            #expect(try sandbox.names("elsewhere/keep") == ["it"])
        }
    }

    @Test func `a number that is too big for a revocation is not counted`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try sandbox.makeDirectory(".syncd/revoked/\(stage)/\(Int.max)")
            try await sandbox.writer().revoke(
                [stage], others: false, keeping: SandboxConformance.stage(2))
            let error = try await failure {
                try await writer.apply(
                    try SandboxConformance.put("a", "x", sequence: 1), through: stage)
            }
            #expect(error.code == SandboxError.revokedCode)
        }
    }
}
