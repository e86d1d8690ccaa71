internal import GRDB
internal import GRDBSQLite

/// An SQLite error, sorted by what the caller can do about it.
struct SQLiteFailure: Error, Equatable {
    /// What the caller can do.
    enum Kind: Equatable {
        /// Nothing was changed; the same call may work later.
        case unavailable
        /// What is on disk is unknown or makes no sense.
        case corrupt
        /// This statement with these values can't be done; others can.
        case refused
    }

    /// What the caller can do.
    let kind: Kind
    /// What failed, why, and what to do; never content or an SQL argument.
    let message: String

    /// Describes a failure.
    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// Sorts whatever was thrown while something was done to a database.
    ///
    /// - Parameter task: For instance "commit a turn to the journal".
    init(_ error: any Error, task: String, file: String) {
        switch error {
        case let failure as SQLiteFailure: self = failure
        case is Nonsense:
            self.init(
                .corrupt,
                "Could not \(task) at \(file): what was read back makes no sense. Stop syncd, keep "
                    + "a copy of the file, and restore it from a backup.")
        case let error as DatabaseError:
            self.init(error.extendedResultCode, task: task, file: file)
        default: self.init(.SQLITE_ERROR, task: task, file: file)
        }
    }

    /// Sorts a result code.
    init(_ code: ResultCode, task: String, file: String) {
        // The generic text of the code, not `sqlite3_errmsg`, which can quote what was bound.
        let reason = sqlite3_errstr(code.rawValue).map { String(cString: $0) } ?? "unknown error"
        let kind = Self.kind(of: code)
        let advice = Self.advice(for: code.primaryResultCode, kind)
        self.init(
            kind, "Could not \(task) at \(file): \(reason) (SQLite \(code.rawValue)). \(advice)")
    }

    /// What a result code means for the caller.
    static func kind(of code: ResultCode) -> Kind {
        switch code {
        // After a failed fsync the kernel may have dropped the pages: nobody knows what is on disk.
        case .SQLITE_IOERR_FSYNC, .SQLITE_IOERR_DIR_FSYNC, ioErrorCorruptFileSystem, ioErrorData:
            return .corrupt
        default: break
        }
        switch code.primaryResultCode {
        case .SQLITE_FULL, .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_READONLY, .SQLITE_CANTOPEN,
            .SQLITE_IOERR, .SQLITE_NOMEM, .SQLITE_PERM, .SQLITE_PROTOCOL, .SQLITE_INTERRUPT,
            .SQLITE_ABORT:
            return .unavailable
        case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_FORMAT: return .corrupt
        default: return .refused
        }
    }

    // Newer than GRDB's list: sqlite3.h, SQLITE_IOERR | (33 << 8) and | (32 << 8).
    private static let ioErrorCorruptFileSystem = ResultCode(rawValue: 10 | (33 << 8))
    private static let ioErrorData = ResultCode(rawValue: 10 | (32 << 8))

    private static func advice(for code: ResultCode, _ kind: Kind) -> String {
        switch (code, kind) {
        case (.SQLITE_FULL, _): "Nothing was changed; free space on that disk."
        case (.SQLITE_BUSY, _), (.SQLITE_LOCKED, _):
            "Nothing was changed; another process holds the file: look for one that is stopped."
        case (.SQLITE_READONLY, _), (.SQLITE_PERM, _):
            "Nothing was changed; make the file and its directory writable for this user."
        case (.SQLITE_CANTOPEN, _):
            "Make sure that the directory exists and that this user may write into it."
        case (.SQLITE_NOTADB, _):
            "Nothing was changed; name the right file. If it should be one, its start is damaged: "
                + "restore it from a backup."
        case (_, .unavailable): "Nothing was changed; look at the disk and at the system's log."
        case (_, .corrupt):
            "Stop syncd, look at the disk and the system's log, and start again: it reads back "
                + "what is there; restore the file from a backup if that fails."
        case (_, .refused): "Nothing was changed; this is a mistake in syncd, please report it."
        }
    }
}

/// Thrown while rows are read that nobody of this program can have written.
struct Nonsense: Error {
    /// The value, or a complaint when there is none.
    static func unless<T>(_ value: T?) throws(Nonsense) -> T {
        guard let value else { throw Nonsense() }
        return value
    }
}
