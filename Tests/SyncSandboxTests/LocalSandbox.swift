internal import Foundation
internal import Glibc
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit

/// A local root of its own for a test, with one sandbox in it; ``remove()`` ends it.
final class LocalSandbox: Sendable {
    /// The root's path.
    let root: String
    /// The sandbox's path.
    let path: String

    private let isMounted: Bool

    /// Makes the root.
    ///
    /// - Parameter mountBytes: Makes it a file system of its own in memory, of this size.
    init(mountBytes: Int? = nil) throws {
        root = NSTemporaryDirectory() + "/syncd-sandbox-\(UUID().uuidString)"
        path = root + "/p1"
        try FileManager.default.createDirectory(
            atPath: root, withIntermediateDirectories: true)
        isMounted = mountBytes != nil
        if let mountBytes {
            guard mount("tmpfs", root, "tmpfs", 0, "size=\(mountBytes)") == 0 else {
                throw SandboxComplaint("could not mount: \(String(cString: strerror(errno)))")
            }
        }
    }

    /// Unmounts and removes it; the last thing of each test.
    func remove() {
        if isMounted { umount2(root, Int32(MNT_DETACH)) }
        try? FileManager.default.removeItem(atPath: root)
    }

    /// Mounts the root again, so that nothing can be written, or something again.
    func remount(isReadOnly: Bool) throws {
        let flags = UInt(MS_REMOUNT) | (isReadOnly ? UInt(MS_RDONLY) : 0)
        guard mount("tmpfs", root, "tmpfs", flags, nil) == 0 else {
            throw SandboxComplaint("could not remount: \(String(cString: strerror(errno)))")
        }
    }

    /// One more worker process.
    func provider(
        fsync: Bool = false, drift: DriftPolicy = .report, openStagesMax: Int = 8
    ) -> LocalDirectoryProvider {
        LocalDirectoryProvider(
            root: root, fsync: fsync, drift: drift, threads: 8, openStagesMax: openStagesMax)
    }

    /// The sandbox as one more worker process sees it.
    func writer(fsync: Bool = false, openStagesMax: Int = 8) throws -> any SandboxWriter {
        try provider(fsync: fsync, openStagesMax: openStagesMax).writer(for: Self.target())
    }

    /// A writer that has entered stage 1.
    func entered(drift: DriftPolicy = .report) async throws -> any SandboxWriter {
        let writer = try provider(drift: drift).writer(for: Self.target())
        try await writer.enter(SandboxConformance.stage(1))
        return writer
    }

    /// A target by name.
    static func target(_ name: String = "p1") throws -> TargetURL {
        guard let target = TargetURL("local:\(name)") else { throw SandboxComplaint("no target") }
        return target
    }

    /// What stands under a path of the sandbox.
    func entry(_ path: String) throws -> SandboxEntry? {
        let full = self.path + "/" + path
        var status = stat()
        guard lstat(full, &status) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw SandboxComplaint("lstat: \(String(cString: strerror(errno)))")
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return .directory
        case S_IFREG:
            let data = try Data(contentsOf: URL(filePath: full))
            return .file([UInt8](data), isExecutable: status.st_mode & S_IXUSR != 0)
        default: return .other
        }
    }

    /// What the suite needs.
    func harness(fsync: Bool = false, openStagesMax: Int = 8) -> SandboxHarness {
        SandboxHarness(
            open: { try self.writer(fsync: fsync, openStagesMax: openStagesMax) },
            entry: { try self.entry($0) },
            makeDirectory: { try self.makeDirectory($0) },
            removeAll: { try FileManager.default.removeItem(atPath: self.path) })
    }

    /// Makes a directory in the sandbox, parents included.
    func makeDirectory(_ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: self.path + "/" + path, withIntermediateDirectories: true)
    }

    /// Makes a link in the sandbox.
    func link(_ path: String, to destination: String) throws {
        guard symlink(destination, self.path + "/" + path) == 0 else {
            throw SandboxComplaint("symlink: \(String(cString: strerror(errno)))")
        }
    }

    /// Names in a directory below the root.
    func names(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root + "/" + path).sorted()
    }

    /// What lies in the stage directory of a stage.
    func staged(_ stage: StageName) throws -> [String] { try names("p1/.syncd/stage/\(stage)") }

    /// How many descriptors of this process lead below the root.
    func descriptorCount() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count { number in
            let path = try? FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/self/fd/\(number)")
            return path.map { $0.contains(URL(filePath: root).lastPathComponent) } ?? false
        }
    }
}

/// The failure of a call; a complaint when it has none.
func failure(_ call: () async throws -> Void) async throws -> SandboxError {
    do {
        try await call()
    } catch let error as SandboxError {
        return error
    }
    throw SandboxComplaint("the call did not fail")
}
