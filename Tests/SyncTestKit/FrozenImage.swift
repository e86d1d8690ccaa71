package import Foundation

/// Runs one of the system's own tools; a test that needs it must be allowed to.
package enum SystemTool {
    /// Runs a tool to its end.
    ///
    /// - Throws: What it printed, when it failed.
    package static func run(_ name: String, _ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [name] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw KitError(
                "\(name) \(arguments.joined(separator: " ")) failed: "
                    + String(decoding: data, as: UTF8.self))
        }
    }
}

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
        try? SystemTool.run("umount", ["-l", mountPoint])
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
        try? SystemTool.run("umount", ["-l", place])
    }
}
