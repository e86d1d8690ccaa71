package import SyncCore
internal import Synchronization

/// The store in a PostgreSQL database, shared by the workers of many machines.
///
/// A batch is one statement: one round trip, one transaction, durable when it is answered. Nothing
/// is held between two calls, so a worker that is stopped or unplugged holds up nobody for long:
/// what it can leave behind is a session that waits for its client inside a transaction, which
/// others end (``PostgresLimits/stallWait``).
package final class PostgresStore: VersionedStore {
    /// How often a batch is repeated that met other writers of its files.
    private static let repeatsMax = 16
    private static let heldMax = 10_000

    private let pool: PostgresPool
    private let versionsKept: Int
    /// Files whose rows another session held lately, and until when they go apart.
    private let held = Mutex<[FileKey: ContinuousClock.Instant]>([:])

    /// Opens a store; makes its tables when they are missing.
    ///
    /// - Parameters:
    ///   - url: The database, which must exist.
    ///   - versionsKept: How many versions of a file are kept, at least 1.
    ///   - idIfNew: Identity of a store that is made now: 64 random bits.
    ///   - limits: Times and sizes; for tests.
    package convenience init(
        _ url: PostgresURL, versionsKept: Int = SQLiteStore.versionsKeptDefault,
        idIfNew: UInt64 = .random(in: 1 ... .max), limits: PostgresLimits = PostgresLimits()
    ) async throws(StoreError) {
        try await self.init(
            url, schema: .store, versionsKept: versionsKept, idIfNew: idIfNew, limits: limits)
    }

    /// Opens a store in the format of a schema.
    init(
        _ url: PostgresURL, schema: PostgresSchema, versionsKept: Int, idIfNew: UInt64,
        limits: PostgresLimits
    ) async throws(StoreError) {
        self.versionsKept = max(1, versionsKept)
        pool = PostgresPool(url, limits)
        try await open { connection, deadline throws(PostgresFailure) in
            try schema.migrate(
                connection, idIfNew: Hexadecimal.digits(of: idIfNew), until: deadline)
        }
    }

    /// Opens a store that exists to read it, beside the processes that write it.
    package init(
        readingOnly url: PostgresURL, limits: PostgresLimits = PostgresLimits()
    ) async throws(StoreError) {
        versionsKept = SQLiteStore.versionsKeptDefault
        pool = PostgresPool(url, limits)
        try await open { connection, deadline throws(PostgresFailure) in
            let schema = PostgresSchema.store
            switch try schema.inspect(connection, until: deadline) {
            case .blank:
                throw PostgresFailure(
                    .unavailable,
                    "There is no store at \(connection.place). Name the database that the workers "
                        + "use; the first worker makes the tables.")
            case .known(let format):
                guard format == schema.migrations.count else {
                    throw PostgresFailure(
                        .unavailable,
                        "The store at \(connection.place) has the older format \(format). The "
                            + "first worker of this syncd brings it up to date.")
                }
            }
        }
    }

    /// Reads who the store is.
    package func identity() async throws(StoreError) -> StoreIdentity {
        try await run { tables throws(PostgresFailure) in try tables.identity() }
    }

    /// Makes the store belong to a journal.
    package func bind(to journal: JournalID, isAdopted: Bool) async throws(StoreError) {
        let owner = try await run { tables throws(PostgresFailure) in
            try tables.bind(to: journal, isAdopted: isAdopted)
        }
        guard owner == journal else {
            throw StoreError(
                .foreign,
                "The store at \(pool.url) belongs to journal \(owner), not to \(journal). Name the "
                    + "right store, or start the coordinator with --adopt.")
        }
    }

    /// Applies a batch in one transaction, or in several when its content is over the limit.
    ///
    /// Files whose rows were held lately go one by one, behind the others.
    package func apply(_ edits: [SequencedEdit]) async throws(StoreError) -> [Applied] {
        let end = ContinuousClock.now + pool.limits.sessionWait + pool.limits.answerWait
        let apart = held.withLock { held in
            held = held.filter { $0.value > .now }
            return edits.map { held[$0.file] != nil }
        }
        let together = edits.indices.filter { !apart[$0] }
        let alone = edits.indices.filter { apart[$0] }
        var answers: [Applied] = []
        do throws(PostgresFailure) {
            for part in parts(of: together.map { edits[$0] }) {
                answers += try await apply(part: part, until: end)
            }
            if !alone.isEmpty {
                answers += try await applyAlone(alone.map { edits[$0] }, until: end)
            }
        } catch {
            throw StoreError(error)
        }
        return zip(together + alone, answers).sorted { $0.0 < $1.0 }.map { $0.1 }
    }

    /// Reads one version of a file.
    package func version(
        of file: FileKey, _ version: Version?
    ) async throws(StoreError) -> StoredVersion? {
        try await run { tables throws(PostgresFailure) in try tables.version(of: file, version) }
    }

    /// Reads the kept versions of a file, newest first.
    package func history(of file: FileKey) async throws(StoreError) -> [StoredVersion] {
        try await run { tables throws(PostgresFailure) in try tables.history(of: file) }
    }

    /// Reads a page of a project's files, in byte order of paths.
    package func files(
        of project: ProjectName, after path: EditPath?, countMax: Int
    ) async throws(StoreError) -> [StoredFile] {
        try await run { tables throws(PostgresFailure) in
            try tables.files(of: project, after: path, countMax: countMax)
        }
    }

    /// Ends the sessions; no call afterwards.
    package func close() async { await pool.close() }

    private func open(
        _ body: @escaping PostgresPool.Body<Void>
    ) async throws(StoreError) {
        do {
            try await pool.run(body)
        } catch {
            await pool.close()
            throw StoreError(error)
        }
    }

    private func run<R: Sendable>(
        _ body: @escaping @Sendable (PostgresTables) throws(PostgresFailure) -> R
    ) async throws(StoreError) -> R {
        do {
            return try await pool.run { connection, deadline throws(PostgresFailure) in
                try body(PostgresTables(connection: connection, deadline: deadline))
            }
        } catch {
            throw StoreError(error)
        }
    }
}

