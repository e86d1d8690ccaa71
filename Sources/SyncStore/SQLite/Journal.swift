#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import GRDB
package import SyncCore
internal import Synchronization

/// The coordinator's journal in one SQLite file, held by a lock on a file beside it.
///
/// Pages that removed rows leave behind are used again, so the file stays as large as the largest
/// backlog it ever held and does not grow with the number of edits that passed through it.
package final class SQLiteJournal: Journal {
    let connection: Connection
    /// Beside the commits' one: who reads a log of events or old contents holds no commit up.
    private let reader: Connection
    // Declared after the connection: a journal that is dropped lets go of its database first.
    private let lock: LockFile
    /// The failure after which nothing more is done here: the process must end and read back.
    private let fatal = Mutex<JournalError?>(nil)

    /// Takes the lock `FILE.lock`, then opens the file; makes it when it is missing.
    ///
    /// - Parameters:
    ///   - file: The database; its directory must exist.
    ///   - idIfNew: Identity of a journal that is made now.
    ///   - options: How the file is used; for tests.
    package init(
        file: String, idIfNew: JournalID = JournalID(bits: .random(in: 1 ... .max)),
        options: SQLiteOptions = SQLiteOptions()
    ) async throws(JournalError) {
        do {
            let lock = try await Connection.offThread { () throws(SQLiteFailure) in
                try Self.lock(file)
            }
            guard let lock = lock.held else {
                throw JournalError(
                    .held,
                    "The journal at \(file) is held by \(lock.holder). Stop that coordinator "
                        + "first, or give this one a journal of its own.")
            }
            self.lock = lock
            connection = try await Connection.open(file, schema: .journal, options: options) {
                try LogCopier.copyAll($0, file: file)
                try JournalTables($0).makeHeader(idIfNew)
            }
            reader = try await Connection.open(
                file, schema: .journal, options: options, isReadOnly: true)
        } catch let failure as SQLiteFailure {
            throw JournalError(failure)
        } catch let error as JournalError {
            throw error
        } catch {
            throw JournalError(.fatal, "Could not open the journal at \(file).")
        }
    }

    /// Reads everything that a coordinator starts from.
    package func snapshot() async throws(JournalError) -> JournalSnapshot {
        try await run("read the journal") { try JournalTables($0).snapshot() }
    }

    /// Makes one turn durable in one transaction.
    package func commit(_ transaction: JournalTransaction) async throws(JournalError) {
        try await run("commit a turn to the journal") {
            try Connection.transaction($0) { try JournalTables($0).write(transaction) }
        }
    }

    /// Reads contents back.
    package func contents(
        of rows: [EditSequence]
    ) async throws(JournalError) -> [EditSequence: Content] {
        try await run("read contents from the journal", on: reader) {
            try JournalTables($0).contents(of: rows)
        }
    }

    /// Reads segments of the event log.
    package func events(
        from first: UInt64, bytesMax: Int
    ) async throws(JournalError) -> [JournalSegment] {
        try await run("read the event log of the journal", on: reader) {
            try JournalTables($0).events(from: first, bytesMax: bytesMax)
        }
    }

    /// Closes the file and gives the lock back.
    package func close() async {
        await reader.close()
        await connection.close()
        lock.release()
    }

    private func run<R: Sendable>(
        _ task: String, on chosen: Connection? = nil,
        _ body: @escaping @Sendable (Database) throws -> R
    ) async throws(JournalError) -> R {
        if let error = fatal.withLock({ $0 }) { throw error }
        do {
            return try await (chosen ?? connection).perform(task, body)
        } catch {
            let error = JournalError(error)
            if error.code == .fatal { fatal.withLock { $0 = error } }
            throw error
        }
    }
}

extension SQLiteJournal {
    private struct Locking: Sendable {
        var held: LockFile?
        var holder = ""
    }

    private static func lock(_ file: String) throws(SQLiteFailure) -> Locking {
        do {
            return Locking(held: try LockFile(canonical(file) + ".lock"))
        } catch {
            switch error {
            case .held(let process):
                return Locking(holder: process.map { "process \($0)" } ?? "another process")
            case .failed(let code):
                throw SQLiteFailure(
                    .unavailable,
                    "Could not lock \(file).lock: \(String(cString: strerror(code))). Make sure "
                        + "that the directory exists and that this user may write into it.")
            }
        }
    }

    /// The file behind symbolic links, so that two names of one journal share one lock.
    private static func canonical(_ file: String) -> String {
        guard let path = realpath(file, nil) else { return file }
        defer { free(path) }
        return String(cString: path)
    }
}

extension JournalError {
    fileprivate init(_ failure: SQLiteFailure) {
        switch failure.kind {
        case .unavailable: self.init(.unavailable, failure.message)
        // What the schema refuses can only be a mistake here: memory and disk no longer agree.
        case .corrupt, .refused: self.init(.fatal, failure.message)
        }
    }
}
