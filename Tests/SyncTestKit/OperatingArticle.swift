import Foundation
package import SyncCore
package import Testing

/// What the article *Operating* quotes: the tests compare it with what processes really say.
///
/// Two lines are the same when they differ only in numbers, times, ids, folders and padding.
package enum OperatingArticle {
    private static let lines: [String] = {
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { root.deleteLastPathComponent() }
        let file = root.appendingPathComponent(
            "Sources/SyncCore/Documentation.docc/Operating.md")
        let text = try? String(contentsOf: file, encoding: .utf8)
        return text?.components(separatedBy: "\n") ?? []
    }()

    /// A line without what differs from run to run.
    private static func plain(_ line: String, folders: [String] = []) -> String {
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

    // MARK: Blocks

    /// Lines of the article's blocks of output, as they are compared.
    private static let quotes: Set<String> = {
        var quotes: Set<String> = []
        var isInBlock = false
        for line in lines {
            if line.hasPrefix("```") {
                isInBlock = line == "```text"
            } else if isInBlock {
                quotes.insert(plain(line))
            }
        }
        return quotes
    }()

    /// Expects that the article quotes a line.
    package static func expectQuoted(
        _ line: String, folders: [String] = [], at location: SourceLocation = #_sourceLocation
    ) {
        let said = plain(line, folders: folders)
        if quotes.contains(said) {
            note(said)
            return
        }
        Issue.record("Operating does not quote: \(line)", sourceLocation: location)
    }

    // MARK: Dead quotes

    /// Adds a line that a process said to the file that `SYNCD_TEST_QUOTES` names, if it does.
    private static func note(_ said: String) {
        guard let path = ProcessInfo.processInfo.environment["SYNCD_TEST_QUOTES"] else { return }
        // Appended in one call: tests run beside each other.
        let file = open(path, O_WRONLY | O_APPEND)
        guard file >= 0 else { return }
        defer { close(file) }
        let bytes = Array((said + "\n").utf8)
        if write(file, bytes, bytes.count) != bytes.count {
            Issue.record("\(path): \(String(cString: strerror(errno)))")
        }
    }

    /// Lines of the article's blocks of output that no process said, as they are compared.
    ///
    /// - Parameter path: The file in which tests have noted what processes said.
    package static func deadQuotes(notedIn path: String) throws -> [String] {
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let said = Set(text.components(separatedBy: "\n"))
        return quotes.filter { !$0.isEmpty && !said.contains($0) }.sorted()
    }

    // MARK: Tables of refusals

    /// A row: code, and the sentence around a gap ("…"), if it has one.
    private struct Row {
        let code: String
        let sentence: [String]

        init?(_ line: String) {
            let cells = line.components(separatedBy: "|").map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            guard cells.count == 5, cells[1].hasPrefix("`") else { return nil }
            code = cells[1].trimmingCharacters(in: ["`"])
            sentence = plain(cells[2]).components(separatedBy: "…")
        }

        func quotes(_ rejection: Rejection) -> Bool {
            let text = plain(rejection.sentence)
            guard code == rejection.code.rawValue, let start = sentence.first else { return false }
            guard sentence.count == 2 else { return text == start }
            return text.hasPrefix(start) && text.dropFirst(start.count).hasSuffix(sentence[1])
        }
    }

    /// Rows of the tables of refusals, by what was refused: the title of the second column.
    private static let refusals: [String: [Row]] = {
        var tables: [String: [Row]] = [:]
        var title: String?
        for line in lines {
            if line.hasPrefix("| code | of ") {
                title = line.components(separatedBy: " | ")[1]
            } else if !line.hasPrefix("|") {
                title = nil
            } else if let title, let row = Row(line) {
                tables[title, default: []].append(row)
            }
        }
        return tables
    }()

    /// Expects that the article's tables quote every refusal, and that the table of this title
    /// quotes nothing else.
    package static func expectQuoted(
        _ rejections: [Rejection], inTable title: String,
        at location: SourceLocation = #_sourceLocation
    ) {
        let rows = refusals.values.joined()
        for rejection in rejections where !rows.contains(where: { $0.quotes(rejection) }) {
            Issue.record(
                "Operating does not quote: \(rejection.code.rawValue): \(rejection.sentence)",
                sourceLocation: location)
        }
        let table = refusals[title] ?? []
        #expect(!table.isEmpty, "Operating has no table '\(title)'", sourceLocation: location)
        for row in table where !rejections.contains(where: row.quotes) {
            Issue.record(
                "nobody was told what Operating quotes: \(row.code): \(row.sentence)",
                sourceLocation: location)
        }
    }
}

extension DaemonCluster {
    /// Expects that *Operating* quotes the first line of a text that has all these parts.
    package func expectQuoted(
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
    package func statusLines() async throws -> String {
        let last = try await queue().eventNumber
        return try await command(["status", "--from", "1", "--until", String(last)]).output
    }
}
