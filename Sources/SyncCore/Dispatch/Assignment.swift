/// Names one assignment: unique over all epochs.
package struct AssignmentID: Hashable, Sendable, CustomStringConvertible {
    /// The coordinator's life that made it.
    package let epoch: Epoch
    /// Counted over that life, from 1.
    package let serial: UInt64

    /// Pairs an epoch with its serial.
    package init(epoch: Epoch, serial: UInt64) {
        self.epoch = epoch
        self.serial = serial
    }

    /// Reads `EPOCH-SERIAL`.
    package init?(_ text: some StringProtocol) {
        guard let pair = Incarnation(text) else { return nil }
        self.init(epoch: pair.epoch, serial: pair.count)
    }

    /// As text, for people and logs.
    package var description: String { Incarnation(epoch: epoch, count: serial).description }
}

/// A target as an assignment names it, with what must be done there before the first write.
package struct AssignedTarget: Hashable, Sendable {
    /// Which sandbox.
    package let url: TargetURL
    /// Whose it is.
    package let project: ProjectName
    /// Which filling: the stage directory's name ends in it.
    package let generation: UInt64
    /// Whether a marker of this generation must be found (else the sandbox came back blank).
    package let isMarked: Bool
    /// Whether every other stage is to be revoked.
    package let revokesOthers: Bool
    /// Incarnations to revoke.
    package let debts: [Incarnation]
    /// In a probe: whether a small file is to be written too.
    package var isTriedByWriting = false
    /// Whether it is being filled: what stands there is not known, and nobody looks for drift.
    package var isBeingFilled = false

    /// Describes a target for a worker.
    package init(
        url: TargetURL, project: ProjectName, generation: UInt64, isMarked: Bool,
        revokesOthers: Bool, debts: [Incarnation]
    ) {
        self.url = url
        self.project = project
        self.generation = generation
        self.isMarked = isMarked
        self.revokesOthers = revokesOthers
        self.debts = debts
    }
}

/// An edit, or a refresh, handed to its owner for one attempt.
package struct Assignment: Sendable {
    /// What the worker is to do.
    package enum Task: Sendable {
        /// Apply to the store, then write into the targets.
        case edit(SequencedEdit)
        /// Write the store's newest version into the targets again.
        case refresh(FileKey, EditSequence)
    }

    /// Its name.
    package let id: AssignmentID
    /// Which try this is, from 1.
    package let attempt: Int
    /// What to do.
    package let task: Task
    /// Where to write; may be empty (the store only).
    package let targets: [AssignedTarget]

    /// Describes an assignment.
    package init(id: AssignmentID, attempt: Int, task: Task, targets: [AssignedTarget]) {
        self.id = id
        self.attempt = attempt
        self.task = task
        self.targets = targets
    }

    /// Which file.
    package var file: FileKey {
        switch task {
        case .edit(let edit): edit.file
        case .refresh(let file, _): file
        }
    }

    /// The edit's sequence; for a refresh the sequence that the listing gave.
    package var sequence: EditSequence {
        switch task {
        case .edit(let edit): edit.sequence
        case .refresh(_, let sequence): sequence
        }
    }

    /// Whether the store's newest version is to be written again.
    package var isRefresh: Bool {
        switch task {
        case .edit: false
        case .refresh: true
        }
    }

    /// Bytes of content.
    package var byteCount: Int {
        switch task {
        case .edit(let edit): edit.change.byteCount
        case .refresh: 0
        }
    }
}
