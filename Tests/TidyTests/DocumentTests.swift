import Foundation
import Testing

/// What documents may say, and what must stand in them.
struct DocumentTests {
    private static let articles = "Sources/SyncCore/Documentation.docc/"

    /// Every trace that broke a draft of the design.
    private static let traces: [String] =
        (1...15).map { "A\($0)" } + (1...12).map { "B\($0)" } + (1...13).map { "C\($0)" }

    /// Traces that a comment names after the word "trace" ("Trace A5", "traces A5, B1 and C2"), or
    /// a test in its name ("… is overtaken (A1)").
    private static func named(in line: String) -> [String] {
        let isName = line.contains("func `")
        guard let start = line.range(of: isName ? "(" : "race", options: .caseInsensitive)
        else { return [] }
        let words = line[start.lowerBound...].split { !$0.isLetter && !$0.isNumber }
        return words.map(String.init).filter { traces.contains($0) }
    }

    @Test func `every trace has its test, or a reason in Guarantees`() throws {
        let guarantees = try #require(SourceTree.file(Self.articles + "Guarantees.md"))
        var known: Set<String> = []
        for file in SourceTree.swift(below: "Tests/") where file.target != "TidyTests" {
            for (index, line) in file.lines.enumerated()
            where file.isComment(index) || line.contains("func `") {
                known.formUnion(Self.named(in: line))
            }
        }
        // The list of those left out: one item each, "- A7: the reason".
        for line in guarantees.lines where line.hasPrefix("- ") {
            let parts = line.dropFirst(2).split(separator: ":", maxSplits: 1)
            if parts.count == 2, Self.traces.contains(String(parts[0])) {
                known.insert(String(parts[0]))
            }
        }
        let missing = Self.traces.filter { !known.contains($0) }
        #expect(missing == [], "neither tested (a comment \"Trace A5.\") nor listed in Guarantees")
    }

    @Test func `no file holds a path of somebody's machine`() throws {
        let places = ["root", "home", "Users", "work", "workspace"].map { "/" + $0 + "/" }
        for file in SourceTree.files {
            for (index, line) in file.lines.enumerated() {
                for place in places {
                    var rest = line[...]
                    while let found = rest.range(of: place) {
                        // Part of a longer path or of an address is something else.
                        let before = rest[..<found.lowerBound].last
                        let isPart =
                            before.map { $0.isLetter || $0.isNumber || ".-_/)}".contains($0) }
                            ?? false
                        #expect(isPart, "\(file.place(index)) says \(place)")
                        rest = rest[found.upperBound...]
                    }
                }
            }
        }
    }

    @Test func `links lead somewhere`() throws {
        let names = Set(
            SourceTree.files.filter { $0.path.contains(".docc/") }.map {
                $0.path.split(separator: "/").last.map(String.init) ?? ""
            })
        for file in SourceTree.documents {
            for (index, line) in file.lines.enumerated() {
                for target in Self.targets(of: "<doc:", ">", in: line) {
                    #expect(names.contains(target + ".md"), "\(file.place(index)): \(target)")
                }
                for target in Self.targets(of: "](", ")", in: line) {
                    if target.hasPrefix("http") || target.hasPrefix("#") { continue }
                    let path = target.split(separator: "#").first.map(String.init) ?? target
                    let folder = SourceTree.root.appendingPathComponent(file.path)
                        .deletingLastPathComponent()
                    #expect(
                        FileManager.default.fileExists(
                            atPath: folder.appendingPathComponent(path).path),
                        "\(file.place(index)): \(target)")
                }
            }
        }
    }

    private static func targets(of open: String, _ close: String, in line: String) -> [String] {
        line.components(separatedBy: open).dropFirst().compactMap {
            $0.components(separatedBy: close).first
        }
    }

    @Test func `the article E2B tells of every error that its code can give`() throws {
        let article = try #require(SourceTree.file(Self.articles + "E2B.md")).text
        for file in SourceTree.swift(below: "Sources/SyncSandbox/E2B/") {
            for part in file.text.components(separatedBy: "code: \"").dropFirst() {
                let code = part.prefix { $0 != "\"" }
                if code.contains("\\") { continue }
                #expect(article.contains("`\(code)`"), "\(file.path): \(code)")
            }
        }
    }

    @Test func `the articles and the README are there`() {
        for name in [
            "Walk", "Vocabulary", "Protocol", "Guarantees", "Operating", "Decisions", "E2B",
            "PostgreSQL", "Convex",
        ] {
            #expect(SourceTree.file(Self.articles + name + ".md") != nil, "\(name)")
        }
        #expect(SourceTree.file("README.md") != nil)
    }
}
