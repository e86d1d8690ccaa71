import HeapModule

/// What fairness is measured by.
extension CoordinatorMachine {
    /// By worker, what each project with nothing in hand there would be given next: all that it
    /// waits for is that the worker may take more.
    ///
    /// None of these may be passed twice by the same other project (P6).
    package var nextInLine: [Incarnation: [ProjectName: ReadyEntry]] {
        line { machine, project in
            machine.passedAt.flatMap { machine.rateOpens(for: project, at: $0) } == nil
        }
    }

    /// Likewise of those that wait for the rate of their scheme, or could go by it.
    package var nextInLineByRate: [Incarnation: [ProjectName: ReadyEntry]] {
        line { machine, project in machine.hasRate(project) }
    }

    /// Whether a rate holds for a project now.
    package func hasRate(_ project: ProjectName) -> Bool {
        guard let record = projects[project] else { return false }
        for target in record.targets where target.isAttached && board.isWell(target.url) {
            if rates[target.url.scheme] != nil { return true }
        }
        return false
    }

    private func line(
        _ isMeant: (CoordinatorMachine, ProjectName) -> Bool
    ) -> [Incarnation: [ProjectName: ReadyEntry]] {
        if isRecovering || placed.isEmpty { return [:] }
        var found: [Incarnation: [ProjectName: ReadyEntry]] = [:]
        for (label, incarnation) in membership.assignable {
            guard let member = membership[incarnation], let queue = placed[label] else { continue }
            for (project, entry) in queue.first where member.projects[project] == nil {
                let slot = files[entry.index]
                let bytes = slot.row?.failure == nil ? slot.byteCount : 0
                guard case .go = admission(of: entry),
                    member.byteCount + bytes <= settings.workerBytesMax,
                    hasTargetCredit(for: entry.index, project: project),
                    hasRoomToLoad(entry.index, project: project),
                    isMeant(self, project)
                else { continue }
                found[incarnation, default: [:]][project] = entry
            }
        }
        return found
    }

    /// Whether an entry's file needs no content that must be read back first.
    package func isInMemory(_ entry: ReadyEntry) -> Bool {
        !needsLoading(entry.index)
    }

    /// Whether a worker may be given more files than it has in hand.
    package func hasRoom(_ incarnation: Incarnation) -> Bool {
        guard let member = membership[incarnation], member.isAssignable else { return false }
        return member.holds.count < limit(of: member)
    }
}
