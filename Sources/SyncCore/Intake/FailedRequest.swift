/// What an operator asks of the failed list, a page at a time.
package struct FailedQuery: Sendable, Equatable {
    /// Only this project's entries; nil: all.
    package var project: ProjectName?
    /// Only this path and what is below it.
    package var prefix: String
    /// Where the page starts: `PROJECT/PATH` of the last entry of the page before; empty: at the
    /// start.
    package var after: String
    /// Entries in the page, 1 to 1,000.
    package var countMax: Int

    /// Describes a question.
    package init(
        project: ProjectName? = nil, prefix: String = "", after: String = "", countMax: Int = 100
    ) {
        self.project = project
        self.prefix = prefix
        self.after = after
        self.countMax = countMax
    }
}

/// One entry of the failed list.
package struct FailedEntry: Sendable, Equatable {
    /// Which file.
    package let file: FileKey
    /// Which edit of it.
    package let sequence: EditSequence
    /// Who pushed it.
    package let id: EditID
    /// Whether it is a delete.
    package let isDelete: Bool
    /// Bytes of the content that is kept.
    package let byteCount: Int
    /// When it was accepted.
    package let acceptedAt: Timestamp
    /// Why, after how many attempts, and since when.
    package let failure: FailureRecord

    /// Describes an entry.
    package init(
        file: FileKey, sequence: EditSequence, id: EditID, isDelete: Bool, byteCount: Int,
        acceptedAt: Timestamp, failure: FailureRecord
    ) {
        self.file = file
        self.sequence = sequence
        self.id = id
        self.isDelete = isDelete
        self.byteCount = byteCount
        self.acceptedAt = acceptedAt
        self.failure = failure
    }
}

/// What an operator does with entries of the failed list.
package enum FailedAction: String, Sendable, CaseIterable {
    /// Opens the edit again; it starts at attempt 1 and ends again.
    case retry = "RETRY"
    /// Gives the edit up; its content goes.
    case discard = "DISCARD"
}

/// Entries of one project that an action is about, by file *and* sequence.
///
/// A newer edit closes an entry, so an action that was decided on what was listed before can't go
/// back in time (trace C12).
package struct FailedOrder: Sendable, Equatable {
    /// One entry.
    package struct Item: Sendable, Equatable {
        /// Which file.
        package let path: EditPath
        /// Which edit of it.
        package let sequence: EditSequence

        /// Names an entry.
        package init(path: EditPath, sequence: EditSequence) {
            self.path = path
            self.sequence = sequence
        }
    }

    /// Most entries of one message.
    package static let itemsMax = 1_024

    /// What to do.
    package var action: FailedAction
    /// Whose files.
    package var project: ProjectName
    /// Who decided it; told in the events.
    package var by: Name
    /// Which entries.
    package var items: [Item]

    /// Describes an order.
    package init(action: FailedAction, project: ProjectName, by: Name, items: [Item]) {
        self.action = action
        self.project = project
        self.by = by
        self.items = items
    }
}

/// What became of one entry of an order.
package enum FailedResult: String, Sendable, CaseIterable {
    /// Retried or discarded.
    case done
    /// A newer edit of the file was accepted: nothing was done.
    case newer
    /// No such entry: it was retried or discarded before, or never failed.
    case gone
}
