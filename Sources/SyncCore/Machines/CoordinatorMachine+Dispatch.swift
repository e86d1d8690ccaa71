import DequeModule
import HeapModule
import OrderedCollections

extension CoordinatorMachine {
    /// Puts a slot into the table and counts what it changes.
    ///
    /// - Returns: Whether something of the file has ended: its edit, or a refresh.
    @discardableResult
    mutating func install(_ index: FileIndex, _ slot: FileSlot, at now: Instant) -> Bool {
        forgetReadBack(index)
        let old = files[index]
        var slot = slot
        let project = slot.key.project
        let opened = (slot.isPending ? 1 : 0) - (old.isPending ? 1 : 0)
        if opened != 0 {
            if slot.isPending {
                openFiles[project, default: []].insert(index)
                trees[project, default: PathTree()].open(slot.key.path)
            } else {
                openFiles[project]?.remove(index)
                if openFiles[project]?.isEmpty ?? false { openFiles[project] = nil }
                trees[project]?.close(slot.key.path)
            }
        }
        noteFailed(old, slot)
        countRefreshes(old, slot)
        let bytes = slot.byteCount - old.byteCount
        pendingFiles += opened
        pendingBytes += bytes
        Self.add((opened, bytes), to: &projectPending[project, default: (0, 0)])
        memoryBytes -= old.content?.weight ?? 0
        if let content = slot.content {
            // Past the budget the journal alone has it; it is read back at dispatch.
            if memoryBytes + content.weight > settings.memoryBytesMax {
                slot.content = nil
            } else {
                memoryBytes += content.weight
            }
        }
        slot.isReadBack = false
        slot.isStaged = ahead?.files[index] != nil
        slot.stamp = old.stamp
        slot.phase = old.phase
        files[index] = slot
        requeue(index, at: now)
        return (old.isEditWaiting && !slot.isEditWaiting)
            || slot.refresh.count < old.refresh.count
    }

    private static func add(
        _ change: (files: Int, bytes: Int), to pending: inout (files: Int, bytes: Int)
    ) {
        pending.files += change.files
        pending.bytes += change.bytes
    }

    /// Finds out where a file stands and queues it there; older queue entries become void.
    mutating func requeue(_ index: FileIndex, at now: Instant) {
        if staysHeldOff(index, at: now) { return wakeBlocked(by: index, at: now) }
        unpark(index)
        if files[index].phase == .loading { forgetReadBack(index) }
        files[index].stamp &+= 1
        if !shaped.isEmpty { shaped.remove(index) }
        let slot = files[index]
        if !slot.isPending {
            dropReadBack(index)
            files[index].phase = .rest
            wakeBlocked(by: index, at: now)
            if projectPending[slot.key.project]?.files == 0 {
                projectPending[slot.key.project] = nil
            }
            // Its slot stays for the edit that is staged ahead.
            if !slot.isStaged { files.release(index) }
            return
        }
        let standing = standing(of: slot, at: now)
        files[index].phase = standing.phase
        if standing.phase != .ready { dropReadBack(index) }
        switch standing.phase {
        case .ready:
            if arriving.isEmpty { arriving.append(ReadyQueue()) }
            arriving[arriving.count - 1].push(
                readyEntry(of: index), project: slot.key.project)
        case .delayed, .heldOff:
            guard let dueAt = standing.dueAt else { break }
            delayed.insert(
                DelayedEntry(dueAt: dueAt, index: index, stamp: files[index].stamp))
            if standing.phase == .heldOff {
                holdOffs.hold(index, of: slot.key.project)
            } else if slot.trouble.value.shapeSince != nil {
                shaped.insert(index)
            }
        case .parked: park(index)
        case .ending: inbox.append(.settle(index))
        case .rest, .blocked, .loading, .inHand, .failed: break
        }
        wakeBlocked(by: index, at: now)
        if files[index].isHopeless, flushes.isWaiting(for: slot.key.project) {
            flushHints.append(index)
        }
    }

    /// Where a file stands, and until when if it only waits for time to pass.
    private func standing(
        of slot: FileSlot, at now: Instant
    ) -> (phase: FilePhase, dueAt: Instant?) {
        if slot.inHand != nil { return (.inHand, nil) }
        if isOver(slot, in: nil) { return (.ending, nil) }
        if !slot.isEditWaiting, slot.refresh.isEmpty {
            return (slot.row == nil ? .rest : .failed, nil)
        }
        let wanted = wantedTargets(of: slot)
        var isParked = !wanted.isEmpty
        var held = Earliest()
        for target in wanted where isOpen(target, for: slot.key.path) {
            isParked = false
            held.note(board.heldUntil(target) ?? now)
        }
        if isParked { return (.parked, nil) }
        var dueAt = slot.trouble.value.dueAt ?? now
        // A wait that every open target asked for holds for any edit, the newest too (trace B1).
        if let held = held.at { dueAt = max(dueAt, held) }
        if dueAt > now { return (.delayed, dueAt) }
        if slot.isEditWaiting, let until = holdOffs.heldUntil(slot.key), until > now {
            return (.heldOff, until)
        }
        return (.ready, nil)
    }

