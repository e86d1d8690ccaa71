import DequeModule
import SyncCore

extension SimulatedCluster {
    // MARK: Life

    /// Starts a worker process under a slot's label; an older one of that label may still run.
    func startWorker(_ slot: Int) {
        lives += 1
        var settings = WorkerSettings(
            label: Scenario.name("w\(slot + 1)"), life: lives, bootID: "boot\(boots)",
            localRootID: "root", schemes: ["local", "e2b"])
        settings.batchEditsMax = scenario.batchEditsMax
        settings.capacity = scenario.capacity
        settings.writesPerTargetMax = scenario.writesPerTargetMax
        settings.attemptDeadline = scenario.attemptDeadline
        let process = WorkerProcess(
            slot: slot, life: lives,
            machine: WorkerMachine(settings: settings, identity: store.identity),
            clock: SimulatedClock(&chance, driftMax: scenario.driftMax), bootID: "boot\(boots)")
        workers[slot] = process
        workerProcesses.append(process)
        note("\(process.name) starts")
        join(process)
        wake(process, after: chance.micros(0, 1_000))
    }

    /// A worker process ends; another one starts under its label after a while.
    func endWorker(_ process: WorkerProcess, _ how: String, restartsAfter: Nanoseconds?) {
        guard process.isAlive else { return }
        note("\(process.name) \(how)")
        process.isAlive = false
        process.deferred = []
        process.link.isAlive = false
        breakLink(process.link)
        workerProcesses.removeAll { $0 === process }
        actions.ended(process.life)
        let isBearer = workers[process.slot] === process
        if isBearer { workers[process.slot] = nil }
        if scenario.hasSupervisor, how != "drained" {
            report(death: process.life, isKilled: how == WorkerProcess.expelled)
        }
        guard isBearer, let restartsAfter else { return }
        plan(after: restartsAfter) { cluster in
            if cluster.workers[process.slot] == nil { cluster.startWorker(process.slot) }
        }
    }

    // MARK: The loop

    func pass(_ process: WorkerProcess) {
        let now = process.clock.reading(at: agenda.now)
        while let message = process.inbox.popFirst() {
            tally.steps += 1
            process.machine.hear(message, at: now)
            // One that answers an earlier registration says nothing.
            guard case .welcome(let welcome) = message, process.machine.stamp == welcome.stamp
            else { continue }
            process.journal = welcome.journal
            process.incarnation = welcome.stamp.incarnation
            note(
                "\(process.name) is \(welcome.stamp.incarnation), "
                    + "registration \(welcome.stamp.registration), kept \(welcome.isKept)")
        }
        tally.steps += 1
        process.machine.pass(at: now)
        for directive in process.machine.takeDirectives() {
            run(directive, of: process)
            if !process.isAlive { return }
        }
        guard let next = process.machine.nextDeadline else { return }
        let at = max(process.clock.moment(of: next), agenda.now + 100_000)
        wake(process, after: at - agenda.now)
    }

    private func run(_ directive: WorkerDirective, of process: WorkerProcess) {
        switch directive {
        case .send(let message):
            note(message, from: process)
            send(message, over: process.link)
        case .lease(let incarnation, let until): process.lease = (incarnation, until)
        case .exit(let reason): exit(process, reason)
        case .bind(let journal, let isAdopted):
            later(process, after: storeTime()) { [unowned self] in
                let isAway = agenda.now < store.awayUntil
                let error =
                    isAway
                    ? SimulatedStore.unavailable : store.bind(to: journal, isAdopted: isAdopted)
                answer(process) { $0.storeBound(error, at: $1) }
            }
        case .apply(let batch): apply(batch, process)
        case .read(let assignment):
            begin(assignment, process)
            later(process, after: storeTime()) { [unowned self] in
                let isAway = agenda.now < store.awayUntil
                let result: Result<StoredVersion?, StoreError> =
                    isAway
                    ? .failure(SimulatedStore.unavailable)
                    : .success(store.newest[assignment.file])
                answer(process) { $0.read(assignment.id, result, at: $1) }
            }
        case .prepare(let preparation): prepare(preparation, process)
        case .write(let id, let url, let edit, let stage):
            write(WriteStep(id: id, url: url, edit: edit, stage: stage), process)
        case .probe(let target, _): probe(target, process)
        case .list(let asked, let epoch):
            // Small pages, so that few files make several.
            let question = FilesQuestion(
                number: asked.number, project: asked.project, after: asked.after,
                countMax: min(asked.countMax, 3))
            later(process, after: storeTime()) { [unowned self] in
                let isAway = agenda.now < store.awayUntil
                let result: Result<[StoredFile], StoreError> =
                    isAway
                    ? .failure(SimulatedStore.unavailable)
                    : .success(
                        store.files(
                            of: question.project, after: question.after,
                            countMax: question.countMax))
                answer(process) { machine, _ in machine.listed(question, of: epoch, result) }
            }
        }
    }

