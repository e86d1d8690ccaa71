@_spi(_Unicode) import Swift

/// A valid relative path, normalised to NFC at intake, before anything is compared or hashed.
///
/// `/`-separated, valid UTF-8, at most 1,024 bytes, each segment at most 255 bytes. Never empty,
/// absolute, with `.`, `..` or empty segments, with control characters, or with `.syncd` first.
package struct EditPath: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The path, in NFC.
    package let text: String

    /// Longest path, in bytes after NFC.
    package static let bytesMax = 1_024
    /// Longest segment, in bytes after NFC.
    package static let segmentBytesMax = 255
    /// First segment that belongs to syncd: stage directories and the marker.
    package static let reserved = ".syncd"

    /// Why a text is no path.
    package enum Flaw: Error, Equatable {
        case empty
        case absolute
        case tooLong
        case segmentTooLong
        case emptySegment
        case dotSegment
        case controlCharacter
        case reserved
        case invalidUTF8

        /// A sentence for a person; never quotes the path.
        package var sentence: String {
            switch self {
            case .empty: "The path is empty; name a file below the project's root."
            case .absolute: "The path starts with '/'; give it relative to the project's root."
            case .tooLong: "The path is longer than \(bytesMax) bytes; shorten it."
            case .segmentTooLong:
                "A segment of the path is longer than \(segmentBytesMax) bytes; shorten it."
            case .emptySegment: "The path has an empty segment; remove the doubled or last '/'."
            case .dotSegment: "The path has a '.' or '..' segment; write it without."
            case .controlCharacter: "The path has a control character; rename the file."
            case .reserved: "Paths under '.syncd' belong to syncd; choose another name."
            case .invalidUTF8: "The path is not valid UTF-8; send it as UTF-8."
            }
        }
    }

    /// Validates and normalises.
    package init(_ raw: String) throws(Flaw) {
        // Decomposed text grows by less than four times; longer input can't become short enough.
        guard raw.utf8.count <= Self.bytesMax * 4 else { throw .tooLong }
        let text =
            raw.utf8.allSatisfy { $0 < 0x80 } ? raw : String(String.UnicodeScalarView(raw._nfc))
        if let flaw = Self.flaw(in: text) { throw flaw }
        self.text = text
    }

    /// The segments, from the root down.
    package var segments: [Substring] { text.split(separator: "/") }

    /// As text, for people and logs.
    package var description: String { text }

    /// The order that queues and pages follow.
    package static func < (left: EditPath, right: EditPath) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }

    /// Whether the path is this prefix or lies below it; the empty prefix covers everything.
    package func isCovered(by prefix: String) -> Bool {
        if prefix.isEmpty { return true }
        var folder = prefix.utf8[...]
        if folder.last == UInt8(ascii: "/") { folder.removeLast() }
        guard text.utf8.starts(with: folder) else { return false }
        let rest = text.utf8.dropFirst(folder.count)
        return rest.isEmpty || rest.first == UInt8(ascii: "/")
    }

    private static func flaw(in text: String) -> Flaw? {
        var text = text
        return text.withUTF8 { flaw(in: $0) }
    }

    private static func flaw(in bytes: UnsafeBufferPointer<UInt8>) -> Flaw? {
        if bytes.isEmpty { return .empty }
        if bytes.first == UInt8(ascii: "/") { return .absolute }
        if bytes.count > bytesMax { return .tooLong }
        if hasControlCharacter(bytes) { return .controlCharacter }
        var start = 0
        while start <= bytes.count {
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "/")) ?? bytes.count
            let segment = bytes[start..<end]
            if segment.isEmpty { return .emptySegment }
            if segment.count > segmentBytesMax { return .segmentTooLong }
            if segment.allSatisfy({ $0 == UInt8(ascii: ".") }), segment.count <= 2 {
                return .dotSegment
            }
            start = end + 1
        }
        let first = bytes.prefix { $0 != UInt8(ascii: "/") }
        return first.elementsEqual(reserved.utf8) ? .reserved : nil
    }

    /// Whether one of Unicode's control characters is there: U+0000 to U+001F, U+007F to U+009F.
    private static func hasControlCharacter(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        var last: UInt8 = 0
        for byte in bytes {
            if byte < 0x20 || byte == 0x7F { return true }
            if last == 0xC2, (0x80...0x9F).contains(byte) { return true }
            last = byte
        }
        return false
    }
}

/// What order, coalescing and ownership are about: a path in a project.
package struct FileKey: Hashable, Sendable, CustomStringConvertible {
    /// The namespace.
    package let project: ProjectName
    /// The path in it.
    package let path: EditPath

    /// Pairs a project with a path.
    package init(project: ProjectName, path: EditPath) {
        self.project = project
        self.path = path
    }

    /// As text, for people and logs.
    package var description: String { "\(project)/\(path)" }
}
