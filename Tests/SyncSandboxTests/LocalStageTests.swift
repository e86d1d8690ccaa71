internal import Foundation
internal import Glibc
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Testing

/// Revocation in the kernel, markers and roots of local directories.
struct LocalStageTests {
    private let stage = SandboxConformance.stage(1)
    private let next = SandboxConformance.stage(2)

    // Trace A5 (corrected): a zombie that holds a descriptor of its stage.
    @Test func `a descriptor that was open before the revocation is of no use`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try await writer.apply(SandboxConformance.put("a", "1"), through: stage)
        let held = open(sandbox.path + "/.syncd/stage/\(stage)", O_RDONLY | O_DIRECTORY)
        defer { close(held) }
        let folder = open(sandbox.path, O_RDONLY | O_DIRECTORY)
        defer { close(folder) }
        close(openat(held, "staged", O_WRONLY | O_CREAT, 0o644))
        try await sandbox.writer().revoke([stage], others: false, keeping: next)
        #expect(openat(held, "late", O_WRONLY | O_CREAT, 0o644) == -1 && errno == ENOENT)
        #expect(renameat(held, "staged", folder, "a") == -1 && errno == ENOENT)
        #expect(renameat(folder, "a", held, "grave") == -1 && errno == ENOENT)
        #expect(try sandbox.entry("a") == .text("1"))
        #expect(try sandbox.entry(".syncd/stage/\(stage)") == .text(""))
    }

    @Test func `a directory that stands in a stage is moved away, not removed`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        _ = try await sandbox.entered()
        try sandbox.makeDirectory(".syncd/stage/\(stage)/somebodys/own")
        try await sandbox.writer().revoke([stage], others: false, keeping: next)
        let found = try sandbox.names("p1/.syncd").filter { $0.hasPrefix("found.") }
        #expect(try sandbox.names("p1/.syncd/\(#require(found.first))") == ["own"])
    }

    @Test func `a link in the place of a stage is refused, and revoked by its removal`()
        async throws
    {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        try sandbox.makeDirectory(".syncd/stage")
        try sandbox.makeDirectory("outside")
        try sandbox.link(".syncd/stage/\(stage)", to: sandbox.path + "/outside")
        let writer = try sandbox.writer()
        let error = try await failure { try await writer.enter(stage) }
        #expect(error.code == SandboxError.revokedCode)
        try await writer.revoke([stage], others: false, keeping: next)
        #expect(try sandbox.entry(".syncd/stage/\(stage)") == .text(""))
        #expect(try sandbox.entry("outside") == .directory)
    }

    @Test func `a sandbox that was removed is a target failure, not a revocation`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try FileManager.default.removeItem(atPath: sandbox.path)
        for edit in [
            try SandboxConformance.put("a", "1"), try SandboxConformance.put("d/a", "1"),
            try SandboxConformance.delete("a"),
        ] {
            let error = try await failure { try await writer.apply(edit, through: stage) }
            #expect(error.failureClass == .target)
            #expect(error.code == "sandbox-missing")
        }
        #expect(try sandbox.names("") == [".syncd-root"])
    }

    @Test func `a sandbox put in the place of another is not written by a former stage`()
        async throws
    {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let zombie = try await sandbox.entered()
        try FileManager.default.moveItem(atPath: sandbox.path, toPath: sandbox.root + "/before")
        let successor = try sandbox.writer()
        try await successor.revoke([], others: true, keeping: next)
        try await successor.enter(next)
        // It writes where its stage is, which is not where the sandbox should be: not visible.
        let error = try await failure {
            try await zombie.apply(SandboxConformance.put("a", "old"), through: stage)
        }
        #expect(error.failureClass == .target)
        #expect(try sandbox.entry("a") == nil)
        #expect(try sandbox.names("before") == [".syncd", "a"])
    }

    @Test(arguments: [false, true])
    func `a write into a sandbox that was moved away is not told as visible`(
        isRoot: Bool
    ) async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try await writer.apply(SandboxConformance.put("a", "1"), through: stage)
        let place = isRoot ? sandbox.root : sandbox.path
        try FileManager.default.moveItem(atPath: place, toPath: place + ".moved")
        for edit in [
            try SandboxConformance.put("a", "2"), try SandboxConformance.put("d/b", "2"),
            try SandboxConformance.delete("a"),
        ] {
            let error = try await failure { try await writer.apply(edit, through: stage) }
            #expect(error.failureClass == .target)
            #expect(error.code == (isRoot ? "root-missing" : "sandbox-missing"))
        }
        try FileManager.default.moveItem(atPath: place + ".moved", toPath: place)
        try await writer.apply(SandboxConformance.put("a", "3"), through: stage)
        #expect(try sandbox.entry("a") == .text("3"))
    }

    @Test func `a stage that vanished is revoked and is not made again`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try FileManager.default.removeItem(atPath: sandbox.path + "/.syncd/stage/\(stage)")
        let put = try SandboxConformance.put("a", "1")
        for _ in 0..<2 {
            let error = try await failure { try await writer.apply(put, through: stage) }
            #expect(error.failureClass == .worker)
            #expect(error.code == SandboxError.revokedCode)
            let entering = try await failure { try await writer.enter(stage) }
            #expect(entering.code == SandboxError.revokedCode)
        }
        #expect(try sandbox.names("p1/.syncd/stage").isEmpty)
    }

    @Test(arguments: [
        "", "{}", "[1", #"{"journal":"x","project":"p1","generation":1,"bootID":""}"#,
    ])
    func `a marker that makes no sense is no blank sandbox`(text: String) async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        try sandbox.makeDirectory(".syncd")
        try text.write(toFile: sandbox.path + "/.syncd/marker", atomically: false, encoding: .utf8)
        let writer = try sandbox.writer()
        let error = try await failure { _ = try await writer.marker() }
        #expect(error.failureClass == .target)
        #expect(error.code == "marker-unreadable")
    }

    // Trace C9.
    @Test func `a root that is missing is away and is not made`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try sandbox.writer()
        try FileManager.default.removeItem(atPath: sandbox.root)
        for call in [
            { _ = try await writer.marker() }, { try await writer.enter(stage) },
            { try await writer.revoke([], others: true, keeping: stage) },
            { _ = try await sandbox.provider().localRootID() },
        ] as [() async throws -> Void] {
            let error = try await failure(call)
            #expect(error.failureClass == .target)
            #expect(error.code == "root-missing")
        }
        #expect(!FileManager.default.fileExists(atPath: sandbox.root))
    }

    @Test func `processes that start together agree on the root's id`() async throws {
        for _ in 0..<20 {
            let sandbox = try LocalSandbox()
            defer { sandbox.remove() }
            let ids = try await withThrowingTaskGroup(of: String?.self) { group in
                for _ in 0..<8 {
                    group.addTask { try await sandbox.provider().localRootID() }
                }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect(ids.count == 1)
            #expect(try sandbox.names("") == [".syncd-root"])
        }
    }

    @Test func `two roots differ, and one root by two paths is one`() async throws {
        let (first, second) = (try LocalSandbox(), try LocalSandbox())
        defer {
            first.remove()
            second.remove()
        }
        let id = try await first.provider().localRootID()
        #expect(try await second.provider().localRootID() != id)
        let name = URL(filePath: first.root).lastPathComponent
        let other = LocalDirectoryProvider(root: first.root + "/../" + name)
        #expect(try await other.localRootID() == id)
    }

    @Test func `another directory under the root's path is refused`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let provider = sandbox.provider()
        let writer = try provider.writer(for: LocalSandbox.target())
        _ = try await provider.localRootID()
        try FileManager.default.removeItem(atPath: sandbox.root + "/.syncd-root")
        let error = try await failure { _ = try await writer.marker() }
        #expect(error.failureClass == .target)
        #expect(error.code == "root-changed")
    }

    @Test func `a target has one writer, and another scheme none`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let provider = sandbox.provider()
        let first = try provider.writer(for: LocalSandbox.target())
        let second = try provider.writer(for: LocalSandbox.target())
        #expect(ObjectIdentifier(first as AnyObject) == ObjectIdentifier(second as AnyObject))
        let e2b = try #require(TargetURL("e2b:x"))
        let error = try await failure { _ = try provider.writer(for: e2b) }
        #expect(error.failureClass == .file)
    }
}
