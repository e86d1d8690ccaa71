internal import CLibPQ
#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import SyncCore
internal import Synchronization

/// How long a call may take, and whether its caller still waits for it.
///
///     waiting for a session ──begin──▶ running
final class PostgresDeadline: Sendable {
    private let end: Mutex<ContinuousClock.Instant>
    private let isGivenUp = Atomic<Bool>(false)

    /// Counts from now.
    init(_ wait: Duration) { end = Mutex(.now + wait) }

    /// Counts anew from now, unless the time is over or nobody waits any more.
    ///
    /// - Returns: Whether it does; if not, nothing may be sent.
    func begin(_ wait: Duration) -> Bool {
        guard left > .zero else { return false }
        end.withLock { $0 = .now + wait }
        return true
    }

    /// Nobody waits for the answer any more.
    func giveUp() { isGivenUp.store(true, ordering: .relaxed) }

    /// Time that is left; none for a call that was given up.
    var left: Duration {
        if isGivenUp.load(ordering: .relaxed) { return .zero }
        return max(.zero, end.withLock(\.self) - .now)
    }

    /// Milliseconds for one look, so that a call that was given up ends soon; nil: no time is left.
    func slice() -> Int32? {
        let left = left
        return left > .zero ? Int32(min(left.wholeMilliseconds, 100)) : nil
    }
}

/// One session with the server, used on its lane's queue only.
///
/// Statements go without blocking and are waited for with a deadline: a server that is stopped or
/// unplugged does not answer, and its kernel may keep the connection for many minutes.
final class PostgresConnection {
    private let handle: OpaquePointer
    /// For messages: where the database is, without secrets.
    let place: String
    /// Whether no statement was answered yet: an idle connection may have been closed meanwhile.
    private(set) var isFresh = true
    /// Whether it can be used no more.
    private(set) var isBroken = false

    /// Connects and sets the session up.
    ///
    /// Blocks up to ``PostgresLimits/connectWait`` for each of the server's addresses.
    init(
        to url: PostgresURL, limits: PostgresLimits, until deadline: PostgresDeadline
    ) throws(PostgresFailure) {
        place = url.description
        // Later words win: the URL over our defaults, and UTF-8 over the URL.
        let words = [
            ("connect_timeout", String(max(2, limits.connectWait.components.seconds))),
            ("tcp_user_timeout", String(limits.answerWait.wholeMilliseconds)),
            ("keepalives_idle", "10"), ("keepalives_interval", "5"), ("keepalives_count", "3"),
            ("fallback_application_name", Self.applicationName),
            ("dbname", url.secret), ("client_encoding", "UTF8"),
        ]
        let connected = Self.withStrings(words.map(\.0)) { names in
            Self.withStrings(words.map(\.1)) { PQconnectdbParams(names, $0, 1) }
        }
        guard let connected else {
            throw PostgresFailure(.unavailable, "No memory is left for a connection to \(place).")
        }
        handle = connected
        // Notices would go to standard error.
        PQsetNoticeProcessor(handle, { _, _ in }, nil)
        guard PQstatus(handle) == CONNECTION_OK else { throw connectFailure() }
        guard PQserverVersion(handle) >= 140_000 else {
            throw PostgresFailure(
                .corrupt,
                "The server at \(place) is PostgreSQL \(PQserverVersion(handle) / 10_000); syncd "
                    + "needs 14 or newer. Upgrade it, or name another one.")
        }
        guard PQsetnonblocking(handle, 1) == 0 else { throw lost("connect") }
        try setUp(limits, until: deadline)
    }

    deinit { PQfinish(handle) }

    /// How our sessions are found in `pg_stat_activity`, unless the URL names them otherwise.
    static let applicationName = "syncd"

    /// Sends a statement and waits for its rows.
    ///
    /// - Parameter task: For a message, for instance "apply edits to the store".
    func query(
        _ task: String, _ text: String, _ values: [PostgresValue] = [],
        until deadline: PostgresDeadline
    ) throws(PostgresFailure) -> PostgresRows {
        guard send(text, values) else { throw lost(task) }
        var isSent = false
        while !isSent {
            switch PQflush(handle) {
            case 0: isSent = true
            case 1:
                try wait(for: Int16(POLLIN | POLLOUT), task, until: deadline)
                guard PQconsumeInput(handle) == 1 else { throw lost(task) }
            default: throw lost(task)
            }
        }
        return try answer(task, until: deadline)
    }

