#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import GRDB
internal import SyncCore

/// What is set on a fresh connection, in order, and read back.
struct ConnectionSetup {
    /// What the file should be.
    let schema: Schema
    /// How it is used.
    let options: SQLiteOptions
    /// Its name, for messages.
    let file: String

    /// A file's name as SQLite takes it: absolute or "./…", since names such as ":memory:" and
    /// "file:…" mean something else to it.
    static func path(of file: String) -> String { file.hasPrefix("/") ? file : "./" + file }

    /// Prepares a connection that writes; GRDB has opened it already.
    ///
    /// Two processes that make one file at once can meet in the switch to WAL, where SQLite does
    /// not wait for the busy timeout; so the whole is tried again until that has passed.
    func run(_ database: Database) throws {
        var tries = options.busyTimeout.wholeMilliseconds / 10
        while true {
            do {
                return try prepare(database)
            } catch let error as DatabaseError
                where error.resultCode == .SQLITE_BUSY && tries > 0
            {
                tries -= 1
                usleep(10_000)
            }
        }
    }

    /// Prepares a connection that only reads.
    func runForReading(_ database: Database) throws {
        switch try schema.inspect(database, file: file) {
        case .known(let format) where format == schema.migrations.count: return
        case .known:
            throw SQLiteFailure(
                .unavailable,
                "The \(schema.noun) at \(file) has an older format; start syncd once to update it.")
        case .blank:
            throw SQLiteFailure(
                .unavailable, "The \(schema.noun) at \(file) is still empty; start syncd first.")
        }
    }

    /// Makes an empty file that only this user can read; SQLite gives its log the same rights.
    static func create(_ file: String) {
        let descriptor = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        // Errors are left to SQLite, which meets them again and is asked to explain.
        if descriptor >= 0 { close(descriptor) }
    }

    private func prepare(_ database: Database) throws {
        let finding = try schema.inspect(database, file: file)
        // Three contents of 2 KiB to a page; tried: 4 KiB pages hold one and halve the rows a
        // second of a full turn, 16 KiB pages win a third there but cost a turn of one edit 0.1 ms.
        if finding == .blank { try database.execute(sql: "PRAGMA page_size = 8192") }
        let mode = try read("journal_mode = WAL", database) { $0.text(0) }
        guard mode == "wal" else {
            throw SQLiteFailure(
                .unavailable,
                "The \(schema.noun) at \(file) can't have a write-ahead log; use a local disk."
            )
        }
        try setDurability(database)
        for pragma in [
            "wal_autocheckpoint = 0",  // `Connection` does it after the answer.
            "journal_size_limit = 67108864",  // The log is cut back to this after a burst.
            "cache_size = -16384",  // KiB: a turn's dirty pages fit and are written once.
            "secure_delete = FAST",  // Debian's default rewrites freed pages only to clear them.
            "trusted_schema = OFF",
        ] {
            try SQLStatement(database, "PRAGMA \(pragma)").run()
        }
        if let pagesMax = options.pagesMax {
            try SQLStatement(database, "PRAGMA max_page_count = \(pagesMax)").run()
        }
        try schema.migrate(database, file: file)
    }

    /// Sets `synchronous` after everything that GRDB does at opening, and reads it back (trace A7).
    private func setDurability(_ database: Database) throws {
        let (word, number): (String, UInt64) =
            switch options.durability {
            case .full: ("FULL", 2)
            case .normal: ("NORMAL", 1)
            }
        try database.execute(sql: "PRAGMA synchronous = \(word)")
        guard try read("synchronous", database, { $0.integer(0) }) == number else {
            throw SQLiteFailure(
                .corrupt,
                "SQLite refused synchronous=\(word) for \(file): accepted edits would not survive "
                    + "a power cut. Check the SQLite library of this machine.")
        }
    }

    private func read<R>(
        _ pragma: String, _ database: Database, _ read: (SQLRow) throws -> R
    ) throws -> R? {
        try SQLStatement(database, "PRAGMA \(pragma)").first(read: read)
    }
}
