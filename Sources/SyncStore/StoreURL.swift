package import SyncCore

/// Which store a pool uses, as the settings name it: `sqlite:FILE`, `postgres://…` or
/// `convex:https://…`.
package enum StoreURL: Sendable, Equatable, CustomStringConvertible {
    /// A file shared by the workers of one machine.
    case sqlite(file: String)
    /// A database shared by the workers of any number of machines.
    case postgres(PostgresURL)
    /// A deployment of Convex, likewise.
    case convex(ConvexURL)

    /// Why a text names no store: what is wrong and what to write instead.
    package struct Flaw: Error, Equatable, CustomStringConvertible {
        /// A sentence for a person; never quotes the text, which may carry a password.
        package let sentence: String

        /// As text, for people and logs.
        package var description: String { sentence }
    }

    /// Reads `sqlite:FILE`, a URL of libpq, or `convex:` and the address of a deployment.
    package init(_ text: some StringProtocol) throws(Flaw) {
        guard let colon = text.firstIndex(of: ":") else {
            throw Flaw(sentence: "The store has no scheme; write it as \(Self.forms).")
        }
        let rest = String(text[text.index(after: colon)...])
        switch text[..<colon].lowercased() {
        case "sqlite": self = .sqlite(file: try Self.file(rest))
        case "postgres", "postgresql": self = .postgres(try Self.database(rest))
        case "convex": self = .convex(try Self.deployment(rest))
        case "http", "https":
            throw Flaw(sentence: "Write 'convex:' before the URL of a Convex deployment.")
        default: throw Flaw(sentence: "The store's scheme is unknown; use \(Self.forms).")
        }
    }

    /// As text, for people and logs: without a password.
    package var description: String {
        switch self {
        case .sqlite(let file): "sqlite:\(file)"
        case .postgres(let url): url.description
        case .convex(let url): "convex:\(url)"
        }
    }

    private static let forms =
        "'sqlite:FILE', 'postgres://USER@HOST/DATABASE' or 'convex:https://NAME.convex.cloud'"

    private static func deployment(_ rest: String) throws(Flaw) -> ConvexURL {
        guard let url = ConvexURL(rest) else {
            throw Flaw(
                sentence: "The Convex URL can't be read; write 'convex:https://NAME.convex.cloud', "
                    + "scheme, host and port only: the key comes by SYNCD_CONVEX_KEY.")
        }
        return url
    }

    private static func database(_ rest: String) throws(Flaw) -> PostgresURL {
        guard rest.hasPrefix("//"), let url = PostgresURL("postgres:" + rest) else {
            throw Flaw(
                sentence: "The PostgreSQL URL can't be read; write "
                    + "'postgres://USER@HOST:PORT/DATABASE?OPTIONS' with options of libpq, and "
                    + "percent-encode special characters in user and password.")
        }
        return url
    }

    private static func file(_ rest: String) throws(Flaw) -> String {
        if rest.isEmpty {
            throw Flaw(sentence: "'sqlite:' names no file; write 'sqlite:/var/lib/syncd/store.db'.")
        }
        if rest.hasPrefix("//") {
            throw Flaw(
                sentence: "Write 'sqlite:FILE' without '//', for instance 'sqlite:store.db'.")
        }
        if rest.hasPrefix(":") {
            throw Flaw(sentence: "A store in memory does not survive its process; name a file.")
        }
        if rest.hasSuffix("/") {
            throw Flaw(sentence: "'sqlite:FILE' names a directory; name a file in it.")
        }
        if rest.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
            throw Flaw(sentence: "The store's file name has a control character; choose another.")
        }
        return rest
    }
}

/// A store that a command opened and closes at its end.
package protocol OpenStore: VersionedStore {
    /// Lets go of files and sessions; no call afterwards.
    func close() async
}

extension SQLiteStore: OpenStore {}
extension PostgresStore: OpenStore {}
extension ConvexStore: OpenStore {}

/// How a store is used, whichever it is; what its URL does not tell.
package struct StoreSettings: Sendable {
    /// How many versions of a file are kept.
    package var versionsKept = SQLiteStore.versionsKeptDefault
    /// The deploy key of a Convex deployment.
    package var convexKey: ConvexKey?
    /// How many requests to a Convex deployment run at once.
    package var convexRequestsMax = ConvexSettings.requestsMaxDefault

    /// The defaults, without a key.
    package init() {}

    fileprivate func convex(_ url: ConvexURL) throws(StoreError) -> ConvexSettings {
        guard let convexKey else {
            throw StoreError(
                .unavailable,
                "The store at \(url) wants a deploy key. Give it by SYNCD_CONVEX_KEY, or name a "
                    + "file that holds it by SYNCD_CONVEX_KEY_FILE.")
        }
        var settings = ConvexSettings(url, key: convexKey)
        settings.requestsMax = convexRequestsMax
        return settings
    }
}

extension StoreURL {
    /// Opens the store for a worker; makes what is missing.
    package func open(_ settings: StoreSettings) async throws(StoreError) -> any OpenStore {
        let versionsKept = settings.versionsKept
        switch self {
        case .sqlite(let file):
            return try await SQLiteStore(file: file, versionsKept: versionsKept)
        case .postgres(let url):
            return try await PostgresStore(url, versionsKept: versionsKept)
        case .convex(let url):
            return try await ConvexStore(try settings.convex(url), versionsKept: versionsKept)
        }
    }

    /// Opens a store that exists, for reading.
    package func openForReading(
        _ settings: StoreSettings = StoreSettings()
    ) async throws(StoreError) -> any OpenStore {
        switch self {
        case .sqlite(let file): try await SQLiteStore(readingOnly: file)
        case .postgres(let url): try await PostgresStore(readingOnly: url)
        case .convex(let url): try await ConvexStore(readingOnly: try settings.convex(url))
        }
    }
}
