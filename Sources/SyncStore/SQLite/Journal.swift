#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import GRDB
package import SyncCore
internal import Synchronization

/// The coordinator's journal: an SQLite file, and before it two files of turns (``TurnLog``).
///
/// A turn is durable when it is in a file of turns; the database takes over many at a time. A lock
/// on a file beside it keeps others out. Pages that removed rows leave behind are used again, so
/// the database stays as large as the largest backlog it ever held and does not grow with the
/// number of edits that passed through it.
package final class SQLiteJournal: Journal {
    let connection: Connection
    /// Beside the copies' one: who reads a log of events or old contents holds nothing up.
    private let reader: Connection
    /// Nil: every turn goes into the database at once.
    private let log: TurnLog?
    /// Turns on their way into the database.
    private let copying = Mutex<Task<Void, any Error>?>(nil)
    // Declared after the connection: a journal that is dropped lets go of its database first.
    private let lock: LockFile
    /// When the lock was held already; nobody else has committed since.
    package let heldSince: ContinuousClock.Instant
    /// The failure after which nothing more is done here: the process must end and read back.
    private let fatal = Mutex<JournalError?>(nil)

    /// Takes the lock `FILE.lock`, then opens the files; makes them when they are missing.
    ///
    /// What a crash has left in the files of turns stays there, and the next turns follow it.
    ///
    /// - Parameters:
    ///   - file: The database; its directory must exist.
    ///   - idIfNew: Identity of a journal that is made now.
    ///   - options: How the files are used.
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
            heldSince = .now
            let connection = try await Connection.open(file, schema: .journal, options: options) {
                try LogCopier.copyAll($0, file: file)
                try JournalTables($0).makeHeader(idIfNew)
            }
            self.connection = connection
            log = try await Self.recover(connection, file: file, options)
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

    /// Reads what lies before the database; nil when no turn shall lie there any more.
    private static func recover(
        _ connection: Connection, file: String, _ options: SQLiteOptions
    ) async throws(SQLiteFailure) -> TurnLog? {
        let last = try await connection.perform("read the journal") {
            try JournalTables($0).lastTurn()
        }
        let bytesMax = options.turnLogBytesMax
        let found = try await Connection.offThread { () throws(SQLiteFailure) -> TurnLog? in
            let file = canonical(file)
            let names = TurnLog.names(beside: file)
            guard bytesMax > 0 || names.contains(where: { access($0, F_OK) == 0 }) else {
                return nil
            }
            return try TurnLog(
                beside: file, bytesMax: bytesMax, lastTurn: last.turn, journal: last.journal)
        }
        guard let log = found else { return nil }
        if bytesMax > 0 { return log }
        try await copyAll(of: log, connection, copyTask)
        try await Connection.offThread { () throws(SQLiteFailure) in
            for name in TurnLog.names(beside: canonical(file)) { unlink(name) }
        }
        return nil
    }

    /// Reads everything that a coordinator starts from.
    package func snapshot() async throws(JournalError) -> JournalSnapshot {
        // What is copied between two looks would be in both, or in neither.
        try await guarded { () async throws(SQLiteFailure) in try await self.waitForCopy() }
        let log = log
        let snapshot = try await run("read the journal") { database in
            var snapshot = try JournalTables(database).snapshot()
            for (turns, file) in log?.sides ?? [] { try turns.add(to: &snapshot, from: file) }
            return snapshot
        }
        // Only now: whoever starts waits for what was read, and for no copy.
        if let log, log.isCopyDue { beginCopying(log) }
        return snapshot
    }

    /// Makes one turn durable: by one write and one sync, or else in one transaction.
    package func commit(_ transaction: JournalTransaction) async throws(JournalError) {
        try await guarded { () async throws(SQLiteFailure) in
            if try await self.append(transaction) { return }
            try await self.copyAll(Self.commitTask)
            try await self.connection.perform(Self.commitTask) { database in
                try Connection.transaction(database) {
                    try JournalTables($0).write(transaction)
                }
            }
            self.log?.skip(transaction.turn)
        }
    }

    /// Reads contents back.
    package func contents(
        of rows: [EditSequence]
    ) async throws(JournalError) -> [EditSequence: Content] {
        let log = log
        return try await run("read contents from the journal", on: reader) { database in
            guard let log else { return try JournalTables(database).contents(of: rows) }
            var result: [EditSequence: Content] = [:]
            var others: [EditSequence] = []
            for row in rows {
                switch log.content(of: row) {
                case .place(let place):
                    if let bytes = try log.read(place) {
                        result[row] = Content(bytes)
                    } else {
                        others.append(row)
                    }
                case .none: break
                case .unknown: others.append(row)
                }
            }
            // What was copied between the two looks is found by the second one.
            let copied = try JournalTables(database).contents(of: others)
            return result.merging(copied) { logged, _ in logged }
        }
    }

    /// Reads segments of the event log.
    package func events(
        from first: UInt64, bytesMax: Int
    ) async throws(JournalError) -> [JournalSegment] {
        let log = log
        return try await run("read the event log of the journal", on: reader) { database in
            while true {
                let page = try Self.page(database, log, from: first, bytesMax: bytesMax)
                if let page { return page }
            }
        }
    }

    /// A page of the event log; nil when some of it was copied meanwhile: the database has it now.
    private static func page(
        _ database: Database, _ log: TurnLog?, from first: UInt64, bytesMax: Int
    ) throws -> [JournalSegment]? {
        let logged = log?.events(from: first, bytesMax: bytesMax)
        // Turns that are copied meanwhile must not make a page that is whole look like a part.
        let (copied, lastTurn) = try Connection.transaction(database, .deferred) { database in
            let tables = JournalTables(database)
            let segments = try tables.events(
                from: first, after: logged?.trimmedThrough ?? 0, bytesMax: bytesMax)
            return (segments, try tables.lastEventTurn())
        }
        let last = copied.last?.turn ?? 0
        guard let log, let logged, copied.isEmpty || last == lastTurn else { return copied }
        var segments = copied
        var byteCount = segments.reduce(0) { $0 + $1.bytes.count }
        // What was copied between the two looks is in both.
        for (segment, place) in logged.segments where segment.turn > last {
            if !segments.isEmpty, byteCount + segment.bytes.count > bytesMax { break }
            guard let bytes = try log.read(place) else { return nil }
            byteCount += segment.bytes.count
            segments.append(
                JournalSegment(
                    turn: segment.turn, first: segment.first, count: segment.count, bytes: bytes))
        }
        return segments
    }

    /// Closes the files and gives the lock back.
    package func close() async {
        // What can't be copied now stays where it is, and is found by whoever opens it next.
        try? await copyAll(Self.copyTask)
        await reader.close()
        await connection.close()
        lock.release()
    }

    private func run<R: Sendable>(
        _ task: String, on chosen: Connection? = nil,
        _ body: @escaping @Sendable (Database) throws -> R
    ) async throws(JournalError) -> R {
        try await guarded { () async throws(SQLiteFailure) in
            try await (chosen ?? self.connection).perform(task, body)
        }
    }

    /// Runs a body unless the journal has failed for good, and notes when that does.
    private func guarded<R: Sendable>(
        _ body: () async throws(SQLiteFailure) -> R
    ) async throws(JournalError) -> R {
        if let error = fatal.withLock({ $0 }) { throw error }
        do {
            return try await body()
        } catch {
            throw noted(error)
        }
    }

    private func noted(_ failure: SQLiteFailure) -> JournalError {
        let error = JournalError(failure)
        if error.code == .fatal { fatal.withLock { $0 = $0 ?? error } }
        return error
    }
}

