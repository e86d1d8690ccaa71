/// Which store a pool uses, as the settings name it: `sqlite:FILE`.
package enum StoreURL: Sendable, Equatable, CustomStringConvertible {
    /// A file shared by the workers of one machine.
    case sqlite(file: String)

    /// Why a text names no store: what is wrong and what to write instead.
    package struct Flaw: Error, Equatable, CustomStringConvertible {
        /// A sentence for a person; never quotes the text, which may carry a password.
        package let sentence: String

        /// As text, for people and logs.
        package var description: String { sentence }
    }

    /// Reads `sqlite:FILE`.
    package init(_ text: some StringProtocol) throws(Flaw) {
        guard let colon = text.firstIndex(of: ":") else {
            throw Flaw(sentence: "The store has no scheme; write it as 'sqlite:FILE'.")
        }
        let rest = String(text[text.index(after: colon)...])
        switch text[..<colon].lowercased() {
        case "sqlite": self = .sqlite(file: try Self.file(rest))
        case "postgres", "postgresql", "http", "https":
            throw Flaw(
                sentence: "This build has no PostgreSQL and no Convex store; use 'sqlite:FILE'.")
        default:
            throw Flaw(sentence: "The store's scheme is unknown; write it as 'sqlite:FILE'.")
        }
    }

    /// As text, for people and logs.
    package var description: String {
        switch self {
        case .sqlite(let file): "sqlite:\(file)"
        }
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
