import DequeModule
import SyncCore

extension SimulatedCluster {
    /// Every client's line.
    var clientLinks: [ClientLinkEnd] {
        producers.map(\.link) + monitors.map(\.link) + [operatorLink]
    }

    /// Starts everybody.
    func start() {
        startCoordinator()
        join(operatorLink)
        for slot in workers.indices {
            plan(after: chance.millis(0, 800)) { cluster in
                if cluster.workers[slot] == nil { cluster.startWorker(slot) }
            }
        }
        for index in 0..<scenario.producerCount { startProducer(index) }
        for index in 0..<scenario.monitorCount { startMonitor(index) }
        startOperator()
    }

    /// Faults are over: everything that was only to fail for a while works again.
    func calm() {
        disk.mishaps = []
        disk.fullUntil = 0
        disk.slowUntil = 0
        store.awayUntil = 0
        store.slowUntil = 0
        store.forgetfulUntil = 0
        for url in sandboxes.keys {
            withSandbox(url) { sandbox in
                sandbox.awayUntil = 0
                sandbox.slowUntil = 0
                sandbox.hangsUntil = 0
                sandbox.flakyUntil = 0
                sandbox.forgetfulUntil = 0
                sandbox.fullUntil = 0
                sandbox.refused = [:]
                sandbox.keepsDriftUntil = 0
            }
        }
    }

    /// One thing goes wrong.
    func strike(_ fault: Fault) {
        guard isStormy else { return }
        note("FAULT \(fault)")
        tally.faults[fault.kind, default: 0] += 1
        switch fault.kind {
        case .killWorker, .pauseWorker, .drainWorker, .doubleWorker, .cutWorker, .stallWorkerUp,
            .stallWorkerDown, .stallWorkerBoth:
            strikeWorker(fault)
        case .cutClient, .stallClientUp, .stallClientDown, .restartProducer, .cutMonitor:
            strikeClient(fault)
        case .jumpClock: jumpClock(fault)
        case .killCoordinator where fault.index % 2 == 0: doomCoordinator(fault)
        case .killCoordinator: killCoordinator(downFor: fault.lasts)
        case .pauseCoordinator:
            if let coordinator { pause(coordinator, for: fault.lasts) }
        case .killAll: killAll(downFor: fault.lasts)
        case .powerCut: cutPower(downFor: fault.lasts)
        case .failCommit: disk.mishaps.append(.unavailable)
        case .failSync: disk.mishaps.append(.fatal)
        case .fillDisk: disk.fullUntil = agenda.now + fault.lasts
        case .restoreJournal: restoreJournal(downFor: chance.millis(20, 3_000))
        case .slowDisk: disk.slowUntil = agenda.now + fault.lasts
        case .storeAway: store.awayUntil = agenda.now + fault.lasts
        case .storeSlow: store.slowUntil = agenda.now + fault.lasts
        case .storeForgetful: store.forgetfulUntil = agenda.now + fault.lasts
        case .targetAway, .targetSlow, .targetHangs, .targetFlaky, .targetForgetful, .targetRefuses,
            .targetFull, .changeFile, .wipeTarget, .rollBackTarget:
            strikeTarget(fault)
        }
    }

    private func strikeWorker(_ fault: Fault) {
        let slot = fault.index % workers.count
        guard let process = workers[slot] else { return }
        let until = agenda.now + fault.lasts
        switch fault.kind {
        case .killWorker where fault.index % 2 == 0: process.doom = Doom(lasts: fault.lasts)
        case .killWorker: endWorker(process, "is killed", restartsAfter: fault.lasts)
        case .pauseWorker where fault.index % 2 == 0:
            process.doom = Doom(lasts: fault.lasts, isPause: true)
        case .pauseWorker where fault.index % 4 == 1:
            store.slowUntil = max(store.slowUntil, agenda.now + 4 * .second)
            process.pausesWhenGranted = fault.lasts
        case .pauseWorker: pause(process, for: fault.lasts)
        case .drainWorker where fault.index % 2 == 0: process.drainsWhenGiven = true
        case .drainWorker: drain(process)
        case .doubleWorker: startWorker(slot)
        case .cutWorker where fault.index % 2 == 0: process.cutsWhenGiven = fault.lasts / 8
        case .cutWorker:
            process.link.cutUntil = until
            breakLink(process.link)
        case .stallWorkerUp: process.link.connection?.up.stalledUntil = until
        case .stallWorkerDown: process.link.connection?.down.stalledUntil = until
        case .stallWorkerBoth where fault.index % 2 == 1 && fault.index % 8 != 1:
            makeGrantsStale(of: process, for: fault.lasts / 2)
        case .stallWorkerBoth:
            process.link.connection?.up.stalledUntil = until
            process.link.connection?.down.stalledUntil = until
            // The library's own heartbeats notice a dead connection sooner or later.
            if fault.index % 2 == 0 {
                process.link.cutUntil = until
                plan(after: min(fault.lasts, 3 * .second)) { $0.breakLink(process.link) }
            }
        default: break
        }
    }

