import SyncCore

/// A program that follows one project's status channel and mends its own gaps.
final class SimulatedMonitor {
    /// What it believes of a file that is not at rest.
    struct Belief: Equatable {
        var sequence: EditSequence
        var hasFailed: Bool
    }

    let project: ProjectName
    let link = ClientLinkEnd(queues: true)
    /// Epoch of the coordinator to which its subscription reaches; nil: cut off.
    var connectedTo: UInt64?
    /// What the last mark said, until the first event of that subscription.
    var marked: UInt64?
    var lastArrival: Nanoseconds = 0
    /// Last event taken, within the project and over all.
    var number: UInt64 = 0
    var overall: UInt64 = 0
    var beliefs: [EditPath: Belief] = [:]
    /// Request that mends a gap.
    var request: UInt64?
    var askedAt: Nanoseconds = 0
    /// Highest number of the project that it has heard of.
    var heardOf: UInt64 = 0

    init(project: ProjectName) { self.project = project }

    /// Whether it knows of everything that it has heard of.
    var isWhole: Bool { number >= heardOf }

    /// Takes the next event.
    func follow(_ event: StatusEvent) {
        number = event.projectNumber
        overall = event.number
        heardOf = max(heardOf, number)
        guard let path = event.path, event.id != nil else { return }
        switch event.kind {
        case .accepted:
            beliefs[path] = Belief(sequence: event.sequence, hasFailed: false)
        case .synced, .superseded, .discarded:
            if beliefs[path]?.sequence == event.sequence { beliefs[path] = nil }
        case .failed:
            if beliefs[path]?.sequence == event.sequence {
                beliefs[path] =
                    event.code == "conflict"
                    ? nil : Belief(sequence: event.sequence, hasFailed: true)
            }
        case .retried: beliefs[path] = Belief(sequence: event.sequence, hasFailed: false)
        case .retrying, .parked, .stored, .attached, .detached, .away, .back, .refreshing,
            .refreshed, .drifted:
            break
        }
    }
}

extension SimulatedCluster {
    private static let markInterval: Nanoseconds = 5 * .second

    func startMonitor(_ index: Int) {
        let monitor = SimulatedMonitor(
            project: scenario.project(index % scenario.projectCount))
        monitors.append(monitor)
        join(monitor.link)
        plan(after: chance.millis(0, 2_000)) { $0.subscribe(monitor) }
        plan(after: .second) { $0.remind(monitor) }
    }

    /// The subscription reaches the coordinator, or is tried again.
    func subscribe(_ monitor: SimulatedMonitor) {
        guard monitor.connectedTo != epochs || listening == nil else { return }
        guard let process = listening else {
            plan(after: chance.millis(100, 400)) { $0.subscribe(monitor) }
            return
        }
        monitor.connectedTo = epochs
        monitor.marked = process.machine.eventNumber(of: monitor.project)
        mark(monitor, process)
    }

    private func mark(_ monitor: SimulatedMonitor, _ process: CoordinatorProcess) {
        let number = process.machine.eventNumber(of: monitor.project)
        deliver(to: monitor) { cluster in
            monitor.heardOf = max(monitor.heardOf, number)
            cluster.mend(monitor)
        }
    }

    /// Marks come by themselves now and then.
    func sendMarks(_ process: CoordinatorProcess) {
        guard agenda.now >= process.marksAt + Self.markInterval else { return }
        process.marksAt = agenda.now
        for monitor in monitors where monitor.connectedTo == epochs { mark(monitor, process) }
    }

    /// Events go out; a subscriber that is cut off or full loses them without a word.
    func publish(_ events: [StatusEvent]) {
        for event in events {
            guard ledger.event(event.number) == event else {
                violate(.numbering, "event \(event.number) was told but is not in the journal")
                return
            }
        }
        for monitor in monitors where monitor.connectedTo == epochs {
            for event in events where event.project == monitor.project {
                if let marked = monitor.marked, event.projectNumber > marked + 1 {
                    violate(
                        .monitor,
                        "the mark of a subscription said \(marked), its first event is "
                            + "\(event.projectNumber)")
                }
                monitor.marked = nil
                if isStormy, chance.happens(perMille: 5) { continue }
                deliver(to: monitor) { $0.hear(event, monitor) }
            }
        }
    }

    private func deliver(
        to monitor: SimulatedMonitor, _ action: @escaping (SimulatedCluster) -> Void
    ) {
        monitor.lastArrival = max(monitor.lastArrival, agenda.now + network.delay())
        plan(at: monitor.lastArrival, action)
    }

    private func hear(_ event: StatusEvent, _ monitor: SimulatedMonitor) {
        monitor.heardOf = max(monitor.heardOf, event.projectNumber)
        if event.projectNumber == monitor.number + 1 {
            monitor.follow(event)
        } else if event.projectNumber > monitor.number {
            mend(monitor)
        }
    }

    /// Asks for what is missing, one question at a time.
    private func mend(_ monitor: SimulatedMonitor) {
        guard !monitor.isWhole, monitor.request == nil else { return }
        ask(.replay(from: monitor.overall + 1), of: monitor.project, over: monitor.link)
        monitor.request = requests
        monitor.askedAt = agenda.now
    }

    /// A question whose answer was lost is asked again.
    private func remind(_ monitor: SimulatedMonitor) {
        plan(after: .second) { $0.remind(monitor) }
        subscribe(monitor)
        if monitor.request != nil, agenda.now >= monitor.askedAt + 3 * .second {
            monitor.request = nil
        }
        mend(monitor)
    }

    /// A monitor hears an answer.
    func take(_ reply: ClientReply, _ monitor: SimulatedMonitor) {
        monitor.request = nil
        switch reply {
        case .events(let page, let next, _):
            for event in page where event.projectNumber > monitor.number {
                // To one who knows nothing of it, a project may begin above what was lost of it.
                let isNew = monitor.number == 0 && ledger.eventBase > 0
                if event.projectNumber != monitor.number + 1, !isNew {
                    violate(
                        .monitor,
                        "a replay gave event \(event.projectNumber) of \(event.project) after "
                            + "\(monitor.number)")
                    return
                }
                monitor.follow(event)
            }
            monitor.overall = max(monitor.overall, next - 1)
            mend(monitor)
        case .gap:
            ask(.snapshot, of: monitor.project, over: monitor.link)
            monitor.request = requests
            monitor.askedAt = agenda.now
        case .snapshot(let files, let number, let projectNumber, _):
            guard projectNumber >= monitor.number else { return }
            monitor.beliefs = [:]
            for file in files where file.sequence != .none {
                monitor.beliefs[file.path] = SimulatedMonitor.Belief(
                    sequence: file.sequence, hasFailed: file.state == "failed")
            }
            monitor.number = projectNumber
            monitor.overall = number
            monitor.heardOf = max(monitor.heardOf, projectNumber)
            mend(monitor)
        case .edits, .end, .queue, .flushed, .blocked, .failed, .ordered, .project, .done,
            .rejected:
            break
        }
    }
}