extension PostgresStore {
    /// Runs of edits whose content fits into one message; a large one goes alone.
    private func parts(of edits: [SequencedEdit]) -> [[SequencedEdit]] {
        var parts: [[SequencedEdit]] = []
        var byteCount = 0
        for edit in edits {
            let count = edit.change.byteCount
            if let last = parts.indices.last, byteCount + count <= pool.limits.batchBytesMax {
                parts[last].append(edit)
                byteCount += count
            } else {
                parts.append([edit])
                byteCount = count
            }
        }
        return parts
    }

    private func apply(
        part: [SequencedEdit], until end: ContinuousClock.Instant
    ) async throws(PostgresFailure) -> [Applied] {
        let bytesMax = pool.limits.contentBytesMax
        if part.count == 1, part[0].change.byteCount > bytesMax {
            return [
                .refused(
                    reason: "The content has \(part[0].change.byteCount) bytes, but this store "
                        + "takes at most \(bytesMax). Make the file smaller.")
            ]
        }
        do throws(PostgresFailure) {
            return try await decide(part, until: end)
        } catch {
            guard error.kind == .refused || error.kind == .locked else { throw error }
            return try await applyAlone(part, until: end)
        }
    }

    /// Each edit in a transaction of its own, so that one that can't be stored, or whose row
    /// somebody holds, harms no other.
    ///
    /// A row that is held costs ``PostgresLimits/lockWaitAlone``. Edits that are left when the time
    /// is over come again.
    private func applyAlone(
        _ edits: [SequencedEdit], until end: ContinuousClock.Instant
    ) async throws(PostgresFailure) -> [Applied] {
        let limits = pool.limits
        let versionsKept = versionsKept
        let answers = try await pool.run(until: end) {
            connection, deadline throws(PostgresFailure) in
            var answers: [Applied] = []
            // At least one each time, so that they all have their turn.
            for edit in edits where answers.isEmpty || deadline.left > limits.answerWait / 4 {
                let batch = PostgresBatch(
                    [edit], keeping: versionsKept, lockWait: limits.lockWaitAlone)
                answers.append(try Self.decide(batch, on: connection, until: deadline))
            }
            return answers
        }
        note(zip(edits, answers))
        let late = Applied.unavailable(
            reason: "The store at \(pool.url) had no time left for this edit. It is asked again.")
        return answers + Array(repeating: late, count: edits.count - answers.count)
    }

