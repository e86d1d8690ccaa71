import SyncCore

/// What producers know: every edit that they made, and what they were told about it.
struct Books {
    /// What a producer knows of one of its edits.
    enum State: Equatable {
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
    struct Line {
        let project: ProjectName
        let edit: Edit
        let digest: UInt64
        var state = State.unanswered
    }

    private(set) var lines: [EditID: Line] = [:]

    /// How many edits were made.
    var count: Int { lines.count }

    mutating func open(_ id: EditID, project: ProjectName, edit: Edit) {
        lines[id] = Line(project: project, edit: edit, digest: edit.digest)
    }

    mutating func close(_ id: EditID, _ state: State) { lines[id]?.state = state }
}
