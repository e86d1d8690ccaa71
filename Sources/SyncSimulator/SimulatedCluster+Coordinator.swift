import DequeModule
import SyncCore

extension SimulatedCluster {
    private static let requestsPerPassMax = 64
    /// Passes in one simulated second that only a machine that spins makes.
    private static let passesMax = 200_000

    // MARK: Life

    /// Starts the coordinator from what is on disk.
    func startCoordinator() {
        guard coordinator == nil else { return }
        epochs += 1
        let clock = SimulatedClock(&chance, driftMax: scenario.driftMax)
        var settings = scenario.settings
        settings.isAdopting = adopts()
        if settings.isAdopting { ledger.beginsAnew() }
        // A journal takes its time to be read, and is held meanwhile.
        let startsAt = agenda.now + (agenda.now < disk.slowUntil ? readTime() : 0)
        let machine: CoordinatorMachine
        do throws(JournalError) {
            machine = try CoordinatorMachine(
                settings: settings, snapshot: disk.snapshot,
                epoch: Epoch(bits: 0xE000 + epochs),
                at: settings.recoveryStart(
                    heldSince: clock.reading(at: agenda.now), at: clock.reading(at: startsAt)))
        } catch {
            violate(.durable, "the journal can't be read back: \(error.message)")
            return
        }
        coordinator = CoordinatorProcess(machine: machine, clock: clock, startsAt: startsAt)
        note("coordinator starts, epoch \(epochs)\(settings.isAdopting ? ", adopting" : "")")
        wakeCoordinator(after: 0)
    }

    /// The coordinator, once its sockets are there.
    var listening: CoordinatorProcess? { coordinator.flatMap { $0.isListening ? $0 : nil } }

    /// Kills the coordinator; a transaction on its way is on disk, or not.
    func killCoordinator(downFor: Nanoseconds) {
        guard let process = coordinator else { return }
        note("coordinator is killed")
        process.isAlive = false
        coordinator = nil
        intake.forget()
        if let transaction = process.committing, chance.happens(perMille: 500) {
            write(transaction)
        }
        for worker in workerProcesses { breakLink(worker.link) }
        for link in clientLinks { breakLink(link) }
        for monitor in monitors { monitor.connectedTo = nil }
        plan(after: downFor) { $0.startCoordinator() }
    }

    // MARK: The loop

    func wakeCoordinator(after delay: Nanoseconds) {
        if let coordinator { wake(coordinator, after: delay) }
    }

    func pass(_ process: CoordinatorProcess) {
        let now = process.clock.reading(at: agenda.now)
        count(process)
        var heard = 0
        while heard < scenario.messagesPerPassMax, let next = process.fromWorkers.popFirst() {
            heard += 1
            tally.steps += 1
            reports.hear(next.message)
            process.machine.hear(next.message, from: next.route, at: now)
        }
        var asked = 0
        while asked < Self.requestsPerPassMax, let next = process.fromClients.popFirst() {
            asked += 1
            tally.steps += 1
            noteArrival(of: next.asked)
            process.machine.receive(
                next.asked.body,
                from: ClientRoute(
                    envelope: [Self.bytes(next.connection)],
                    request: Self.bytes(next.asked.request)), at: now)
        }
        let isDrained = heard < scenario.messagesPerPassMax
        tally.steps += 1
        process.machine.pass(at: now, wall: wall, isDrained: isDrained)
        runDirectives(of: process)
        sendMarks(process)
        if !isDrained || asked == Self.requestsPerPassMax {
            wakeCoordinator(after: 20_000)
        } else if let next = process.machine.expectedPassAt {
            let at = max(process.clock.moment(of: next), agenda.now + 20_000)
            wakeCoordinator(after: at - agenda.now)
        }
    }

    private func count(_ process: CoordinatorProcess) {
        let second = agenda.now / .second
        process.passes =
            process.passes.second == second ? (second, process.passes.count + 1) : (second, 1)
        if process.passes.count > Self.passesMax {
            violate(.bounded, "the coordinator passes without end")
        }
    }

