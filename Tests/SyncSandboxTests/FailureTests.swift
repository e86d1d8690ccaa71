internal import Foundation
internal import Glibc
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Testing

private let isRoot = getuid() == 0

/// Failures of the file system, and what they count as (trace C8).
struct FailureTests {
    private let stage = SandboxConformance.stage(1)

    @Test(.enabled(if: isRoot, "mounts need root"))
    func `a full disk is the target's failure and leaves the old file`() async throws {
        let sandbox = try LocalSandbox(mountBytes: 256 * 1_024)
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try await writer.apply(SandboxConformance.put("a", "old"), through: stage)
        let large = SandboxEdit(
            path: try EditPath("a"),
            change: .put(Content([UInt8](repeating: 1, count: 1_048_576)), isExecutable: false),
            sequence: EditSequence(2), version: Version(2))
        let error = try await failure { try await writer.apply(large, through: stage) }
        #expect(error.failureClass == .target)
        #expect(error.code == "ENOSPC")
        #expect(try sandbox.entry("a") == .text("old"))
        #expect(try sandbox.staged(stage).isEmpty)
        // What is left is enough to be read, and for nothing else.
        let ballast = SandboxEdit(
            path: try EditPath("ballast"),
            change: .put(Content([UInt8](repeating: 1, count: 224 << 10)), isExecutable: false),
            sequence: EditSequence(3), version: Version(3))
        try await writer.apply(ballast, through: stage)
        let trying = try await failure { try await writer.tryWriting() }
        #expect(trying.failureClass == .target)
        #expect(trying.code == "ENOSPC")
        #expect(try sandbox.names("p1/.syncd").sorted() == ["stage"])
        try await writer.apply(SandboxConformance.delete("ballast"), through: stage)
        try await writer.tryWriting()
        try await writer.apply(SandboxConformance.put("b/c", "new"), through: stage)
        #expect(try sandbox.entry("b/c") == .text("new"))
    }

    @Test(.enabled(if: isRoot, "mounts need root"))
    func `a file system that became read-only is the target's failure`() async throws {
        let sandbox = try LocalSandbox(mountBytes: 256 * 1_024)
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try await writer.apply(SandboxConformance.put("a", "1"), through: stage)
        try sandbox.remount(isReadOnly: true)
        for edit in [
            try SandboxConformance.put("a", "2"), try SandboxConformance.delete("a"),
            try SandboxConformance.put("d/e", "2"),
        ] {
            let error = try await failure { try await writer.apply(edit, through: stage) }
            #expect(error.failureClass == .target)
            #expect(error.code == "EROFS")
        }
        let revoking = try await failure {
            try await writer.revoke(
                [SandboxConformance.stage(5)], others: false, keeping: stage)
        }
        #expect(revoking.code == "EROFS")
        // It can still be read, but a trial tells.
        _ = try await writer.marker()
        let trying = try await failure { try await writer.tryWriting() }
        #expect(trying.failureClass == .target)
        #expect(trying.code == "EROFS")
        try sandbox.remount(isReadOnly: false)
        try await writer.tryWriting()
        try await writer.apply(SandboxConformance.put("a", "2"), through: stage)
        #expect(try sandbox.entry("a") == .text("2"))
    }

    @Test(.enabled(if: isRoot, "chattr needs root"))
    func `a file or folder that may not change is that file's failure`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try await writer.apply(SandboxConformance.put("a", "1"), through: stage)
        try await writer.apply(SandboxConformance.put("d/b", "1"), through: stage)
        try SystemTool.run("chattr", ["+i", sandbox.path + "/a"])
        try SystemTool.run("chattr", ["+i", sandbox.path + "/d"])
        defer {
            _ = try? SystemTool.run("chattr", ["-i", sandbox.path + "/a"])
            _ = try? SystemTool.run("chattr", ["-i", sandbox.path + "/d"])
        }
        for edit in [
            try SandboxConformance.put("a", "2"), try SandboxConformance.delete("a"),
            try SandboxConformance.put("d/b", "2"), try SandboxConformance.put("d/e/f", "2"),
            try SandboxConformance.delete("d/b"),
        ] {
            let error = try await failure { try await writer.apply(edit, through: stage) }
            #expect(error.failureClass == .file)
            #expect(error.code == "EPERM")
            #expect(error.message.contains("'\(edit.path)'"))
        }
        #expect(try sandbox.entry("a") == .text("1"))
        #expect(try sandbox.staged(stage).isEmpty)
    }

    @Test(.enabled(if: isRoot, "mounts need root"))
    func `a folder on another file system is that file's failure`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try sandbox.makeDirectory("mounted")
        let place = sandbox.path + "/mounted"
        try #require(mount("tmpfs", place, "tmpfs", 0, "size=64k") == 0)
        defer { umount2(place, Int32(MNT_DETACH)) }
        let put = try SandboxConformance.put("mounted/a", "1")
        let error = try await failure { try await writer.apply(put, through: stage) }
        #expect(error.failureClass == .file)
        #expect(error.code == "EXDEV")
        let over = try SandboxConformance.put("mounted", "1")
        let busy = try await failure { try await writer.apply(over, through: stage) }
        #expect(busy.failureClass == .attempt)
    }

    @Test func `a file where syncd keeps house is the target's failure`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        try FileManager.default.createDirectory(
            atPath: sandbox.path, withIntermediateDirectories: false)
        try "".write(toFile: sandbox.path + "/.syncd", atomically: false, encoding: .utf8)
        let writer = try sandbox.writer()
        for call in [
            { try await writer.enter(stage) }, { _ = try await writer.marker() },
        ] as [() async throws -> Void] {
            let error = try await failure(call)
            #expect(error.failureClass == .target)
            #expect(error.code == "ENOTDIR")
        }
    }

    @Test(arguments: [
        (FailureClass.file, [EACCES, EPERM, ENAMETOOLONG, ELOOP, EXDEV]),
        (.attempt, [EIO, EBUSY, ETIMEDOUT, 4_000]), (.shape, [ENOTDIR, EISDIR, ENOTEMPTY]),
        (.target, [ENOSPC, EDQUOT, EROFS, ESTALE]), (.worker, [EMFILE, ENFILE, ENOMEM]),
    ])
    func `every number has its class, and no place is one file's fault`(
        failureClass: FailureClass, numbers: [Int32]
    ) throws {
        let path = try EditPath("a/b")
        for number in numbers {
            let error = Errno(number).failure("write", .file(path))
            #expect(error.failureClass == failureClass)
            #expect(error.message.hasPrefix("Could not write 'a/b': \(error.code) ("))
            let place = Errno(number).failure("open", .place("the root"))
            #expect(place.failureClass != .file && place.failureClass != .shape)
        }
    }
}
