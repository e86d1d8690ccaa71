internal import DequeModule
internal import GRDB
internal import SyncCore

/// The journal's tables, used on the connection's queue.
///
/// Written here; `JournalReading.swift` reads them.
struct JournalTables {
    let database: Database

    /// Works on an open connection.
    init(_ database: Database) { self.database = database }

    func sql(_ text: String) throws -> SQLStatement { try SQLStatement(database, text) }

    /// Gives a journal that was just made its identity.
    func makeHeader(_ id: JournalID) throws {
        try sql(
            """
            INSERT INTO header (id, journal, last_sequence, last_event, incarnation_count,
                longest_lease_ms, last_turn)
            VALUES (1, ?, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING
            """
        ).run(.integer(id.bits))
    }

    /// Writes a turn; runs inside a transaction.
    ///
    /// Removes first, so that a row may be written anew.
    func write(_ turn: JournalTransaction) throws {
        try write(turn.header, turn: turn.turn)
        try renumberRows(turn.rowsRenumbered)
        try removeRows(turn.rowsRemoved)
        let rows = try RowInsertion(self)
        for (row, content) in turn.rowsWritten { try rows.insert(row, content) }
        try amendRows(turn.rowsAmended)
        try write(turn.projects)
        try write(added: turn.incarnationsAdded, ended: turn.incarnationsEnded)
        try trimEvents(through: turn.eventsTrimmedThrough)
        try removeAcceptances(turn.acceptancesRemoved)
        if let events = turn.events { try insert(events, into: "events") }
        if let acceptances = turn.acceptances { try insert(acceptances, into: "acceptances") }
    }

    /// Writes the sum of many turns; runs inside a transaction.
    ///
    /// - Parameter read: Reads bytes of the turns' file.
    func write(_ turns: LoggedTurns, read: (LoggedBytes) throws -> [UInt8]) throws {
        guard let header = turns.header else { return }
        try write(header, turn: turns.lastTurn)
        try removeRows(turns.removed.sorted())
        let rows = try RowInsertion(self)
        for (_, written) in turns.written.sorted(by: { $0.key < $1.key }) {
            try rows.insert(written.row, try written.content.map { Content(try read($0)) })
        }
        try amendRows(Array(turns.amended.values))
        try write(Array(turns.projects.values))
        try write(
            added: turns.incarnations.values.compactMap(\.self),
            ended: turns.incarnations.filter { $0.value == nil }.map(\.key))
        try trimEvents(through: turns.eventsTrimmedThrough)
        try removeAcceptances(Array(turns.acceptancesRemoved))
        func insert(_ segment: LoggedTurns.Segment, into table: String) throws {
            try self.insert(
                JournalSegment(
                    turn: segment.turn, first: segment.first, count: segment.count,
                    bytes: try read(segment.bytes)),
                into: table)
        }
        for segment in turns.events { try insert(segment, into: "events") }
        for (_, segment) in turns.acceptances.sorted(by: { $0.key < $1.key }) {
            try insert(segment, into: "acceptances")
        }
    }

    private func write(_ header: JournalHeader, turn: UInt64) throws {
        try sql(
            """
            UPDATE header SET last_sequence = ?, last_event = ?, incarnation_count = ?,
                longest_lease_ms = ?, store_id = ?, local_root_id = ?,
                last_turn = max(last_turn, ?)
            """
        ).run(
            .integer(header.lastSequence.value), .integer(header.lastEvent),
            .integer(header.incarnationCount), .integer(header.longestLeaseMilliseconds),
            .optional(header.storeID), .optional(header.localRootID), .integer(turn))
    }

    /// Gives rows and their contents other sequences; one that is gone has nothing to renumber.
    private func renumberRows(_ pairs: [(from: EditSequence, to: EditSequence)]) throws {
        let row = try sql("UPDATE rows SET sequence = ? WHERE sequence = ?")
        let content = try sql("UPDATE contents SET sequence = ? WHERE sequence = ?")
        for (from, to) in pairs {
            try row.run(.integer(to.value), .integer(from.value))
            try content.run(.integer(to.value), .integer(from.value))
        }
    }

    private func removeRows(_ sequences: [EditSequence]) throws {
        let row = try sql("DELETE FROM rows WHERE sequence = ?")
        let content = try sql("DELETE FROM contents WHERE sequence = ?")
        for sequence in sequences {
            try row.run(.integer(sequence.value))
            try content.run(.integer(sequence.value))
        }
    }

