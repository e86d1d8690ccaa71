import SyncCore

/// What workers have reported and the coordinator has not acknowledged.
struct ReportBook {
    private var open: [Incarnation: [UInt64: Report]] = [:]

    /// A message reaches the coordinator's machine.
    mutating func hear(_ message: WorkerMessage) {
        switch message {
        case .reports(let stamp, let reports): add(reports, of: stamp.incarnation)
        case .register(let registration):
            if let previous = registration.previous { add(registration.reports, of: previous) }
        case .heartbeat, .drain, .leave, .files, .filesFailed: break
        }
    }

    private mutating func add(_ reports: [NumberedReport], of incarnation: Incarnation) {
        for numbered in reports {
            open[incarnation, default: [:]][numbered.number] = numbered.report
        }
    }

    /// Reports are acknowledged: their worker forgets them.
    mutating func acknowledge(_ numbers: [UInt64], to incarnation: Incarnation) -> [Report] {
        numbers.compactMap { open[incarnation]?.removeValue(forKey: $0) }
    }
}

extension SimulatedCluster {
    /// Reports are acknowledged: what they changed must be on disk, since nobody else tells it.
    func checkAcknowledged(_ numbers: [UInt64], to incarnation: Incarnation) {
        for report in reports.acknowledge(numbers, to: incarnation) {
            switch report {
            case .outcome(let outcome): checkAcknowledged(outcome)
            case .target(let report):
                guard case .marked = report.finding, let target = record(of: report.url),
                    target.isAttached, target.generation == report.generation
                else { continue }
                if !target.isMarked {
                    violate(
                        .durable,
                        "the marker of \(report.url) was acknowledged, but is not in the journal")
                }
            }
        }
    }

    /// An edit that is visible everywhere has its end in the journal before its holder lets it go.
    private func checkAcknowledged(_ outcome: Outcome) {
        guard case .stored = outcome.store, let handout = actions.current(outcome.assignment),
            !handout.isRefresh, let entry = ledger.entries[handout.sequence], entry.end == nil
        else { return }
        let isVisible = handout.targets.allSatisfy { outcome.targets[$0.url] == .visible }
        let known = disk.projects[handout.file.project]?.targets ?? []
        // Attached, detached or filled anew since, if only for a moment: the end waits for another
        // turn.
        let isSame = handout.known == Set(known.map(ActionBook.KnownTarget.init))
        let isAll =
            isSame
            && known.filter(\.isAttached).allSatisfy { target in
                !target.needsRefresh
                    && handout.targets.contains {
                        $0.url == target.url && $0.generation == target.generation
                    }
            }
        if isVisible, isAll {
            violate(
                .oneEnd,
                "the outcome of \(handout.sequence) was acknowledged, but is not in the journal")
        }
    }
}
