import DequeModule
import OrderedCollections

extension WorkerMachine {
    // MARK: Store

    /// Takes an assignment: an edit goes to the store, a refresh reads from it.
    mutating func take(_ assignment: Assignment, at now: Instant) {
        jobs[assignment.id] = Job(assignment: assignment, takenAt: now)
        toStore.append(assignment.id)
    }

    /// Sends waiting edits to the store as one batch, one batch at a time.
    mutating func beginStore(at now: Instant) {
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
                reading.append((id, now + settings.attemptDeadline))
                directives.append(.read(job.assignment))
                continue
            }
            if !batch.isEmpty, bytes + job.assignment.byteCount > settings.batchBytesMax { break }
            toStore.removeFirst()
            bytes += job.assignment.byteCount
            batch.append(job.assignment)
            storing.insert(id)
        }
        if batch.isEmpty { return }
        storingDue = now + settings.attemptDeadline
        directives.append(.apply(batch))
    }

    /// Takes the store's answer to a batch.
    package mutating func stored(
        _ ids: [AssignmentID], _ result: Result<[Applied], StoreError>, at now: Instant
    ) {
        storing.subtract(ids)
        if storing.isEmpty { storingDue = nil }
        for (place, id) in ids.enumerated() {
            guard let job = jobs[id], case .edit(let edit) = job.assignment.task else { continue }
            switch result {
            case .failure(let error):
                end(id, because: error)
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
        case .unavailable(let reason): end(id, because: StoreError(.unavailable, reason))
        }
    }

    /// Takes what the store holds of a file that is to be written again.
    package mutating func read(
        _ id: AssignmentID, _ result: Result<StoredVersion?, StoreError>, at now: Instant
    ) {
        guard let job = jobs[id] else { return }
        switch result {
        case .failure(let error):
            end(id, because: error)
        case .success(nil):
            // The store never had it: nothing is to be written.
            for target in job.assignment.targets { jobs[id]?.results[target.url] = .visible }
            endIfComplete(id)
        case .success(let found?):
            jobs[id]?.version = found.version
            write(
                SandboxEdit(
                    path: found.path, change: found.change, sequence: found.sequence,
                    version: found.version, isRefresh: true), for: id)
        }
    }

    /// Takes the result of binding the store to the journal.
    package mutating func storeBound(_ error: StoreError?, at now: Instant) {
        bindDue = nil
        guard let error else {
            isStoreBound = true
            return
        }
        if error.code == .unavailable {
            bindAt = now + settings.bindWait
            // Given back, so that people read why they wait, and another worker may be asked first.
            let waiting = jobs.filter { id, job in
                job.isAtStore && !storing.contains(id) && !reading.contains { $0.id == id }
            }
            for id in waiting.keys { end(id, because: error) }
            return
        }
        hasExited = true
        directives.append(.exit(.refused(code: error.code.rawValue, sentence: error.message)))
    }

    // MARK: Outcomes

    mutating func endIfComplete(_ id: AssignmentID) {
        guard let job = jobs[id], job.assignment.targets.allSatisfy({ job.results[$0.url] != nil })
        else { return }
        end(id, store: .stored(job.version ?? .none))
    }

    /// Gives the file back: the store can't take or tell it now.
    private mutating func end(_ id: AssignmentID, because error: StoreError) {
        end(id, store: .failed(Failure(error)))
    }

    mutating func end(_ id: AssignmentID, store: StoreResult) {
        guard let job = jobs.removeValue(forKey: id) else { return }
        outbox.add(
            .outcome(
                Outcome(
                    assignment: id, store: store, targets: job.results, drifts: job.drifts)),
            held: job.held)
        if !stuckWrites.isEmpty { settleStuck(of: job) }
    }
}

extension Failure {
    /// The store's failure, as it is told to the coordinator.
    init(_ error: StoreError) {
        self.init(.store, code: error.code.rawValue, message: error.message)
    }
}
