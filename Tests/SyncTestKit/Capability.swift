internal import Foundation

/// What this machine lets a test do: tried, once, not guessed.
///
/// A test that needs what the machine refuses is skipped, and standard error says why: inside a
/// container even root may be refused mounts or loop devices.
package enum Capability {
    /// Mounts of file systems in memory.
    package static let mounts = tried("mounts") {
        try TestDisk.inMemory(byteCount: 1 << 20).remove()
    }

    /// Mounts of a folder onto itself that can be made read-only.
    package static let bindMounts = tried("bind mounts") {
        try withFolder { folder in
            let mount = try BindMount(folder, at: folder)
            defer { mount.close() }
            try mount.setReadOnly(true)
        }
    }

    /// File systems in image files.
    package static let loopDisks = tried("loop devices") {
        try TestDisk.inImage(mebibytes: 8).remove()
    }

    /// File systems that can be frozen.
    package static let freezing = tried("freezing of file systems") {
        try withFolder { folder in
            let image = try FrozenImage(
                image: URL(fileURLWithPath: folder + "/image"), at: folder + "/mount")
            defer { image.close() }
            try image.freeze()
            try image.thaw()
        }
    }

    /// Folders that nobody can change.
    package static let immutableFolders = tried("chattr +i") {
        try withFolder { folder in
            try SystemTool.run("chattr", ["+i", folder])
            try SystemTool.run("chattr", ["-i", folder])
        }
    }

    /// Namespaces of their own for mounts, networks with rules, and processes.
    package static let namespaces = tried("namespaces") {
        try SystemTool.run(
            "setpriv",
            [
                "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--kill-child",
                "--mount-proc", "bash", "-c", "ip link set lo up && iptables -w -n -L",
            ])
    }

    private static func tried(_ what: String, _ attempt: () throws -> Void) -> Bool {
        do {
            try attempt()
            return true
        } catch {
            let line = "tests that need \(what) are skipped here: \(error)\n"
            FileHandle.standardError.write(Data(line.utf8))
            return false
        }
    }

    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = "/tmp/syncd-try-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }
}
