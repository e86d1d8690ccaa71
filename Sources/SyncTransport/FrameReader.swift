internal import SyncCore
internal import ZeroMQ

/// Takes frames off a message one by one; every failure is a ``Rejection`` for a person.
struct FrameReader {
    private let frames: ArraySlice<Frame>
    private var index: Int

    init(_ frames: ArraySlice<Frame>) {
        self.frames = frames
        index = frames.startIndex
    }

    /// Frames not yet taken.
    var count: Int { frames.endIndex - index }

    mutating func frame(_ what: String) throws(Rejection) -> Frame {
        guard index < frames.endIndex else {
            throw Rejection(
                .badRequest, "The message ends before its \(what); see the grammar in Protocol.")
        }
        defer { index += 1 }
        return frames[index]
    }

    mutating func text(_ what: String) throws(Rejection) -> String {
        guard let text = try frame(what).text else {
            throw Rejection(.badRequest, "The \(what) is not valid UTF-8; send it as UTF-8.")
        }
        return text
    }

    mutating func number(_ what: String) throws(Rejection) -> UInt64 {
        guard let value = try Self.number(text(what)) else {
            throw Rejection(
                .badRequest,
                "Send the \(what) in decimal digits without sign or leading zeros, at most "
                    + "\(countMax).")
        }
        return value
    }

    mutating func project() throws(Rejection) -> ProjectName {
        guard let name = Name(try text("project")) else {
            throw Rejection(
                .badRequest,
                "The project's name must be 1 to \(Name.bytesMax) of A-Z a-z 0-9 _ - and '.', and "
                    + "not begin with '.'.")
        }
        return name
    }

    mutating func producer() throws(Rejection) -> ProducerID {
        guard let producer = ProducerID(try text("producer")) else {
            throw Rejection(
                .badRequest,
                "The producer must be NAME/LIFE, where LIFE is 16 hexadecimal digits drawn at "
                    + "random when the producer starts.")
        }
        return producer
    }

    mutating func query<T: Decodable>(_ type: T.Type) throws(Rejection) -> T {
        guard let body = Body.decodeShort(type, from: try frame("query")) else {
            throw Rejection(
                .badRequest,
                "The query is no JSON object of the documented fields, or longer than "
                    + "\(Wire.queryBytesMax) bytes; see Protocol, or send an empty frame.")
        }
        return body
    }

    mutating func json<T: Decodable>(_ type: T.Type, _ what: String) throws(Rejection) -> T {
        try Self.json(type, in: frame(what), what)
    }

    static func json<T: Decodable>(
        _ type: T.Type, in frame: Frame, _ what: String
    ) throws(Rejection) -> T {
        guard let body = Body.decode(type, from: frame) else {
            throw Rejection(
                .badRequest,
                "The \(what) is no JSON object of the documented fields; see Protocol, or send an "
                    + "empty frame.")
        }
        return body
    }

    func end() throws(Rejection) {
        guard count == 0 else {
            throw Rejection(
                .badRequest,
                "The message has \(count) frames too many; see the grammar in Protocol.")
        }
    }

    /// Decimal digits, no sign, no leading zero, at most 2^53 - 1.
    static func number(_ text: some StringProtocol) -> UInt64? {
        // By bytes: each edit, assignment and report has some of these.
        var text = String(text)
        return text.withUTF8 { digits -> UInt64? in
            guard let first = digits.first, digits.count <= 16,
                first != UInt8(ascii: "0") || digits.count == 1
            else { return nil }
            var value: UInt64 = 0
            for digit in digits {
                guard case UInt8(ascii: "0")...UInt8(ascii: "9") = digit else { return nil }
                value = value * 10 + UInt64(digit - UInt8(ascii: "0"))
            }
            return value <= countMax ? value : nil
        }
    }
}

extension Frame {
    init(_ number: UInt64) { self.init(String(number)) }
}