    /// Remembers whose rows are held, so that they make no other batch wait.
    private func note(_ answers: some Sequence<(SequencedEdit, Applied)>) {
        let end = ContinuousClock.now + pool.limits.heldMemory
        held.withLock { held in
            for (edit, answer) in answers {
                if case .unavailable = answer, held.count < Self.heldMax {
                    held[edit.file] = end
                } else {
                    held[edit.file] = nil
                }
            }
        }
    }

    /// Asks until one edit has its answer.
    private static func decide(
        _ batch: PostgresBatch, on connection: PostgresConnection,
        until deadline: PostgresDeadline
    ) throws(PostgresFailure) -> Applied {
        for _ in 0..<repeatsMax {
            do throws(PostgresFailure) {
                let answers = try batch.apply(on: connection, until: deadline)
                if let answer = answers.first.flatMap(\.self) { return answer }
            } catch {
                switch error.kind {
                case .collided: continue
                case .refused: return .refused(reason: error.message)
                case .locked: return .unavailable(reason: error.message)
                case .lost, .unavailable, .corrupt: throw error
                }
            }
        }
        return .unavailable(reason: contested(connection.place))
    }

    private static func contested(_ place: String) -> String {
        "Could not apply edits to the store at \(place): other processes write the same files all "
            + "the time. Look whether two pools share the database."
    }

    /// Asks until every edit has its answer.
    private func decide(
        _ edits: [SequencedEdit], until end: ContinuousClock.Instant
    ) async throws(PostgresFailure) -> [Applied] {
        var answers = [Applied?](repeating: nil, count: edits.count)
        var failure = PostgresFailure(.unavailable, Self.contested("\(pool.url)"))
        var hasFreed = false
        for _ in 0..<Self.repeatsMax {
            let open = answers.indices.filter { answers[$0] == nil }
            let batch = PostgresBatch(
                open.map { edits[$0] }, keeping: versionsKept, lockWait: pool.limits.lockWait)
            do {
                let found = try await pool.run(until: end) {
                    connection, deadline throws(PostgresFailure) in
                    try batch.apply(on: connection, until: deadline)
                }
                for (place, answer) in zip(open, found) { answers[place] = answer }
                if !answers.contains(nil) { return answers.compactMap(\.self) }
            } catch  where error.kind == .collided {
                failure = error
            } catch  where error.kind == .locked && !hasFreed {
                hasFreed = true
                try await endStalled()
            }
        }
        throw failure
    }

    /// Ends sessions of our own role that have waited for their client inside a transaction: the
    /// worker behind one is stopped, or unplugged in the middle of a message.
    private func endStalled() async throws(PostgresFailure) {
        let wait = pool.limits.stallWait
        try await pool.run { connection, deadline throws(PostgresFailure) in
            _ = try connection.query(
                "end a stalled session of the store",
                """
                SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE usename = current_user AND datname = current_database()
                    AND application_name = current_setting('application_name')
                    AND wait_event = 'ClientRead' AND pid <> pg_backend_pid()
                    AND xact_start < clock_timestamp() - $1::text::interval
                """, [.text("\(wait.wholeMilliseconds) milliseconds")], until: deadline)
        }
    }
}

extension StoreError {
    fileprivate init(_ failure: PostgresFailure) {
        switch failure.kind {
        case .lost, .unavailable, .locked, .collided: self.init(.unavailable, failure.message)
        case .corrupt, .refused: self.init(.corrupt, failure.message)
        }
    }
}
