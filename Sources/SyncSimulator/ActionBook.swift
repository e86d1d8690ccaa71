import SyncCore

/// One write into one target.
struct WriteStep {
    let id: AssignmentID
    let url: TargetURL
    let edit: SandboxEdit
    let stage: StageName
}

/// Who may act on which file, and who is in the middle of a write: one actor per file and line of
/// ancestors, ever.
struct ActionBook {
    /// What was handed out, and where it was to be written.
    struct Handout {
        let file: FileKey
        let sequence: EditSequence
        let targets: [AssignedTarget]
        let isRefresh: Bool
        /// All sandboxes that the project had then.
        let known: Set<KnownTarget>
    }

    /// A sandbox as the journal knows it.
    struct KnownTarget: Hashable {
        let url: TargetURL
        let isAttached: Bool
        let generation: UInt64

        init(_ record: TargetRecord) {
            url = record.url
            isAttached = record.isAttached
            generation = record.generation
        }
    }

    private struct Write {
        let step: WriteStep
        let life: UInt64
    }

    /// To whom the coordinator gave each file last.
    private var owners: [FileKey: (incarnation: Incarnation, assignment: AssignmentID)] = [:]
    /// The same for each sandbox alone.
    private var writers: [FileKey: [TargetURL: AssignmentID]] = [:]
    /// When files were handed over to be written again, in the last second.
    private var refreshes: [FileKey: [Nanoseconds]] = [:]
    private static let refreshesMax = 40
    private var writes: [Write] = []
    private var handouts: [AssignmentID: Handout] = [:]

    /// The coordinator hands a file over.
    ///
    /// - Parameter known: Sandboxes of the project.
    /// - Returns: A sentence when one file is handed over to be written again without any pause.
    mutating func handOver(
        _ assignment: Assignment, to incarnation: Incarnation, at now: Nanoseconds,
        known: [TargetRecord]
    ) -> String? {
        owners[assignment.file] = (incarnation, assignment.id)
        for target in assignment.targets {
            writers[assignment.file, default: [:]][target.url] = assignment.id
        }
        handouts[assignment.id] = Handout(
            file: assignment.file, sequence: assignment.sequence, targets: assignment.targets,
            isRefresh: assignment.isRefresh, known: Set(known.map(KnownTarget.init)))
        guard assignment.isRefresh else { return nil }
        refreshes[assignment.file, default: []].append(now)
        refreshes[assignment.file]?.removeAll { $0 + 1_000_000_000 < now }
        guard refreshes[assignment.file]?.count ?? 0 > Self.refreshesMax else { return nil }
        return "\(assignment.file) was handed over to be written again more than "
            + "\(Self.refreshesMax) times in a second"
    }

    /// What an assignment is about, if its file was handed to nobody since.
    func current(_ id: AssignmentID) -> Handout? {
        guard let handout = handouts[id], owners[handout.file]?.assignment == id else {
            return nil
        }
        return handout
    }

    /// A worker begins to act on a file; a sentence when the file was handed out again meanwhile,
    /// to another worker or to this one, which took the former assignment for lost.
    ///
    /// - Parameter target: Where it acts; nil: in the store.
    func begin(
        _ id: AssignmentID, by incarnation: Incarnation, at target: TargetURL? = nil
    ) -> String? {
        guard let file = handouts[id]?.file, let owner = owners[file] else { return nil }
        if owner.incarnation != incarnation {
            return "\(incarnation) acts on \(file), which was given to \(owner.incarnation)"
        }
        if owner.assignment == id { return nil }
        // A write that had no thread within its deadline was told to be stuck: the file goes on
        // everywhere but there until the holder has settled it.
        if let target, writers[file]?[target] == id { return nil }
        return "\(incarnation) acts on \(file) for \(id), after it was given \(owner.assignment)"
    }

    /// A write begins; a sentence when another one of the file, or of a related path, is under way
    /// through a stage that still stands.
    ///
    /// One through a stage that does not stand comes to nothing: after a rollback the stages of the
    /// present filling are gone, and those of a former one are there again.
    mutating func begin(
        _ step: WriteStep, of life: UInt64, in sandbox: SimulatedSandbox
    ) -> String? {
        let rival = writes.first { write in
            sandbox.stands(step.stage) && write.step.url == step.url
                && sandbox.stands(write.step.stage)
                && (write.step.edit.path == step.edit.path
                    || write.step.edit.path.isRelated(to: step.edit.path))
        }
        writes.append(Write(step: step, life: life))
        guard let rival else { return nil }
        return "\(step.stage) writes \(step.edit.path) in \(step.url) while "
            + "\(rival.step.stage) writes \(rival.step.edit.path)"
    }

    /// A write is over.
    mutating func end(_ step: WriteStep, of life: UInt64) {
        writes.removeAll { $0.life == life && $0.step.id == step.id && $0.step.url == step.url }
    }

    /// A process died: its local writes are over.
    mutating func ended(_ life: UInt64) {
        writes.removeAll { $0.life == life && $0.step.url.scheme == "local" }
    }
}
