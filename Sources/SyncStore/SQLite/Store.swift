#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import GRDB
package import SyncCore

/// The store in one SQLite file, shared by the worker processes of one machine.
///
/// Writers take turns (``WriterTurns``), begin with `BEGIN IMMEDIATE` and wait for each other up to
/// the busy timeout; a stopped process that is inside a transaction stalls the others until it
/// wakes or is killed (trace B2).
package final class SQLiteStore: VersionedStore {
    /// How many versions of a file are kept unless told otherwise.
    package static let versionsKeptDefault = 10

    let connection: Connection
    private let versionsKept: Int

    /// Opens a store; makes it when it is missing.
    ///
    /// - Parameters:
    ///   - file: The database; its directory must exist.
    ///   - versionsKept: How many versions of a file are kept, at least 1.
    ///   - idIfNew: Identity of a store that is made now: 64 random bits.
    ///   - options: How the file is used; for tests.
    package init(
        file: String, versionsKept: Int = versionsKeptDefault,
        idIfNew: UInt64 = .random(in: 1 ... .max), options: SQLiteOptions = SQLiteOptions()
    ) async throws(StoreError) {
        self.versionsKept = max(1, versionsKept)
        do {
            connection = try await Connection.open(
                file, schema: .store, options: options, isShared: true
            ) {
                try StoreTables($0).makeMeta(Hexadecimal.digits(of: idIfNew))
            }
        } catch {
            throw StoreError(error)
        }
    }

    /// Opens a store that exists to read it, beside the processes that write it.
    ///
    /// - Parameters:
    ///   - file: The database.
    ///   - options: How the file is used; for tests.
    package init(
        readingOnly file: String, options: SQLiteOptions = SQLiteOptions()
    ) async throws(StoreError) {
        versionsKept = Self.versionsKeptDefault
        do {
            try await Connection.offThread { () throws(SQLiteFailure) in
                guard access(file, F_OK) != 0 else { return }
                throw SQLiteFailure(
                    .unavailable,
                    "There is no store at \(file). Name the file that the workers use; the first "
                        + "worker makes it.")
            }
            connection = try await Connection.open(
                file, schema: .store, options: options, isReadOnly: true)
        } catch {
            throw StoreError(error)
        }
    }

    /// Reads who the store is.
    package func identity() async throws(StoreError) -> StoreIdentity {
        try await run("read the identity of the store") { try StoreTables($0).identity() }
    }

    /// Makes the store belong to a journal.
    package func bind(to journal: JournalID, isAdopted: Bool) async throws(StoreError) {
        let owner = try await run("bind the store to a journal") { database in
            try Connection.transaction(database) {
                try StoreTables($0).bind(to: journal, isAdopted: isAdopted)
            }
        }
        guard owner == journal else {
            throw StoreError(
                .foreign,
                "The store at \(connection.file) belongs to journal \(owner), not to \(journal). "
                    + "Name the right store, or start the coordinator with --adopt.")
        }
    }

    /// Applies a batch in one transaction, with an answer per edit.
    package func apply(_ edits: [SequencedEdit]) async throws(StoreError) -> [Applied] {
        if edits.isEmpty { return [] }
        do {
            return try await perform(edits)
        } catch  where error.kind == .refused {
            return try await applyAlone(edits)
        } catch {
            throw StoreError(error)
        }
    }

    /// Reads one version of a file.
    package func version(
        of file: FileKey, _ version: Version?
    ) async throws(StoreError) -> StoredVersion? {
        try await run("read a version from the store") {
            try StoreTables($0).version(of: file, version)
        }
    }

    /// Reads the kept versions of a file, newest first.
    package func history(of file: FileKey) async throws(StoreError) -> [StoredVersion] {
        try await run("read a history from the store") { try StoreTables($0).history(of: file) }
    }

    /// Reads a page of a project's files, in byte order of paths.
    package func files(
        of project: ProjectName, after path: EditPath?, countMax: Int
    ) async throws(StoreError) -> [StoredFile] {
        try await run("list files of the store") {
            try StoreTables($0).files(of: project, after: path, countMax: countMax)
        }
    }

    /// Closes the file; no call afterwards.
    package func close() async { await connection.close() }

    private func perform(_ edits: [SequencedEdit]) async throws(SQLiteFailure) -> [Applied] {
        let versionsKept = versionsKept
        return try await connection.perform("apply edits to the store", isInTurn: true) {
            try StoreTables($0).apply(edits, keeping: versionsKept)
        }
    }

    /// Each edit in a transaction of its own, so that one that can't be stored harms no other.
    private func applyAlone(_ edits: [SequencedEdit]) async throws(StoreError) -> [Applied] {
        var answers: [Applied] = []
        for edit in edits {
            do {
                answers += try await perform([edit])
            } catch  where error.kind == .refused {
                answers.append(.refused(reason: error.message))
            } catch {
                throw StoreError(error)
            }
        }
        return answers
    }

    private func run<R: Sendable>(
        _ task: String, _ body: @escaping @Sendable (Database) throws -> R
    ) async throws(StoreError) -> R {
        do {
            return try await connection.perform(task, body)
        } catch {
            throw StoreError(error)
        }
    }
}

extension StoreError {
    fileprivate init(_ failure: SQLiteFailure) {
        switch failure.kind {
        case .unavailable: self.init(.unavailable, failure.message)
        case .corrupt, .refused: self.init(.corrupt, failure.message)
        }
    }
}
