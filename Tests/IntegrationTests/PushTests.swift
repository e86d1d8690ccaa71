import Foundation
import SyncCore
import SyncTestKit
import Testing

/// `syncd push` as people and scripts use it.
@Suite(.serialized, .timeLimit(.patience)) struct PushTests {
    private struct Summary: Decodable {
        struct Skipped: Decodable {
            var counts: [String: Int]
        }
        struct Failure: Decodable {
            var path: String
            var code: String
        }
        var pushed: Int
        var accepted: Int
        var visible: Bool?
        var failed: Int?
        var skipped: Skipped
        var failures: [Failure]
    }

    private static func summary(_ output: String) throws -> Summary {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let line = output.split(separator: "\n").first { $0.hasPrefix("{") } ?? ""
        return try decoder.decode(Summary.self, from: Data(line.utf8))
    }

    /// A tree in a folder of its own below the cluster's.
    private static func tree(_ cluster: DaemonCluster, _ files: [String: String]) throws -> String {
        let root = cluster.folder.path + "/tree-\(UInt32.random(in: .min ... .max))"
        for (path, text) in files { try write(text, to: root + "/" + path) }
        return root
    }

    private static func write(_ text: String, to file: String) throws {
        let url = URL(fileURLWithPath: file)
        try FileManager.default.createDirectory(
            at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }

    private static func sandbox(_ cluster: DaemonCluster) throws -> [String: String] {
        try DirectoryTree.read(at: cluster.sandboxes + "/p1").mapValues {
            String(decoding: $0.bytes, as: UTF8.self)
        }
    }

    private static func push(
        _ cluster: DaemonCluster, _ arguments: [String]
    ) async throws -> (code: Int32, output: String) {
        try await cluster.command(["push", "--project", "p1"] + arguments)
    }

    private static func with(
        workers: Int = 1, _ body: (DaemonCluster) async throws -> Void
    ) async throws {
        let cluster = try await DaemonCluster.start(workers: workers)
        try await cluster.use(body)
    }

    @Test func `a tree is pushed, and waited for`() async throws {
        try await Self.with { cluster in
            let files = ["a": "1", "src/b": "2", "src/deep/c": ""]
            let root = try Self.tree(cluster, files)
            chmod(root + "/a", 0o755)
            let (code, output) = try await Self.push(cluster, ["--root", root, "--wait", "--json"])
            #expect(code == 0)
            let summary = try Self.summary(output)
            #expect(summary.pushed == 3)
            #expect(summary.accepted == 3)
            #expect(summary.visible == true)
            #expect(try Self.sandbox(cluster) == files)
            #expect(
                FileManager.default.isExecutableFile(atPath: cluster.sandboxes + "/p1/a"))
        }
    }

    @Test func `named files and folders only, and standard input`() async throws {
        try await Self.with { cluster in
            let root = try Self.tree(cluster, ["a": "1", "src/b": "2", "other/c": "3"])
            #expect(
                try await Self.push(cluster, ["--root", root, "--wait", "./a", "src/"]).code == 0)
            #expect(try Self.sandbox(cluster) == ["a": "1", "src/b": "2"])
            // The command's input is empty here.
            #expect(
                try await Self.push(cluster, ["--stdin", "note", "--executable", "--wait"]).code
                    == 0)
            #expect(try Self.sandbox(cluster)["note"] == "")
        }
    }

    @Test func `what can't be an edit is counted and listed, and the rest goes`() async throws {
        try await Self.with { cluster in
            let root = try Self.tree(cluster, ["well": "1"])
            // Two names to the file system, one to Unicode.
            try Self.write("lower bytes", to: root + "/u\u{308}")
            try Self.write("higher bytes", to: root + "/\u{FC}")
            try FileManager.default.createSymbolicLink(
                atPath: root + "/link", withDestinationPath: "well")
            mkfifo(root + "/pipe", 0o644)
            try Data(count: (16 << 20) + 1).write(to: URL(fileURLWithPath: root + "/large"))
            try Self.write("x", to: root + "/bell\u{7}")
            let (code, output) = try await Self.push(cluster, ["--root", root, "--wait", "--json"])
            #expect(code == 2)
            let summary = try Self.summary(output)
            #expect(
                summary.skipped.counts == [
                    "symbolic-link": 1, "special-file": 1, "too-large": 1, "invalid-path": 1,
                    "same-name-after-nfc": 1,
                ])
            #expect(try Self.sandbox(cluster) == ["well": "1", "\u{FC}": "lower bytes"])
            let people = try await Self.push(cluster, ["--root", root])
            #expect(people.output.contains("skipped 1 × symbolic-link\n  link"))
            for line in people.output.split(separator: "\n").dropFirst() {
                OperatingArticle.expectQuoted(String(line))
            }
        }
    }

    @Test func `what the coordinator refuses is listed with its reason, exit code 2`()
        async throws
    {
        try await Self.with { cluster in
            #expect(try await Self.push(cluster, ["--stdin", "note", "--wait"]).code == 0)
            let (code, output) = try await cluster.command([
                "push", "--project", "p2", "--stdin", "note", "--target", "local:p1",
            ])
            #expect(code == 2)
            let lines = output.split(separator: "\n")
            #expect(lines.count == 3)
            for line in lines { OperatingArticle.expectQuoted(String(line)) }
        }
    }

    @Test func `excluded files are neither pushed nor deleted`() async throws {
        try await Self.with { cluster in
            let root = try Self.tree(
                cluster,
                [
                    "a": "1", "a.log": "2", "src/b.log": "3", "src/b": "4", "build/c": "5",
                    "src/build/d": "6", "node_modules/x/y": "7", "docs/e/f": "8",
                ])
            let flags = [
                "--exclude", "*.log", "--exclude", "/build/", "--exclude", "node_modules",
                "--exclude", "docs/**",
            ]
            #expect(try await Self.push(cluster, ["--root", root, "--wait"] + flags).code == 0)
            #expect(try Self.sandbox(cluster) == ["a": "1", "src/b": "4", "src/build/d": "6"])
        }
    }

    @Test func `a mirror deletes what the tree no longer has, and only that`() async throws {
        try await Self.with { cluster in
            let root = try Self.tree(
                cluster,
                ["a": "1", "gone": "2", "dir/gone": "3", "keep.log": "4", "shape": "5"])
            #expect(try await Self.push(cluster, ["--root", root, "--wait"]).code == 0)
            let manager = FileManager.default
            for path in ["gone", "dir", "keep.log", "shape"] {
                try manager.removeItem(atPath: root + "/" + path)
            }
            try Self.write("6", to: root + "/shape/leaf")
            let (code, output) = try await Self.push(
                cluster, ["--root", root, "--mirror", "--exclude", "*.log", "--wait"])
            #expect(code == 0, "\(output)")
            #expect(
                try Self.sandbox(cluster) == ["a": "1", "keep.log": "4", "shape/leaf": "6"])
            // Only below what is named.
            try manager.removeItem(atPath: root + "/a")
            try manager.removeItem(atPath: root + "/shape/leaf")
            #expect(
                try await Self.push(cluster, ["--root", root, "--mirror", "--wait", "shape"]).code
                    == 0)
            #expect(try Self.sandbox(cluster) == ["a": "1", "keep.log": "4"])
        }
    }

    @Test func `a mirror of a folder that does not exist deletes nothing`() async throws {
        try await Self.with { cluster in
            let root = try Self.tree(cluster, ["a": "1"])
            #expect(try await Self.push(cluster, ["--root", root, "--wait"]).code == 0)
            let (code, output) = try await Self.push(
                cluster, ["--root", root + "-no", "--mirror", "--wait"])
            #expect(code == 64)
            #expect(output.contains("name the tree with --root"))
            #expect(try Self.sandbox(cluster) == ["a": "1"])
        }
    }

    @Test func `named paths that are gone are deleted when it is said so`() async throws {
        try await Self.with { cluster in
            let root = try Self.tree(cluster, ["a": "1", "b": "2"])
            #expect(try await Self.push(cluster, ["--root", root, "--wait"]).code == 0)
            try FileManager.default.removeItem(atPath: root + "/b")
            #expect(try await Self.push(cluster, ["--root", root, "b"]).code == 64)
            #expect(
                try await Self.push(cluster, ["--root", root, "--delete", "--wait", "b"]).code == 0)
            #expect(try Self.sandbox(cluster) == ["a": "1"])
            try Self.write("3", to: root + "/folder/c")
            let folder = try await Self.push(cluster, ["--root", root, "--delete", "folder"])
            #expect(folder.code == 64)
            #expect(folder.output.contains("is a folder that is there"))
            #expect(try await Self.push(cluster, ["--root", root, "--delete"]).code == 64)
        }
    }

    @Test func `files that fail are listed with their causes, exit code 1`() async throws {
        try await Self.with { cluster in
            let root = try Self.tree(cluster, ["a": "1"])
            #expect(try await Self.push(cluster, ["--root", root, "--wait"]).code == 0)
            try FileManager.default.createSymbolicLink(
                atPath: cluster.sandboxes + "/p1/out", withDestinationPath: "/tmp")
            try Self.write("2", to: root + "/out/f")
            let (code, output) = try await Self.push(cluster, ["--root", root, "--wait", "--json"])
            #expect(code == 1)
            let summary = try Self.summary(output)
            #expect(summary.visible == false)
            #expect(summary.failed == 1)
            #expect(summary.failures.map(\.path) == ["out/f"])
            #expect(output.contains("syncd: out/f is failed: "))
            // Somebody else's failed file does not fail this push.
            #expect(try await Self.push(cluster, ["--root", root, "--wait", "a"]).code == 0)
        }
    }

    @Test func `without a coordinator it gives up in time, exit code 69`() async throws {
        try await Self.with(workers: 0) { cluster in
            let root = try Self.tree(cluster, ["a": "1"])
            cluster.crashCoordinator()
            for flags in [[], ["--wait"], ["--mirror"]] {
                let (code, output) = try await Self.push(
                    cluster, ["--root", root, "--silence", "1"] + flags)
                #expect(code == 69, "\(flags)")
                #expect(output.contains("did not answer within 1.0 seconds"), "\(output)")
                cluster.expectQuoted("did not answer", of: output)
            }
            let long = try await Self.push(cluster, ["--root", root, "--silence", "4"])
            #expect(long.code == 69)
            #expect(long.output.contains("does not answer; waiting up to 4 s"))
            cluster.expectQuoted("does not answer", of: long.output)
        }
    }

    @Test func `a coordinator that goes while it is waited for is noticed, exit code 69`()
        async throws
    {
        try await Self.with(workers: 0) { cluster in
            let root = try Self.tree(cluster, ["a": "1"])
            let child = try Pushing(
                cluster, ["--root", root, "--wait", "--silence", "3"])
            try await Self.accepted(cluster, count: 1)
            cluster.crashCoordinator()
            #expect(child.finish().code == 69)
        }
    }

    @Test func `interrupted, it says how far it came, exit code 130`() async throws {
        try await Self.with(workers: 0) { cluster in
            let root = try Self.tree(cluster, ["a": "1", "b": "2"])
            let child = try Pushing(cluster, ["--root", root, "--wait"])
            try await Self.accepted(cluster, count: 2)
            child.process.signal(SIGINT)
            let (code, output) = child.finish()
            #expect(code == 130)
            #expect(output.contains("2 edits pushed to p1"))
            #expect(output.contains("interrupted: what was accepted goes on"))
        }
    }

    @Test func `a history is pushed from git, edits replaced by newer ones included`()
        async throws
    {
        try await Self.with(workers: 2) { cluster in
            let folder = cluster.folder.path + "/repository"
            let repository = try GitFixture(at: folder, seed: 3, commits: 60, files: 80)
            let (code, output) = try await Self.push(
                cluster, ["--git", folder, "--first-parent", "--wait", "--json"])
            #expect(code == 0, "\(output)")
            let tree = try repository.tree(of: "HEAD")
            let sandbox = try DirectoryTree.read(at: cluster.sandboxes + "/p1")
            #expect(DirectoryTree.differences(expected: tree, actual: sandbox) == [])
        }
    }

    /// A push that goes on while the test does something else.
    private final class Pushing {
        let process = Process()
        private let output = Pipe()

        init(_ cluster: DaemonCluster, _ arguments: [String]) throws {
            process.executableURL = try DaemonCluster.binary
            process.arguments = ["push", "--project", "p1"] + arguments
            process.environment = cluster.environment
            process.standardOutput = output
            process.standardError = output
            process.standardInput = FileHandle.nullDevice
            try process.run()
        }

        func finish() -> (code: Int32, output: String) {
            let data = output.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            return (process.terminationStatus, String(decoding: data, as: UTF8.self))
        }
    }

    /// Asks until so many edits are accepted and told to their producer.
    private static func accepted(_ cluster: DaemonCluster, count: UInt64) async throws {
        try await Patience.until("\(count) edits are accepted") {
            try await cluster.queue("p1").sequence.value >= count
        }
    }
}
