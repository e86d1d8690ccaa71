import SyncCore

extension SimulatedCluster {
    /// Why the cluster is not at rest; nil when it is.
    func unrest() -> String? {
        if coordinator?.isPaused ?? true { return "the coordinator is down" }
        for process in producers where !process.pending.isEmpty {
            return "\(process.id) has \(process.pending.count) unanswered edits"
        }
        for row in disk.rows.values.sorted(by: { $0.sequence < $1.sequence }) {
            if row.failure == nil { return "\(row.sequence) of \(row.file) waits" }
            if row.open != nil { return "\(row.sequence) of \(row.file) has an older one open" }
        }
        for project in disk.projects.values.sorted(by: { $0.name < $1.name }) {
            for target in project.targets where target.isAttached {
                if target.needsRefresh { return "\(target.url) is refilled" }
                if sandboxes[target.url]?.lostGeneration != nil {
                    return "\(target.url) lost files and nobody knows"
                }
            }
        }
        for monitor in monitors {
            let number = disk.projects[monitor.project]?.eventNumber ?? 0
            if monitor.number < number {
                return "a monitor of \(monitor.project) is at \(monitor.number) of \(number)"
            }
        }
        if let open = arrivals.filter({ $0.value == epochs }).keys.min() {
            return "question \(open) has no answer (\(describe(open)))"
        }
        return nil
    }

    private func describe(_ request: UInt64) -> String {
        questions[request].map { "\($0.body)" } ?? "edits"
    }

    /// What must be true when everything is at rest.
    func checkRest() {
        let winners = ledger.winners()
        for (sequence, entry) in ledger.entries.sorted(by: { $0.key < $1.key })
        where entry.end == nil {
            violate(.oneEnd, "\(sequence) of \(entry.file) has no end")
        }
        for (id, line) in books.lines {
            guard case .accepted(let sequence) = line.state else { continue }
            if ledger.sequences[id] != sequence {
                violate(.durable, "\(id) was told to be accepted as \(sequence)")
            }
        }
        for (file, sequence) in winners { checkFile(file, sequence) }
        checkMonitors()
    }

    private func checkFile(_ file: FileKey, _ sequence: EditSequence) {
        guard let entry = ledger.entries[sequence], let line = books.lines[entry.id] else { return }
        let row = disk.rows[sequence]
        switch entry.end {
        case .failed:
            if row?.failure == nil { violate(.durable, "\(sequence) failed but is not listed") }
            return
        case .discarded: return
        case .synced: break
        default:
            violate(.durable, "\(sequence) is the newest of \(file) and ended \(entry.end as Any)")
            return
        }
        if store.newest[file]?.sequence != sequence
            || store.newest[file]?.change != line.edit.change
        {
            violate(
                .durable,
                "\(file): the store holds \(store.newest[file]?.sequence as Any), "
                    + "the newest accepted is \(sequence)")
        }
        for target in disk.projects[file.project]?.targets ?? [] where target.isAttached {
            let expected: FileChange? = line.edit.change.isDelete ? nil : line.edit.change
            if sandboxes[target.url]?.content(file.path) != expected, !isContested(file) {
                violate(.durable, "\(target.url) does not hold \(sequence) of \(file)")
            }
        }
    }

    private func checkMonitors() {
        for monitor in monitors {
            var truth: [EditPath: SimulatedMonitor.Belief] = [:]
            for row in disk.rows.values where row.file.project == monitor.project {
                truth[row.file.path] = SimulatedMonitor.Belief(
                    sequence: row.sequence, hasFailed: row.failure != nil)
            }
            if monitor.beliefs != truth {
                violate(.monitor, "a monitor of \(monitor.project) believes something else")
            }
        }
    }
}