    private func strikeClient(_ fault: Fault) {
        let until = agenda.now + fault.lasts
        if fault.kind == .cutMonitor {
            guard !monitors.isEmpty else { return }
            let monitor = monitors[fault.index % monitors.count]
            monitor.connectedTo = nil
            plan(after: fault.lasts) { $0.subscribe(monitor) }
            return
        }
        guard !producers.isEmpty else { return }
        let process = producers[fault.index % producers.count]
        switch fault.kind {
        case .cutClient:
            process.link.cutUntil = until
            breakLink(process.link)
            if fault.index % 2 == 0 {
                for number in process.pending.keys { process.pending[number]?.dueAt = until }
            }
        case .stallClientUp: process.link.connection?.up.stalledUntil = until
        case .stallClientDown: process.link.connection?.down.stalledUntil = until
        case .restartProducer:
            endProducer(process)
            startProducer(process.index)
        default: break
        }
    }

    private func strikeTarget(_ fault: Fault) {
        let urls = sandboxes.keys.sorted()
        guard !urls.isEmpty else { return }
        let url = urls[fault.index % urls.count]
        let until = agenda.now + fault.lasts
        let generation = self.generation(of: url)
        let path = Scenario.path(scenario.paths[fault.index % scenario.paths.count])
        withSandbox(url) { sandbox in
            switch fault.kind {
            case .targetAway: sandbox.awayUntil = until
            case .targetSlow: sandbox.slowUntil = until
            case .targetHangs: sandbox.hangsUntil = until
            case .targetFlaky:
                sandbox.flakyUntil = until
                sandbox.flakyPerMille = 100 + fault.index % 900
            case .targetForgetful: sandbox.forgetfulUntil = until
            case .targetRefuses: sandbox.refused[path] = until
            case .targetFull: sandbox.fullUntil = until
            case .changeFile:
                sandbox.change(path)
                if fault.index % 3 == 0 { sandbox.keepsDriftUntil = until }
            case .wipeTarget: sandbox.wipe()
            case .rollBackTarget: sandbox.rollBack(generation: generation)
            default: break
            }
        }
    }

    /// The generation that the journal has of a target.
    private func generation(of url: TargetURL) -> UInt64 { record(of: url)?.generation ?? 1 }

    /// A target as the journal has it.
    func record(of url: TargetURL) -> TargetRecord? {
        disk.projects.values.lazy.flatMap(\.targets).first { $0.url == url }
    }

    /// The longest jump of the coordinator's clock that the margin of leases is there for.
    private static let jumpMax: Nanoseconds = 100 * .millisecond

    /// A process's clock goes on from a later reading: any one of a worker, a little one of the
    /// coordinator, a long one where clocks are beyond what leases assume.
    private func jumpClock(_ fault: Fault) {
        if fault.index % 3 == 0 {
            let span = scenario.hasSaneClocks ? min(fault.lasts, Self.jumpMax) : fault.lasts
            coordinator?.clock.jump(by: span)
            wakeCoordinator(after: 0)
        } else if let process = workers[fault.index % workers.count] {
            process.clock.jump(by: fault.lasts)
            wake(process, after: 0)
        }
    }

    private func killAll(downFor: Nanoseconds) {
        for process in workerProcesses {
            endWorker(process, "is killed", restartsAfter: downFor + chance.millis(0, 500))
        }
        killCoordinator(downFor: downFor)
    }

    /// The machine loses power: all processes end, local sandboxes lose what was not fsynced.
    private func cutPower(downFor: Nanoseconds) {
        killAll(downFor: downFor)
        boots += 1
        for url in sandboxes.keys.sorted() where url.scheme == "local" {
            withSandbox(url) { sandbox in
                if sandbox.marker != nil { sandbox.losePower(&chance) }
            }
        }
    }

    // MARK: Supervisor

    /// Whoever starts the workers kills one that was expelled.
    func take(_ hint: WorkerHint) {
        checkExpulsion(hint)
        guard scenario.hasSupervisor, hint.state == "expelled" else { return }
        plan(after: chance.millis(1, 30)) { cluster in
            guard let process = cluster.workerProcesses.first(where: { $0.life == hint.life })
            else { return }
            cluster.endWorker(
                process, WorkerProcess.expelled, restartsAfter: cluster.chance.millis(50, 500))
        }
    }

    /// It reports a death until it is answered.
    func report(death life: UInt64, isKilled: Bool) {
        plan(after: chance.millis(1, 30)) { cluster in
            cluster.ask(
                .died(life: life, isKilled: isKilled), of: cluster.scenario.project(0),
                over: cluster.operatorLink)
            let request = cluster.requests
            cluster.plan(after: 2 * .second) { cluster in
                guard cluster.questions[request] != nil else { return }
                cluster.questions[request] = nil
                cluster.report(death: life, isKilled: isKilled)
            }
        }
    }
}
