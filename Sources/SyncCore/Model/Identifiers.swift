/// A name that is safe in a path, a topic and a command line.
///
/// Grammar: `[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}`. Projects, worker labels and sandboxes bear such
/// names, so that `local:PROJECT` is always one directory and a topic has one meaning (trace C5).
package struct Name: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The name as written.
    package let text: String

    /// Longest name, in bytes.
    package static let bytesMax = 128

    /// Takes a name that follows the grammar; nil otherwise.
    package init?(_ text: String) {
        let bytes = text.utf8
        guard let first = bytes.first, bytes.count <= Self.bytesMax, first != UInt8(ascii: "."),
            bytes.allSatisfy(Self.isAllowed)
        else { return nil }
        self.text = text
    }

    /// As text, for people and logs.
    package var description: String { text }

    /// The order that queues and pages follow.
    package static func < (left: Name, right: Name) -> Bool { left.text < right.text }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
            UInt8(ascii: "."):
            true
        default: false
        }
    }
}

/// The namespace of paths; the unit of fairness and permission.
package typealias ProjectName = Name

/// A worker's label, unique among the living.
package typealias WorkerLabel = Name

/// One life of a producer in one project: a name for people, `/`, 16 hexadecimal digits.
///
/// The digits are 64 random bits drawn at start, so that a producer that starts again and counts
/// from 1 is not taken for its own earlier life (trace A2).
package struct ProducerID: Hashable, Sendable, CustomStringConvertible {
    /// `NAME/0123456789abcdef`.
    package let text: String

    /// Takes an id that follows the grammar; nil otherwise.
    package init?(_ text: String) {
        guard let slash = text.utf8.lastIndex(of: UInt8(ascii: "/")),
            Name(String(text[..<slash])) != nil,
            Hexadecimal.isSixteenDigits(text[text.index(after: slash)...].utf8)
        else { return nil }
        self.text = text
    }

    /// Makes the id of a new life.
    ///
    /// - Parameter life: 64 random bits; drawn by the caller.
    package init(name: Name, life: UInt64) {
        text = name.text + "/" + Hexadecimal.digits(of: life)
    }

    /// As text, for people and logs.
    package var description: String { text }
}

/// A producer's number for one edit: the idempotence key.
package struct EditID: Hashable, Sendable, CustomStringConvertible {
    /// The life that counts.
    package let producer: ProducerID
    /// Counted up from 1 by that life.
    package let number: UInt64

    /// Pairs a life with one of its numbers.
    package init(producer: ProducerID, number: UInt64) {
        self.producer = producer
        self.number = number
    }

    /// As text, for people and logs.
    package var description: String { "\(producer)#\(number)" }
}

/// One life of the coordinator: 64 random bits, compared only for equality.
package struct Epoch: Hashable, Sendable, CustomStringConvertible {
    /// The bits.
    package let bits: UInt64

    /// Takes bits drawn by the caller.
    package init(bits: UInt64) { self.bits = bits }

    /// Reads sixteen hexadecimal digits.
    package init?(_ text: some StringProtocol) {
        guard let bits = Hexadecimal.value(of: text) else { return nil }
        self.bits = bits
    }

    /// As text, for people and logs.
    package var description: String { Hexadecimal.digits(of: bits) }
}

/// One life of a worker, handed out by the coordinator, never the same twice: `EPOCH-COUNT`.
package struct Incarnation: Hashable, Sendable, CustomStringConvertible {
    /// The coordinator's life that handed it out.
    package let epoch: Epoch
    /// Counted over that life, from 1.
    package let count: UInt64

    /// Pairs an epoch with its count.
    package init(epoch: Epoch, count: UInt64) {
        self.epoch = epoch
        self.count = count
    }

    /// Reads `EPOCH-COUNT`.
    package init?(_ text: some StringProtocol) {
        // Read by bytes: each assignment and each report has some of these.
        var text = String(text)
        let read = text.withUTF8 { bytes -> (UInt64, UInt64)? in
            guard bytes.count > 17, bytes[16] == UInt8(ascii: "-"),
                let bits = Hexadecimal.value(of: bytes[..<16]),
                let count = Self.count(in: bytes[17...])
            else { return nil }
            return (bits, count)
        }
        guard let (bits, count) = read else { return nil }
        self.init(epoch: Epoch(bits: bits), count: count)
    }

    private static func count(in digits: Slice<UnsafeBufferPointer<UInt8>>) -> UInt64? {
        var value: UInt64 = 0
        for byte in digits {
            guard case UInt8(ascii: "0")...UInt8(ascii: "9") = byte else { return nil }
            let (tens, isTooBig) = value.multipliedReportingOverflow(by: 10)
            let (sum, isOver) = tens.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            guard !isTooBig, !isOver else { return nil }
            value = sum
        }
        return value
    }

    /// As text, for people and logs.
    package var description: String { Hexadecimal.digits(of: epoch.bits) + "-" + String(count) }
}

/// Sixteen lower-case hexadecimal digits for 64 bits.
package enum Hexadecimal {
    /// The sixteen digits of a value.
    package static func digits(of value: UInt64) -> String {
        String(unsafeUninitializedCapacity: 16) { buffer in
            for place in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * place)) & 0xF
                buffer[place] =
                    digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
            }
            return 16
        }
    }

    /// The value of exactly sixteen lower-case digits; nil for anything else.
    package static func value(of text: some StringProtocol) -> UInt64? {
        var text = String(text)
        return text.withUTF8 { value(of: $0[...]) }
    }

    /// The value of exactly sixteen lower-case digits as bytes; nil for anything else.
    static func value(of bytes: Slice<UnsafeBufferPointer<UInt8>>) -> UInt64? {
        guard bytes.count == 16 else { return nil }
        var value: UInt64 = 0
        for byte in bytes {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            default: return nil
            }
            value = value << 4 | UInt64(digit)
        }
        return value
    }

    /// Whether these are sixteen lower-case digits.
    package static func isSixteenDigits(_ bytes: some Collection<UInt8>) -> Bool {
        bytes.count == 16
            && bytes.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }
}
