internal import SyncCore

extension TurnHead {
    /// Unpacks what ``Writer`` packed.
    struct Reader {
        private var packed: PackedReader
        private var lastSequence: UInt64 = 0

        /// Reads from the first byte.
        init(_ bytes: [UInt8]) { packed = PackedReader(bytes) }

        /// Unpacks a whole head; throws when the bytes make no sense.
        mutating func read(turn: UInt64) throws(Nonsense) -> Read {
            var read = Read(transaction: JournalTransaction(turn: turn, header: try header()))
            read.transaction.rowsRemoved = try list { reader throws(Nonsense) in
                try reader.sequence()
            }
            let written = try list { reader throws(Nonsense) in
                let row = try reader.row()
                let count = try reader.optional { reader throws(Nonsense) in try reader.count() }
                return (row: row, count: count)
            }
            read.transaction.rowsWritten = written.map { ($0.row, nil) }
            read.contentCounts = written.map(\.count)
            read.transaction.rowsAmended = try list { reader throws(Nonsense) in
                try reader.row()
            }
            read.transaction.projects = try list { reader throws(Nonsense) in
                try reader.project()
            }
            read.transaction.incarnationsAdded = try list { reader throws(Nonsense) in
                try reader.incarnationRecord()
            }
            read.transaction.incarnationsEnded = try list { reader throws(Nonsense) in
                try reader.incarnation()
            }
            let events = try optional { reader throws(Nonsense) in try reader.segment() }
            read.transaction.events = events?.segment
            read.eventByteCount = events?.byteCount
            let acceptances = try optional { reader throws(Nonsense) in try reader.segment() }
            read.transaction.acceptances = acceptances?.segment
            read.acceptanceByteCount = acceptances?.byteCount
            read.transaction.eventsTrimmedThrough = try optional { reader throws(Nonsense) in
                try reader.number()
            }
            read.transaction.acceptancesRemoved = try list { reader throws(Nonsense) in
                try reader.number()
            }
            guard packed.isAtEnd else { throw Nonsense() }
            return read
        }

        private mutating func header() throws(Nonsense) -> JournalHeader {
            var header = JournalHeader(journal: JournalID(bits: try fixed()))
            header.lastSequence = EditSequence(try number())
            header.lastEvent = try number()
            header.incarnationCount = try number()
            header.longestLeaseMilliseconds = try number()
            header.storeID = try optional { reader throws(Nonsense) in try reader.text() }
            header.localRootID = try optional { reader throws(Nonsense) in try reader.text() }
            return header
        }

        private mutating func row() throws(Nonsense) -> JournalRow {
            let sequence = try sequence()
            let project = try name()
            let path = try Nonsense.unless(try? EditPath(try text()))
            let id = try editID()
            let digest = try fixed()
            let expected = try optional { reader throws(Nonsense) in Version(try reader.number()) }
            let acceptedAt = Timestamp(milliseconds: try number())
            let flags = try flags(2)
            let byteCount = try count()
            let open = try optional { reader throws(Nonsense) in
                OpenEdit(sequence: try reader.sequence(), id: try reader.editID())
            }
            let failure = try optional { reader throws(Nonsense) in
                FailureRecord(
                    code: try reader.text(), reason: try reader.text(),
                    attempts: try reader.count(),
                    failedAt: Timestamp(milliseconds: try reader.number()))
            }
            return JournalRow(
                file: FileKey(project: project, path: path),
                edit: JournaledEdit(
                    sequence: sequence, id: id, digest: digest, expectedVersion: expected,
                    acceptedAt: acceptedAt, isDelete: flags[0], isExecutable: flags[1],
                    byteCount: byteCount, open: open, failure: failure))
        }

        private mutating func project() throws(Nonsense) -> ProjectRecord {
            let name = try name()
            let eventNumber = try number()
            let targets = try list { reader throws(Nonsense) in
                let url = try Nonsense.unless(TargetURL(try reader.text()))
                let flags = try reader.flags(5)
                let mark = flags[0] ? try reader.text() : nil
                return TargetRecord(
                    url: url, isAttached: flags[1], generation: try reader.number(),
                    isMarked: flags[2], mark: mark, needsRefresh: flags[3],
                    revokesOthers: flags[4],
                    debts: try reader.list { reader throws(Nonsense) in
                        try reader.incarnation()
                    },
                    awaySince: try reader.optional { reader throws(Nonsense) in
                        Timestamp(milliseconds: try reader.number())
                    })
            }
            return ProjectRecord(name: name, eventNumber: eventNumber, targets: targets)
        }

        private mutating func incarnationRecord() throws(Nonsense) -> IncarnationRecord {
            IncarnationRecord(
                incarnation: try incarnation(), label: try name(), life: try fixed(),
                schemes: try list { reader throws(Nonsense) in try reader.text() })
        }

        private mutating func segment() throws(Nonsense) -> (
            segment: JournalSegment, byteCount: Int
        ) {
            let segment = JournalSegment(
                turn: try number(), first: try number(), count: try count(), bytes: [])
            return (segment, try count())
        }

        private mutating func incarnation() throws(Nonsense) -> Incarnation {
            try Nonsense.unless(Incarnation(try text()))
        }

        private mutating func editID() throws(Nonsense) -> EditID {
            EditID(producer: try Nonsense.unless(ProducerID(try text())), number: try number())
        }

        private mutating func name() throws(Nonsense) -> Name {
            try Nonsense.unless(Name(try text()))
        }

        private mutating func sequence() throws(Nonsense) -> EditSequence {
            lastSequence = try Nonsense.unless(packed.difference(from: lastSequence))
            return EditSequence(lastSequence)
        }

        private mutating func flags(_ count: Int) throws(Nonsense) -> [Bool] {
            let bits = try number()
            guard bits < 1 << UInt64(count) else { throw Nonsense() }
            return (0..<count).reversed().map { bits >> UInt64($0) & 1 == 1 }
        }

        private mutating func count() throws(Nonsense) -> Int {
            try Nonsense.unless(Int(exactly: try number()))
        }

        private mutating func number() throws(Nonsense) -> UInt64 {
            try Nonsense.unless(packed.varint())
        }

        private mutating func fixed() throws(Nonsense) -> UInt64 {
            try Nonsense.unless(packed.fixed())
        }

        private mutating func text() throws(Nonsense) -> String {
            try Nonsense.unless(packed.text())
        }

        private mutating func optional<T>(
            _ read: (inout Reader) throws(Nonsense) -> T
        ) throws(Nonsense) -> T? {
            switch try number() {
            case 0: nil
            case 1: try read(&self)
            default: throw Nonsense()
            }
        }

        private mutating func list<T>(
            _ read: (inout Reader) throws(Nonsense) -> T
        ) throws(Nonsense) -> [T] {
            let count = try count()
            var values: [T] = []
            for _ in 0..<count { values.append(try read(&self)) }
            return values
        }
    }
}
