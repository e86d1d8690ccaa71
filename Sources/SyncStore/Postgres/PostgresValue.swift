internal import SyncCore

/// A parameter of a statement, in the server's binary form: nothing is quoted or escaped.
struct PostgresValue {
    /// The bytes; nil stands for NULL.
    let bytes: [UInt8]?

    /// NULL.
    static let null = PostgresValue(bytes: nil)

    /// Text in UTF-8, without NUL.
    static func text(_ text: String) -> PostgresValue { PostgresValue(bytes: Array(text.utf8)) }

    /// A `bigint` of the same 64 bits: unsigned numbers come back as they went.
    static func integer(_ value: UInt64) -> PostgresValue {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: value)
        return PostgresValue(bytes: bytes)
    }

    /// A `boolean`.
    static func flag(_ value: Bool) -> PostgresValue { PostgresValue(bytes: [value ? 1 : 0]) }

    /// A value, or NULL.
    static func optional(_ value: UInt64?) -> PostgresValue { value.map(integer) ?? .null }
}

/// Builds one array parameter: a column of a batch.
struct PostgresArray {
    /// Types of elements, by the numbers that the server's catalogue has for them.
    enum Element: UInt32 {
        case flag = 16
        case bytes = 17
        case integer = 20
        case text = 25
    }

    private var body: [UInt8] = []
    private var count: UInt32 = 0
    private var hasNull = false
    private let element: Element

    /// An array without elements.
    init(of element: Element, reserving byteCount: Int = 0) {
        self.element = element
        body.reserveCapacity(byteCount + 32)
    }

    /// Adds text, a number or a flag.
    mutating func append(_ value: PostgresValue) {
        count += 1
        guard let bytes = value.bytes else {
            hasNull = true
            return body.append(bigEndian: UInt32.max)
        }
        body.append(bigEndian: UInt32(bytes.count))
        body += bytes
    }

    /// Adds content; nil stands for NULL.
    mutating func append(_ content: Content?) {
        guard let content else { return append(.null) }
        count += 1
        body.append(bigEndian: UInt32(content.count))
        content.withBytes { body.append(contentsOf: $0) }
    }

    /// The array as a parameter: dimensions, whether there are NULLs, type, length, lower bound.
    var value: PostgresValue {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(body.count + 20)
        for word in [count == 0 ? 0 : 1, hasNull ? 1 : 0, element.rawValue] as [UInt32] {
            bytes.append(bigEndian: word)
        }
        if count > 0 {
            bytes.append(bigEndian: count)
            bytes.append(bigEndian: UInt32(1))
        }
        bytes += body
        return PostgresValue(bytes: bytes)
    }
}

extension [UInt8] {
    fileprivate mutating func append(bigEndian number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
    }
}
