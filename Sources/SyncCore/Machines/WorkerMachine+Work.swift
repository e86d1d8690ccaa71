import DequeModule
import OrderedCollections

extension WorkerMachine {
    // MARK: Store

    /// Takes an assignment: an edit goes to the store, a refresh reads from it.
    mutating func take(_ assignment: Assignment) {
        jobs[assignment.id] = Job(assignment: assignment)
        toStore.append(assignment.id)
    }

    /// Sends waiting edits to the store as one batch, one batch at a time.
    mutating func beginStore() {
        guard storing.isEmpty else { return }
        var batch: [Assignment] = []
        var bytes = 0
        while let id = toStore.first, batch.count < settings.batchEditsMax {
            guard let job = jobs[id] else {
                toStore.removeFirst()
                continue
            }
            if case .refresh = job.assignment.task {
                toStore.removeFirst()
                directives.append(.read(job.assignment))
                continue
            }
            if !batch.isEmpty, bytes + job.assignment.byteCount > settings.batchBytesMax { break }
            toStore.removeFirst()
            bytes += job.assignment.byteCount
            batch.append(job.assignment)
            storing.insert(id)
        }
        if !batch.isEmpty { directives.append(.apply(batch)) }
    }

    /// Takes the store's answer to a batch.
    package mutating func stored(
        _ ids: [AssignmentID], _ result: Result<[Applied], StoreError>, at now: Instant
    ) {
        for (place, id) in ids.enumerated() {
            storing.remove(id)
            guard let job = jobs[id], case .edit(let edit) = job.assignment.task else { continue }
            switch result {
            case .failure(let error):
                end(
                    id,
                    store: .failed(
                        Failure(.store, code: error.code.rawValue, message: error.message)))
            case .success(let applied):
                guard place < applied.count else { continue }
                take(applied[place], of: edit, id)
            }
        }
    }

    private mutating func take(_ applied: Applied, of edit: SequencedEdit, _ id: AssignmentID) {
        switch applied {
        case .applied(let version), .known(let version):
            identity = StoreIdentity(
                id: identity.id, journal: identity.journal,
                highestSequence: max(identity.highestSequence, edit.sequence))
            jobs[id]?.version = version
            write(
                SandboxEdit(
                    path: edit.file.path, change: edit.change, sequence: edit.sequence,
                    version: version), for: id)
        case .stale(let newer): end(id, store: .stale(by: newer))
        case .conflict(let current): end(id, store: .conflict(current: current))
        case .refused(let reason): end(id, store: .refused(reason: reason))
        }
    }

    /// Takes what the store holds of a file that is to be written again.
    package mutating func read(
        _ id: AssignmentID, _ result: Result<StoredVersion?, StoreError>, at now: Instant
    ) {
        guard let job = jobs[id] else { return }
        switch result {
        case .failure(let error):
            end(
                id,
                store: .failed(Failure(.store, code: error.code.rawValue, message: error.message)))
        case .success(nil):
            // The store never had it: nothing is to be written.
            for target in job.assignment.targets { jobs[id]?.results[target.url] = .visible }
            endIfComplete(id)
        case .success(let found?):
            jobs[id]?.version = found.version
            write(
                SandboxEdit(
                    path: found.path, change: found.change, sequence: found.sequence,
                    version: found.version), for: id)
        }
    }

    /// Takes the result of binding the store to the journal.
    package mutating func storeBound(_ error: StoreError?, at now: Instant) {
        guard let error else {
            isStoreBound = true
            return
        }
        if error.code == .unavailable, let journal {
            directives.append(.bind(journal, isAdopted: false))
            return
        }
        hasExited = true
        directives.append(.exit(.refused(code: error.code.rawValue, sentence: error.message)))
    }

    // MARK: Targets

    private mutating func write(_ edit: SandboxEdit, for id: AssignmentID) {
        guard let job = jobs[id] else { return }
        jobs[id]?.edit = edit
        for target in job.assignment.targets { toWrite.append((id, target.url)) }
        endIfComplete(id)
    }

    /// Begins writes whose target is ready; makes the others ready first.
    mutating func beginWrites() {
        while let next = toWrite.popFirst() {
            guard let job = jobs[next.id], let edit = job.edit, let stamp,
                let target = job.assignment.targets.first(where: { $0.url == next.target })
            else { continue }
            guard var place = places[target.url], place.generation == target.generation else {
                prepare(target, for: next.id, as: stamp)
                continue
            }
            if place.isPreparing {
                place.waiting.append(next.id)
                places[target.url] = place
            } else if !place.isReady || !place.revoked.isSuperset(of: target.debts)
                || (target.revokesOthers && !place.othersRevoked)
            {
                prepare(target, for: next.id, as: stamp)
            } else {
                directives.append(
                    .write(
                        next.id, target.url, edit,
                        StageName(
                            incarnation: stamp.incarnation, generation: target.generation)))
            }
        }
    }

