package import SyncCore

/// An API key of E2B; never shown, whatever it is printed with.
package struct E2BKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// The key itself, for the one header that carries it.
    let text: String

    /// Takes `e2b_` and hexadecimal digits, as the service does; nil for anything else.
    package init?(_ text: String) {
        let lead = "e2b_"
        guard text.hasPrefix(lead), text.utf8.count > lead.utf8.count,
            text.dropFirst(lead.count).allSatisfy({ $0.isASCII && $0.isHexDigit })
        else { return nil }
        self.text = text
    }

    /// Hidden.
    package var description: String { "(hidden)" }

    /// Hidden.
    package var debugDescription: String { description }

    /// Hidden.
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// How E2B is reached, named as E2B's own SDK names it.
package struct E2BConfiguration: Sendable {
    /// The key of the control plane.
    package var key: E2BKey
    /// Where the control plane is `https://api.DOMAIN` (`E2B_DOMAIN`).
    package var domain = "e2b.app"
    /// The control plane, if it is elsewhere (`E2B_API_URL`).
    package var apiURL: String?
    /// One address for all sandboxes, told apart by a header (`E2B_SANDBOX_URL`).
    package var sandboxURL: String?
    /// Scheme of addresses that are made from the domain.
    package var scheme = "https"
    /// Host names that are looked up elsewhere, with the address to use.
    package var addresses: [String: String] = [:]
    /// How long a sandbox is to live on after the last edit; extended when half of it is over.
    package var life: Duration = .seconds(300)
    /// What becomes of files that somebody else has changed; looking costs requests.
    package var drift: DriftPolicy = .overwrite
    /// Time for one request that carries no content.
    package var requestDeadline: Duration = .seconds(10)
    /// Time for one request that carries content.
    package var uploadDeadline: Duration = .seconds(20)
    /// Wait before a `Move` without an answer is settled again; doubles up to twenty times as long.
    package var settleWait: Duration = .milliseconds(500)
    /// Connections to one address at most.
    ///
    /// All sandboxes of E2B's own domains share one. A sandbox that hangs holds one for each of the
    /// edits that it may have in hand (32): thirty of them leave the others theirs.
    package var connectionsMax = 1_024

    /// Describes E2B as it is for everybody.
    package init(key: E2BKey) { self.key = key }

    /// Domains of E2B's own whose sandboxes share one host, so that connections are shared, too.
    private static let sharedDomains: Set<String> = ["e2b.app", "e2b.dev", "e2b.pro"]

    /// Address of the control plane.
    var controlPlane: String { Self.trimmed(apiURL ?? "\(scheme)://api.\(domain)") }

    /// Address of a sandbox's files.
    ///
    /// - Parameter own: The domain that the service named for this sandbox.
    func dataPlane(of sandbox: String, own: String?) -> String {
        if let sandboxURL { return Self.trimmed(sandboxURL) }
        let domain = own ?? domain
        return Self.sharedDomains.contains(domain)
            ? "\(scheme)://sandbox.\(domain)"
            : "\(scheme)://\(E2BEnvd.port)-\(sandbox).\(domain)"
    }

    private static func trimmed(_ url: String) -> String {
        var url = url[...]
        while url.last == "/" { url.removeLast() }
        return String(url)
    }
}

/// What a target `e2b:ID` or `e2b:ID.DIRECTORY` names.
struct E2BPlace: Sendable, Equatable {
    /// The sandbox's id.
    let sandbox: String
    /// The directory in the user's home; nil for the home itself.
    let directory: String?

    /// Reads the name of a target.
    init(_ target: TargetURL) throws(SandboxError) {
        let text = target.name.text
        let end = text.firstIndex(of: ".") ?? text.endIndex
        sandbox = String(text[..<end])
        let rest = end == text.endIndex ? nil : String(text[text.index(after: end)...])
        let isID = sandbox.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        guard !sandbox.isEmpty, isID, rest.map({ Name($0) != nil }) ?? true else {
            throw SandboxError(
                .target, code: "bad-target",
                "'\(target)' names no sandbox of E2B. Write e2b:ID or e2b:ID.DIRECTORY, ID being "
                    + "lower-case letters and digits, DIRECTORY a folder in the user's home; then "
                    + "detach this target.")
        }
        directory = rest
    }

    /// The project's directory, as envd reads it: from the user's home, never empty, and never
    /// beginning with `~`, which envd would expand.
    var root: String { directory.map { "./\($0)" } ?? "./." }

    /// A path below the project's directory.
    func path(_ below: String) -> String {
        directory.map { "./\($0)/\(below)" } ?? "./\(below)"
    }
}
