package import SyncCore

/// One coordinator, some workers, a store and sandboxes, all in memory, on a hand-moved clock.
///
/// Messages are delivered when ``settle()`` is called, in the order sent; a test takes a step,
/// looks, and takes the next. Links can be cut, workers paused or killed, the coordinator
/// restarted.
package final class MachineCluster {
    /// One worker process.
    package final class WorkerNode {
        package let label: WorkerLabel
        package let life: UInt64
        package var machine: WorkerMachine
        package var route: WorkerRoute
        package var inbox: [CoordinatorMessage] = []
        /// Steps that were begun and are not finished while the worker is paused or its targets
        /// hang.
        package var steps: [WorkerDirective] = []
        package var isAlive = true
        package var isPaused = false
        package var isCut = false
        package var exit: WorkerExit?
        /// Whether begun steps stay unfinished.
        package var holdsSteps = false
        /// Steps that match stay unfinished, whatever the others do.
        package var isHeld: (WorkerDirective) -> Bool = { _ in false }
        /// Targets whose writes hang from now on.
        package var hangingTargets: Set<TargetURL> = []
        /// Writes that hang.
        package var hungWrites: [WorkerDirective] = []
        /// How often the store was to be bound.
        package var bindCount = 0

        init(label: WorkerLabel, life: UInt64, machine: WorkerMachine, route: WorkerRoute) {
            self.label = label
            self.life = life
            self.machine = machine
            self.route = route
        }
    }

    package var now = Instant(nanoseconds: 1_000_000_000)
    package var settings: CoordinatorSettings
    package var journal: JournalModel
    package var store = StoreModel()
    package var sandboxes: [TargetURL: SandboxModel] = [:]
    package var coordinator: CoordinatorMachine
    package private(set) var workers: [WorkerNode] = []
    package private(set) var replies: [(route: ClientRoute, reply: ClientReply)] = []
    package private(set) var published: [StatusEvent] = []
    package private(set) var hints: [WorkerHint] = []
    package private(set) var halted: String?
    /// Whether something happened again and again although no time passed.
    package private(set) var isSpinning = false
    /// Whether a turn that was sent to disk stays there until ``finishCommit()``.
    package var holdsCommits = false
    /// Whether contents that are read back stay on their way until ``finishLoads()``.
    package var holdsLoads = false
    /// Whether the journal can't be read.
    package var failsLoads = false
    private var loads: [[EditSequence]] = []
    private var onDisk: JournalTransaction?
    private var toCoordinator: [(WorkerRoute, WorkerMessage)] = []
    private var epochs: UInt64 = 1
    private var lives: UInt64 = 100
    private var routes: UInt8 = 0
    private var requests: UInt64 = 0

    /// - Parameter marked: Projects whose sandbox is marked already: one that is not gets a single
    ///   file at first.
    package init(
        settings: CoordinatorSettings = CoordinatorSettings(), marked: [ProjectName] = []
    ) throws {
        self.settings = settings
        let id = JournalID(bits: 7)
        let targets = marked.map { TargetRecord(url: TargetURL(defaultOf: $0), isMarked: true) }
        journal = JournalModel(
            journal: id,
            projects: zip(marked, targets).map { ProjectRecord(name: $0, targets: [$1]) })
        for (project, target) in zip(marked, targets) {
            sandboxes[target.url, default: SandboxModel()].marker = SandboxMarker(
                journal: id, project: project, generation: target.generation, bootID: "boot")
        }
        coordinator = try CoordinatorMachine(
            settings: settings, snapshot: journal.snapshot, epoch: Epoch(bits: 1), at: now)
    }

    // MARK: Actors

    @discardableResult
    package func addWorker(
        _ name: String, bootID: String = "boot", holdsSteps: Bool = false
    ) throws -> WorkerNode {
        guard let label = Name(name) else { throw KitError("bad name \(name)") }
        lives += 1
        let settings = WorkerSettings(
            label: label, life: lives, bootID: bootID, localRootID: "root", schemes: ["local"])
        let node = WorkerNode(
            label: label, life: lives,
            machine: WorkerMachine(settings: settings, identity: store.identity),
            route: freshRoute())
        node.holdsSteps = holdsSteps
        workers.append(node)
        settle()
        return node
    }

    package func kill(_ node: WorkerNode) {
        node.isAlive = false
        node.inbox = []
        workers.removeAll { $0 === node }
    }

    /// The worker's connection breaks and is made anew: what was under way is lost.
    package func reconnect(_ node: WorkerNode) {
        toCoordinator.removeAll { $0.0 == node.route }
        node.inbox = []
        node.route = freshRoute()
    }

    private func freshRoute() -> WorkerRoute {
        routes += 1
        return WorkerRoute(id: [0, routes])
    }

    /// The coordinator dies.
    ///
    /// What was not committed is gone. It starts again from the journal, which is held by it while
    /// it is read.
    package func restartCoordinator(readingFor duration: Duration = .zero) throws {
        let heldSince = now
        now = now + duration
        epochs += 1
        onDisk = nil
        loads = []
        toCoordinator = []
        coordinator = try CoordinatorMachine(
            settings: settings, snapshot: journal.snapshot, epoch: Epoch(bits: epochs),
            at: settings.recoveryStart(heldSince: heldSince, at: now))
        for node in workers { node.inbox = [] }
    }

    // MARK: Clients

    @discardableResult
    package func request(_ request: ClientRequest) -> ClientRoute {
        requests += 1
        let route = ClientRoute(envelope: [[1]], request: Array(String(requests).utf8))
        coordinator.receive(request, from: route, at: now)
        return route
    }

    package func answers(to route: ClientRoute) -> [ClientReply] {
        replies.filter { $0.route == route }.map(\.reply)
    }

    // MARK: Time

    package func advance(by duration: Duration, step: Duration = .milliseconds(100)) {
        let end = now + duration
        while now < end {
            now = min(now + step, end)
            settle()
        }
    }

    /// Lets everything happen that can happen without time passing.
    ///
    /// What goes on for ever without it is cut off, and is a violation.
    package func settle() {
        var quiet = 0
        var rounds = 0
        while quiet < 2, !isSpinning {
            let moved = round()
            quiet = moved ? 0 : quiet + 1
            rounds += 1
            isSpinning = rounds > Self.roundsMax
        }
    }

    private static let roundsMax = 50_000

    private func round() -> Bool {
        var moved = false
        let messages = toCoordinator
        toCoordinator = []
        for (route, message) in messages {
            moved = true
            coordinator.hear(message, from: route, at: now)
        }
        coordinator.pass(
            at: now, wall: Timestamp(milliseconds: now.nanoseconds / 1_000_000), isDrained: true)
        moved = runCoordinator() || moved
        for node in workers where !node.isPaused && node.exit == nil {
            let inbox = node.inbox
            node.inbox = []
            for message in inbox {
                moved = true
                node.machine.hear(message, at: now)
            }
            node.machine.pass(at: now)
            moved = collect(node) || moved
            if !node.holdsSteps { moved = finishSteps(of: node) || moved }
        }
        return moved
    }

    private func runCoordinator() -> Bool {
        let directives = coordinator.takeDirectives()
        for directive in directives {
            switch directive {
            case .commit(let transaction):
                onDisk = transaction
                if !holdsCommits { finishCommit() }
            case .reply(let route, let reply): replies.append((route, reply))
            case .send(let route, let message):
                for node in workers where node.route == route && !node.isCut {
                    node.inbox.append(message)
                }
            case .publish(let events): published += events
            case .hint(let hint): hints.append(hint)
            case .load(let sequences):
                loads.append(sequences)
                if !holdsLoads { finishLoads() }
            case .readEvents(let query):
                coordinator.eventsRead(query, journal.snapshot.events)
            case .halt(let reason): halted = reason
            }
        }
        return !directives.isEmpty
    }

    /// The turn on disk comes back.
    package func finishCommit() {
        guard let transaction = onDisk else { return }
        onDisk = nil
        let error = journal.commit(transaction)
        coordinator.committed(error, at: now)
    }

    /// Contents that are on their way come back.
    package func finishLoads() {
        let asked = loads
        loads = []
        for sequences in asked {
            coordinator.loaded(sequences, failsLoads ? nil : journal.contents, at: now)
        }
    }

    /// Writes of a worker that hang go on, in the order in which they began.
    package func finishHungWrites(of node: WorkerNode) {
        node.hangingTargets = []
        let writes = node.hungWrites
        node.hungWrites = []
        for write in writes { finish(write, of: node) }
        settle()
    }

    /// Whether a turn is on its way to disk.
    package var isCommitting: Bool { onDisk != nil }

    private func collect(_ node: WorkerNode) -> Bool {
        let directives = node.machine.takeDirectives()
        var moved = false
        for directive in directives {
            switch directive {
            case .send(let message):
                moved = true
                if !node.isCut { toCoordinator.append((node.route, message)) }
            case .lease: break
            case .exit(let reason): node.exit = reason
            case .bind, .apply, .read, .prepare, .write, .probe, .list:
                moved = true
                node.steps.append(directive)
            }
        }
        return moved
    }

    /// Carries out what a worker has begun.
    @discardableResult
    package func finishSteps(of node: WorkerNode) -> Bool {
        let steps = node.steps.filter { !node.isHeld($0) }
        node.steps.removeAll { !node.isHeld($0) }
        for step in steps { finish(step, of: node) }
        return !steps.isEmpty
    }

    private func finish(_ step: WorkerDirective, of node: WorkerNode) {
        switch step {
        case .bind(let id, let isAdopted):
            node.bindCount += 1
            if store.isAway {
                let error = StoreError(.unavailable, "The store does not answer.")
                node.machine.storeBound(error, at: now)
                return
            }
            let isBound = store.bind(to: id, isAdopted: isAdopted)
            node.machine.storeBound(
                isBound ? nil : StoreError(.foreign, "It has another journal."), at: now)
        case .apply(let batch):
            let edits = batch.compactMap { assignment -> SequencedEdit? in
                guard case .edit(let edit) = assignment.task else { return nil }
                return edit
            }
            node.machine.stored(batch.map(\.id), store.apply(edits), at: now)
        case .read(let assignment):
            if store.isAway {
                node.machine.read(
                    assignment.id,
                    .failure(StoreError(.unavailable, "The store does not answer.")), at: now)
                return
            }
            node.machine.read(assignment.id, .success(store.newest(assignment.file)), at: now)
        case .prepare(let preparation):
            let result = sandboxes[preparation.target.url, default: SandboxModel()]
                .prepare(preparation, former: store.formerJournals)
            node.machine.prepared(preparation, result, at: now)
        case .write(_, let target, _, _) where node.hangingTargets.contains(target):
            node.hungWrites.append(step)
        case .write(let id, let target, let edit, let stage):
            let result = sandboxes[target, default: SandboxModel()].write(edit, through: stage)
            node.machine.wrote(id, target, result, at: now)
        case .probe(let target, _):
            let sandbox = sandboxes[target.url] ?? SandboxModel()
            if let failure = sandbox.failure {
                node.machine.probed(target, .failure(failure), at: now)
            } else {
                let wanted = SandboxMarker(
                    journal: journal.snapshot.header.journal, project: target.project,
                    generation: target.generation, bootID: node.machine.bootID)
                let finding = target.finding(
                    sandbox.marker, wanted: wanted, former: store.formerJournals, isSynced: false)
                let mark = sandbox.marker?.mark(in: wanted)
                node.machine.probed(target, .success(finding ?? .well(as: mark)), at: now)
            }
        case .list(let question, let epoch):
            if store.isAway {
                node.machine.listed(
                    question, of: epoch,
                    .failure(StoreError(.unavailable, "The store does not answer.")))
                return
            }
            let page = store.files(
                of: question.project, after: question.after, countMax: question.countMax)
            node.machine.listed(question, of: epoch, .success(page))
        case .send, .lease, .exit: break
        }
    }
}

/// A test's own mistake.
package struct KitError: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
