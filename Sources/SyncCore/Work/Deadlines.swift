import DequeModule

/// One write of one assignment.
package struct WriteStep: Hashable, Sendable {
    /// Whose.
    package let assignment: AssignmentID
    /// Where.
    package let target: TargetURL

    /// Names a write.
    package init(assignment: AssignmentID, target: TargetURL) {
        self.assignment = assignment
        self.target = target
    }
}

/// When writes are overdue: attempts that may be stuck.
///
/// All have the same time, so they are overdue in the order in which they began. One that has ended
/// and begins again has another due time: its former entry is void.
package struct Deadlines: Sendable {
    private var due: [WriteStep: Instant] = [:]
    private var order: Deque<(step: WriteStep, due: Instant)> = []

    /// Without writes.
    package init() {}

    /// Notes that a write begins, or waits to begin; a second call changes nothing.
    package mutating func begin(_ step: WriteStep, due at: Instant) {
        guard due[step] == nil else { return }
        due[step] = at
        order.append((step, at))
    }

    /// Notes that a write is over.
    package mutating func end(_ step: WriteStep) {
        due[step] = nil
        trim()
    }

    /// Takes the writes whose time is over.
    package mutating func overdue(at now: Instant) -> [WriteStep] {
        var found: [WriteStep] = []
        trim()
        while let first = order.first, first.due <= now {
            order.removeFirst()
            due[first.step] = nil
            found.append(first.step)
            trim()
        }
        return found
    }

    /// When the next one is overdue; nil when nothing is under way.
    package var nextDeadline: Instant? { order.first?.due }

    /// Removes void entries in front, so that the first one always counts.
    private mutating func trim() {
        while let first = order.first, due[first.step] != first.due { order.removeFirst() }
    }
}
