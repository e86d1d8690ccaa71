import Foundation
import SyncCore
import SyncTestKit
import Testing

/// What the article *Operating* quotes: the tests compare it with what processes really say.
///
/// Two lines are the same when they differ only in numbers, times, ids, folders and padding.
enum OperatingArticle {
    /// Lines of the article's blocks, as they are compared.
    static let quotes: Set<String> = {
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { root.deleteLastPathComponent() }
        let file = root.appendingPathComponent(
            "Sources/SyncCore/Documentation.docc/Operating.md")
        guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [] }
        var quotes: Set<String> = []
        var isInBlock = false
        for line in text.components(separatedBy: "\n") {
            if line.hasPrefix("```") {
                isInBlock.toggle()
            } else if isInBlock {
                quotes.insert(plain(line, folders: []))
            }
        }
        return quotes
    }()

    /// A line without what differs from run to run.
    static func plain(_ line: String, folders: [String]) -> String {
        var line = line
        for folder in folders { line = line.replacingOccurrences(of: folder, with: "demo") }
        for (pattern, word) in [
            (#"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"#, "T"),
            (#"\b[0-9a-f]{16}(-\d+)?\b"#, "H"), (#"\d+(\.\d+)?"#, "0"), (#" +"#, " "),
        ] {
            line = line.replacingOccurrences(
                of: pattern, with: word, options: .regularExpression)
        }
        // Log lines are quoted without their time.
        if line.hasPrefix("T ") { line.removeFirst(2) }
        return line.trimmingCharacters(in: .whitespaces)
    }

    /// Expects that the article quotes a line.
    static func expectQuoted(
        _ line: String, folders: [String] = [], at location: SourceLocation = #_sourceLocation
    ) {
        if quotes.contains(plain(line, folders: folders)) { return }
        Issue.record("Operating does not quote: \(line)", sourceLocation: location)
    }
}

extension DaemonCluster {
    /// Expects that *Operating* quotes the first line of a text that has all these parts.
    func expectQuoted(
        _ parts: String..., folders: [String] = [], of text: String,
        at location: SourceLocation = #_sourceLocation
    ) {
        let found = text.components(separatedBy: "\n").first { line in
            parts.allSatisfy(line.contains)
        }
        guard let found else {
            Issue.record("no line has \(parts): \(text)", sourceLocation: location)
            return
        }
        OperatingArticle.expectQuoted(found, folders: folders + [folder.path], at: location)
    }

    /// All events so far, as `syncd status` prints them.
    func statusLines() async throws -> String {
        let last = try await queue().eventNumber
        return try command(["status", "--from", "1", "--until", String(last)]).output
    }
}
