package import SyncCore

/// What producers know: every edit that they made, and what they were told about it.
package struct Books {
    /// What a producer knows of one of its edits.
    package enum State: Equatable {
        /// Not answered yet.
        case unanswered
        /// Told to be durable.
        case accepted(EditSequence)
        /// Refused for good.
        case refused(RejectionCode)
        /// Given up, or the producer died before it was answered.
        case unknown
    }

    /// One line.
    package struct Line {
        /// Whose file.
        package let project: ProjectName
        /// What was pushed.
        package let edit: Edit
        /// Digest of the edit.
        package let digest: UInt64
        /// What the producer was told.
        package var state = State.unanswered
    }

    /// Everything that was made.
    package private(set) var lines: [EditID: Line] = [:]

    /// Books of which nothing is written.
    package init() {}

    /// How many edits were made.
    package var count: Int { lines.count }

    /// Writes down an edit before it is sent.
    package mutating func open(_ id: EditID, project: ProjectName, edit: Edit) {
        lines[id] = Line(project: project, edit: edit, digest: edit.digest)
    }

    /// Writes down what became of it.
    package mutating func close(_ id: EditID, _ state: State) { lines[id]?.state = state }
}
