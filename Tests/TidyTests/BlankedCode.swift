/// Swift text with comments and the insides of string literals replaced by spaces.
///
/// Lines stay where they are, so that a place in the result is a place in the file.
struct BlankedCode {
    private let bytes: [UInt8]
    private var result: [UInt8]
    private var at = 0

    private static let quote = UInt8(ascii: "\"")
    private static let slash = UInt8(ascii: "/")
    private static let star = UInt8(ascii: "*")
    private static let hash = UInt8(ascii: "#")
    private static let backslash = UInt8(ascii: "\\")
    private static let newline = UInt8(ascii: "\n")
    private static let open = UInt8(ascii: "(")
    private static let close = UInt8(ascii: ")")

    /// Blanks a file.
    static func of(_ bytes: [UInt8]) -> [UInt8] {
        var blanked = BlankedCode(bytes: bytes, result: bytes)
        blanked.readCode(untilParenthesis: false)
        return blanked.result
    }

    private func byte(_ offset: Int = 0) -> UInt8? {
        at + offset < bytes.count ? bytes[at + offset] : nil
    }

    private mutating func blank(_ count: Int = 1) {
        for _ in 0..<count where at < bytes.count {
            if bytes[at] != Self.newline { result[at] = UInt8(ascii: " ") }
            at += 1
        }
    }

    /// Reads code to the end, or to the parenthesis that closes an interpolation.
    private mutating func readCode(untilParenthesis: Bool) {
        var depth = 0
        while let next = byte() {
            if next == Self.slash, byte(1) == Self.slash {
                while let inner = byte(), inner != Self.newline { blank() }
            } else if next == Self.slash, byte(1) == Self.star {
                readComment()
            } else if next == Self.quote || next == Self.hash {
                let hashes = countHashes()
                if byte(hashes) == Self.quote { readString(hashes) } else { at += max(hashes, 1) }
            } else {
                if next == Self.open { depth += 1 }
                if next == Self.close {
                    if untilParenthesis, depth == 0 { return }
                    depth -= 1
                }
                at += 1
            }
        }
    }

    private func countHashes() -> Int {
        var count = 0
        while byte(count) == Self.hash { count += 1 }
        return count
    }

    private mutating func readComment() {
        var depth = 0
        while byte() != nil {
            if byte() == Self.slash, byte(1) == Self.star {
                depth += 1
                blank(2)
            } else if byte() == Self.star, byte(1) == Self.slash {
                depth -= 1
                blank(2)
                if depth == 0 { return }
            } else {
                blank()
            }
        }
    }

    private func isDelimiter(_ quotes: Int, _ hashes: Int) -> Bool {
        (0..<quotes).allSatisfy { byte($0) == Self.quote }
            && (0..<hashes).allSatisfy { byte(quotes + $0) == Self.hash }
    }

    private mutating func readString(_ hashes: Int) {
        at += hashes
        let quotes = byte(1) == Self.quote && byte(2) == Self.quote ? 3 : 1
        at += quotes
        while byte() != nil {
            if isDelimiter(quotes, hashes) {
                at += quotes + hashes
                return
            }
            let isEscape =
                byte() == Self.backslash
                && (0..<hashes).allSatisfy { byte(1 + $0) == Self.hash }
            guard isEscape else {
                // The end of a line ends what was no literal (a quote in a regular expression).
                if quotes == 1, byte() == Self.newline { return }
                blank()
                continue
            }
            blank(1 + hashes)
            if byte() == Self.open {
                blank()
                let start = at
                readCode(untilParenthesis: true)
                for place in start..<at where result[place] != Self.newline {
                    result[place] = UInt8(ascii: " ")
                }
            }
            blank()
        }
    }
}
