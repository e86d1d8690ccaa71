internal import GRDB
internal import SyncCore

extension JournalTables {
    /// Everything but contents, as of one moment.
    func snapshot() throws -> JournalSnapshot {
        // One caller and one connection, so nothing comes between; a transaction costs nothing.
        try Connection.transaction(database, .deferred) { _ in
            let (header, lastTurn) = try header()
            var snapshot = JournalSnapshot(header: header)
            snapshot.lastTurn = lastTurn
            snapshot.rows = try rows()
            snapshot.projects = try projects()
            snapshot.incarnations = try incarnations()
            snapshot.acceptances = try segments("SELECT * FROM acceptances ORDER BY turn")
            snapshot.events = try segments("SELECT * FROM events ORDER BY turn")
            return snapshot
        }
    }

    /// Contents of those of the rows that have one.
    func contents(of rows: [EditSequence]) throws -> [EditSequence: Content] {
        let statement = try sql("SELECT bytes FROM contents WHERE sequence = ?")
        var result: [EditSequence: Content] = [:]
        for sequence in rows {
            result[sequence] = try statement.first(.integer(sequence.value)) {
                Content($0.bytes(0))
            }
        }
        return result
    }

    /// The last turn that is in the database, and whose it is.
    func lastTurn() throws -> (turn: UInt64, journal: JournalID) {
        let found = try header()
        return (found.lastTurn, found.0.journal)
    }

    /// The last turn with events; 0 when there are none.
    func lastEventTurn() throws -> UInt64 {
        try sql("SELECT coalesce(max(turn), 0) FROM events").first { $0.integer(0) } ?? 0
    }

    /// Segments of the event log from the one that holds an event, of turns after one.
    func events(
        from first: UInt64, after trimmed: UInt64, bytesMax: Int
    ) throws -> [JournalSegment] {
        let start =
            try sql("SELECT turn FROM events WHERE first <= ? ORDER BY first DESC LIMIT 1")
            .first(.integer(first)) { $0.integer(0) } ?? 0
        var result: [JournalSegment] = []
        var byteCount = 0
        try sql("SELECT turn, first, count, bytes FROM events WHERE turn >= ? ORDER BY turn")
            .scan(.integer(max(start, trimmed + 1))) { row in
                let segment = try segment(row)
                // The last one that starts before the event may end before it, too.
                guard segment.first + UInt64(segment.count) > first else { return true }
                if !result.isEmpty, byteCount + segment.bytes.count > bytesMax { return false }
                byteCount += segment.bytes.count
                result.append(segment)
                return byteCount < bytesMax
            }
        return result
    }

    private func header() throws -> (JournalHeader, lastTurn: UInt64) {
        let found = try sql(
            """
            SELECT journal, last_sequence, last_event, incarnation_count, longest_lease_ms,
                store_id, local_root_id, last_turn FROM header
            """
        ).first { row in
            var header = JournalHeader(journal: JournalID(bits: row.integer(0)))
            header.lastSequence = EditSequence(row.integer(1))
            header.lastEvent = row.integer(2)
            header.incarnationCount = row.integer(3)
            header.longestLeaseMilliseconds = row.integer(4)
            header.storeID = row.optionalText(5)
            header.localRootID = row.optionalText(6)
            return (header, lastTurn: row.integer(7))
        }
        return try Nonsense.unless(found)
    }

    private func rows() throws -> [JournalRow] {
        try sql(
            """
            SELECT sequence, project, path, producer, number, digest, expected_version, accepted_at,
                is_delete, is_executable, byte_count, open_sequence, open_producer, open_number,
                failure_code, failure_reason, failure_attempts, failed_at
            FROM rows ORDER BY sequence
            """
        ).rows { row in
            JournalRow(
                file: FileKey(
                    project: try Nonsense.unless(Name(row.text(1))), path: try row.path(2)),
                edit: JournaledEdit(
                    sequence: EditSequence(row.integer(0)),
                    id: EditID(
                        producer: try Nonsense.unless(ProducerID(row.text(3))),
                        number: row.integer(4)),
                    digest: row.integer(5),
                    expectedVersion: row.optionalInteger(6).map(Version.init),
                    acceptedAt: Timestamp(milliseconds: row.integer(7)), isDelete: row.flag(8),
                    isExecutable: row.flag(9), byteCount: try row.count(10),
                    open: try Self.open(row), failure: try Self.failure(row)))
        }
    }

    private static func open(_ row: SQLRow) throws -> OpenEdit? {
        guard let sequence = row.optionalInteger(11) else { return nil }
        let producer = try Nonsense.unless(ProducerID(row.text(12)))
        return OpenEdit(
            sequence: EditSequence(sequence),
            id: EditID(producer: producer, number: row.integer(13)))
    }

    private static func failure(_ row: SQLRow) throws -> FailureRecord? {
        guard let code = row.optionalText(14) else { return nil }
        return FailureRecord(
            code: code, reason: row.text(15), attempts: try row.count(16),
            failedAt: Timestamp(milliseconds: row.integer(17)))
    }

    private func projects() throws -> [ProjectRecord] {
        var targets: [String: [TargetRecord]] = [:]
        try sql(
            """
            SELECT project, url, is_attached, generation, is_marked, needs_refresh, revokes_others,
                debts, away_since, mark FROM targets ORDER BY project, position
            """
        ).scan { row in
            let target = TargetRecord(
                url: try Nonsense.unless(TargetURL(row.text(1))), isAttached: row.flag(2),
                generation: row.integer(3), isMarked: row.flag(4), mark: row.optionalText(9),
                needsRefresh: row.flag(5), revokesOthers: row.flag(6),
                debts: try row.words(7).map { try Nonsense.unless(Incarnation($0)) },
                awaySince: row.optionalInteger(8).map { Timestamp(milliseconds: $0) })
            targets[row.text(0), default: []].append(target)
            return true
        }
        return try sql("SELECT name, event_number FROM projects ORDER BY name").rows { row in
            ProjectRecord(
                name: try Nonsense.unless(Name(row.text(0))), eventNumber: row.integer(1),
                targets: targets[row.text(0)] ?? [])
        }
    }

    private func incarnations() throws -> [IncarnationRecord] {
        try sql("SELECT incarnation, label, life, schemes FROM incarnations ORDER BY incarnation")
            .rows { row in
                IncarnationRecord(
                    incarnation: try Nonsense.unless(Incarnation(row.text(0))),
                    label: try Nonsense.unless(Name(row.text(1))), life: row.integer(2),
                    schemes: row.words(3))
            }
    }

    private func segments(_ query: String) throws -> [JournalSegment] {
        try sql(query).rows(read: segment)
    }

    private func segment(_ row: SQLRow) throws -> JournalSegment {
        JournalSegment(
            turn: row.integer(0), first: row.integer(1), count: try row.count(2),
            bytes: row.bytes(3))
    }
}

extension SQLRow {
    /// A path that was valid when it was written.
    func path(_ column: CInt) throws -> EditPath {
        try Nonsense.unless(try? EditPath(text(column)))
    }

    /// Words between blanks.
    func words(_ column: CInt) -> [String] { text(column).split(separator: " ").map(String.init) }
}
