package import Foundation

/// A file system of its own, in a file, that can be frozen: whoever writes hangs until it is
/// thawed.
///
/// Reading goes on meanwhile. Needs root and a loop device. ``close()`` thaws and unmounts, also
/// after a test that failed: a process that hangs in it could not be ended otherwise.
package final class FrozenImage {
    private let image: URL
    private let mountPoint: String
    private var isFrozen = false
    private var isMounted = false

    /// Makes a file system of 32 MiB and mounts it.
    ///
    /// - Parameter image: Where its file is to be; removed by ``close()``.
    package init(image: URL, at mountPoint: String) throws {
        self.image = image
        self.mountPoint = mountPoint
        try FileManager.default.createDirectory(
            atPath: mountPoint, withIntermediateDirectories: true)
        try SystemTool.run("truncate", ["-s", "32M", image.path])
        try SystemTool.run("mkfs.ext4", ["-q", "-F", image.path])
        try SystemTool.run("mount", ["-o", "loop", image.path, mountPoint])
        isMounted = true
    }

    deinit { close() }

    /// Whoever writes hangs from now on.
    package func freeze() throws {
        try SystemTool.run("fsfreeze", ["-f", mountPoint])
        isFrozen = true
    }

    /// Writes that hang go on.
    package func thaw() throws {
        guard isFrozen else { return }
        try SystemTool.run("fsfreeze", ["-u", mountPoint])
        isFrozen = false
    }

    /// Thaws, unmounts and removes it.
    package func close() {
        guard isMounted else { return }
        isMounted = false
        try? thaw()
        // Lazily: a process that is being ended may still hold files.
        _ = try? SystemTool.run("umount", ["-l", mountPoint])
        try? FileManager.default.removeItem(at: image)
    }
}

/// A mount of a folder or file onto itself, or onto another one, undone at the end.
package final class BindMount {
    private let place: String
    private var isMounted = false

    /// Mounts `source` at `place`; both must be there.
    package init(_ source: String, at place: String) throws {
        self.place = place
        try SystemTool.run("mount", ["--bind", source, place])
        isMounted = true
    }

    deinit { close() }

    /// Allows or forbids writing through it.
    package func setReadOnly(_ isReadOnly: Bool) throws {
        try SystemTool.run("mount", ["-o", "remount,bind,\(isReadOnly ? "ro" : "rw")", place])
    }

    /// Unmounts.
    package func close() {
        guard isMounted else { return }
        isMounted = false
        _ = try? SystemTool.run("umount", ["-l", place])
    }
}
