internal import GRDB
internal import GRDBSQLite
internal import SyncCore
internal import Synchronization

/// Copies a long write-ahead log into the database while commits go on.
///
/// Copying a long log and syncing it takes far longer than a commit. Done between two commits, a
/// keystroke waits for it; done by another connection alone, it never reaches the end of
/// a log that goes on growing, and the log can't begin anew. So it is done in two steps:
///
///     idle ──log is long──▶ copying ──done──▶ copied ──commits' connection copies the rest──▶ idle
///
/// The second step finds only what was logged during the first one, and the log begins anew.
final class LogCopier: Sendable {
    private enum State { case idle, copying, copied }

    private let file: String
    private let state = Mutex(State.idle)
    /// Opened for the first copy; only the copier's own calls use it.
    private let connection = Mutex<DatabaseQueue?>(nil)
    /// A failed sync: nobody knows what is on disk.
    private let failure = Mutex<SQLiteFailure?>(nil)

    /// Copies the log of a file that is open already.
    init(_ file: String) { self.file = file }

    /// A failed sync while copying, to be told by the next call.
    var broken: SQLiteFailure? { failure.withLock { $0 } }

    /// Begins to copy unless a copy is under way.
    ///
    /// - Returns: Whether a copy has just been made: then the caller copies the rest.
    func beginOrFinish() -> Bool {
        let former = state.withLock { state in
            defer { if state != .copying { state = state == .idle ? .copying : .idle } }
            return state
        }
        switch former {
        case .copied: return true
        case .copying: return false
        case .idle:
            begin()
            return false
        }
    }

    /// Closes its connection after a copy that is under way.
    func close() throws {
        let connection = connection.withLock { $0.take() }
        try connection?.close()
    }

    private func begin() {
        guard let connection = opened() else {
            // The commits' connection copies it all.
            state.withLock { $0 = .copied }
            return
        }
        connection.asyncWriteWithoutTransaction { database in
            let code = Self.checkpoint(database, mode: SQLITE_CHECKPOINT_PASSIVE)
            self.note(code ?? Self.sync(database))
            self.state.withLock { $0 = .copied }
        }
    }

    private func opened() -> DatabaseQueue? {
        connection.withLock { connection in
            if let connection { return connection }
            var configuration = Configuration()
            configuration.label = "syncd.log"
            configuration.journalMode = .default
            let made = try? DatabaseQueue(
                path: ConnectionSetup.path(of: file), configuration: configuration)
            try? made?.writeWithoutTransaction { database in
                // Both syncs of a checkpoint: the log before, the database after.
                try database.execute(sql: "PRAGMA synchronous = FULL")
                try database.execute(sql: "PRAGMA wal_autocheckpoint = 0")
            }
            connection = made
            return made
        }
    }

    private func note(_ code: ResultCode?) {
        guard let code else { return }
        let failure = SQLiteFailure(code, task: "copy the log into the database", file: file)
        // Busy or full: the log keeps everything, and it is tried again.
        if failure.kind == .corrupt { self.failure.withLock { $0 = failure } }
    }

    /// Copies all of the log into a database that was just opened, and syncs it.
    ///
    /// After an fsync that failed the log can be read, yet may never reach the disk, whatever the
    /// next fsync of it says. Written anew, it does, or this fails.
    static func copyAll(_ database: Database, file: String) throws(SQLiteFailure) {
        guard let code = checkpoint(database, mode: SQLITE_CHECKPOINT_TRUNCATE) else { return }
        let failure = SQLiteFailure(code, task: "copy the log into the database", file: file)
        if failure.kind == .corrupt { throw failure }
    }

    /// Syncs the database by the connection's own handle; nil when it went well.
    ///
    /// SQLite does that only for a copy that has reached the log's end. Commits that go on keep a
    /// copy from it, and the one that copies the rest would wait for everything.
    private static func sync(_ database: Database) -> ResultCode? {
        var file: UnsafeMutablePointer<sqlite3_file>?
        guard let handle = database.sqliteConnection,
            sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK,
            let file, let sync = file.pointee.pMethods?.pointee.xSync
        else { return nil }
        let code = sync(file, SQLITE_SYNC_NORMAL)
        return code == SQLITE_OK ? nil : ResultCode(rawValue: code)
    }

    /// Copies the log; nil when it went well.
    static func checkpoint(_ database: Database, mode: CInt) -> ResultCode? {
        guard let handle = database.sqliteConnection else { return nil }
        let code = sqlite3_wal_checkpoint_v2(handle, nil, mode, nil, nil)
        return code == SQLITE_OK ? nil : ResultCode(rawValue: sqlite3_extended_errcode(handle))
    }
}
