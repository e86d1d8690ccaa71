import Foundation
import SyncStore
import SyncTestKit
import Testing

extension PostgresServer {
    /// A database as the store takes it.
    func postgres(_ database: String) throws -> PostgresURL { try Self.read(url(database)) }

    /// A URL that libpq can read.
    static func read(_ text: String) throws -> PostgresURL { try #require(PostgresURL(text)) }

    /// What the log says since the server began.
    var log: String { (try? String(contentsOfFile: folder + "/log", encoding: .utf8)) ?? "" }
}

extension PostgresLimits {
    /// For calls that are not about waiting: a loaded machine gives a session's thread its turn
    /// late, so a call and a batch have minutes.
    static var tested: PostgresLimits {
        var limits = PostgresLimits()
        limits.sessionWait = Patience.stretched(.seconds(120))
        return limits
    }
}

/// Another client of a database, which stays inside a transaction until it is ended.
final class Intruder {
    private let process = Process()
    private let input = Pipe()

    /// Runs a statement inside a transaction; returns when the server shows the session so.
    ///
    /// - Parameters:
    ///   - name: Its `application_name`.
    ///   - state: SQL that holds of its line in `pg_stat_activity`.
    init(
        _ server: PostgresServer, _ database: String, name: String, _ statement: String,
        until state: String
    ) async throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["psql", "-Xq", server.url(database)]
        process.environment = ["PATH": "/usr/bin:/bin", "PGAPPNAME": name]
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        try input.fileHandleForWriting.write(contentsOf: Data("BEGIN; \(statement)\n".utf8))
        try await Patience.until("the other session is inside its transaction") {
            try server.run(
                """
                SELECT count(*) FROM pg_stat_activity WHERE datname = '\(database)'
                AND application_name = '\(name)' AND xact_start IS NOT NULL AND \(state)
                """) == "1"
        }
    }

    /// Ends it; the server rolls its transaction back.
    func end() {
        process.signal(SIGKILL)
        process.waitUntilExit()
    }
}
