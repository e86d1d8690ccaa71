internal import GRDB
internal import GRDBSQLite

/// A value bound to a statement.
enum SQLValue {
    /// 64 bits; SQLite shows those from 2^63 as negative numbers.
    case integer(UInt64)
    /// Copied by SQLite.
    case text(String)
    /// Not copied: must stay valid until the statement has run.
    case blob(UnsafeRawBufferPointer)
    /// Nothing.
    case null

    /// 1 or 0.
    static func flag(_ value: Bool) -> SQLValue { .integer(value ? 1 : 0) }

    /// A count that is not negative.
    static func count(_ value: Int) -> SQLValue { .integer(UInt64(value)) }

    /// The number, or nothing.
    static func optional(_ value: UInt64?) -> SQLValue { value.map { .integer($0) } ?? .null }

    /// The text, or nothing.
    static func optional(_ value: String?) -> SQLValue { value.map { .text($0) } ?? .null }
}

/// A statement from GRDB's cache, bound and stepped with SQLite's own functions.
///
/// GRDB's `execute(arguments:)` boxes each argument and copies text twice; here thousands of rows
/// go through in one commit, and content is bound without a copy. After every run the statement is
/// reset, since one that is left halfway holds a read transaction open and blocks checkpoints.
struct SQLStatement {
    private let statement: Statement
    private var handle: OpaquePointer { statement.sqliteStatement }

    /// Takes a statement from the connection's cache, or compiles it.
    init(_ database: Database, _ sql: String) throws {
        statement = try database.cachedStatement(sql: sql)
    }

    /// Runs to the end; rows are dropped.
    func run(_ values: SQLValue...) throws {
        defer { reset() }
        try bind(values)
        while try step() {}
    }

    /// Runs and reads every row.
    func rows<R>(_ values: SQLValue..., read: (SQLRow) throws -> R) throws -> [R] {
        defer { reset() }
        try bind(values)
        var result: [R] = []
        while try step() { result.append(try read(SQLRow(handle: handle))) }
        return result
    }

    /// Runs and reads rows for as long as the reader says so.
    func scan(_ values: SQLValue..., read: (SQLRow) throws -> Bool) throws {
        defer { reset() }
        try bind(values)
        while try step() {
            guard try read(SQLRow(handle: handle)) else { return }
        }
    }

    /// Runs and reads the first row, if there is one.
    func first<R>(_ values: SQLValue..., read: (SQLRow) throws -> R) throws -> R? {
        defer { reset() }
        try bind(values)
        return try step() ? read(SQLRow(handle: handle)) : nil
    }

    private func bind(_ values: [SQLValue]) throws {
        for (index, value) in zip(CInt(1)..., values) {
            let code =
                switch value {
                case .integer(let number):
                    sqlite3_bind_int64(handle, index, Int64(bitPattern: number))
                case .text(let text): Self.bind(text, to: handle, at: index)
                case .blob(let bytes): Self.bind(bytes, to: handle, at: index)
                case .null: sqlite3_bind_null(handle, index)
                }
            guard code == SQLITE_OK else { throw failure(code) }
        }
    }

    private static func bind(_ text: String, to handle: OpaquePointer, at index: CInt) -> CInt {
        // SQLITE_TRANSIENT, a macro that Swift can't import: SQLite copies before it returns.
        let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        // No bytes may come without an address, which SQLite would take for NULL.
        if text.isEmpty { return sqlite3_bind_text(handle, index, "", 0, transient) }
        var text = text
        return text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                sqlite3_bind_text(handle, index, $0.baseAddress, CInt($0.count), transient)
            }
        }
    }

    private static func bind(
        _ bytes: UnsafeRawBufferPointer, to handle: OpaquePointer, at index: CInt
    ) -> CInt {
        // No bytes may come without an address, which SQLite would take for NULL.
        guard let address = bytes.baseAddress, !bytes.isEmpty else {
            return sqlite3_bind_zeroblob(handle, index, 0)
        }
        // A nil destructor is SQLITE_STATIC: no copy, the caller keeps the bytes until `reset`.
        return sqlite3_bind_blob64(handle, index, address, UInt64(bytes.count), nil)
    }

    private func step() throws -> Bool {
        let code = sqlite3_step(handle)
        switch code {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw failure(code)
        }
    }

    private func reset() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    private func failure(_ code: CInt) -> DatabaseError {
        let extended = sqlite3_extended_errcode(sqlite3_db_handle(handle))
        // The primary code stands in the low byte of the extended one, if that is of this call.
        return DatabaseError(
            resultCode: ResultCode(rawValue: extended & 0xFF == code & 0xFF ? extended : code))
    }
}

/// The row that a statement stands on; columns count from 0.
struct SQLRow {
    fileprivate let handle: OpaquePointer

    /// 64 bits.
    func integer(_ column: CInt) -> UInt64 {
        UInt64(bitPattern: sqlite3_column_int64(handle, column))
    }

    /// A count that is not negative.
    func count(_ column: CInt) throws -> Int { try Nonsense.unless(Int(exactly: integer(column))) }

    /// Whether the number is not 0.
    func flag(_ column: CInt) -> Bool { integer(column) != 0 }

    /// Whether there is nothing.
    func isNull(_ column: CInt) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

    /// The number, or nothing.
    func optionalInteger(_ column: CInt) -> UInt64? { isNull(column) ? nil : integer(column) }

    /// The text, or nothing.
    func optionalText(_ column: CInt) -> String? { isNull(column) ? nil : text(column) }

    /// Text; NUL characters included.
    func text(_ column: CInt) -> String {
        guard let address = sqlite3_column_text(handle, column) else { return "" }
        let count = Int(sqlite3_column_bytes(handle, column))
        return String(decoding: UnsafeBufferPointer(start: address, count: count), as: UTF8.self)
    }

    /// A copy of the bytes.
    func bytes(_ column: CInt) -> [UInt8] {
        guard let address = sqlite3_column_blob(handle, column) else { return [] }
        let count = Int(sqlite3_column_bytes(handle, column))
        return Array(UnsafeRawBufferPointer(start: address, count: count))
    }
}
