/// What the journal keeps of a waiting, failed or in-flight edit, but for its file's name.
package struct JournaledEdit: Sendable, Equatable {
    /// Its place in the order of all edits; the row's key.
    package private(set) var sequence: EditSequence
    /// Who pushed it.
    package let id: EditID
    /// ``Edit/digest``, so that the window can be checked against it.
    package let digest: UInt64
    /// When it was accepted.
    package let acceptedAt: Timestamp
    /// Bytes of content.
    package let byteCount: Int
    private var burden: Burden
    /// Put or delete; nil content means "not in memory": only ``Journal/contents(of:)`` has it.
    package let isDelete: Bool
    /// Executable bit of a put.
    package let isExecutable: Bool

    /// What few edits have; apart, because a coordinator keeps one for each file that waits.
    private indirect enum Burden: Sendable, Equatable {
        case none
        case some(open: OpenEdit?, failure: FailureRecord?, expected: Version?)

        init(_ open: OpenEdit?, _ failure: FailureRecord?, _ expected: Version?) {
            self =
                open == nil && failure == nil && expected == nil
                ? .none : .some(open: open, failure: failure, expected: expected)
        }
    }

    /// An older edit of the file that was in hand when this one replaced it and whose end is owed.
    package var open: OpenEdit? {
        get { if case .some(let open, _, _) = burden { open } else { nil } }
        set { burden = Burden(newValue, failure, expectedVersion) }
    }

    /// Why it is in the failed list; nil while it waits or is in hand.
    package var failure: FailureRecord? {
        get { if case .some(_, let failure, _) = burden { failure } else { nil } }
        set { burden = Burden(open, newValue, expectedVersion) }
    }

    /// The version it must be built on; nil: any.
    package var expectedVersion: Version? {
        if case .some(_, _, let expected) = burden { expected } else { nil }
    }

    /// What its content weighs in memory (``Content/weight``).
    package var weight: Int { byteCount + Content.keepingBytes }

    /// Describes an edit.
    package init(
        sequence: EditSequence, id: EditID, digest: UInt64, expectedVersion: Version?,
        acceptedAt: Timestamp, isDelete: Bool, isExecutable: Bool, byteCount: Int,
        open: OpenEdit?, failure: FailureRecord?
    ) {
        self.sequence = sequence
        self.id = id
        self.digest = digest
        self.isDelete = isDelete
        self.isExecutable = isExecutable
        self.acceptedAt = acceptedAt
        self.byteCount = byteCount
        burden = Burden(open, failure, expectedVersion)
    }

    /// The same edit under another sequence (a store was adopted).
    ///
    /// An older edit that is open and the reason of a failure stay.
    package func renumbered(_ sequence: EditSequence) -> JournaledEdit {
        var edit = self
        edit.sequence = sequence
        return edit
    }
}

/// A waiting, failed or in-flight edit in the journal: one row per file.
package struct JournalRow: Sendable, Equatable {
    /// Which file.
    package let file: FileKey
    /// Its newest edit.
    package private(set) var edit: JournaledEdit

    /// Pairs a file with its newest edit.
    package init(file: FileKey, edit: JournaledEdit) {
        self.file = file
        self.edit = edit
    }

    /// The edit's sequence; the row's key.
    package var sequence: EditSequence { edit.sequence }

    /// ``JournaledEdit/open``.
    package var open: OpenEdit? {
        get { edit.open }
        set { edit.open = newValue }
    }

    /// ``JournaledEdit/failure``.
    package var failure: FailureRecord? {
        get { edit.failure }
        set { edit.failure = newValue }
    }

    /// The same row under another sequence (a store was adopted).
    package func renumbered(_ sequence: EditSequence) -> JournalRow {
        JournalRow(file: file, edit: edit.renumbered(sequence))
    }
}

/// An edit whose row was replaced while it was in hand.
package struct OpenEdit: Sendable, Equatable, Hashable {
    /// Its sequence.
    package let sequence: EditSequence
    /// Who pushed it.
    package let id: EditID

    /// Describes an open edit.
    package init(sequence: EditSequence, id: EditID) {
        self.sequence = sequence
        self.id = id
    }
}

/// An entry of the failed list.
package struct FailureRecord: Sendable, Equatable {
    /// Stable word.
    package let code: String
    /// What failed, why, what to do.
    package let reason: String
    /// How many attempts were made.
    package let attempts: Int
    /// When the last one ended.
    package let failedAt: Timestamp

    /// Describes a failure.
    package init(code: String, reason: String, attempts: Int, failedAt: Timestamp) {
        self.code = code
        self.reason = reason
        self.attempts = attempts
        self.failedAt = failedAt
    }
}
