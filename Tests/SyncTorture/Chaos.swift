import Foundation
import SyncTestKit

/// Draws one harm after the other, and undoes each after a while.
struct Chaos {
    /// What mends a harm.
    private enum Undo {
        case start(String)
        case startCoordinator
        case startUp
        case wake(pid_t)
        case mend(link: Int)
        case hurry
        case empty(TestDisk)
        case startStore
        case wakeStore
        case unlimit
        case executeLate
    }

    /// Kinds of harm, and how often each is drawn.
    private enum Harm: CaseIterable {
        case killWorker, killCoordinator, killAll, drainWorker
        case pauseWorker, replacePaused, pauseCoordinator
        case cutLink, deafenLink, loseOnLink
        case breakConnections, slowProxies
        case fillDisk
        case killStore, pauseStore
        case pauseSandbox, rotateToken, limitRate, loseAnswers, executeLate

        var weight: Int {
            switch self {
            case .killWorker: 24
            case .killCoordinator: 9
            case .killAll: 5
            case .drainWorker: 4
            case .pauseWorker: 14
            case .replacePaused: 4
            case .pauseCoordinator: 4
            case .cutLink: 14
            case .deafenLink: 8
            case .loseOnLink: 5
            case .breakConnections: 6
            case .slowProxies: 3
            case .fillDisk: 4
            case .killStore: 4
            case .pauseStore: 4
            case .pauseSandbox: 10
            case .rotateToken: 6
            case .limitRate: 6
            case .loseAnswers: 8
            case .executeLate: 8
            }
        }
    }

    /// Past a lease and its margin.
    static let pastLease: Range<Int> = 3_100..<5_600

    private let rack: Rack
    private let sums: Sums
    private var random: SeededGenerator
    private var agenda: [(due: ContinuousClock.Instant, what: String, undo: Undo)] = []
    /// What ended by itself in a way that nothing explains.
    private(set) var flaws: [String] = []

    init(_ rack: Rack, _ sums: Sums, seed: UInt64) {
        self.rack = rack
        self.sums = sums
        random = SeededGenerator(seed: seed)
    }