    /// Writes what of a row can change; one that is gone has nothing to amend.
    private func amendRows(_ rows: [JournalRow]) throws {
        let update = try sql(
            """
            UPDATE rows SET open_sequence = ?, open_producer = ?, open_number = ?,
                failure_code = ?, failure_reason = ?, failure_attempts = ?, failed_at = ?
            WHERE sequence = ?
            """)
        for row in rows {
            try update.run(
                .optional(row.open?.sequence.value), .optional(row.open?.id.producer.text),
                .optional(row.open?.id.number), .optional(row.failure?.code),
                .optional(row.failure?.reason), .optional(row.failure.map { UInt64($0.attempts) }),
                .optional(row.failure?.failedAt.milliseconds), .integer(row.sequence.value))
        }
    }

    private func write(_ projects: [ProjectRecord]) throws {
        let projectUpsert = try sql(
            """
            INSERT INTO projects (name, event_number) VALUES (?, ?)
            ON CONFLICT DO UPDATE SET event_number = excluded.event_number
            """)
        let targetUpsert = try sql(
            """
            INSERT OR REPLACE INTO targets (project, position, url, is_attached, generation,
                is_marked, needs_refresh, revokes_others, debts, away_since, mark)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """)
        let tail = try sql("DELETE FROM targets WHERE project = ? AND position >= ?")
        for project in projects {
            let name = SQLValue.text(project.name.text)
            try projectUpsert.run(name, .integer(project.eventNumber))
            for (position, target) in project.targets.enumerated() {
                try targetUpsert.run(
                    name, .count(position), .text(target.url.text), .flag(target.isAttached),
                    .integer(target.generation), .flag(target.isMarked),
                    .flag(target.needsRefresh), .flag(target.revokesOthers),
                    .text(target.debts.map(\.description).joined(separator: " ")),
                    .optional(target.awaySince?.milliseconds), .optional(target.mark))
            }
            try tail.run(name, .count(project.targets.count))
        }
    }

    private func write(added: [IncarnationRecord], ended: [Incarnation]) throws {
        let upsert = try sql(
            """
            INSERT OR REPLACE INTO incarnations (incarnation, label, life, schemes)
            VALUES (?, ?, ?, ?)
            """)
        for record in added {
            try upsert.run(
                .text(record.incarnation.description), .text(record.label.text),
                .integer(record.life), .text(record.schemes.joined(separator: " ")))
        }
        let removal = try sql("DELETE FROM incarnations WHERE incarnation = ?")
        for incarnation in ended { try removal.run(.text(incarnation.description)) }
    }

    private func trimEvents(through turn: UInt64?) throws {
        guard let turn else { return }
        try sql("DELETE FROM events WHERE turn <= ?").run(.integer(turn))
    }

    private func removeAcceptances(_ turns: [UInt64]) throws {
        let removal = try sql("DELETE FROM acceptances WHERE turn = ?")
        for turn in turns { try removal.run(.integer(turn)) }
    }

    private func insert(_ segment: JournalSegment, into table: String) throws {
        let statement = try sql(
            "INSERT INTO \(table) (turn, first, count, bytes) VALUES (?, ?, ?, ?)")
        try segment.bytes.withUnsafeBytes { bytes in
            try statement.run(
                .integer(segment.turn), .integer(segment.first), .count(segment.count),
                .blob(bytes))
        }
    }
}

/// Writes rows one by one, with statements that are looked up once.
private struct RowInsertion {
    private let row: SQLStatement
    private let content: SQLStatement

    init(_ tables: JournalTables) throws {
        row = try tables.sql(
            """
            INSERT INTO rows (sequence, project, path, producer, number, digest, expected_version,
                accepted_at, is_delete, is_executable, byte_count, open_sequence, open_producer,
                open_number, failure_code, failure_reason, failure_attempts, failed_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """)
        content = try tables.sql("INSERT INTO contents (sequence, bytes) VALUES (?, ?)")
    }

    /// Writes a row and its content; nil: it has none.
    func insert(_ row: JournalRow, _ content: Content?) throws {
        let edit = row.edit
        try self.row.run(
            .integer(edit.sequence.value), .text(row.file.project.text), .text(row.file.path.text),
            .text(edit.id.producer.text), .integer(edit.id.number), .integer(edit.digest),
            .optional(edit.expectedVersion?.value), .integer(edit.acceptedAt.milliseconds),
            .flag(edit.isDelete), .flag(edit.isExecutable), .count(edit.byteCount),
            .optional(edit.open?.sequence.value), .optional(edit.open?.id.producer.text),
            .optional(edit.open?.id.number), .optional(edit.failure?.code),
            .optional(edit.failure?.reason), .optional(edit.failure.map { UInt64($0.attempts) }),
            .optional(edit.failure?.failedAt.milliseconds))
        guard let content else { return }
        let result = content.withBytes { bytes in
            Result { try self.content.run(.integer(edit.sequence.value), .blob(bytes)) }
        }
        try result.get()
    }
}
