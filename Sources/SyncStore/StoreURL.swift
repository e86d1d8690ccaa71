package import SyncCore

/// Which store a pool uses, as the settings name it: `sqlite:FILE` or `postgres://…`.
package enum StoreURL: Sendable, Equatable, CustomStringConvertible {
    /// A file shared by the workers of one machine.
    case sqlite(file: String)
    /// A database shared by the workers of any number of machines.
    case postgres(PostgresURL)

    /// Why a text names no store: what is wrong and what to write instead.
    package struct Flaw: Error, Equatable, CustomStringConvertible {
        /// A sentence for a person; never quotes the text, which may carry a password.
        package let sentence: String

        /// As text, for people and logs.
        package var description: String { sentence }
    }

    /// Reads `sqlite:FILE` or a URL of libpq.
    package init(_ text: some StringProtocol) throws(Flaw) {
        guard let colon = text.firstIndex(of: ":") else {
            throw Flaw(sentence: "The store has no scheme; write it as \(Self.forms).")
        }
        let rest = String(text[text.index(after: colon)...])
        switch text[..<colon].lowercased() {
        case "sqlite": self = .sqlite(file: try Self.file(rest))
        case "postgres", "postgresql": self = .postgres(try Self.database(rest))
        case "http", "https":
            throw Flaw(sentence: "This build has no Convex store; use \(Self.forms).")
        default: throw Flaw(sentence: "The store's scheme is unknown; use \(Self.forms).")
        }
    }

    /// As text, for people and logs: without a password.
    package var description: String {
        switch self {
        case .sqlite(let file): "sqlite:\(file)"
        case .postgres(let url): url.description
        }
    }

    private static let forms = "'sqlite:FILE' or 'postgres://USER@HOST/DATABASE'"

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

extension StoreURL {
    /// Opens the store for a worker; makes what is missing.
    package func open(versionsKept: Int) async throws(StoreError) -> any OpenStore {
        switch self {
        case .sqlite(let file): try await SQLiteStore(file: file, versionsKept: versionsKept)
        case .postgres(let url): try await PostgresStore(url, versionsKept: versionsKept)
        }
    }

    /// Opens a store that exists, for reading.
    package func openForReading() async throws(StoreError) -> any OpenStore {
        switch self {
        case .sqlite(let file): try await SQLiteStore(readingOnly: file)
        case .postgres(let url): try await PostgresStore(readingOnly: url)
        }
    }
}
