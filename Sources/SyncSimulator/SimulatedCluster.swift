import SyncCore

/// One coordinator, workers, producers, monitors, a store and sandboxes, on one thread by one seed.
///
/// The machines are the real ones; shells, network, disks and targets are played, with what goes
/// wrong in them. ``run()`` plays a scenario to its end and says what promise was broken, if any.
package final class SimulatedCluster {
    let scenario: Scenario
    var agenda = Agenda()
    var chance: Chance
    var producerChance: Chance
    var network: SimulatedNetwork
    var disk: SimulatedDisk
    var store = SimulatedStore()
    var sandboxes: [TargetURL: SimulatedSandbox] = [:]

    var coordinator: CoordinatorProcess?
    /// The process that bears each label, if one runs.
    var workers: [WorkerProcess?]
    /// Every worker process that runs, also one whose label another has taken.
    var workerProcesses: [WorkerProcess] = []
    var producers: [ProducerProcess] = []
    var monitors: [SimulatedMonitor] = []
    let operatorLink = ClientLinkEnd(queues: true)
    /// Whose each connection is, by the number that the ROUTER gave it.
    var workerRoutes: [UInt64: WorkerProcess] = [:]
    var clientRoutes: [UInt64: ClientLinkEnd] = [:]
    var questions: [UInt64: Question] = [:]
    /// Requests that reached a machine and are not answered, with its epoch.
    var arrivals: [UInt64: UInt64] = [:]
    /// When a message of each producer reached the machine last.
    var heard: [ProducerID: Nanoseconds] = [:]
    /// The longest time for which nothing of a producer arrived.
    var silences: [ProducerID: Nanoseconds] = [:]
    var editRequests: [UInt64: (producer: ProducerProcess, numbers: [UInt64])] = [:]

    var books = Books()
    var ledger = Ledger()
    var actions = ActionBook()
    var reports = ReportBook()
    var fairness = FairnessBook()
    /// Of those that wait for a rate.
    var rateFairness = FairnessBook()
    var intake = IntakeBook()
    /// What waits for the coordinator's worst moment.
    var doom: Doom?
    var backup: Backup?
    /// The highest sequence of a journal that was restored, until the store is taken over.
    var restoredAt: EditSequence?
    var lives: UInt64 = 0
    var epochs: UInt64 = 0
    var requests: UInt64 = 0
    var boots = 1
    /// Whether faults and input go on.
    var isStormy = true
    /// The first promise that was broken; nil while all hold.
    package private(set) var violation: Violation?
    /// What has happened so far, counted.
    package internal(set) var tally = Tally()
    /// Lines of the trace; empty unless ``isTraced``.
    package private(set) var trace: [String] = []
    private let isTraced: Bool
    private let unchecked: Set<Violation.Promise>

    /// Sets a scenario up.
    ///
    /// - Parameters:
    ///   - isTraced: Whether to write down what happens.
    ///   - unchecked: Promises that may be broken.
    package init(
        _ scenario: Scenario, isTraced: Bool = false, unchecked: Set<Violation.Promise> = []
    ) {
        self.scenario = scenario
        self.unchecked = unchecked
        self.isTraced = isTraced
        var seeds = Chance(seed: scenario.seed &+ 0x5EED)
        chance = seeds.fork()
        producerChance = seeds.fork()
        network = SimulatedNetwork(
            chance: seeds.fork(), delayUsual: scenario.delayUsual, delayMax: scenario.delayMax,
            slowPerMille: scenario.slowPerMille)
        disk = SimulatedDisk(journal: JournalID(bits: 7))
        workers = Array(repeating: nil, count: scenario.workerCount)
    }

    /// Plays the scenario to its end.
    ///
    /// - Returns: The promise that was broken; nil when all were kept.
    @discardableResult
    package func run() -> Violation? {
        start()
        for fault in scenario.faults {
            plan(at: fault.at) { $0.strike(fault) }
            if fault.kind == .restoreJournal {
                plan(at: fault.at - min(fault.at, fault.lasts)) { $0.backUp() }
            }
        }
        play(until: scenario.duration)
        if violation == nil { settle() }
        tally.simulated = agenda.now
        tally.edits = books.count
        agenda.clear()
        return violation
    }

    private func play(until end: Nanoseconds) {
        while violation == nil, let action = agenda.next(until: end) { action() }
    }

    /// Faults and input have stopped: everything must come to rest within a bounded time.
    private func settle() {
        isStormy = false
        note("the storm is over")
        calm()
        let limit = agenda.now + scenario.restMax
        var unrest = "nothing was waited for"
        while violation == nil, agenda.now < limit {
            play(until: agenda.now + Nanoseconds.second / 4)
            if violation != nil { return }
            guard let reason = self.unrest() else {
                tally.restedAfter = agenda.now - scenario.duration
                checkRest()
                return
            }
            unrest = reason
        }
        if violation == nil {
            violate(
                .rest,
                "not at rest after \(scenario.restMax / .second) s: \(unrest)\(standings())")
        }
    }

    // MARK: Time

    /// Plans what happens to the cluster at a moment.
    func plan(at moment: Nanoseconds, _ action: @escaping (SimulatedCluster) -> Void) {
        agenda.plan(at: moment) { [unowned self] in action(self) }
    }

    /// Plans what happens after a while.
    func plan(after delay: Nanoseconds, _ action: @escaping (SimulatedCluster) -> Void) {
        plan(at: agenda.now + delay, action)
    }

    // MARK: Words

    /// Writes a line of the trace.
    func note(_ text: @autoclosure () -> String) {
        guard isTraced else { return }
        let micros = agenda.now / 1_000
        let fraction = String(micros % 1_000_000)
        let padding = String(repeating: "0", count: 6 - fraction.utf8.count)
        trace.append("\(micros / 1_000_000).\(padding)\(fraction) \(text())")
    }

    /// A promise was broken; the first one ends the run.
    func violate(_ promise: Violation.Promise, _ sentence: String) {
        guard violation == nil, !unchecked.contains(promise) else { return }
        violation = Violation(promise: promise, sentence: sentence, at: agenda.now)
        note("VIOLATION (\(promise)): \(sentence)")
    }
}

/// A promise that was broken.
package struct Violation: Sendable {
    /// Which one.
    package enum Promise: String, Sendable, CaseIterable {
        case durable, order, oneOwner, oneVersion, oneEnd, numbering, monitor, flush, answer
        case bounded, fair, lease, rest, state
    }

    /// Which one.
    package let promise: Promise
    /// What was seen.
    package let sentence: String
    /// When.
    package let at: Nanoseconds
}

/// Sums over a run.
package struct Tally: Sendable {
    /// Calls of machines.
    package var steps = 0
    /// Edits that producers made.
    package var edits = 0
    /// Faults that struck, by kind.
    package var faults: [Fault.Kind: Int] = [:]
    /// Simulated time.
    package var simulated: Nanoseconds = 0
    /// Time from the last fault to rest.
    package var restedAfter: Nanoseconds = 0

    /// Nothing yet.
    package init() {}

    /// Faults that struck.
    package var faultCount: Int { faults.values.reduce(0, +) }
}
