internal import Foundation
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Testing

private let stage = SandboxConformance.stage(1)

/// Sandboxes of E2B that pause, end, change their token, refuse, fill up.
struct E2BSessionTests {
    private static func put(_ text: String, _ path: String = "a") throws -> SandboxEdit {
        try SandboxConformance.put(path, text)
    }

    private static func marker(_ generation: UInt64 = 1) throws -> SandboxMarker {
        guard let project = ProjectName("p1") else { throw SandboxComplaint("no name") }
        return SandboxMarker(
            journal: JournalID(bits: 7), project: project, generation: generation, bootID: "b")
    }

    // MARK: Life

    @Test func `an edit resumes a paused sandbox by one connect, however many wait`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.pause(E2BSandbox.id)
            let before = sandbox.double.count(.connect)
            try await withThrowingTaskGroup { group in
                for number in 0..<20 {
                    group.addTask {
                        try await writer.apply(Self.put("1", "f\(number)"), through: stage)
                    }
                }
                try await group.waitForAll()
            }
            #expect(sandbox.double.count(.connect) == before + 1)
            #expect(try sandbox.names("").count == 21)
        }
    }

    @Test func `looking at the marker leaves a paused sandbox paused`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try await writer.mark(Self.marker())
            sandbox.double.pause(E2BSandbox.id)
            #expect(try await writer.marker() == Self.marker())
            #expect(sandbox.double.isPaused(E2BSandbox.id))
            try await writer.apply(Self.put("1"), through: stage)
            #expect(!sandbox.double.isPaused(E2BSandbox.id))
        }
    }

    @Test func `a sandbox that was rolled back while it was paused takes no write`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try await writer.mark(Self.marker(2))
            sandbox.double.pause(E2BSandbox.id)
            let other = try sandbox.writer()
            try await other.mark(Self.marker(1))
            sandbox.double.pause(E2BSandbox.id)
            // Not the first of them only.
            for path in ["a", "b"] {
                let error = try await failure {
                    try await writer.apply(Self.put("1", path), through: stage)
                }
                #expect(error.failureClass == .target)
                #expect(error.code == TargetCode.rolledBack)
            }
            #expect(try sandbox.names("") == [".syncd"])
        }
    }

    @Test func `edits extend the sandbox's life before it runs out`() async throws {
        try await E2BSandbox.with { sandbox in
            // The sandbox itself lives longer: a loaded machine may take its time.
            let life = Duration.seconds(4)
            let writer = try await sandbox.entered { $0.life = life }
            let start = ContinuousClock.now
            var longest = Duration.zero
            try await Patience.until("its life was extended") {
                let before = ContinuousClock.now
                try await writer.apply(Self.put("1"), through: stage)
                longest = max(longest, ContinuousClock.now - before)
                return sandbox.double.count(.connect) >= 2
            }
            // In time, unless the machine slept.
            #expect(ContinuousClock.now - start < life || longest > life / 4)
            #expect(sandbox.double.livesAsked.allSatisfy { $0 == 4 })
        }
    }

    @Test func `a sandbox that was killed is gone`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.kill(E2BSandbox.id)
            for call in [
                { try await writer.apply(Self.put("1"), through: stage) },
                { _ = try await writer.marker() }, { try await writer.enter(stage) },
            ] as [() async throws -> Void] {
                let error = try await failure(call)
                #expect(error.failureClass == .target)
                #expect(error.code == TargetCode.gone)
            }
        }
    }

    @Test func `a token that changed is fetched anew, once for all writes`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.rotateToken(of: E2BSandbox.id)
            let before = sandbox.double.count(.connect)
            try await withThrowingTaskGroup { group in
                for number in 0..<10 {
                    group.addTask {
                        try await writer.apply(Self.put("1", "f\(number)"), through: stage)
                    }
                }
                try await group.waitForAll()
            }
            #expect(sandbox.double.count(.connect) == before + 1)
        }
    }

    @Test(arguments: ["0.5.7", "0.6.1", "0.1", "nonsense"])
    func `an envd that is too old is told`(version: String) async throws {
        try await E2BSandbox.with { sandbox in
            sandbox.double.setVersion(version)
            let error = try await failure { _ = try await sandbox.writer().marker() }
            #expect(error.failureClass == .target)
            #expect(error.code == "envd-too-old")
        }
    }

    // MARK: Refusals

    struct Refusal: Sendable, CustomTestStringConvertible {
        let kind: E2BDouble.Kind
        let status: Int
        let message: String
        var retryAfter: Int?
        let failureClass: FailureClass
        let code: String

        var testDescription: String { "\(kind) \(status) \(code)" }
    }

    static let refusals = [
        Refusal(
            kind: .upload, status: 429, message: "Rate limit exceeded", retryAfter: 7,
            failureClass: .target, code: "rate-limited"),
        Refusal(
            kind: .upload, status: 429, message: "too many connections", failureClass: .target,
            code: "rate-limited"),
        Refusal(
            kind: .upload, status: 503, message: "unavailable", retryAfter: 3,
            failureClass: .attempt, code: "e2b-503"),
        Refusal(
            kind: .upload, status: 401, message: "unauthorized access", failureClass: .target,
            code: "unauthorized"),
        Refusal(
            kind: .upload, status: 403, message: "forbidden", failureClass: .target,
            code: "forbidden"),
        Refusal(
            kind: .upload, status: 409, message: "still transitioning", failureClass: .target,
            code: "transitioning"),
        Refusal(
            kind: .upload, status: 502, message: "The sandbox is running but port is not open",
            failureClass: .target, code: "unreachable"),
        Refusal(
            kind: .upload, status: 507, message: "not enough disk space available",
            failureClass: .target, code: "ENOSPC"),
        Refusal(
            kind: .upload, status: 400, message: "bad path", failureClass: .file, code: "e2b-400"),
        Refusal(
            kind: .upload, status: 413, message: "too large", failureClass: .file, code: "e2b-413"),
        Refusal(
            kind: .move, status: 500, message: "rename: permission denied", failureClass: .file,
            code: "EACCES"),
        Refusal(
            kind: .move, status: 500, message: "rename: invalid cross-device link",
            failureClass: .file, code: "EXDEV"),
        Refusal(
            kind: .move, status: 500, message: "rename: file name too long",
            failureClass: .file, code: "ENAMETOOLONG"),
        Refusal(
            kind: .move, status: 429, message: "Rate limit exceeded", retryAfter: 2,
            failureClass: .target, code: "rate-limited"),
    ]

    @Test(arguments: refusals)
    func `every answer has its class`(refusal: Refusal) async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            sandbox.double.fail(
                refusal.kind, times: 100,
                with: .refuse(refusal.status, refusal.message, retryAfter: refusal.retryAfter))
            let error = try await failure {
                try await writer.apply(Self.put("content-of-the-file"), through: stage)
            }
            #expect(error.failureClass == refusal.failureClass)
            #expect(error.code == refusal.code)
            #expect(error.retryAfter == refusal.retryAfter.map { .seconds($0) })
            sandbox.expectNoSecret(in: error)
            sandbox.double.mend()
            try await writer.apply(Self.put("2"), through: stage)
            #expect(try sandbox.entry("a") == .text("2"))
        }
    }

    @Test func `a rate limit on connecting is told with its wait, and asked once`() async throws {
        try await E2BSandbox.with { sandbox in
            sandbox.double.fail(
                .connect, times: 100, with: .refuse(429, "Rate limit exceeded", retryAfter: 5))
            let writer = try sandbox.writer()
            for _ in 0..<5 {
                let error = try await failure { _ = try await writer.marker() }
                #expect(error.failureClass == .target)
                #expect(error.retryAfter == .seconds(5))
            }
            #expect(sandbox.double.count(.connect) == 1)
        }
    }

    @Test func `a full disk leaves the file as it was`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try await writer.apply(Self.put("before"), through: stage)
            sandbox.double.fail(.upload, with: .fullDisk(after: 3))
            let error = try await failure {
                try await writer.apply(Self.put("after it"), through: stage)
            }
            #expect(error.failureClass == .target)
            #expect(error.code == "ENOSPC")
            #expect(try sandbox.entry("a") == .text("before"))
            // Not even the part that was written stays.
            #expect(try sandbox.names(".syncd/stage/\(stage)").isEmpty)
            sandbox.double.fail(.upload, path: "trial", with: .fullDisk(after: 10))
            let trial = try await failure { try await writer.tryWriting() }
            #expect(trial.code == "sandbox-missing" || trial.code == "ENOSPC")
            #expect(try sandbox.names(".syncd").allSatisfy { !$0.hasPrefix("trial") })
        }
    }

    @Test func `nobody who listens is a target out of reach`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            await sandbox.double.stop()
            let error = try await failure {
                try await writer.apply(Self.put("1"), through: stage)
            }
            #expect(error.failureClass == .target || error.failureClass == .attempt)
            let again = try await failure {
                try await writer.apply(Self.put("1"), through: stage)
            }
            #expect(again.failureClass == .target)
            #expect(again.code == "unreachable")
        }
    }

    @Test func `a request without an answer ends at its deadline`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered { $0.uploadDeadline = .milliseconds(100) }
            sandbox.double.fail(.upload, path: "stage", with: .hold)
            let error = try await failure {
                try await writer.apply(Self.put("1"), through: stage)
            }
            #expect(error.failureClass == .attempt)
            #expect(error.code == "no-answer")
        }
    }

    // MARK: Addresses and confinement

    @Test func `a sandbox is reached by its own host name, too`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered { configuration in
                configuration.apiURL = nil
                configuration.sandboxURL = nil
                configuration.scheme = "http"
                configuration.domain = "e2b.test:\(sandbox.double.port)"
                configuration.addresses = [
                    "api.e2b.test": "127.0.0.1",
                    "49983-\(E2BSandbox.id).e2b.test": "127.0.0.1",
                ]
            }
            try await writer.apply(Self.put("1"), through: stage)
            #expect(try sandbox.entry("a") == .text("1"))
        }
    }

    @Test func `a link on the way is refused, one in the place of the file is replaced`()
        async throws
    {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            let files = FileManager.default
            try sandbox.makeDirectory("elsewhere")
            for name in ["link", "last"] {
                try files.createSymbolicLink(
                    atPath: sandbox.path + "/" + name,
                    withDestinationPath: sandbox.path + "/elsewhere")
            }
            for edit in [
                try Self.put("1", "link/a"), try SandboxConformance.delete("link/a"),
            ] {
                let error = try await failure { try await writer.apply(edit, through: stage) }
                #expect(error.failureClass == .file)
                #expect(error.code == "ELOOP")
            }
            try await writer.apply(Self.put("1", "last"), through: stage)
            #expect(try sandbox.entry("last") == .text("1"))
            #expect(try sandbox.names("elsewhere").isEmpty)
        }
    }

    @Test(arguments: ["~", "~root/x", "a b+c%2F/ü&=?#", "~/x"])
    func `names that envd would take for something else are names`(path: String) async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            try await writer.apply(Self.put("1", path), through: stage)
            #expect(try sandbox.entry(path) == .text("1"))
            try await writer.apply(SandboxConformance.delete(path), through: stage)
            #expect(try sandbox.names("") == [".syncd"])
        }
    }

    @Test(arguments: ["e2b:UPPER", "e2b:a_b", "e2b:abc..x", "e2b:-"])
    func `a target that names no sandbox is told`(text: String) async throws {
        try await E2BSandbox.with { sandbox in
            let target = try #require(TargetURL(text))
            let provider = try sandbox.provider()
            let error = try await failure { _ = try provider.writer(for: target) }
            #expect(error.failureClass == .target)
            #expect(error.code == "bad-target")
        }
    }

    // MARK: Cost

    @Test func `a put costs two requests, an executable one three, a delete four`() async throws {
        try await E2BSandbox.with { sandbox in
            let writer = try await sandbox.entered()
            func cost(_ edit: SandboxEdit) async throws -> Int {
                let before = sandbox.double.fileRequests
                try await writer.apply(edit, through: stage)
                return sandbox.double.fileRequests - before
            }
            #expect(try await cost(Self.put("1")) == 2)
            #expect(
                try await cost(SandboxConformance.put("a", "1", isExecutable: true)) == 3)
            #expect(try await cost(SandboxConformance.delete("a")) == 3)
            #expect(try await cost(Self.put("1", "d/a")) == 3)
            #expect(try await cost(Self.put("2", "d/a")) == 3)
            #expect(try await cost(Self.put("3", "d/a")) == 2)
            #expect(try await cost(SandboxConformance.delete("d/a")) == 4)
            let before = sandbox.double.fileRequests
            try await sandbox.writer().revoke(
                [stage], others: false, keeping: SandboxConformance.stage(2))
            #expect(sandbox.double.fileRequests - before == 15)
        }
    }

    @Test func `the key is shown by nothing`() async throws {
        try await E2BSandbox.with { sandbox in
            let configuration = try sandbox.configuration()
            for text in ["\(configuration)", String(reflecting: configuration)] {
                #expect(!text.contains(sandbox.double.key))
            }
            #expect(E2BKey("e2b_") == nil)
            #expect(E2BKey("e2b_xyz\r\nx: y") == nil)
        }
    }
}

extension E2BSandbox {
    /// Expects that an error shows neither key nor token nor content.
    func expectNoSecret(in error: SandboxError) {
        for secret in [double.key, double.token(of: Self.id) ?? "-", "content-of-the-file"] {
            #expect(!error.message.contains(secret))
        }
    }
}
