import Foundation
import SyncClient
import SyncTestKit
import Testing

/// The article's examples are code that compiles and runs.
@Suite(.serialized, .timeLimit(.patience)) struct DocumentationTests {
    private static func lines(_ path: String) throws -> [String] {
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { root.deleteLastPathComponent() }
        let text = try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
        return text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// Blocks by name: what stands between a start and an end, without common indentation.
    private static func blocks(
        _ lines: [String], start: (String) -> String?, isEnd: (String) -> Bool
    ) -> [String: [String]] {
        var blocks: [String: [String]] = [:]
        var name: String?
        for line in lines {
            if let begun = start(line) {
                name = begun
                blocks[begun] = []
            } else if let current = name {
                if isEnd(line) {
                    name = nil
                } else {
                    blocks[current, default: []].append(line)
                }
            }
        }
        return blocks.mapValues { block in
            let indent = block.filter { !$0.isEmpty }.map { $0.prefix { $0 == " " }.count }.min()
            return block.map { String($0.dropFirst(indent ?? 0)) }
        }
    }

    @Test func `every example of the article is compiled as it stands`() throws {
        let article = try Self.lines("Sources/SyncClient/Documentation.docc/SyncClient.md")
        let source = try Self.lines("Tests/SyncClientTests/Examples/ArticleExamples.swift")
        let told = Self.blocks(
            article,
            start: { line in
                guard line.hasPrefix("<!-- example: ") else { return nil }
                return String(line.dropFirst("<!-- example: ".count).dropLast(" -->".count))
            }, isEnd: { $0 == "```" }
        ).mapValues { Array($0.drop { $0 == "```swift" }) }
        let compiled = Self.blocks(
            source,
            start: { line in
                let text = line.drop { $0 == " " }
                guard text.hasPrefix("// example: ") else { return nil }
                return String(text.dropFirst("// example: ".count))
            }, isEnd: { $0.hasSuffix("// end") })
        #expect(told == compiled)
        #expect(told.count == article.count { $0 == "```swift" })
        #expect(told.count >= 6)
    }

    @Test func `the examples run against real processes`() async throws {
        let cluster = try await DaemonCluster.start(workers: 1)
        try await push(settings: cluster.clientSettings)
        let written = cluster.sandboxes + "/demo/src/index.html"
        #expect(try String(contentsOfFile: written, encoding: .utf8) == "<h1>hello</h1>")
        let client = try await SyncClient.connect(cluster.clientSettings, project: "demo")
        try await newest(client: client)
        try await flush(client: client)
        await errors(client: client)
        // These two end with their client.
        async let seen: Void = events(client: client, lastHandled: 0)
        async let shown: Void = states(client: client)
        await client.close()
        _ = try await (seen, shown)
        await cluster.stop()
    }
}