    private func exit(_ process: WorkerProcess, _ reason: WorkerExit) {
        switch reason {
        case .drained: endWorker(process, "drained", restartsAfter: chance.millis(100, 2_000))
        case .replaced: endWorker(process, "was replaced", restartsAfter: nil)
        case .refused(let code, let sentence):
            violate(.state, "\(process.name) was refused (\(code)): \(sentence)")
        }
    }

    /// Tells the machine a step's result and lets it go on.
    private func answer(
        _ process: WorkerProcess, _ tell: @escaping (inout WorkerMachine, Instant) -> Void
    ) {
        later(process, after: chance.micros(5, 300)) { [unowned self] in
            tally.steps += 1
            tell(&process.machine, process.clock.reading(at: agenda.now))
            wake(process, after: 0)
        }
    }

    // MARK: Store

    private func storeTime() -> Nanoseconds {
        if agenda.now < store.slowUntil { return chance.millis(100, 2_500) }
        return chance.happens(perMille: 20) ? chance.millis(1, 100) : chance.micros(100, 2_000)
    }

    /// What a worker says of files, for a trace.
    private func note(_ message: WorkerMessage, from process: WorkerProcess) {
        switch message {
        case .register(let registration):
            let held = registration.held.map { "\($0.file) \($0.sequence)" }
            note("\(process.name) registers, \(registration.registration), with \(held)")
        case .reports(let stamp, let reports):
            for case .outcome(let outcome) in reports.map(\.report) {
                note("\(stamp.incarnation) reports \(outcome.assignment): \(outcome.store)")
            }
        case .heartbeat, .drain, .leave, .files, .filesFailed: break
        }
    }

    private func apply(_ batch: [Assignment], _ process: WorkerProcess) {
        for assignment in batch { begin(assignment, process) }
        process.storing += batch.count
        later(process, after: storeTime()) { [unowned self] in
            process.storing -= batch.count
            var result: Result<[Applied], StoreError> = .failure(SimulatedStore.unavailable)
            if agenda.now >= store.awayUntil {
                let applied = batch.compactMap { assignment -> Applied? in
                    guard case .edit(let edit) = assignment.task else { return nil }
                    let former = (store.newest[edit.file], store.applied[edit.sequence]?.version)
                    let applied = store.apply(edit)
                    note("\(process.name) store \(edit.file) \(edit.sequence): \(applied)")
                    checkApplied(edit, applied, former: former)
                    return applied
                }
                if agenda.now >= store.forgetfulUntil || chance.happens(perMille: 500) {
                    result = .success(applied)
                }
            }
            answer(process) { $0.stored(batch.map(\.id), result, at: $1) }
        }
    }

    // MARK: Sandboxes

    private func targetTime(_ url: TargetURL) -> Nanoseconds {
        if let sandbox = sandboxes[url] {
            if agenda.now < sandbox.hangsUntil, chance.happens(perMille: 500) {
                return chance.millis(1_000, 20_000)
            }
            if agenda.now < sandbox.slowUntil { return chance.millis(50, 3_000) }
        }
        if url.scheme == "e2b" { return chance.millis(1, 60) }
        return chance.happens(perMille: 20) ? chance.millis(1, 100) : chance.micros(20, 800)
    }

    /// The sandbox of a target, made at first sight.
    func withSandbox<Result>(
        _ url: TargetURL, _ body: (inout SimulatedSandbox) -> Result
    ) -> Result {
        body(&sandboxes[url, default: SimulatedSandbox(url: url)])
    }

    private func prepare(_ preparation: Preparation, _ process: WorkerProcess) {
        let url = preparation.target.url
        let end: (Result<TargetFinding, SandboxError>) -> Void = { [unowned self] result in
            note("\(process.name) prepares \(url): \(result.brief)")
            answer(process) { $0.prepared(preparation, result, at: $1) }
        }
        step(url, process, else: { end(.failure($0)) }) { [unowned self] in
            let found = withSandbox(url) { $0.marker }
            if let finding = finding(
                found, at: preparation.target, wanted: preparation.marker)
            {
                end(.success(finding))
                return
            }
            let isThere = found?.standsFor(preparation.marker, isSynced: url.isSynced) ?? false
            guard !preparation.target.isMarked, !isThere else {
                revokeAndEnter(preparation, as: found?.mark, process, end)
                return
            }
            guard isLeased(process, preparation.stage) else {
                end(.failure(.leaseOver))
                return
            }
            // What hangs from here on is done in any case, unless another one has marked it.
            step(url, process, else: { end(.failure($0)) }) { [unowned self] in
                let standing = mark(preparation)
                revokeAndEnter(preparation, as: standing.mark, process, end)
            }
        }
    }

    private func mark(_ preparation: Preparation) -> SandboxMarker {
        let url = preparation.target.url
        let known = record(of: url)
        let isFirst =
            known?.generation == preparation.marker.generation && known?.isMarked == false
        return withSandbox(url) { $0.mark(preparation.marker, isFirst: isFirst) }
    }

