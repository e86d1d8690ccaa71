internal import CLibPQ

/// What a statement answered: rows of binary values, freed with the last reference.
final class PostgresRows {
    private let result: OpaquePointer

    /// Owns a result of libpq.
    init(owning result: OpaquePointer) { self.result = result }

    deinit { PQclear(result) }

    /// How many rows.
    var count: Int { Int(PQntuples(result)) }

    /// Whether a value is NULL.
    func isNull(_ row: Int, _ column: Int32) -> Bool {
        PQgetisnull(result, Int32(row), column) == 1
    }

    /// The bytes of a value; none for NULL.
    func bytes(_ row: Int, _ column: Int32) -> [UInt8] {
        guard let start = PQgetvalue(result, Int32(row), column) else { return [] }
        let count = Int(PQgetlength(result, Int32(row), column))
        return Array(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// A text.
    func text(_ row: Int, _ column: Int32) -> String {
        String(decoding: bytes(row, column), as: UTF8.self)
    }

    /// A text, or nil for NULL.
    func optionalText(_ row: Int, _ column: Int32) -> String? {
        isNull(row, column) ? nil : text(row, column)
    }

    /// The 64 bits of a `bigint`.
    func integer(_ row: Int, _ column: Int32) -> UInt64 {
        bytes(row, column).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The 64 bits of a `bigint`, or nil for NULL.
    func optionalInteger(_ row: Int, _ column: Int32) -> UInt64? {
        isNull(row, column) ? nil : integer(row, column)
    }

    /// A `boolean`.
    func flag(_ row: Int, _ column: Int32) -> Bool { bytes(row, column) == [1] }
}
