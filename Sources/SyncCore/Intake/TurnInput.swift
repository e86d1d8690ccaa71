/// What waits for the next turn.
enum TurnInput: Sendable {
    case edits(EditPart)
    case reports(Incarnation, [NumberedReport])
    case register(WorkerRoute, Registration)
    case ended(Incarnation, state: String)
    case died(life: UInt64, isKilled: Bool)
    case park(FileIndex)
    case order(ClientRoute, FailedOrder)
    case files(FilesQuestion, [ListedFile], isLast: Bool)
    case refreshed(TargetURL, ProjectName)
    case flush(ClientRoute, ProjectName, prefix: String)
    case project(ClientRoute, ProjectName, ProjectAction)
    case detach(TargetURL, ProjectName, code: String, reason: String)
    case settle(FileIndex)
}

/// A part of an EDIT message, as one turn takes it.
struct EditPart: Sendable {
    let route: ClientRoute
    let project: ProjectName
    let producer: ProducerID
    let items: ArraySlice<EditItem>
    /// Names the message among all of this process.
    let message: UInt64
    /// Whether the message has no further part: then it is answered.
    let isLast: Bool

    /// Bytes of content.
    var byteCount: Int { items.reduce(0) { $0 + $1.byteCount } }
}

extension TurnInput {
    /// Entries of the failed list that it names.
    var orderedCount: Int {
        guard case .order(_, let order) = self else { return 0 }
        return order.items.count
    }
}

extension EditItem {
    /// Bytes of content; 0 when it was refused already.
    var byteCount: Int {
        guard case .success(let edit) = edit else { return 0 }
        return edit.change.byteCount
    }
}
