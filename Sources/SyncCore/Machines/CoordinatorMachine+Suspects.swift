import DequeModule

extension CoordinatorMachine {
    // Poison: an edit that kills whoever works on it (trace B3). Every edit in hand when a process
    // died is a suspect. A worker has at most one suspect in hand beside its other files, so that
    // the next death tells who it was. Deaths are counted with the edit, in memory: a newer edit of
    // the file, or a restart of the coordinator, starts from nothing.

    /// Counts a worker's death against an edit that it had in hand; too many of them fail it.
    mutating func stageDeath(_ slot: inout FileSlot, in turn: inout Turn) {
        slot.trouble.change { $0.deaths += 1 }
        let deaths = slot.trouble.value.deaths
        guard deaths >= settings.poisonDeathsMax else { return }
        slot.trouble.change { $0.attempts += deaths }
        stageFailure(
            Failure(
                .file, code: "poison",
                message: "\(deaths) worker processes died while they worked on this file, the last "
                    + "ones on it as their only suspect. Look at their logs and at the content; "
                    + "push the file again or retry it when the cause is mended."),
            slot: &slot, in: &turn)
    }

    /// Keeps a suspect back until the worker has none in hand; whether it must wait.
    mutating func holdsBack(
        _ entry: ReadyEntry, for label: WorkerLabel, _ incarnation: Incarnation
    ) -> Bool {
        guard files[entry.index].trouble.value.deaths > 0,
            membership[incarnation]?.suspect != nil
        else { return false }
        dropReadBack(entry.index)
        suspects[label, default: []].append(entry)
        return true
    }

    /// A worker has no suspect in hand any more: its next one is queued.
    mutating func nextSuspect(of label: WorkerLabel) {
        while let entry = suspects[label]?.popFirst() {
            if suspects[label]?.isEmpty ?? false { suspects[label] = nil }
            let slot = files[entry.index]
            guard slot.stamp == entry.stamp, slot.phase == .ready, !slot.isStaged else { continue }
            if arriving.isEmpty { arriving.append(ReadyQueue()) }
            arriving[arriving.count - 1].push(entry, project: slot.key.project)
            return
        }
    }
}