    private mutating func prepare(
        _ target: AssignedTarget, for id: AssignmentID, as stamp: WorkerStamp
    ) {
        guard let journal else { return }
        var place = Place(generation: target.generation)
        if let old = places[target.url], old.generation == target.generation {
            place.revoked = old.revoked
            place.othersRevoked = old.othersRevoked
        }
        place.waiting = [id]
        places[target.url] = place
        directives.append(
            .prepare(
                Preparation(
                    target: target,
                    marker: SandboxMarker(
                        journal: journal, project: target.project, generation: target.generation,
                        bootID: settings.bootID),
                    stage: StageName(
                        incarnation: stamp.incarnation, generation: target.generation))))
    }

    /// Takes the result of making a target ready.
    package mutating func prepared(
        _ preparation: Preparation, _ result: Result<TargetFinding, SandboxError>, at now: Instant
    ) {
        let target = preparation.target
        guard preparation.stage.incarnation == stamp?.incarnation,
            var place = places[target.url], place.generation == target.generation
        else { return }
        place.isPreparing = false
        let waiting = place.waiting
        place.waiting = []
        if case .success(.marked) = result {
            place.isReady = true
            place.revoked.formUnion(target.debts)
            place.othersRevoked = place.othersRevoked || target.revokesOthers
            places[target.url] = place
            tellReady(target)
            for id in waiting { toWrite.append((id, target.url)) }
            return
        }
        places[target.url] = nil
        switch result {
        case .failure(let error) where error.code == SandboxError.revokedCode:
            becomeNew(at: now)
        case .failure(let error): for id in waiting { fail(id, target.url, error) }
        case .success(let finding):
            report(finding, at: target)
            let error = SandboxError(.target, code: finding.failureCode, finding.sentence)
            for id in waiting { fail(id, target.url, error) }
        }
    }

    private mutating func tellReady(_ target: AssignedTarget) {
        if !target.isMarked { report(.marked, at: target) }
        if !target.debts.isEmpty { report(.revoked(target.debts), at: target) }
        if target.revokesOthers { report(.othersRevoked, at: target) }
    }

    private mutating func report(_ finding: TargetFinding, at target: AssignedTarget) {
        outbox.add(
            .target(
                TargetReport(url: target.url, generation: target.generation, finding: finding)))
    }

    /// Takes a write's result.
    package mutating func wrote(
        _ id: AssignmentID, _ target: TargetURL, _ error: SandboxError?, at now: Instant
    ) {
        guard jobs[id] != nil else { return }
        guard let error else {
            jobs[id]?.results[target] = .visible
            endIfComplete(id)
            return
        }
        if error.code == SandboxError.revokedCode {
            becomeNew(at: now)
            return
        }
        if error.failureClass == .target { places[target]?.isReady = false }
        fail(id, target, error)
    }

    private mutating func fail(_ id: AssignmentID, _ target: TargetURL, _ error: SandboxError) {
        jobs[id]?.results[target] = .failed(
            Failure(
                error.failureClass, code: error.code, message: error.message,
                retryAfter: error.retryAfter))
        endIfComplete(id)
    }

    /// Takes a probe's result.
    package mutating func probed(
        _ target: AssignedTarget, _ result: Result<TargetFinding, SandboxError>, at now: Instant
    ) {
        switch result {
        case .success(let finding): report(finding, at: target)
        case .failure(let error):
            report(
                .failed(
                    Failure(
                        error.failureClass, code: error.code, message: error.message,
                        retryAfter: error.retryAfter)), at: target)
        }
    }

    /// Takes a page of a project's files.
    package mutating func listed(
        _ project: ProjectName, after: EditPath?, countMax: Int,
        _ result: Result<[StoredFile], StoreError>
    ) {
        guard let stamp, isMember else { return }
        switch result {
        case .success(let found):
            directives.append(
                .send(
                    .files(
                        stamp, project: project, after: after,
                        found.map { ListedFile(path: $0.path, sequence: $0.sequence) },
                        isLast: found.count < countMax)))
        case .failure(let error):
            directives.append(
                .send(
                    .filesFailed(
                        stamp, project: project,
                        Failure(.store, code: error.code.rawValue, message: error.message))))
        }
    }

    // MARK: Outcomes

    private mutating func endIfComplete(_ id: AssignmentID) {
        guard let job = jobs[id], job.assignment.targets.allSatisfy({ job.results[$0.url] != nil })
        else { return }
        end(id, store: .stored(job.version ?? .none))
    }

    private mutating func end(_ id: AssignmentID, store: StoreResult) {
        guard let job = jobs.removeValue(forKey: id) else { return }
        outbox.add(
            .outcome(Outcome(assignment: id, store: store, targets: job.results)), held: job.held)
    }
}

extension TargetFinding {
    /// The code that a failed write bears because of this finding.
    var failureCode: String {
        if case .taken = self { return TargetCode.taken }
        return code.isEmpty ? "not-ready" : code
    }

    /// What it means, for a person.
    var sentence: String {
        switch self {
        case .blank: "The sandbox lost its marker: it came back blank and is filled again."
        case .rolledBack: "The sandbox was rolled back to an older state and is filled again."
        case .rebooted: "The machine was restarted; the sandbox is written again."
        case .taken(let owner): "The sandbox belongs to \(owner)."
        case .marked, .revoked, .othersRevoked, .settled, .well: "The sandbox is not ready."
        case .failed(let failure): failure.message
        }
    }
}
