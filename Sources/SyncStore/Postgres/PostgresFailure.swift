/// A PostgreSQL error, sorted by what the caller can do about it.
struct PostgresFailure: Error, Equatable {
    /// What the caller can do.
    enum Kind: Equatable {
        /// The connection broke; whether the statement took effect is not known.
        case lost
        /// Nothing was changed; the same call may work later.
        case unavailable
        /// Nothing was changed: another session held a row for too long.
        case locked
        /// Nothing was changed: it met another transaction and works when it is repeated at once.
        case collided
        /// This statement with these values can't be done; others can.
        case refused
        /// What is in the database makes no sense, or is not ours.
        case corrupt
    }

    /// What the caller can do.
    let kind: Kind
    /// What failed, why, and what to do; never content, a parameter or a password.
    let message: String

    /// Describes a failure.
    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// Sorts what the server answered.
    ///
    /// - Parameters:
    ///   - state: The five characters of the SQL standard's table of errors.
    ///   - said: The server's sentence; left out where it can quote what was bound.
    init(state: String, said: String, task: String, place: String) {
        let kind = Self.kind(of: state)
        let reason = kind == .refused ? "the server refuses it" : said
        self.init(
            kind,
            "Could not \(task) at \(place): \(reason) (SQLSTATE \(state)). "
                + Self.advice(for: state, kind))
    }

    /// What a state means for the caller; classes are its first two characters.
    static func kind(of state: String) -> Kind {
        switch state {
        case "55P03": return .locked
        case "40001", "40P01": return .collided
        // Data that a page or an index lost; a table or a column that is not there.
        case "XX001", "XX002", "42P01", "42703", "3F000": return .corrupt
        default: break
        }
        switch state.prefix(2) {
        // Values, constraints, limits of the program: the next edit has others.
        case "22", "23", "54": return .refused
        default: return .unavailable
        }
    }

    private static func advice(for state: String, _ kind: Kind) -> String {
        switch state {
        case "28P01", "28000":
            return "Check user and password (SYNCD_STORE, PGPASSWORD or ~/.pgpass)."
        case "3D000": return "Make the database with createdb, or name the right one."
        case "25006":
            return "This server takes no writes: add target_session_attrs=read-write to the URL, "
                + "or name the primary."
        case "42501": return "Let this user own the database or its schema syncd."
        case "53100": return "Nothing was changed; free space on the server's disk."
        case "53300": return "Raise max_connections; each worker opens up to 4."
        case "55P03":
            return "Nothing was changed; look in pg_stat_activity for the session that holds it."
        case "57014": return "Nothing was changed; the server is overloaded or its disk hangs."
        default: break
        }
        switch kind {
        case .lost, .unavailable, .collided, .locked:
            return "Nothing was changed; look at the server's log. Its files wait."
        case .corrupt:
            return "Stop syncd, and restore the database from a backup, or name another one."
        case .refused: return "Nothing was changed."
        }
    }
}
