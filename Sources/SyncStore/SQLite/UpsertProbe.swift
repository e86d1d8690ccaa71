internal import GRDB
package import SyncCore

/// Upserts rows of path and content as fast as SQLite can: the limit that benchmarks compare with.
///
/// The same connection and settings as the journal's and the store's, one table, nothing else.
package final class UpsertProbe: Sendable {
    private let connection: Connection

    /// Opens a file of its own; makes it when it is missing.
    package init(
        file: String, options: SQLiteOptions = SQLiteOptions()
    ) async throws(StoreError) {
        do {
            connection = try await Connection.open(file, schema: .probe, options: options)
        } catch {
            throw StoreError(.unavailable, error.message)
        }
    }

    /// Makes rows durable in one transaction.
    package func upsert(_ rows: [(path: String, content: Content)]) async throws(StoreError) {
        do {
            try await connection.transact("upsert rows of a benchmark") { database in
                let upsert = try SQLStatement(
                    database,
                    """
                    INSERT INTO rows (path, bytes) VALUES (?, ?)
                    ON CONFLICT DO UPDATE SET bytes = excluded.bytes
                    """)
                for (path, content) in rows {
                    let result = content.withBytes { bytes in
                        Result { try upsert.run(.text(path), .blob(bytes)) }
                    }
                    try result.get()
                }
            }
        } catch {
            throw StoreError(.unavailable, error.message)
        }
    }

    /// Closes the file; no call afterwards.
    package func close() async { await connection.close() }
}

extension Schema {
    /// Rows of a benchmark.
    fileprivate static let probe = Schema(
        noun: "probe", applicationID: 0x7379_6E70,
        migrations: [["CREATE TABLE rows (path TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT"]])
}