    /// Does harm for so long, then mends everything.
    mutating func run(for duration: Duration) async throws {
        let end = ContinuousClock.now + duration
        var next = ContinuousClock.now
        while ContinuousClock.now < end, !Interrupted.isSet {
            try patrol()
            try undoWhatIsDue(at: ContinuousClock.now)
            if ContinuousClock.now >= next {
                try strike()
                next =
                    ContinuousClock.now + .milliseconds(Int.random(in: 300..<1_900, using: &random))
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        try await mendAll()
    }

    private mutating func mendAll() async throws {
        // Disks first: nothing starts on a full one.
        for (name, disk) in rack.disks where isBusy(name) { try disk.empty() }
        rack.hosting?.double.mend()
        // What is stopped sleeps to its end: only then it was past its lease.
        while !agenda.isEmpty {
            let now = ContinuousClock.now
            let rest = agenda.filter { item in
                if case .wake = item.undo { item.due > now } else { false }
            }
            for item in agenda where !rest.contains(where: { $0.what == item.what }) {
                try undo(item.undo)
            }
            agenda = rest
            try await Task.sleep(for: .milliseconds(20))
        }
        try await endDoubles()
    }

    /// Waits until one process is left of each label.
    ///
    /// Normally that is the one that was started last. One that was stopped before it had ever
    /// registered is a new process when it wakes, and replaces the other, which is started again.
    private mutating func endDoubles() async throws {
        let end = ContinuousClock.now + .seconds(180)
        while let (label, _) = rack.doubles.first(where: { $0.child.process.isRunning }) {
            guard ContinuousClock.now < end else {
                flaws.append("two processes with the label \(label) go on")
                break
            }
            try patrol()
            try undoWhatIsDue(at: ContinuousClock.now)
            try await Task.sleep(for: .milliseconds(20))
        }
        for (label, child) in rack.doubles where !child.process.isRunning {
            // Asked to drain before it had begun: it said nothing, and had nothing.
            if child.status == -SIGTERM, child.text.isEmpty { continue }
            // Replaced, or drained; 1 when draining took too long.
            if ![0, 1, 75].contains(child.status) {
                flaws.append("\(label) ended with \(child.status): \(child.text.suffix(300))")
            }
        }
        try patrol()
        for item in agenda { try undo(item.undo) }
        agenda = []
        rack.doubles = []
    }

    /// Starts again what ended by itself, as a service manager does.
    mutating func patrol() throws {
        for end in rack.takeOwnEnds() {
            sums.count(end.words)
            let isDouble = rack.doubles.contains { $0.label == end.name }
            if end.isFlaw || (end.status == 75 && !isDouble) { flaws.append(end.text) }
            let undo = end.name == "coordinator" ? Undo.startCoordinator : .start(end.name)
            plan(undo, of: end.name, in: 100..<500)
        }
        if let up = rack.cluster.supervisor, !up.process.isRunning, !isBusy("up") {
            flaws.append(
                "syncd up ended with \(up.process.terminationStatus): \(up.text.suffix(400))")
            plan(.startUp, of: "up", in: 100..<500)
        }
    }

    // MARK: Agenda

    private func isBusy(_ what: String) -> Bool { agenda.contains { $0.what == what } }

    private mutating func plan(_ undo: Undo, of what: String, in milliseconds: Range<Int>) {
        let wait = Int.random(in: milliseconds, using: &random)
        agenda.append((ContinuousClock.now + .milliseconds(wait), what, undo))
    }

    private mutating func undoWhatIsDue(at now: ContinuousClock.Instant) throws {
        let due = agenda.filter { $0.due <= now }
        agenda.removeAll { $0.due <= now }
        for item in due { try undo(item.undo) }
    }

    private func undo(_ undo: Undo) throws {
        switch undo {
        case .start(let label): try rack.start(label)
        case .startCoordinator: try rack.cluster.startCoordinator()
        case .startUp: try rack.startUp()
        case .wake(let pid): Foundation.kill(pid, SIGCONT)
        case .mend(let link): try rack.links?.mend(link)
        case .hurry:
            rack.workerProxy?.hold(milliseconds: 0)
            rack.intakeProxy.hold(milliseconds: 0)
        case .empty(let disk): try disk.empty()
        case .startStore: try rack.hosting?.server.start()
        case .wakeStore: try rack.hosting?.server.resume()
        case .unlimit: rack.hosting?.double.limitRate(to: nil)
        case .executeLate:
            sums.count("requests executed late", rack.hosting?.double.executeLate().count ?? 0)
        }
    }

    // MARK: Harm

    private mutating func strike() throws {
        let harms = Harm.allCases.filter(isPossible)
        let total = harms.reduce(0) { $0 + $1.weight }
        var place = Int.random(in: 0..<total, using: &random)
        for harm in harms {
            place -= harm.weight
            if place < 0 { return try strike(harm) }
        }
    }

    /// Whether there is anything that it could meet.
    private func isPossible(_ harm: Harm) -> Bool {
        switch harm {
        case .killWorker, .killCoordinator, .killAll, .pauseWorker, .pauseCoordinator,
            .breakConnections, .slowProxies:
            true
        case .drainWorker, .replacePaused: rack.kind.isSeparate
        case .cutLink, .deafenLink, .loseOnLink: rack.links != nil
        case .fillDisk: !rack.disks.isEmpty
        case .killStore, .pauseStore, .pauseSandbox, .rotateToken, .limitRate, .loseAnswers,
            .executeLate:
            rack.hosting != nil
        }
    }

    private mutating func strike(_ harm: Harm) throws {
        switch harm {
        case .killWorker: kill(.worker)
        case .killCoordinator: kill(.coordinator)
        case .killAll: killAll()
        case .drainWorker: drain()
        case .pauseWorker: pause(isReplaced: false)
        case .replacePaused: pause(isReplaced: true)
        case .pauseCoordinator: pauseCoordinator()
        case .cutLink, .deafenLink, .loseOnLink: try harmLink(harm)
        case .breakConnections:
            sums.count("connections broken at once")
            rack.intakeProxy.breakAll()
            if Bool.random(using: &random) { rack.workerProxy?.breakAll() }
        case .slowProxies:
            guard !isBusy("proxies") else { return }
            sums.count("slow connections")
            let wait = UInt32.random(in: 20..<400, using: &random)
            rack.workerProxy?.hold(milliseconds: wait)
            rack.intakeProxy.hold(milliseconds: wait)
            plan(.hurry, of: "proxies", in: 1_000..<4_000)
        case .fillDisk:
            guard let (name, disk) = rack.disks.randomElement(using: &random), !isBusy(name)
            else { return }
            sums.count("full disks: \(name)")
            try disk.fill()
            plan(.empty(disk), of: name, in: 500..<3_000)
        case .killStore, .pauseStore: try harmStore(harm)
        case .pauseSandbox, .rotateToken, .limitRate, .loseAnswers, .executeLate:
            harmSandbox(harm)
        }
    }

    private mutating func harmStore(_ harm: Harm) throws {
        guard let server = rack.hosting?.server, !isBusy("hosted store") else { return }
        if case .killStore = harm {
            sums.count("kills: PostgreSQL")
            try server.crash()
            plan(.startStore, of: "hosted store", in: 200..<3_000)
        } else {
            sums.count("pauses: PostgreSQL")
            try server.pause()
            plan(.wakeStore, of: "hosted store", in: 500..<6_000)
        }
    }

    private mutating func harmSandbox(_ harm: Harm) {
        guard let double = rack.hosting?.double,
            let sandbox = Hosting.sandboxes.randomElement(using: &random)
        else { return }
        switch harm {
        case .pauseSandbox:
            sums.count("sandboxes paused")
            double.pause(sandbox)
        case .rotateToken:
            sums.count("tokens of sandboxes changed")
            double.rotateToken(of: sandbox)
        case .limitRate:
            guard !isBusy("rate") else { return }
            sums.count("rates of sandboxes limited")
            double.limitRate(to: Int.random(in: 5...60, using: &random))
            plan(.unlimit, of: "rate", in: 1_000..<5_000)
        case .loseAnswers:
            sums.count("answers of sandboxes lost")
            double.fail(.move, times: 2, with: .loseAnswer)
            double.fail(.upload, times: 2, with: .unreachableAfterEffect)
        case .executeLate:
            guard !isBusy("late requests") else { return }
            double.fail(.move, times: 3, with: .late)
            plan(.executeLate, of: "late requests", in: 300..<6_000)
        case .killWorker, .killCoordinator, .killAll, .drainWorker, .pauseWorker, .replacePaused,
            .pauseCoordinator, .cutLink, .deafenLink, .loseOnLink, .breakConnections, .slowProxies,
            .fillDisk, .killStore, .pauseStore:
            return
        }
    }

    private mutating func freeWorker() -> (label: String, pid: pid_t)? {
        let free = Rack.labels.filter { !isBusy($0) }
        guard let label = free.randomElement(using: &random), let pid = rack.pid(of: label)
        else { return nil }
        return (label, pid)
    }

    private enum Victim { case worker, coordinator }

    private mutating func kill(_ victim: Victim) {
        switch victim {
        case .worker:
            guard let (label, _) = freeWorker() else { return }
            sums.count("kills: a worker")
            rack.crash(label)
            if rack.kind.isSeparate { plan(.start(label), of: label, in: 0..<1_500) }
        case .coordinator:
            guard !isBusy("coordinator"), !isBusy("journal"), rack.coordinatorPid() != nil
            else { return }
            sums.count("kills: the coordinator")
            rack.crashCoordinator()
            if rack.kind.isSeparate { plan(.startCoordinator, of: "coordinator", in: 0..<800) }
        }
    }

    private mutating func killAll() {
        guard !isBusy("up"), !isBusy("journal"), !isBusy("store") else { return }
        sums.count("kills: everything at once")
        rack.crashAll()
        let processes = Set(Rack.labels + ["coordinator"])
        agenda.removeAll { processes.contains($0.what) }
        switch rack.kind {
        case .separate, .hosted:
            plan(.startCoordinator, of: "coordinator", in: 0..<800)
            for label in Rack.labels { plan(.start(label), of: label, in: 0..<1_500) }
        case .supervised: plan(.startUp, of: "up", in: 0..<500)
        }
    }

    private mutating func drain() {
        guard !isBusy("coordinator"), let (label, pid) = freeWorker(),
            let child = rack.cluster.workers[label]
        else { return }
        sums.count("workers asked to drain")
        Foundation.kill(pid, SIGTERM)
        // What takes the label over finds it free, or ends the one that drains.
        rack.doubles.append((label, child))
        rack.cluster.forgetWorker(label)
        plan(.start(label), of: label, in: 200..<2_500)
    }

    private mutating func pause(isReplaced: Bool) {
        guard let (label, pid) = freeWorker() else { return }
        sums.count("pauses past the lease: a worker")
        Foundation.kill(pid, SIGSTOP)
        if isReplaced, let child = rack.cluster.workers[label] {
            sums.count("workers replaced while stopped")
            rack.doubles.append((label, child))
            rack.cluster.forgetWorker(label)
            plan(.wake(pid), of: "sleeper-\(pid)", in: Self.pastLease)
            plan(.start(label), of: label, in: 0..<2_000)
        } else {
            plan(.wake(pid), of: label, in: Self.pastLease)
        }
    }

    private mutating func pauseCoordinator() {
        guard !isBusy("coordinator"), let pid = rack.coordinatorPid() else { return }
        sums.count("pauses past the lease: the coordinator")
        Foundation.kill(pid, SIGSTOP)
        plan(.wake(pid), of: "coordinator", in: Self.pastLease)
    }

    private mutating func harmLink(_ harm: Harm) throws {
        guard let links = rack.links else { return }
        let link = Int.random(in: 0..<links.count, using: &random)
        let name = "link-\(link)"
        guard !isBusy(name) else { return }
        switch harm {
        case .cutLink:
            sums.count("partitions: link down")
            try links.cut(link)
        case .deafenLink:
            let isInbound = Bool.random(using: &random)
            sums.count("partitions: one way, \(isInbound ? "to" : "from") the coordinator")
            try links.deafen(link, inbound: isInbound)
        case .loseOnLink:
            sums.count("links that lose packets")
            try links.lose(link, percent: Int.random(in: 5...40, using: &random))
        case .killWorker, .killCoordinator, .killAll, .drainWorker, .pauseWorker, .replacePaused,
            .pauseCoordinator, .breakConnections, .slowProxies, .fillDisk, .killStore, .pauseStore,
            .pauseSandbox, .rotateToken, .limitRate, .loseAnswers, .executeLate:
            return
        }
        plan(.mend(link: link), of: name, in: 1_000..<7_000)
    }
}
