import Dispatch
import SyncTestKit
import Synchronization
import Testing

@testable import SyncStore

/// Calls that share a few sessions.
struct PostgresPoolTests {
    private static func pool(
        _ change: (inout PostgresLimits) -> Void
    ) throws -> PostgresPool {
        let server = try PostgresServer.shared()
        var limits = PostgresLimits()
        limits.connectionsMax = 1
        change(&limits)
        return PostgresPool(try server.postgres(try server.makeDatabase()), limits)
    }

    private static func session(_ pool: PostgresPool) async throws -> UInt64 {
        try await pool.run { connection, deadline throws(PostgresFailure) in
            try connection.query(
                "read the session's number", "SELECT pg_backend_pid()::bigint", until: deadline
            ).integer(0, 0)
        }
    }

    /// A call that has the only session until it is let go.
    private static func holding(
        _ pool: PostgresPool, until gate: DispatchSemaphore
    ) async -> Task<Void, any Error> {
        let (entered, enter) = AsyncStream<Void>.makeStream()
        let holder = Task {
            try await pool.run { _, _ throws(PostgresFailure) in
                enter.yield()
                gate.wait()
            }
        }
        for await _ in entered { break }
        return holder
    }

    @Test func `a call whose batch has no time left says so`() async throws {
        let pool = try Self.pool { _ in }
        let error = await #expect(throws: PostgresFailure.self) {
            try await pool.run(until: .now - .seconds(1)) { _, _ throws(PostgresFailure) in }
        }
        #expect(error?.kind == .unavailable)
        #expect(error?.message.contains("The time for this batch") == true)
        await pool.close()
    }

    @Test func `a call that was given up while it waited is not sent and harms no session`()
        async throws
    {
        let pool = try Self.pool { $0.sessionWait = .seconds(3_600) }
        let first = try await Self.session(pool)
        let gate = DispatchSemaphore(value: 0)
        let holder = await Self.holding(pool, until: gate)
        let isSent = Atomic<Bool>(false)
        let waiting = Task {
            try await pool.run { _, _ throws(PostgresFailure) in
                isSent.store(true, ordering: .relaxed)
            }
        }
        waiting.cancel()
        gate.signal()
        try await holder.value
        let error = await #expect(throws: PostgresFailure.self) { try await waiting.value }
        #expect(error?.kind == .unavailable)
        let wasSent = isSent.load(ordering: .relaxed)
        #expect(!wasSent)
        #expect(try await Self.session(pool) == first)
        await pool.close()
    }

    @Test func `a call that found no session in time is not sent`() async throws {
        let pool = try Self.pool { $0.sessionWait = .zero }
        let error = await #expect(throws: PostgresFailure.self) { try await Self.session(pool) }
        #expect(error?.kind == .unavailable)
        #expect(error?.message.contains("sessions of this process are in use") == true)
        await pool.close()
    }

    @Test func `calls that wait when the pool is closed end`() async throws {
        let pool = try Self.pool { $0.sessionWait = .seconds(3_600) }
        let gate = DispatchSemaphore(value: 0)
        let holder = await Self.holding(pool, until: gate)
        let waiting = (0..<3).map { _ in Task { try await Self.session(pool) } }
        let closing = Task { await pool.close() }
        gate.signal()
        try await holder.value
        // Each was served before the end, or is told of it.
        for call in waiting {
            do {
                _ = try await call.value
            } catch let error as PostgresFailure {
                #expect(error.message.contains("was closed"))
            }
        }
        await closing.value
        await #expect(throws: PostgresFailure.self) { try await Self.session(pool) }
    }
}