    private func revokeAndEnter(
        _ preparation: Preparation, as mark: String?, _ process: WorkerProcess,
        _ end: @escaping (Result<TargetFinding, SandboxError>) -> Void
    ) {
        let target = preparation.target
        step(target.url, process, else: { end(.failure($0)) }) { [unowned self] in
            withSandbox(target.url) { sandbox in
                for debt in target.debts {
                    sandbox.revoke(
                        StageName(incarnation: debt, generation: target.generation))
                }
                if target.revokesOthers { sandbox.revokeOthers(keeping: preparation.stage) }
            }
            step(target.url, process, else: { end(.failure($0)) }) { [unowned self] in
                let isIn = withSandbox(target.url) { $0.enter(preparation.stage) }
                end(isIn ? .success(.marked(as: mark)) : .failure(SimulatedSandbox.revoked))
            }
        }
    }

    /// One call to a sandbox: it comes after a while, or the sandbox is away.
    private func step(
        _ url: TargetURL, _ process: WorkerProcess, else fail: @escaping (SandboxError) -> Void,
        _ action: @escaping () -> Void
    ) {
        later(process, after: targetTime(url)) { [unowned self] in
            if let error = withSandbox(url, { $0.absence(at: agenda.now) }) {
                fail(error)
            } else {
                action()
            }
        }
    }

    private func probe(_ target: AssignedTarget, _ process: WorkerProcess) {
        guard let journal = process.journal else { return }
        let wanted = SandboxMarker(
            journal: journal, project: target.project, generation: target.generation,
            bootID: process.bootID)
        let end: (Result<TargetFinding, SandboxError>) -> Void = { [unowned self] result in
            note("\(process.name) probes \(target.url): \(result.brief)")
            answer(process) { $0.probed(target, result, at: $1) }
        }
        step(target.url, process, else: { end(.failure($0)) }) { [unowned self] in
            let found = withSandbox(target.url) { $0.marker }
            let mark = found?.mark(in: wanted)
            end(.success(finding(found, at: target, wanted: wanted) ?? .well(as: mark)))
        }
    }

    private func finding(
        _ found: SandboxMarker?, at target: AssignedTarget, wanted: SandboxMarker
    ) -> TargetFinding? {
        target.finding(
            found, wanted: wanted, former: store.formerJournals,
            isSynced: target.url.isSynced)
    }

    private func isLeased(_ process: WorkerProcess, _ stage: StageName) -> Bool {
        process.lease.incarnation == stage.incarnation
            && process.clock.reading(at: agenda.now) < process.lease.until
    }

    /// A write as the shell makes it: the lease is looked at once more, then it begins.
    private func write(_ step: WriteStep, _ process: WorkerProcess) {
        later(process, after: chance.micros(1, 50)) { [unowned self] in
            guard isLeased(process, step.stage) else {
                answer(process) { $0.wrote(step.id, step.url, .failure(.leaseOver), at: $1) }
                return
            }
            beginWrite(step, process)
            if let error = refusal(of: step) {
                end(step, process, .failure(error))
                return
            }
            let effect = { [unowned self] in
                let result = rename(step, process)
                end(step, process, result)
            }
            // What was sent to a remote sandbox takes effect whatever becomes of the sender.
            if step.url.scheme == "e2b" {
                plan(after: targetTime(step.url)) { _ in effect() }
            } else {
                later(process, after: targetTime(step.url), effect)
            }
            meetDoom(of: process)
        }
    }

    private func end(
        _ step: WriteStep, _ process: WorkerProcess, _ result: Result<Drift?, SandboxError>
    ) {
        actions.end(step, of: process.life)
        answer(process) { $0.wrote(step.id, step.url, result, at: $1) }
    }

    private func refusal(of step: WriteStep) -> SandboxError? {
        let now = agenda.now
        let isUnlucky = chance.happens(
            perMille: withSandbox(step.url) { now < $0.flakyUntil ? $0.flakyPerMille : 0 })
        return withSandbox(step.url) { sandbox in
            if let absence = sandbox.absence(at: now) { return absence }
            if let until = sandbox.refused[step.edit.path], now < until {
                return SandboxError(.file, code: "EACCES", "The file can't be written.")
            }
            if now < sandbox.keepsDriftUntil, step.edit.looksForDrift,
                let drift = sandbox.drifts[step.edit.path]
            {
                return .drifted(step.edit.path, drift, in: "the sandbox")
            }
            if now < sandbox.fullUntil, case .put = step.edit.change {
                return SandboxError(.target, code: "ENOSPC", "The sandbox's disk is full.")
            }
            return isUnlucky ? SandboxError(.attempt, code: "EIO", "The disk failed.") : nil
        }
    }
}

extension Result where Success == TargetFinding, Failure == SandboxError {
    /// One word for a trace.
    var brief: String {
        switch self {
        case .success(let finding): "\(finding)"
        case .failure(let error): error.code
        }
    }
}

extension Result where Success == Drift?, Failure == SandboxError {
    /// One word for a trace.
    var brief: String {
        switch self {
        case .success(nil): "visible"
        case .success(let drift?): "visible, over \(drift)"
        case .failure(let error): error.code
        }
    }
}
