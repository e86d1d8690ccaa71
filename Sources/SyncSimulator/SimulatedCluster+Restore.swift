import SyncCore

/// What a restored journal goes back to.
struct Backup {
    let disk: SimulatedDisk
    let ledger: Ledger
}

extension SimulatedCluster {
    /// Somebody copies the journal.
    func backUp() { backup = Backup(disk: disk, ledger: ledger) }

    /// The journal is lost and comes back as it was when it was copied.
    ///
    /// The operator starts the coordinator with `--adopt`. What was accepted since is lost, to the
    /// knowledge of all.
    func restoreJournal(downFor: Nanoseconds) {
        guard let backup, coordinator != nil else { return }
        note("the journal is lost")
        killCoordinator(downFor: downFor)
        let lost = ledger
        disk = backup.disk
        ledger = backup.ledger
        ledger.forget(lost)
        for id in lost.sequences.keys {
            guard case .accepted(let told) = books.lines[id]?.state else { continue }
            if let known = ledger.sequences[id] {
                // Told under a number that only the lost part knew: the copy has a former one.
                if ledger.lost[told]?.id == id { books.close(id, .accepted(known)) }
            } else {
                books.close(id, .unknown)
            }
        }
        questions = [:]
        arrivals = [:]
        restoredAt = max(disk.header.lastSequence, restoredAt ?? .none)
        self.backup = nil
    }

    /// Whether a start of the coordinator is to take the store over: until one has, as sequences
    /// tell that go on far above.
    func adopts() -> Bool {
        if let restored = restoredAt, disk.header.lastSequence > restored { restoredAt = nil }
        return restoredAt != nil
    }
}
