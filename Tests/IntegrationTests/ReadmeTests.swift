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

    /// Where versions lie: as it is written, or elsewhere.
    enum Store: String, CaseIterable { case sqlite, postgres, convex }

    /// Where files are written: as it is written, or elsewhere.
    enum Sandbox: String, CaseIterable { case folder, e2b }

    @Test(.timeLimit(.patience), arguments: Store.allCases, Sandbox.allCases)
    func `the tour works as it is written`(store: Store, sandbox: Sandbox) async throws {
        var replaced: [(String, String)] = []
        var environment: [String: String] = [:]
        func take(_ url: String) {
            replaced.append((#""sqlite:$PWD/demo/store.db""#, "'\(url)'"))
        }
        switch store {
        case .sqlite: break
        case .postgres:
            let server = try PostgresServer.shared()
            take(server.url(try server.makeDatabase()))
        case .convex:
            return try await ConvexServer.with { server in
                take("convex:\(server.url)")
                environment["SYNCD_CONVEX_KEY"] = ConvexServer.key
                try await Self.walk(in: sandbox, replaced, environment)
            }
        }
        try await Self.walk(in: sandbox, replaced, environment)
    }

    private static func walk(
        in sandbox: Sandbox, _ replaced: [(String, String)], _ environment: [String: String]
    ) async throws {
        guard sandbox == .e2b else {
            return try await walk(try tour(), replacing: replaced, environment)
        }
        let double = try await E2BDouble.start(["box"])
        let names = [
            // The first push names the sandbox, and with that the project has it.
            ("src --wait", "src --target e2b:box --wait"),
            ("demo/sandboxes/site", double.home(of: "box").path),
        ]
        let reach = [
            "E2B_API_KEY": double.key, "E2B_API_URL": double.url, "E2B_SANDBOX_URL": double.url,
        ]
        do {
            try await walk(
                try tour(), replacing: replaced + names, environment.merging(reach) { $1 })
        } catch {
            await double.stop()
            throw error
        }
        await double.stop()
    }

    private static func walk(
        _ blocks: [Block], replacing replaced: [(String, String)],
        _ variables: [String: String]
    ) async throws {
        #expect(blocks.count >= 5)
        let id = String(UInt32.random(in: .min ... .max), radix: 36)
        let folder = URL(fileURLWithPath: "/tmp/syncd-tour-\(id)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // A shell that stops at the first failure, and leaves nothing running behind it.
        // What is said beside the output is not quoted.
        var script = "exec 2> errors\nset -e\n"
        script += "trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT\n"
        for (place, block) in blocks.enumerated() {
            script += "\(block.commands)\necho '@@@ end of \(place)'\n"
        }
        for (old, new) in replaced {
            #expect(script.contains(old))
            script = script.replacingOccurrences(of: old, with: new)
        }
        let path = try DaemonCluster.binary.deletingLastPathComponent().path
        let environment = [
            "PATH": path + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? ""),
            "HOME": folder.path, "LC_ALL": "C",
        ]
        let (code, said) = try await CommandRun.outcome(
            of: ["bash", "-c", script], environment: environment.merging(variables) { $1 },
            in: folder)
        let errors = try String(
            contentsOf: folder.appendingPathComponent("errors"), encoding: .utf8)
        #expect(code == 0, "\(said)\(errors)")
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
