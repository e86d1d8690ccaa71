internal import CLibPQ

/// Where a PostgreSQL database is, in libpq's own words; never shown with its password.
package struct PostgresURL: Sendable, Equatable, CustomStringConvertible {
    /// The whole URL, password included: for libpq only.
    let secret: String
    /// What people and logs may read: user, hosts, ports and database.
    package let description: String

    /// Reads `postgres://USER@HOST:PORT/DATABASE?OPTIONS`; nil when libpq can't.
    ///
    /// Nothing says why: libpq's own complaint quotes parts of the URL.
    package init?(_ text: String) {
        guard !text.utf8.contains(0), !Self.isAmbiguous(text) else { return nil }
        guard let options = PQconninfoParse(text, nil) else { return nil }
        defer { PQconninfoFree(options) }
        var fields: [String: String] = [:]
        var place = options
        while let keyword = place.pointee.keyword {
            if let value = place.pointee.val {
                fields[String(cString: keyword)] = String(cString: value)
            }
            place = place.advanced(by: 1)
        }
        let ports = fields["port"] ?? ""
        guard ports.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2C }) else {
            return nil
        }
        secret = text
        description = Self.redacted(fields)
    }

    /// Whether a character of the password may be taken for the end of a part.
    ///
    /// libpq would then read the rest of it as host, port or database, which are shown.
    private static func isAmbiguous(_ text: String) -> Bool {
        guard let start = text.firstRange(of: "://")?.upperBound else { return false }
        let body = text[start...].prefix { $0 != "?" }
        guard let at = body.firstIndex(of: "@") else { return false }
        return body[..<at].contains("/") || body[at...].dropFirst().contains("@")
    }

    /// The URL without what may be secret.
    ///
    /// Empty parts are libpq's defaults; several hosts stand by commas.
    private static func redacted(_ fields: [String: String]) -> String {
        let hosts = (fields["host"] ?? fields["hostaddr"] ?? "").split(separator: ",").map {
            // A slash would end the URL's host; a socket's folder is written with %2F there.
            $0.split(separator: "/", omittingEmptySubsequences: false).joined(separator: "%2F")
        }
        let ports = (fields["port"] ?? "").split(separator: ",").map(String.init)
        let places = hosts.enumerated().map { index, host in
            let port = ports.count == 1 ? ports.first : index < ports.count ? ports[index] : nil
            return port.map { "\(host):\($0)" } ?? host
        }
        let user = fields["user"].map { "\($0)@" } ?? ""
        return "postgres://\(user)\(places.joined(separator: ","))/\(fields["dbname"] ?? "")"
    }

    /// Two URLs are the same when libpq is told the same.
    package static func == (left: PostgresURL, right: PostgresURL) -> Bool {
        left.secret == right.secret
    }
}
