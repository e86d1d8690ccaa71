extension CoordinatorMachine {
    /// Makes true what a turn says of stuck writes and of waits that targets asked for.
    ///
    /// - Returns: Targets where something was settled.
    mutating func noteStuck(_ done: Turn) -> [TargetURL] {
        var settled: [TargetURL] = []
        for (target, until) in done.held { board.hold(target, until: until) }
        for target in done.unstuck where stuck.hasStuck(at: target) {
            stuck.forget(at: target)
            settled.append(target)
        }
        for incarnation in done.stuckRestated { settled += stuck.forget(incarnation) }
        for change in done.stuck {
            if !change.isSettled {
                stuck.add(change.path, at: change.target, by: change.holder)
            } else if stuck.settle(change.path, at: change.target, by: change.holder) {
                settled.append(change.target)
            }
        }
        return settled
    }

    /// A write has come back, or its holder has ended: whatever waited for it goes on.
    mutating func noteSettled(_ target: TargetURL, at now: Instant) {
        if !stuck.hasStuck(at: target) { board.probeNow(target, at: now) }
        for index in parked[target] ?? [] where !files[index].isStaged { requeue(index, at: now) }
    }

    /// Stages what a worker says is stuck when it registers again: the whole truth about it.
    func stage(
        stuck named: [Registration.Held], of incarnation: Incarnation, in turn: inout Turn
    ) {
        turn.stuckRestated.append(incarnation)
        for held in named {
            for target in held.targets {
                turn.stuck.append(
                    Turn.StuckChange(
                        target: target, path: held.file.path, holder: incarnation,
                        isSettled: false))
                stageAway(
                    target, of: held.file.project, cause: Self.stuckCause(held.file.path),
                    in: &turn)
            }
        }
    }

    /// Why a target is away whose write hangs.
    static func stuckCause(_ path: EditPath) -> Failure {
        Failure(
            .target, code: TargetCode.stuck,
            message: "The write of '\(path)' did not come back within its deadline; the file is "
                + "not touched there before it has. Look whether the sandbox's file system hangs; "
                + "its edits wait.")
    }

    /// Looks once more for flushes that wait for a file which can't go on now.
    mutating func tellFlushHints(at now: Instant) {
        let hints = flushHints
        flushHints = []
        for index in hints {
            let slot = files[index]
            guard slot.isHopeless, flushes.isWaiting(for: slot.key.project) else { continue }
            noteFlushes(index, slot.key, visible: nil, isListed: false, at: now)
        }
    }
}
