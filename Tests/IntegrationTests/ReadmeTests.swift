import Foundation
import SyncTestKit
import Testing

/// The README's tour is run as it stands: every block, in order, in one shell.
struct ReadmeTests {
    private static let root: URL = {
        var place = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { place.deleteLastPathComponent() }
        return place
    }()

    /// A fenced block, and the output quoted right after it.
    private struct Block {
        var commands: String
        var output: String?
    }

    /// Blocks of the section "Five minutes".
    private static func tour() throws -> [Block] {
        let text = try String(
            contentsOf: root.appendingPathComponent("README.md"), encoding: .utf8)
        let section = try #require(text.components(separatedBy: "## Five minutes\n").last)
            .components(separatedBy: "\n## ")[0]
        var blocks: [Block] = []
        for (place, part) in section.components(separatedBy: "```").enumerated()
        where !place.isMultiple(of: 2) {
            let end = try #require(part.firstIndex(of: "\n"))
            let body = String(part[part.index(after: end)...])
            switch part[..<end] {
            case "sh": blocks.append(Block(commands: body))
            case "text":
                #expect(blocks.last?.output == nil)
                if !blocks.isEmpty { blocks[blocks.count - 1].output = body }
            default: Issue.record("a block of the tour is neither sh nor text")
            }
        }
        return blocks
    }

    @Test(.timeLimit(.patience))
    func `the tour works as it is written`() throws {
        let blocks = try Self.tour()
        #expect(blocks.count >= 5)
        let id = String(UInt32.random(in: .min ... .max), radix: 36)
        let folder = URL(fileURLWithPath: "/tmp/syncd-tour-\(id)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // A shell that stops at the first failure, and leaves nothing running behind it.
        var script = "set -e\ntrap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT\n"
        for (place, block) in blocks.enumerated() {
            script += "\(block.commands)\necho '@@@ end of \(place)'\n"
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["bash", "-c", script]
        process.currentDirectoryURL = folder
        let path = try DaemonCluster.binary.deletingLastPathComponent().path
        process.environment = [
            "PATH": path + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? ""),
            "HOME": folder.path, "LC_ALL": "C",
        ]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let said = String(decoding: data, as: UTF8.self)
        #expect(process.terminationStatus == 0, "\(said)")
        var rest = said
        for (place, block) in blocks.enumerated() {
            let parts = rest.components(separatedBy: "@@@ end of \(place)\n")
            guard parts.count == 2 else {
                Issue.record("block \(place) did not end: \(block.commands)\(rest)")
                return
            }
            if let output = block.output { #expect(parts[0] == output) }
            rest = parts[1]
        }
    }
}
