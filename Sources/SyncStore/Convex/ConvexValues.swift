internal import Foundation

/// Values as Convex's JSON has them: what JSON can't say is an object with one `$` field.
///
/// The format is Convex's `convex_encoded_json`. Any number of plain JSON is a 64-bit float there,
/// so a count may come back as `3.0`.
enum ConvexValues {
    /// A count, which travels as a float: 0 to 2^53 - 1.
    struct Count: Decodable, Sendable, Equatable {
        let value: UInt64

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            let number = try container.decode(Double.self)
            guard let value = UInt64(exactly: number), value < 1 << 53 else {
                throw DecodingError.dataCorruptedError(
                    in: container, debugDescription: "this number is no count")
            }
            self.value = value
        }
    }

    /// 64 bits, as 8 bytes in base 64, least significant first.
    struct Bits: Codable, Sendable, Equatable {
        let value: UInt64

        enum CodingKeys: String, CodingKey { case value = "$integer" }

        init(_ value: UInt64) { self.value = value }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            let bytes = try container.decode(Data.self, forKey: .value)
            guard bytes.count == 8 else {
                throw DecodingError.dataCorruptedError(
                    forKey: .value, in: container, debugDescription: "an integer has 8 bytes")
            }
            value = bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            let bytes = (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
            try container.encode(Data(bytes), forKey: .value)
        }
    }

    /// Bytes, as base 64: a file need not be Unicode, and a string must be.
    struct Bytes: Codable, Sendable {
        let data: Data

        enum CodingKeys: String, CodingKey { case data = "$bytes" }
    }

    /// What may be missing, and then travels as null: a function wants each of its arguments.
    struct OrNull<Value: Encodable & Sendable>: Encodable, Sendable {
        let value: Value?

        init(_ value: Value?) { self.value = value }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            if let value { try container.encode(value) } else { try container.encodeNil() }
        }
    }
}
