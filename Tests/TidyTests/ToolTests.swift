import Foundation
import SyncTestKit
import Testing

/// What the toolchain itself can tell.
struct ToolTests {
    /// Runs a command in the repository; its output and exit code.
    private func run(_ words: [String]) async throws -> (code: Int32, output: String) {
        try await CommandRun.outcome(of: words, in: SourceTree.root)
    }

    @Test(.timeLimit(.patience))
    func `the formatter has nothing to say`() async throws {
        let (code, output) = try await run([
            "swift", "format", "lint", "--strict", "--parallel", "--recursive", "Package.swift",
            "Sources", "Tests",
        ])
        #expect(code == 0, "\(output)")
    }

    @Test(.timeLimit(.patience))
    func `the compiler knows every upcoming feature that the manifest names`() async throws {
        let (code, output) = try await run(["swiftc", "-print-supported-features"])
        #expect(code == 0, "\(output)")
        let features = try Manifest.read().features
        #expect(!features.isEmpty)
        for feature in features {
            #expect(output.contains("\"\(feature)\""), "the compiler ignores \(feature)")
        }
    }

    @Test(.timeLimit(.patience), arguments: ["deploy", ".ci"])
    func `every script is one that bash can read, and may be executed`(
        _ folder: String
    ) async throws {
        let scripts = SourceTree.files.filter {
            $0.path.hasPrefix(folder + "/") && $0.text.hasPrefix("#!/usr/bin/env bash")
        }
        #expect(!scripts.isEmpty)
        for script in scripts {
            let (code, output) = try await run(["bash", "-n", script.path])
            #expect(code == 0, "\(output)")
            #expect(script.text.contains("set -euo pipefail"), "\(script.path)")
            #expect(
                FileManager.default.isExecutableFile(
                    atPath: SourceTree.root.appendingPathComponent(script.path).path),
                "\(script.path) is not executable")
        }
    }
}
