internal import Foundation
internal import Glibc
internal import Synchronization

/// A file system of its own for a test; ``remove()`` ends it.
///
/// Its mounts are seen by processes that the test starts. Needs root.
package final class TestDisk: Sendable {
    /// Where it is mounted.
    package let path: String

    private let image: String?
    private let ballast = Mutex(0)

    private init(path: String, image: String?) {
        self.path = path
        self.image = image
    }

    // MARK: In memory

    /// A disk in memory of so many bytes, at a path that is made if it is missing.
    package static func inMemory(byteCount: Int, at place: String? = nil) throws -> TestDisk {
        let path = try place ?? folder("disk")
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
        try SystemTool.run(
            "mount", ["-t", "tmpfs", "-o", "size=\(byteCount),mode=0755", "tmpfs", path])
        return TestDisk(path: path, image: nil)
    }

    /// Fills what is left of the disk.
    package func fill() throws {
        let number = ballast.withLock { number in
            number += 1
            return number
        }
        let file = open("\(path)/ballast-\(number)", O_WRONLY | O_CREAT, 0o600)
        guard file >= 0 else {
            if errno == ENOSPC { return }
            throw KitError("no ballast: \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        // By whole pages, then by single bytes, since the last page may be shared.
        for size in [65_536, 4_096, 1] {
            let bytes = [UInt8](repeating: 1, count: size)
            while write(file, bytes, size) > 0 {}
            guard errno == ENOSPC else {
                throw KitError("the disk did not fill: \(String(cString: strerror(errno)))")
            }
        }
    }

    /// Takes the filling away.
    package func empty() throws {
        let count = ballast.withLock { $0 }
        for number in stride(from: 1, through: count, by: 1) {
            try? FileManager.default.removeItem(atPath: "\(path)/ballast-\(number)")
        }
    }

    /// Has nothing be written any more, or something again.
    package func remount(isReadOnly: Bool) throws {
        try SystemTool.run("mount", ["-o", "remount,\(isReadOnly ? "ro" : "rw")", path])
    }

    // MARK: In an image file

    /// An ext4 file system in an image file: what a power cut leaves is what the image holds.
    ///
    /// The file system's own timer is set beyond any test, so that only `fsync` brings things into
    /// the image.
    package static func inImage(mebibytes: Int) throws -> TestDisk {
        let image = try folder("image") + "/disk"
        guard FileManager.default.createFile(atPath: image, contents: nil),
            truncate(image, mebibytes << 20) == 0
        else { throw KitError("no image: \(String(cString: strerror(errno)))") }
        try SystemTool.run(
            "mkfs.ext4",
            [
                "-q", "-F", "-i", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image,
            ])
        return try mounted(image)
    }

    /// The disk as it would be found after a power cut at this moment, mounted elsewhere.
    ///
    /// Nobody may use the disk meanwhile; a copy during which something was written all the same is
    /// made again.
    package func afterPowerCut() throws -> TestDisk {
        guard let image else { throw KitError("a disk in memory has nothing after a power cut") }
        let copy = try Self.folder("copy") + "/disk"
        for _ in 0..<20 {
            let before = try writeCount()
            try SystemTool.run("cp", ["--sparse=always", image, copy])
            if try writeCount() == before { return try Self.mounted(copy) }
        }
        throw KitError("the disk is written to although nobody uses it")
    }

    private static func mounted(_ image: String) throws -> TestDisk {
        let path = try folder("disk")
        try SystemTool.run("mount", ["-o", "loop,commit=600", image, path])
        return TestDisk(path: path, image: image)
    }

    /// How many writes reached the device.
    private func writeCount() throws -> String {
        let device = try SystemTool.run("findmnt", ["-n", "-o", "SOURCE", "--mountpoint", path])
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let name = URL(fileURLWithPath: device).lastPathComponent
        let statistics = try String(contentsOfFile: "/sys/block/\(name)/stat", encoding: .utf8)
            .split(separator: " ", omittingEmptySubsequences: true)
        guard statistics.count > 6 else { throw KitError("no statistics of \(device)") }
        return "\(statistics[4]) \(statistics[6])"
    }

    // MARK: End

    /// Unmounts it and removes what it lay in; nobody may use it any more.
    package func remove() {
        umount2(path, Int32(MNT_DETACH))
        rmdir(path)
        if let image {
            try? FileManager.default.removeItem(
                at: URL(fileURLWithPath: image).deletingLastPathComponent())
        }
    }

    private static func folder(_ kind: String) throws -> String {
        let id = String(UInt64.random(in: .min ... .max), radix: 36)
        let path = "/tmp/syncd-\(kind)-\(id)"
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
        return path
    }
}
