import Foundation
import SyncTestKit
import Testing

/// What the command says of itself, and what documents say of the command.
struct HelpTests {
    private static let root: URL = {
        var place = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { place.deleteLastPathComponent() }
        return place
    }()

    private static func run(_ arguments: [String]) async throws -> (code: Int32, output: String) {
        try await CommandRun.outcome(of: DaemonCluster.binary, arguments)
    }

    /// Every command with its options, as the argument parser knows them.
    private static func commands() async throws -> [String: Set<String>] {
        let (_, output) = try await run(["--experimental-dump-help"])
        let top = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
        var commands: [String: Set<String>] = [:]
        func add(_ command: [String: Any], _ prefix: String) {
            let name = command["commandName"] as? String ?? ""
            let full = prefix.isEmpty ? name : prefix + " " + name
            var options: Set<String> = []
            for argument in command["arguments"] as? [[String: Any]] ?? [] {
                for option in argument["names"] as? [[String: Any]] ?? [] {
                    if let word = option["name"] as? String { options.insert(word) }
                }
            }
            commands[full] = options
            for sub in command["subcommands"] as? [[String: Any]] ?? [] { add(sub, full) }
        }
        add(try #require(top?["command"] as? [String: Any]), "")
        return commands
    }

    @Test func `every command's help has an example`() async throws {
        for name in try await Self.commands().keys.sorted() where name != "syncd" {
            let words = name.split(separator: " ").dropFirst().map(String.init)
            // Examples of `failed list` stand in `failed`.
            if words.first == "help" || words.count > 1 { continue }
            let (code, output) = try await Self.run(words + ["--help"])
            #expect(code == 0)
            #expect(output.contains("EXAMPLE") || output.contains("SUBCOMMANDS"), "\(name)")
        }
    }

    @Test func `the article Operating quotes the table of settings as it is printed`() async throws
    {
        let (code, output) = try await Self.run(["settings"])
        #expect(code == 0)
        let article = Self.root.appendingPathComponent(
            "Sources/SyncCore/Documentation.docc/Operating.md")
        let text = try String(contentsOf: article, encoding: .utf8)
        #expect(text.contains("```text\n" + output + "```"))
        for line in output.split(separator: "\n") { OperatingArticle.expectQuoted(String(line)) }
    }

    @Test func `the version is told`() async throws {
        let (code, output) = try await Self.run(["--version"])
        #expect(code == 0)
        #expect(output.split(separator: ".").count == 3)
    }

    @Test func `documents and scripts name only commands and options that exist`() async throws {
        let commands = try await Self.commands()
        var files = ["README.md"]
        for folder in ["Sources/SyncCore/Documentation.docc", "deploy"] {
            let names = try FileManager.default.contentsOfDirectory(
                atPath: Self.root.appendingPathComponent(folder).path)
            files += names.map { folder + "/" + $0 }
        }
        var count = 0
        for file in files {
            let place = Self.root.appendingPathComponent(file)
            guard let text = try? String(contentsOf: place, encoding: .utf8) else { continue }
            for line in text.split(separator: "\n") {
                for call in Self.calls(in: line) {
                    let deeper = commands["syncd " + call.command + " " + call.next]
                    guard let options = deeper ?? commands["syncd " + call.command] else {
                        // "syncd is …": a sentence; only words that look like commands count.
                        if call.options.isEmpty { continue }
                        Issue.record("\(file): no command 'syncd \(call.command)'")
                        continue
                    }
                    for option in call.options
                    where !option.isEmpty && option != "help" && option != "version" {
                        count += 1
                        #expect(
                            options.contains(option),
                            "\(file): 'syncd \(call.command)' has no --\(option)")
                    }
                }
            }
        }
        #expect(count > 10)
    }

    /// Calls of the command in a line: `syncd push --wait`, up to a pipe, a quote or the line's
    /// end.
    private static func calls(
        in line: Substring
    ) -> [(command: String, next: String, options: [String])] {
        var calls: [(String, String, [String])] = []
        var rest = line
        while let found = rest.range(of: "syncd ") {
            let before = rest[..<found.lowerBound].last
            let body = rest[found.upperBound...].prefix { !"`|;'\"".contains($0) }
            rest = rest[found.upperBound...]
            if let before, before.isLetter || "/-_.".contains(before) { continue }
            let words = body.split(separator: " ")
            guard let command = words.first, command.allSatisfy({ $0.isLowercase }) else {
                continue
            }
            let options = words.compactMap { word -> String? in
                guard word.hasPrefix("--"), word.count > 2 else { return nil }
                return String(word.dropFirst(2).prefix { $0.isLetter || $0 == "-" })
            }
            calls.append((String(command), String(words.dropFirst().first ?? ""), options))
        }
        return calls
    }
}
