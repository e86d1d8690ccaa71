import Foundation

/// The article *Protocol*, whose blocks the tests run and compare.
package struct ProtocolArticle {
    private let lines: [Substring]
    private let text: String

    /// Reads the article of this checkout.
    package init() throws {
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { root.deleteLastPathComponent() }
        let file = root.appendingPathComponent("Sources/SyncCore/Documentation.docc/Protocol.md")
        text = try String(contentsOf: file, encoding: .utf8)
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// Whether the article speaks of a word, as code.
    package func mentions(_ word: String) -> Bool {
        text.contains("`\(word)`") || text.contains("syncd/1 \(word) ")
            || text.contains("syncd/1 | \(word) ")
    }

    /// The lines of a fenced block, by what stands behind the fence.
    package func block(_ title: String) throws -> [String] {
        guard let start = lines.firstIndex(of: "```\(title)") else {
            throw KitError("the article has no block '\(title)'")
        }
        return lines[(start + 1)...].prefix { $0 != "```" }.map(String.init)
    }

    /// Names of the golden messages, in order.
    package var goldenNames: [String] {
        lines.filter { $0.hasPrefix("```golden ") }.map { String($0.dropFirst("```golden ".count)) }
    }

    /// The frames of a golden message.
    package func golden(_ name: String) throws -> [[UInt8]] {
        var frames: [String] = []
        for line in try block("golden \(name)") {
            if line.hasPrefix(" "), let last = frames.popLast() {
                frames.append(last + line.dropFirst())
            } else {
                frames.append(line)
            }
        }
        return try frames.map { frame in
            if frame == "-" { return [] }
            let digits = Array(frame.utf8)
            guard digits.count.isMultiple(of: 2) else { throw KitError("'\(frame)' is no hex") }
            return try stride(from: 0, to: digits.count, by: 2).map { place in
                let pair = String(decoding: digits[place...(place + 1)], as: UTF8.self)
                guard let byte = UInt8(pair, radix: 16) else { throw KitError("'\(pair)'?") }
                return byte
            }
        }
    }
}