// MARK: Turns on their way into the database

extension SQLiteJournal {
    /// As errors name it: somebody waits for it.
    private static let commitTask = "commit a turn to the journal"
    /// Likewise: nobody does.
    private static let copyTask = "copy turns into the database"

    /// Writes a turn into a file of turns; false when it must go into the database at once.
    private func append(_ transaction: JournalTransaction) async throws(SQLiteFailure) -> Bool {
        guard let log else { return false }
        for _ in 0..<2 {
            switch try await log.append(transaction) {
            case .done: return true
            case .unfit: return false
            case .full:
                try await finishCopying(Self.commitTask)
                log.turnOver()
                beginCopying(log)
            }
        }
        return false
    }

    /// Copies what the other file holds, beside the turns that come meanwhile.
    private func beginCopying(_ log: TurnLog) {
        let connection = connection
        let task = Task {
            do throws(SQLiteFailure) {
                try await Self.copy(log, connection, Self.copyTask)
            } catch {
                // What can be mended is tried again when there is no room left.
                if noted(error).code == .fatal { throw error }
            }
        }
        copying.withLock { $0 = task }
    }

    /// Waits for a copy that is under way.
    private func waitForCopy() async throws(SQLiteFailure) {
        let running = copying.withLock { $0.take() }
        if let failure = await running?.result.failure as? SQLiteFailure { throw failure }
    }

    /// Likewise, and makes the one that is due.
    private func finishCopying(_ task: String) async throws(SQLiteFailure) {
        try await waitForCopy()
        if let log, log.isCopyDue { try await Self.copy(log, connection, task) }
    }

    /// Brings everything into the database.
    private func copyAll(_ task: String) async throws(SQLiteFailure) {
        guard let log else { return }
        try await finishCopying(task)
        try await Self.copyAll(of: log, connection, task)
    }

    private static func copyAll(
        of log: TurnLog, _ connection: Connection, _ task: String
    ) async throws(SQLiteFailure) {
        while !log.isEmpty {
            if !log.isCopyDue { log.turnOver() }
            try await copy(log, connection, task)
        }
    }

    private static func copy(
        _ log: TurnLog, _ connection: Connection, _ task: String
    ) async throws(SQLiteFailure) {
        let (turns, file, lap) = log.copyable()
        try await connection.perform(task) { database in
            try Connection.transaction(database) {
                try JournalTables($0).write(turns) { try file.read($0) }
            }
        }
        log.noteCopied(lap)
    }
}

extension Result {
    /// What went wrong, if something did.
    fileprivate var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
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
