internal import Dispatch
internal import GRDB
internal import GRDBSQLite
internal import SyncCore
internal import Synchronization

/// One connection to one SQLite file, on a serial queue of its own.
///
/// The queue is GRDB's own: it belongs to one connection, and libdispatch gives a serial queue a
/// thread beyond the cooperative pool, so an fsync or a busy wait blocks nobody else. GRDB's
/// callback is used instead of its `async` functions because those interrupt SQLite when the
/// calling task is cancelled, and a commit on its way must always be answered with what became of
/// it.
final class Connection: Sendable {
    /// The database file.
    let file: String
    private let queue: DatabaseQueue
    private let log = LogLength()
    private let copier: LogCopier
    /// Of a file that several processes write.
    private let turns: WriterTurns?
    private let checkpointPages: Int
    /// A checkpoint's failed fsync, told by the next call.
    private let broken = Mutex<SQLiteFailure?>(nil)

    /// Opens a file off the caller's thread; made when it is missing, refused when it is not ours.
    ///
    /// - Parameter isShared: Whether several processes write it and take turns.
    static func open(
        _ file: String, schema: Schema, options: SQLiteOptions, isReadOnly: Bool = false,
        isShared: Bool = false,
        prepare: @escaping @Sendable (Database) throws -> Void = { _ in }
    ) async throws(SQLiteFailure) -> Connection {
        try await Self.offThread { () throws(SQLiteFailure) in
            do {
                let connection = try Connection(
                    file, schema: schema, options: options, isReadOnly: isReadOnly,
                    isShared: isShared)
                try connection.queue.writeWithoutTransaction(prepare)
                return connection
            } catch {
                throw SQLiteFailure(error, task: "open the \(schema.noun)", file: file)
            }
        }
    }

    /// Runs blocking work on a thread of its own, or on that of a serial queue.
    static func offThread<R: Sendable>(
        on queue: DispatchQueue = DispatchQueue(label: "syncd.sqlite.open"),
        _ body: @escaping @Sendable () throws(SQLiteFailure) -> R
    ) async throws(SQLiteFailure) -> R {
        let result: Result<R, SQLiteFailure> = await withCheckedContinuation { continuation in
            queue.async {
                continuation.resume(returning: Result(catching: body))
            }
        }
        return try result.get()
    }

    private init(
        _ file: String, schema: Schema, options: SQLiteOptions, isReadOnly: Bool, isShared: Bool
    ) throws {
        self.file = file
        turns = isShared ? WriterTurns(beside: file, patience: options.turnPatience) : nil
        copier = LogCopier(file)
        checkpointPages = options.checkpointPages
        if !isReadOnly { ConnectionSetup.create(file) }
        var configuration = Configuration()
        configuration.label = "syncd.\(schema.noun)"
        configuration.readonly = isReadOnly
        configuration.foreignKeysEnabled = false
        let busy = BusyWait(patience: options.busyTimeout)
        configuration.busyMode = .callback { busy.asksAgain(tries: $0) }
        // GRDB's own WAL mode is not used: it sets synchronous=NORMAL after everything else.
        configuration.journalMode = .default
        queue = try DatabaseQueue(
            path: ConnectionSetup.path(of: file), configuration: configuration)
        let setup = ConnectionSetup(schema: schema, options: options, file: file)
        try queue.writeWithoutTransaction { database in
            if isReadOnly { return try setup.runForReading(database) }
            try setup.run(database)
            log.follow(database)
        }
    }

    /// Runs a body on the connection's queue, answers, and only then checkpoints if it is due.
    ///
    /// - Parameters:
    ///   - task: For the error's message, for instance "commit a turn to the journal".
    ///   - isInTurn: Whether to wait for this process's turn, where there are several.
    func perform<R: Sendable>(
        _ task: String, isInTurn: Bool = false,
        _ body: @escaping @Sendable (Database) throws -> R
    ) async throws(SQLiteFailure) -> R {
        let result: Result<R, SQLiteFailure> = await withCheckedContinuation { continuation in
            queue.asyncWriteWithoutTransaction { database in
                let result = self.attempt(task) {
                    isInTurn ? try self.takingTurn { try body(database) } : try body(database)
                }
                continuation.resume(returning: result)
                self.checkpointIfDue(database)
            }
        }
        return try result.get()
    }

    /// Runs a body in one `BEGIN IMMEDIATE` transaction: all of it takes effect, or nothing.
    func transact<R: Sendable>(
        _ task: String, _ body: @escaping @Sendable (Database) throws -> R
    ) async throws(SQLiteFailure) -> R {
        try await perform(task) { try Self.transaction($0, .immediate, body) }
    }

    /// Runs a body in one transaction.
    ///
    /// - Parameter kind: `BEGIN IMMEDIATE` for who writes; deferred, all that is read is of one
    ///   moment.
    static func transaction<R>(
        _ database: Database, _ kind: Database.TransactionKind = .immediate,
        _ body: (Database) throws -> R
    ) throws -> R {
        var result: R?
        try database.inTransaction(kind) {
            result = try body(database)
            return .commit
        }
        return try Nonsense.unless(result)
    }

    /// Closes the file after everything that was asked before; no call afterwards.
    func close() async {
        try? await Self.offThread {
            try? self.copier.close()
            try? self.queue.close()
        }
    }

    private func takingTurn<R>(_ body: () throws -> R) rethrows -> R {
        guard let turns else { return try body() }
        return try turns.taking(body)
    }

    private func attempt<R>(
        _ task: String, _ body: () throws -> R
    ) -> Result<R, SQLiteFailure> {
        if let failure = broken.withLock({ $0 }) ?? copier.broken { return .failure(failure) }
        do {
            return .success(try body())
        } catch {
            return .failure(SQLiteFailure(error, task: task, file: file))
        }
    }

    /// Copies the write-ahead log into the database when it has grown long: the most of it beside
    /// the commits (``LogCopier``), the rest here, after an answer.
    ///
    /// Several processes that write one store can keep each other from the log's end; hence, at
    /// four times the length, the mode that makes the writers wait until the log can begin anew.
    private func checkpointIfDue(_ database: Database) {
        let pages = log.pages
        guard pages >= checkpointPages else { return }
        let isOverdue = pages >= checkpointPages * 4
        guard copier.beginOrFinish() || isOverdue else { return }
        let mode = isOverdue ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE
        // In turn: the log begins anew only when nobody has added to it meanwhile.
        let code = takingTurn { LogCopier.checkpoint(database, mode: mode) }
        guard let code else {
            // Until the next commit tells the new length.
            return log.pages = 0
        }
        let failure = SQLiteFailure(code, task: "copy the log into the database", file: file)
        // Busy or full: the log keeps everything, and the next call tries again.
        if failure.kind == .corrupt { broken.withLock { $0 = failure } }
    }
}

/// Pages in the write-ahead log after the connection's last commit.
private final class LogLength: Sendable {
    private let count = Atomic<Int>(0)

    var pages: Int {
        get { count.load(ordering: .relaxed) }
        set { count.store(newValue, ordering: .relaxed) }
    }

    /// Has SQLite tell the length after every commit; in place of its automatic checkpoint.
    func follow(_ database: Database) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        // Called on the connection's queue, only while the connection is open, so `self` lives.
        let note:
            @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, UnsafePointer<CChar>?, CInt)
                -> CInt = { context, _, _, pages in
                    guard let context else { return SQLITE_OK }
                    Unmanaged<LogLength>.fromOpaque(context).takeUnretainedValue().pages = Int(
                        pages)
                    return SQLITE_OK
                }
        sqlite3_wal_hook(database.sqliteConnection, note, context)
    }
}
