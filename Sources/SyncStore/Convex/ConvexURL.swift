/// Where a Convex deployment is: `https://NAME.convex.cloud`, or one's own.
package struct ConvexURL: Sendable, Equatable, CustomStringConvertible {
    /// The address, without a slash at its end; nothing in it is secret.
    package let description: String
    /// Whether nobody on the way can read what is sent: TLS, or this machine.
    package let isPrivate: Bool

    /// Reads scheme, host and port; nil for anything else.
    ///
    /// A user, a path or a query has no meaning there, and might be where somebody put the key.
    package init?(_ text: some StringProtocol) {
        let lowered = text.lowercased()
        let schemes = ["https://", "http://"]
        guard let scheme = schemes.first(where: { lowered.hasPrefix($0) }) else { return nil }
        var place = lowered.dropFirst(scheme.count)
        if place.hasSuffix("/") { place.removeLast() }
        guard let (host, port) = Self.parts(of: place), Self.isHost(host),
            port.map({ UInt16($0) != nil }) ?? true
        else { return nil }
        description = scheme + place
        let isHere = host == "localhost" || host == "[::1]" || Self.isLoopback(host)
        isPrivate = scheme == "https://" || isHere
    }

    /// Host and port; an address of IPv6 stands in brackets.
    private static func parts(of place: Substring) -> (host: Substring, port: Substring?)? {
        let end =
            place.hasPrefix("[")
            ? place.firstIndex(of: "]").map { place.index(after: $0) }
            : place.firstIndex(of: ":") ?? place.endIndex
        guard let end else { return nil }
        let rest = place[end...]
        guard !rest.isEmpty else { return (place, nil) }
        guard rest.hasPrefix(":") else { return nil }
        return (place[..<end], rest.dropFirst())
    }

    private static func isHost(_ host: Substring) -> Bool {
        if host.hasPrefix("[") {
            return host.dropFirst().dropLast().utf8.allSatisfy { byte in
                isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
                    || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".")
            }
        }
        return !host.isEmpty
            && host.utf8.allSatisfy { byte in
                isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
            }
    }

    /// An address in 127.0.0.0/8; a name that begins so is anybody's.
    private static func isLoopback(_ host: Substring) -> Bool {
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 4 && numbers[0] == "127" && numbers.allSatisfy { UInt8($0) != nil }
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}

/// A deploy key of Convex; never shown, whatever it is printed with.
package struct ConvexKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// The key itself, for the one header that carries it.
    let text: String

    /// Takes one word of ASCII, such as `prod:NAME|…`; nil for anything else.
    package init?(_ text: String) {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return nil
        }
        self.text = text
    }

    /// Hidden.
    package var description: String { "(hidden)" }

    /// Hidden.
    package var debugDescription: String { description }

    /// Hidden.
    package var customMirror: Mirror { Mirror(self, children: []) }
}
