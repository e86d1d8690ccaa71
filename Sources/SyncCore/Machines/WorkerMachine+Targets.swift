import DequeModule
import OrderedCollections

extension WorkerMachine {
    // MARK: Targets

    mutating func write(_ edit: SandboxEdit, for id: AssignmentID) {
        guard let job = jobs[id] else { return }
        jobs[id]?.edit = edit
        for target in job.assignment.targets { toWrite.append((id, target.url)) }
        endIfComplete(id)
    }

    /// Begins writes whose target is ready; makes the others ready first.
    ///
    /// Few are under way at a target at a time. The others wait in their order without a deadline,
    /// and each that did not fly, since its target was not ready or it failed, leaves its place to
    /// the next: who waits always waits for one that is under way.
    mutating func beginWrites(at now: Instant) {
        while let next = toWrite.popFirst() {
            if crowded[next.target] != nil || isCrowded(next.target) {
                // One that has waited for the target to become ready has a deadline already.
                deadlines.end(WriteStep(assignment: next.id, target: next.target))
                crowded[next.target, default: []].append(next.id)
            } else {
                beginWrite(of: next.id, into: next.target, at: now)
            }
        }
        if crowded.isEmpty { return }
        for target in crowded.keys.sorted() {
            while !isCrowded(target), let id = crowded[target]?.popFirst() {
                beginWrite(of: id, into: target, at: now)
            }
            if crowded[target]?.isEmpty ?? false { crowded[target] = nil }
        }
    }

    private mutating func beginWrite(
        of id: AssignmentID, into url: TargetURL, at now: Instant
    ) {
        guard let job = jobs[id], var edit = job.edit, let stamp,
            let target = job.assignment.targets.first(where: { $0.url == url }),
            job.results[url] == nil
        else { return }
        let step = WriteStep(assignment: id, target: url)
        deadlines.begin(step, due: now + settings.attemptDeadline)
        if let place = places[url], place.generation > target.generation {
            fail(id, url, Self.fillingOver)
            return
        }
        guard var place = places[url], place.generation == target.generation else {
            let over = places[url]?.waiting ?? []
            prepare(target, for: id, as: stamp)
            for id in over { fail(id, url, Self.fillingOver) }
            return
        }
        if place.isPreparing {
            place.waiting.append(id)
            places[url] = place
        } else if !place.isReady || !place.revoked.isSuperset(of: target.debts)
            || (target.revokesOthers && !place.othersRevoked)
        {
            prepare(target, for: id, as: stamp)
        } else if isOvertaking(edit.path, at: url) {
            behind[url, default: []].append(id)
        } else {
            flights[step] = Flight(path: edit.path)
            flying[url, default: 0] += 1
            if target.isBeingFilled { edit.isIntoFilling = true }
            let stage = StageName(
                incarnation: stamp.incarnation, generation: target.generation)
            directives.append(.write(id, url, edit, stage))
        }
    }

    private func isCrowded(_ target: TargetURL) -> Bool {
        flying[target, default: 0] >= settings.writesPerTargetMax
    }

    /// Why a write into a former filling is not made; the coordinator gives it to the present one.
    private static let fillingOver = SandboxError(
        .target, code: TargetCode.rolledBack,
        "The sandbox is filled anew since; the file is written into the new filling.")

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
        preparationCount += 1
        directives.append(
            .prepare(
                Preparation(
                    target: target,
                    marker: SandboxMarker(
                        journal: journal, project: target.project, generation: target.generation,
                        bootID: settings.bootID,
                        mark: "\(stamp.incarnation)/\(preparationCount)"),
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
        // What hangs behind a write of a former incarnation stays stuck.
        let waiting = place.waiting.filter { jobs[$0]?.results[target.url] == nil }
        place.waiting = []
        if case .success(.marked(let mark)) = result {
            place.isReady = true
            place.revoked.formUnion(target.debts)
            place.othersRevoked = place.othersRevoked || target.revokesOthers
            places[target.url] = place
            tellReady(target, mark)
            for id in waiting { toWrite.append((id, target.url)) }
            return
        }
        places[target.url] = nil
        switch result {
        case .failure(let error) where error.code == SandboxError.revokedCode:
            becomeNew(at: now)
        case .failure(let error):
            let error = Self.ofTarget(error)
            for id in waiting { fail(id, target.url, error) }
        case .success(let finding):
            report(finding, at: target)
            let error = SandboxError(.target, code: finding.failureCode, finding.sentence)
            for id in waiting { fail(id, target.url, error) }
        }
    }

    /// A failure to make a target ready: it is the target's, and no file's attempt is burnt.
    ///
    /// One that asks for a wait stays what it is.
    private static func ofTarget(_ error: SandboxError) -> SandboxError {
        guard error.failureClass == .attempt, error.retryAfter == nil else { return error }
        return SandboxError(.target, code: error.code, error.message)
    }

    private mutating func tellReady(_ target: AssignedTarget, _ mark: String?) {
        report(.marked(as: mark), at: target)
        if !target.debts.isEmpty { report(.revoked(target.debts), at: target) }
        if target.revokesOthers { report(.othersRevoked, at: target) }
    }

    mutating func report(_ finding: TargetFinding, at target: AssignedTarget) {
        outbox.add(
            .target(
                TargetReport(url: target.url, generation: target.generation, finding: finding)))
    }

    /// Takes a write's result; one that comes after its deadline settles what was stuck.
    package mutating func wrote(
        _ id: AssignmentID, _ target: TargetURL, _ result: Result<Drift?, SandboxError>,
        at now: Instant
    ) {
        landed(WriteStep(assignment: id, target: target))
        guard jobs[id] != nil else { return }
        let error: SandboxError
        switch result {
        case .success(let drift):
            jobs[id]?.results[target] = .visible
            jobs[id]?.drifts[target] = drift
            endIfComplete(id)
            return
        case .failure(let failure): error = failure
        }
        if error.code == SandboxError.revokedCode {
            becomeNew(at: now)
            return
        }
        if error.failureClass == .target { places[target]?.isReady = false }
        fail(id, target, error)
    }

    mutating func fail(_ id: AssignmentID, _ target: TargetURL, _ error: SandboxError) {
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
        probing.remove(target.url)
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
    ///
    /// Each coordinator counts its questions from 1: what a former one had asked would be taken for
    /// the answer to another question of the present one.
    package mutating func listed(
        _ question: FilesQuestion, of epoch: Epoch, _ result: Result<[StoredFile], StoreError>
    ) {
        guard let stamp, isMember, stamp.epoch == epoch else { return }
        switch result {
        case .success(let found):
            directives.append(
                .send(
                    .files(
                        stamp, question,
                        found.map { ListedFile(path: $0.path, sequence: $0.sequence) },
                        isLast: found.count < question.countMax)))
        case .failure(let error):
            directives.append(
                .send(
                    .filesFailed(stamp, question, Failure(error))))
        }
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
