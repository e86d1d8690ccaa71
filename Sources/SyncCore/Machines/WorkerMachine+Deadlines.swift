import DequeModule
import OrderedCollections

extension WorkerMachine {
    /// A write that was begun and has not come back.
    struct Flight: Sendable {
        let path: EditPath
        /// Whether its job is gone: it was reported as stuck, or belongs to a former incarnation.
        var isOrphan = false
    }

    /// A write that was reported as stuck: the coordinator waits until it is settled.
    struct StuckWrite: Sendable {
        let held: Registration.Held
        let target: AssignedTarget
        /// Whether a registration has told of it; else the outcome will.
        var isTold = false
    }

    /// Reports writes whose deadline has passed.
    ///
    /// One that was begun is *stuck*, whatever comes of it later. One that waits behind such a
    /// write of a former incarnation is, too: this process never overtakes its own hung write
    /// (trace B9). One that was not begun, because the target did not become ready, has only
    /// failed.
    mutating func endOverdue(at now: Instant) {
        for step in deadlines.overdue(at: now) {
            guard let job = jobs[step.assignment], job.results[step.target] == nil,
                let edit = job.edit,
                let target = job.assignment.targets.first(where: { $0.url == step.target })
            else { continue }
            if flights[step] != nil || isOvertaking(edit.path, at: step.target) {
                disperse(step.target)
                if flights[step] != nil { orphan(step) }
                stuckWrites[step] = StuckWrite(
                    held: Registration.Held(
                        assignment: step.assignment, file: job.assignment.file,
                        sequence: job.assignment.sequence, targets: [step.target]),
                    target: target)
                jobs[step.assignment]?.results[step.target] = .stuck
                endIfComplete(step.assignment)
            } else {
                fail(
                    step.assignment, step.target,
                    SandboxError(
                        .target, code: "timeout",
                        "The sandbox did not become ready within "
                            + "\(settings.attemptDeadline.wholeMilliseconds) ms; look whether its "
                            + "file system hangs. Its edits wait."))
            }
        }
    }

    /// Whether a write would overtake one of this process that hangs.
    func isOvertaking(_ path: EditPath, at target: TargetURL) -> Bool {
        guard orphans[target] != nil else { return false }
        return flights.contains { step, flight in
            flight.isOrphan && step.target == target
                && (flight.path == path || flight.path.isRelated(to: path))
        }
    }

    /// Gives back what waits for others at a target that hangs.
    private mutating func disperse(_ target: TargetURL) {
        for id in crowded.removeValue(forKey: target) ?? [] {
            fail(
                id, target,
                SandboxError(
                    .target, code: "timeout",
                    "Writes before this one have not come back from the sandbox within "
                        + "\(settings.attemptDeadline.wholeMilliseconds) ms; look whether its "
                        + "file system hangs. Its edits wait."))
        }
    }

    /// One less is under way at a target: the next pass begins another one.
    private mutating func leave(_ target: TargetURL) {
        guard let count = flying[target] else { return }
        flying[target] = count > 1 ? count - 1 : nil
    }

    /// What of a job was stuck when the job ended, and hangs no more, is settled at once: nothing
    /// that lands later would tell.
    mutating func settleStuck(of job: Job) {
        for target in job.assignment.targets {
            let step = WriteStep(assignment: job.assignment.id, target: target.url)
            guard let write = stuckWrites[step], flights[step] == nil,
                !isOvertaking(write.held.file.path, at: target.url)
            else { continue }
            stuckWrites[step] = nil
            report(.settled(write.held.file.path), at: write.target)
        }
    }

    private mutating func orphan(_ step: WriteStep) {
        guard let flight = flights[step], !flight.isOrphan else { return }
        flights[step]?.isOrphan = true
        leave(step.target)
        orphans[step.target, default: 0] += 1
    }

    /// Whatever is on its way belongs to an incarnation that has ended; what was told is void.
    mutating func orphanAll() {
        crowded = [:]
        for step in flights.keys { orphan(step) }
        stuckWrites = [:]
        deadlines = Deadlines()
        behind = [:]
    }

    /// A write has come back, in time or late.
    mutating func landed(_ step: WriteStep) {
        deadlines.end(step)
        guard let flight = flights.removeValue(forKey: step) else { return }
        let isTold = stuckWrites[step]?.isTold ?? false
        if jobs[step.assignment] != nil, !isTold { stuckWrites[step] = nil }
        if !flight.isOrphan { leave(step.target) }
        guard flight.isOrphan, let count = orphans[step.target] else { return }
        orphans[step.target] = count > 1 ? count - 1 : nil
        for id in behind.removeValue(forKey: step.target) ?? [] {
            toWrite.append((id, step.target))
        }
        for (told, write) in stuckWrites where told.target == step.target {
            guard jobs[told.assignment] == nil || (told == step && write.isTold),
                !isOvertaking(write.held.file.path, at: told.target)
            else { continue }
            stuckWrites[told] = nil
            report(.settled(write.held.file.path), at: write.target)
        }
    }
}
