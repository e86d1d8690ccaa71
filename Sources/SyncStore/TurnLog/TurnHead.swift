internal import SyncCore

/// The head of a ``TurnRecord``: what a turn changes, without contents and segments.
enum TurnHead {
    /// A head that was read back.
    struct Read: Sendable {
        /// Rows without their contents, segments without their bytes.
        var transaction: JournalTransaction
        /// Bytes of the contents of `rowsWritten`; nil for those without one.
        var contentCounts: [Int?] = []
        /// Bytes of the events; nil when there are none.
        var eventByteCount: Int?
        /// Bytes of the acceptances; nil when there are none.
        var acceptanceByteCount: Int?
    }

    /// Packs heads.
    struct Writer {
        private var packed = PackedWriter()
        private var lastSequence: UInt64 = 0

        /// What was packed.
        var bytes: [UInt8] { packed.bytes }

        /// Packs all of a turn but its bodies and its number.
        mutating func write(_ turn: JournalTransaction) {
            write(turn.header)
            list(turn.rowsRemoved) { $0.sequence($1) }
            list(turn.rowsWritten) {
                $0.write($1.row)
                $0.optional($1.content?.count) { $0.packed.varint(UInt64($1)) }
            }
            list(turn.rowsAmended) { $0.write($1) }
            list(turn.projects) { $0.write($1) }
            list(turn.incarnationsAdded) { $0.write($1) }
            list(turn.incarnationsEnded) { $0.packed.text($1.description) }
            optional(turn.events) { $0.write($1) }
            optional(turn.acceptances) { $0.write($1) }
            optional(turn.eventsTrimmedThrough) { $0.packed.varint($1) }
            list(turn.acceptancesRemoved) { $0.packed.varint($1) }
        }

        private mutating func write(_ header: JournalHeader) {
            packed.fixed(header.journal.bits)
            packed.varint(header.lastSequence.value)
            packed.varint(header.lastEvent)
            packed.varint(header.incarnationCount)
            packed.varint(header.longestLeaseMilliseconds)
            optional(header.storeID) { $0.packed.text($1) }
            optional(header.localRootID) { $0.packed.text($1) }
        }

        private mutating func write(_ row: JournalRow) {
            let edit = row.edit
            sequence(edit.sequence)
            packed.text(row.file.project.text)
            // A turn has one row for a file.
            packed.newText(row.file.path.text)
            write(edit.id)
            packed.fixed(edit.digest)
            optional(edit.expectedVersion) { $0.packed.varint($1.value) }
            packed.varint(edit.acceptedAt.milliseconds)
            flags([edit.isDelete, edit.isExecutable])
            packed.varint(UInt64(edit.byteCount))
            optional(edit.open) {
                $0.sequence($1.sequence)
                $0.write($1.id)
            }
            optional(edit.failure) {
                $0.packed.text($1.code)
                $0.packed.text($1.reason)
                $0.packed.varint(UInt64($1.attempts))
                $0.packed.varint($1.failedAt.milliseconds)
            }
        }

        private mutating func write(_ id: EditID) {
            packed.text(id.producer.text)
            packed.varint(id.number)
        }

        private mutating func write(_ project: ProjectRecord) {
            packed.text(project.name.text)
            packed.varint(project.eventNumber)
            list(project.targets) {
                $0.packed.text($1.url.text)
                // In front, where formats before 5 had no flag: what they wrote is read as nil.
                $0.flags([
                    $1.mark != nil, $1.isAttached, $1.isMarked, $1.needsRefresh, $1.revokesOthers,
                ])
                if let mark = $1.mark { $0.packed.text(mark) }
                $0.packed.varint($1.generation)
                $0.list($1.debts) { $0.packed.text($1.description) }
                $0.optional($1.awaySince) { $0.packed.varint($1.milliseconds) }
            }
        }

        private mutating func write(_ record: IncarnationRecord) {
            packed.text(record.incarnation.description)
            packed.text(record.label.text)
            packed.fixed(record.life)
            list(record.schemes) { $0.packed.text($1) }
        }

        private mutating func write(_ segment: JournalSegment) {
            packed.varint(segment.turn)
            packed.varint(segment.first)
            packed.varint(UInt64(segment.count))
            packed.varint(UInt64(segment.bytes.count))
        }

        /// Most sequences of a turn lie close together.
        private mutating func sequence(_ sequence: EditSequence) {
            packed.difference(sequence.value, from: lastSequence)
            lastSequence = sequence.value
        }

        private mutating func flags(_ flags: [Bool]) {
            packed.varint(flags.reduce(0) { $0 << 1 | ($1 ? 1 : 0) })
        }

        private mutating func optional<T>(_ value: T?, _ write: (inout Writer, T) -> Void) {
            packed.varint(value == nil ? 0 : 1)
            if let value { write(&self, value) }
        }

        private mutating func list<T>(_ values: [T], _ write: (inout Writer, T) -> Void) {
            packed.varint(UInt64(values.count))
            for value in values { write(&self, value) }
        }
    }
}