    private func answer(
        _ task: String, until deadline: PostgresDeadline
    ) throws(PostgresFailure) -> PostgresRows {
        var rows: PostgresRows?
        var failure: PostgresFailure?
        while true {
            while PQisBusy(handle) == 1 {
                try wait(for: Int16(POLLIN), task, until: deadline)
                guard PQconsumeInput(handle) == 1 else { throw lost(task) }
            }
            guard let result = PQgetResult(handle) else { break }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK: rows = PostgresRows(owning: result)
            default:
                failure = failure ?? failureOf(result, task)
                PQclear(result)
            }
        }
        if PQstatus(handle) != CONNECTION_OK {
            isBroken = true
            throw failure ?? lost(task)
        }
        if let failure { throw failure }
        guard let rows else { throw lost(task) }
        isFresh = false
        return rows
    }

    private func wait(
        for events: Int16, _ task: String, until deadline: PostgresDeadline
    ) throws(PostgresFailure) {
        while true {
            guard let milliseconds = deadline.slice() else {
                isBroken = true
                throw PostgresFailure(
                    .unavailable,
                    "Could not \(task) at \(place): the server did not answer in time. Look "
                        + "whether it hangs, or the network to it. Its files wait.")
            }
            var descriptor = pollfd(fd: PQsocket(handle), events: events, revents: 0)
            let count = poll(&descriptor, 1, milliseconds)
            if count > 0 { return }
            if count < 0, errno != EINTR { throw lost(task) }
        }
    }

    /// Queues a statement in libpq, everything of it in binary.
    private func send(_ text: String, _ values: [PostgresValue]) -> Bool {
        let lengths = values.map { Int32($0.bytes?.count ?? 0) }
        let formats = [Int32](repeating: 1, count: values.count)
        var pointers: [UnsafePointer<CChar>?] = []
        return Self.withPointers(values[...], &pointers) { pointers in
            PQsendQueryParams(
                handle, text, Int32(values.count), nil, pointers, lengths, formats, 1) == 1
        }
    }

    /// Nests a pointer for each value, so that content is not copied once more.
    private static func withPointers(
        _ values: ArraySlice<PostgresValue>, _ pointers: inout [UnsafePointer<CChar>?],
        _ body: ([UnsafePointer<CChar>?]) -> Bool
    ) -> Bool {
        guard let value = values.first else { return body(pointers) }
        guard let bytes = value.bytes else {
            pointers.append(nil)
            return withPointers(values.dropFirst(), &pointers, body)
        }
        // An empty array has no address, and no address means NULL to libpq.
        return (bytes.isEmpty ? [0] : bytes).withUnsafeBytes { buffer in
            pointers.append(buffer.baseAddress?.assumingMemoryBound(to: CChar.self))
            return withPointers(values.dropFirst(), &pointers, body)
        }
    }

    private static func withStrings<R>(
        _ texts: [String], _ body: ([UnsafePointer<CChar>?]) -> R
    ) -> R {
        let copies = texts.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return body(copies.map { $0.map { UnsafePointer($0) } } + [nil])
    }
}

extension PostgresConnection {
    /// Limits of the session; one round trip.
    private func setUp(
        _ limits: PostgresLimits, until deadline: PostgresDeadline
    ) throws(PostgresFailure) {
        func milliseconds(_ wait: Duration) -> PostgresValue {
            .text(String(wait.wholeMilliseconds))
        }
        let rows = try query(
            "set a session up",
            """
            SELECT current_setting('server_encoding'),
                set_config('statement_timeout', $1::text, false),
                set_config('lock_timeout', $2::text, false),
                set_config('idle_in_transaction_session_timeout', $3::text, false),
                set_config('tcp_user_timeout', $4::text, false),
                set_config('client_connection_check_interval', '5000', false),
                set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                    WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
                set_config('jit', 'off', false),
                set_config('search_path', 'pg_catalog', false)
            """,
            [
                milliseconds(limits.statementWait), milliseconds(limits.lockWait),
                milliseconds(limits.stallWait), milliseconds(limits.answerWait),
            ], until: deadline)
        let encoding = rows.text(0, 0)
        isFresh = true
        guard encoding == "UTF8" else {
            throw PostgresFailure(
                .corrupt,
                "The database at \(place) has the encoding \(encoding). Make one with createdb "
                    + "--encoding UTF8 --template template0, and name that.")
        }
    }

    private func failureOf(_ result: OpaquePointer, _ task: String) -> PostgresFailure {
        let state = PQresultErrorField(result, Int32(UInt8(ascii: "C"))).map { String(cString: $0) }
        let said = PQresultErrorField(result, Int32(UInt8(ascii: "M"))).map { String(cString: $0) }
        guard let state else { return lost(task) }
        return PostgresFailure(
            state: state, said: said ?? "the server does not say why", task: task, place: place)
    }

    private func lost(_ task: String) -> PostgresFailure {
        isBroken = true
        return PostgresFailure(
            .lost,
            "Could not \(task) at \(place): the connection broke. If the server was restarted, "
                + "this goes on by itself. Its files wait.")
    }

    /// Why the server did not let us in.
    ///
    /// Its own states do not reach us here, only sentences.
    private func connectFailure() -> PostgresFailure {
        let said = String(cString: PQerrorMessage(handle))
            .split(whereSeparator: \.isNewline).joined(separator: "; ")
        return PostgresFailure(
            .unavailable,
            "Could not connect to the store at \(place): \(said). Check that the server runs, user "
                + "and password (SYNCD_STORE, PGPASSWORD or ~/.pgpass), that the database exists "
                + "(createdb), and pg_hba.conf.")
    }
}