    /// The wall clock, for people.
    var wall: Timestamp { Timestamp(milliseconds: 1_790_000_000_000 + agenda.now / .millisecond) }

    private func runDirectives(of process: CoordinatorProcess) {
        let directives = process.machine.takeDirectives()
        checkFairness(directives, process)
        for directive in directives {
            switch directive {
            case .commit(let transaction):
                intake.turnBegins()
                commit(transaction, process)
            case .reply(let route, let reply):
                check(reply, to: Self.number(route.request))
                send(reply, to: route)
            case .send(let route, let message):
                noteSent(message)
                send(message, to: route)
            case .publish(let events): publish(events)
            case .hint(let hint): take(hint)
            case .load(let sequences):
                let isLost = isStormy && chance.happens(perMille: 20)
                let found = isLost ? nil : disk.contents.filter { sequences.contains($0.key) }
                later(process, after: readTime()) { [unowned self] in
                    process.machine.loaded(
                        sequences, found, at: process.clock.reading(at: agenda.now))
                    wakeCoordinator(after: 0)
                }
            case .readEvents(let query):
                let isLost = isStormy && chance.happens(perMille: 20)
                let found = isLost ? nil : disk.events(from: query.from, bytesMax: 4_096)
                later(process, after: readTime()) { [unowned self] in
                    process.machine.eventsRead(query, found)
                    wakeCoordinator(after: 0)
                }
            case .halt(let reason):
                note("coordinator halts: \(reason)")
                killCoordinator(downFor: chance.millis(50, 1_000))
                return
            }
        }
    }

    private func readTime() -> Nanoseconds {
        agenda.now < disk.slowUntil ? chance.millis(50, 1_500) : chance.micros(50, 3_000)
    }

    // MARK: Disk

    private func commit(_ transaction: JournalTransaction, _ process: CoordinatorProcess) {
        if process.committing != nil { violate(.state, "two turns are on their way to disk") }
        process.committing = transaction
        var time =
            chance.happens(perMille: 50)
            ? chance.micros(scenario.commitUsual, scenario.commitMax)
            : chance.micros(200, scenario.commitUsual)
        if agenda.now < disk.slowUntil { time += chance.millis(100, 1_500) }
        meetDoom(of: process, transaction, time: time)
        later(process, after: time) { [unowned self] in
            var error: JournalError?
            switch disk.mishaps.popFirst() {
            case .unavailable: error = JournalError(.unavailable, "The disk refuses to write.")
            case .fatal:
                if chance.happens(perMille: 500) { write(transaction) }
                error = JournalError(.fatal, "An fsync failed.")
            case nil:
                if agenda.now < disk.fullUntil {
                    error = JournalError(.unavailable, "The disk is full.")
                } else {
                    write(transaction)
                }
            }
            process.committing = nil
            later(process, after: chance.micros(0, 500)) { [unowned self] in
                process.machine.committed(error, at: process.clock.reading(at: agenda.now))
                wakeCoordinator(after: 0)
            }
        }
    }

    private func write(_ transaction: JournalTransaction) {
        let flaw = disk.apply(transaction)
        if let flaw { violate(.durable, flaw) }
        let events = ledger.follow(transaction, books: books)
        if !transaction.rowsRenumbered.isEmpty { note("renumbered \(transaction.rowsRenumbered)") }
        let attached = events.filter { $0.kind == .attached }.compactMap(\.target)
        for event in events {
            note("journal: \(event.brief)")
            check(event, attached: attached)
        }
        if let flaw = ledger.takeFlaws().first { violate(.oneEnd, flaw) }
    }
}

extension StatusEvent {
    /// One line for a trace.
    var brief: String {
        var words = "#\(number) \(kind) \(project)/\(path?.text ?? "") \(sequence)"
        if let id { words += " \(id.producer.text.prefix(4))#\(id.number)" }
        if by != .none { words += " by \(by)" }
        if version != .none { words += " v\(version)" }
        if let target { words += " \(target)" }
        if !code.isEmpty { words += " \(code)" }
        return words
    }
}
