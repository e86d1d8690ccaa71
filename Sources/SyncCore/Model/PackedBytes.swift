/// Writes the packed records of journal segments: varints (LEB128) and length-prefixed texts.
package struct PackedWriter {
    /// What was written.
    package private(set) var bytes: [UInt8] = []
    private var texts: [String: UInt64] = [:]
    /// Texts that were appended in full: each has a place in the reader's table.
    private var count = 0

    /// Starts empty.
    package init() {}

    /// Appends 1...10 bytes: seven bits each, the low ones first.
    package mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Appends a difference that may be negative, small ones in few bytes (zigzag).
    package mutating func difference(_ value: UInt64, from base: UInt64) {
        let signed = Int64(bitPattern: value &- base)
        varint(UInt64(bitPattern: (signed << 1) ^ (signed >> 63)))
    }

    /// Appends eight bytes, the low one first.
    package mutating func fixed(_ value: UInt64) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Appends a text the first time, afterwards its place in the table of texts.
    package mutating func text(_ value: String) {
        guard let known = Self.known(&texts[value], orElse: UInt64(count)) else {
            return newText(value)
        }
        varint(known + 1)
    }

    /// A text's place, looked up once; nil when it had none, and gets this one.
    private static func known(_ place: inout UInt64?, orElse next: UInt64) -> UInt64? {
        if let place { return place }
        place = next
        return nil
    }

    /// Appends a text that will not come again: it is not looked for.
    package mutating func newText(_ value: String) {
        count += 1
        varint(0)
        varint(UInt64(value.utf8.count))
        bytes.append(contentsOf: value.utf8)
    }
}

/// Reads what ``PackedWriter`` wrote; nil wherever the bytes end early or make no sense.
package struct PackedReader {
    private let bytes: [UInt8]
    private var offset = 0
    private var texts: [String] = []

    /// Starts at the first byte.
    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Whether everything was read.
    package var isAtEnd: Bool { offset == bytes.count }

    /// Reads a varint.
    package mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < bytes.count, shift < 64 {
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    /// Reads a difference.
    package mutating func difference(from base: UInt64) -> UInt64? {
        guard let raw = varint() else { return nil }
        let signed = Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
        return base &+ UInt64(bitPattern: signed)
    }

    /// Reads eight bytes.
    package mutating func fixed() -> UInt64? {
        guard offset + 8 <= bytes.count else { return nil }
        var value: UInt64 = 0
        for index in 0..<8 { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        offset += 8
        return value
    }

    /// Reads a text.
    package mutating func text() -> String? {
        guard let place = varint() else { return nil }
        if place > 0 {
            guard place <= UInt64(texts.count) else { return nil }
            return texts[Int(place - 1)]
        }
        guard let count = varint(), count <= UInt64(bytes.count - offset) else { return nil }
        let slice = bytes[offset..<offset + Int(count)]
        guard let text = String(validating: slice, as: UTF8.self) else { return nil }
        offset += Int(count)
        texts.append(text)
        return text
    }
}