    /// Whether a file that is held off is so after a newer edit, too: then its entry stays.
    private func staysHeldOff(_ index: FileIndex, at now: Instant) -> Bool {
        let slot = files[index]
        guard slot.phase == .heldOff, slot.isPending else { return false }
        return standing(of: slot, at: now).phase == .heldOff
    }

    /// Holds files of a project off whose turn was full of edits that replaced others.
    mutating func noteHoldOffs(_ done: Turn, at now: Instant) {
        for (project, count) in done.replacing where count >= settings.holdOffEditsMin {
            holdOffs.load(
                project, at: now, first: settings.holdOffWait, most: settings.holdOffWaitMax)
        }
    }

    /// Lets the files of projects go whose load is over; not while the disk has a turn.
    mutating func endHoldOffs(at now: Instant) {
        guard turn == nil, !holdOffs.isEmpty else { return }
        for index in holdOffs.end(at: now)
        where files[index].phase == .heldOff && !files[index].isStaged {
            requeue(index, at: now)
        }
    }

    /// Where a file is to be written: its newest edit, or what the store holds.
    func wantedTargets(of slot: FileSlot) -> [TargetURL] {
        slot.isEditWaiting ? missingTargets(of: slot) : slot.refresh
    }

    /// Whether a path may be written at a target: it answers, and neither the path nor a related
    /// one is stuck there.
    func isOpen(_ target: TargetURL, for path: EditPath) -> Bool {
        board.isWell(target) && !stuck.isStuck(path, at: target)
    }

    /// Attached targets where the newest edit is neither visible nor failed.
    func missingTargets(of slot: FileSlot) -> [TargetURL] {
        guard case .some(let trouble) = slot.trouble else {
            return attachedTargets(of: slot.key.project, in: nil)
        }
        return missingTargets(of: trouble, in: slot.key.project, nil)
    }

    /// Likewise as the turn sees it: where it begins a filling, all is missing.
    func missingTargets(
        of trouble: Trouble, in project: ProjectName, _ turn: Turn?
    ) -> [TargetURL] {
        attachedTargets(of: project, in: turn).filter {
            !trouble.isDone(at: $0) || turn?.refilled.contains($0) ?? false
        }
    }

    private mutating func park(_ index: FileIndex) {
        let slot = files[index]
        for target in wantedTargets(of: slot) { parked[target, default: []].insert(index) }
        if slot.isEditWaiting, !slot.trouble.value.isParkedTold { inbox.append(.park(index)) }
    }

    private mutating func unpark(_ index: FileIndex) {
        guard files[index].phase == .parked else { return }
        for target in parked.keys where parked[target]?.contains(index) ?? false {
            parked[target]?.remove(index)
            if parked[target]?.isEmpty ?? false { parked[target] = nil }
        }
    }

    private mutating func wakeBlocked(by index: FileIndex, at now: Instant) {
        guard let waiting = blockedBy.removeValue(forKey: index) else { return }
        for other in waiting where files[other].phase == .blocked && !files[other].isStaged {
            requeue(other, at: now)
        }
    }

    /// Files whose wait is over become ready.
    mutating func wakeDelayed(at now: Instant) {
        while let entry = delayed.min, entry.dueAt <= now {
            delayed.removeMin()
            let slot = files[entry.index]
            guard slot.stamp == entry.stamp else { continue }
            switch slot.phase {
            case .delayed where !slot.isStaged: requeue(entry.index, at: now)
            case .heldOff:
                // The wait may have grown; what is staged is looked at again when it comes back.
                files[entry.index].phase = .ready
                if !slot.isStaged { requeue(entry.index, at: now) }
            case .rest, .ready, .blocked, .delayed, .parked, .loading, .inHand, .failed, .ending:
                break
            }
        }
    }

    /// A file as it stands in a queue now.
    ///
    /// One whose content has been read back has had its turn and goes first: behind another one
    /// that waits for the room that it takes, both would wait for ever. A refresh queues as an edit
    /// that comes now: by its old sequence, a whole refill would go before each new edit.
    private func readyEntry(of index: FileIndex) -> ReadyEntry {
        let slot = files[index]
        var sequence = slot.queueSequence
        if !slot.isEditWaiting { sequence = max(sequence, header.lastSequence) }
        if slot.isReadBack { sequence = .none }
        return ReadyEntry(sequence: sequence, index: index, stamp: slot.stamp)
    }

    /// Everything placed is placed anew, a bounded number a pass.
    mutating func membershipChanged() {
        for (_, queue) in placed where !queue.isEmpty { arriving.insert(queue, at: 0) }
        placed = [:]
        let waiting = stranded + suspects.values.flatMap { $0.map(\.index) }
        stranded = []
        suspects = [:]
        if arriving.isEmpty { arriving.append(ReadyQueue()) }
        for index in waiting where files[index].phase == .ready {
            arriving[arriving.count - 1].push(
                readyEntry(of: index), project: files[index].key.project)
        }
    }
}
