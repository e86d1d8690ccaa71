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
                if target.needsRefresh, !isOnlyContested(target.url) {
                    return "\(target.url) is refilled"
                }
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

    /// Whether a refill waits for nothing but files that another live one stands in the way of.
    private func isOnlyContested(_ target: TargetURL) -> Bool {
        let left = coordinator?.look { $0.hopelessRefreshes(of: target) }
        guard let left, !left.isEmpty else { return false }
        return left.allSatisfy { isContested($0, in: target) }
    }

    /// Where files stand that are not at rest, as the coordinator shows it.
    func standings() -> String {
        guard let coordinator else { return "" }
        let route = ClientRoute(envelope: [], request: [])
        var words: [String] = []
        for index in 0..<scenario.projectCount {
            let project = scenario.project(index)
            let directives = coordinator.look { machine in
                machine.receive(
                    .queue(project: project, prefix: "", after: "", countMax: 100), from: route,
                    at: coordinator.clock.reading(at: agenda.now))
                return machine.takeDirectives()
            }
            for case .reply(route, .queue(let report)) in directives {
                words += report.files.map {
                    "\(project)/\($0.path) \($0.state) \($0.code)"
                }
            }
        }
        return words.isEmpty ? "" : " (\(words.joined(separator: ", ")))"
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
            if ledger.sequences[id] != ledger.current(sequence) {
                violate(.durable, "\(id) was told to be accepted as \(sequence)")
            }
        }
        for (file, sequence) in winners { checkFile(file, sequence) }
        for (file, newest) in store.newest where isLost(newest, after: winners[file] ?? .none) {
            checkVisible(newest.sequence, newest.change, of: file)
        }
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
        // An adopted store may hold an edit that was lost with the journal.
        case .synced where store.newest[file].map { isLost($0, after: sequence) } ?? false: return
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
        checkVisible(sequence, line.edit.change, of: file)
    }

    private func isLost(_ stored: StoredVersion, after sequence: EditSequence) -> Bool {
        stored.sequence > sequence && ledger.lost[stored.sequence] != nil
    }

    private func checkVisible(_ sequence: EditSequence, _ change: FileChange, of file: FileKey) {
        for target in disk.projects[file.project]?.targets ?? [] where target.isAttached {
            let expected: FileChange? = change.isDelete ? nil : change
            if sandboxes[target.url]?.content(file.path) != expected,
                !isContested(file, in: target.url)
            {
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
                let wrong = Set(truth.keys).union(monitor.beliefs.keys)
                    .filter { truth[$0] != monitor.beliefs[$0] }.sorted()
                violate(
                    .monitor,
                    "a monitor of \(monitor.project) at \(monitor.number) is wrong of \(wrong)")
            }
        }
    }
}
