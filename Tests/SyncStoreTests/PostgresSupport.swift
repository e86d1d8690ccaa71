import SyncStore
import SyncTestKit
import Testing

extension PostgresServer {
    /// A database as the store takes it.
    func postgres(_ database: String) throws -> PostgresURL { try Self.read(url(database)) }

    /// A URL that libpq can read.
    static func read(_ text: String) throws -> PostgresURL { try #require(PostgresURL(text)) }
}
