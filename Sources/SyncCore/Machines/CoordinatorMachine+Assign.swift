import DequeModule
import HeapModule

extension CoordinatorMachine {
    /// Entries placed on their owners in one pass at most.
    private static let placementsMax = 4_096
    /// Bytes of content in one message of assignments; one edit always fits.
    private static let messageBytesMax = 8 << 20
    /// Shortest wait for a rate: half of the time in which a burst comes back.
    private static let rateWaitMin: Duration = .milliseconds(5)

    /// Files that a worker is given in its turn, at most: a quarter of a target's credit.
    ///
    /// What a message costs, at both ends and on disk, is paid for it as a whole. Where many
    /// workers share a target's credit, short turns make all messages short, whatever waits; long
    /// ones leave too many workers without any.
    private var turnFilesMax: Int { max(1, settings.targetAssignmentsMax / 4) }
    /// Likewise of files whose credit is smaller: at most half of it, as it is set.
    private static let scarceTurnFilesMax = 16

    /// For how many files of a turn one counts: the smaller its credit, the fewer fit into a turn.
    private func turnShare(of index: FileIndex, project: ProjectName) -> Int {
        var isScarce = !files[index].isEditWaiting
        for target in projects[project]?.targets ?? [] where target.isAttached && !isScarce {
            isScarce = settings.assignmentsMax(of: target.url) < settings.targetAssignmentsMax
        }
        return isScarce ? max(1, turnFilesMax / Self.scarceTurnFilesMax) : 1
    }

    /// Places ready files on their owners and hands over what credit allows.
    ///
    /// Workers take turns, and another one begins each time, in an order that no rhythm of work can
    /// keep step with: else the same one might begin whenever a target has credit again, or a
    /// scheme's rate lets one more go, and others would never be given any.
    mutating func dispatch(at now: Instant) {
        rateOpensAt = nil
        if arriving.isEmpty, placed.isEmpty { return }
        let workers = membership.assignable
        guard !workers.isEmpty else { return }
        // A flood gets few files at a time beside a quiet project, whose keystroke waits for the
        // store's batch before it.
        floodShare = min(
            settings.sharedTargetAssignmentsMax * workers.count, settings.targetAssignmentsMax)
        place(among: workers)
        let labels = placed.keys.filter { workers[$0] != nil }.sorted()
        guard !labels.isEmpty else { return }
        let first = TurnOrder.first(of: labels.count, turn: dispatchTurn)
        var turns = Array(labels[first...] + labels[..<first])
        // In a flood's batch a keystroke's store write waits for the rest of it.
        let filesMax =
            active.isShared
            ? min(turnFilesMax, settings.sharedTargetAssignmentsMax) : turnFilesMax
        var unloads = unloadCount
        var round = DispatchRound()
        while !turns.isEmpty {
            var next: [WorkerLabel] = []
            for label in turns {
                guard let incarnation = workers[label] else { continue }
                var count = 0
                while count < filesMax,
                    let share = assignNext(to: label, incarnation, in: &round, at: now)
                {
                    count += share
                }
                if count >= filesMax { next.append(label) }
            }
            // Room to read contents back came up: others may have waited for it alone.
            if next.isEmpty, unloads != unloadCount {
                unloads = unloadCount
                next = labels
            }
            turns = next
        }
        // Where nothing went, the same one begins again: it may be its turn that is waited for.
        if !round.batches.isEmpty { dispatchTurn &+= 1 }
        for (incarnation, batch) in round.batches { send(batch, to: incarnation) }
    }

    private mutating func place(among workers: [WorkerLabel: Incarnation]) {
        guard !arriving.isEmpty else { return }
        owners.update(workers, of: membership)
        var moves = 0
        var queue = arriving.removeFirst()
        defer { if !queue.isEmpty { arriving.insert(queue, at: 0) } }
        while moves < Self.placementsMax {
            guard let next = queue.pop(by: &self, where: { $0.admission(of: $2) }) else {
                if arriving.isEmpty { return }
                queue = arriving.removeFirst()
                continue
            }
            moves += 1
            let key = files[next.entry.index].key
            let schemes = projects[key.project]?.schemes ?? []
            guard let owner = owners.owner(of: key, reaching: schemes) else {
                // Nobody knows for how long: others need the room.
                dropReadBack(next.entry.index)
                stranded.append(next.entry.index)
                continue
            }
            placed[owner, default: ReadyQueue()].push(next.entry, project: next.project)
        }
    }

    func admission(of entry: ReadyEntry) -> ReadyQueue.Admission {
        let slot = files[entry.index]
        return slot.stamp == entry.stamp && slot.phase == .ready && !slot.isStaged ? .go : .void
    }

    /// Hands one file to a worker.
    ///
    /// - Returns: For how many files of its turn that counts; nil when it can't be given more now.
    private mutating func assignNext(
        to label: WorkerLabel, _ incarnation: Incarnation,
        in round: inout DispatchRound, at now: Instant
    ) -> Int? {
        // Taken out, so that the queue is changed in place, not copied.
        guard var queue = placed.removeValue(forKey: label) else { return nil }
        defer { if !queue.isEmpty { placed[label] = queue } }
        while let next = queue.pop(
            by: &self,
            where: { machine, project, entry in
                let admission = machine.admission(of: entry)
                guard case .go = admission else { return admission }
                if round.usedUp.contains(project) { return .wait }
                if !machine.hasTargetCredit(for: entry.index, project: project) {
                    // A refresh has less credit, so it says nothing of edits.
                    if machine.files[entry.index].isEditWaiting { round.usedUp.insert(project) }
                    return .wait
                }
                let isRoom =
                    machine.hasCredit(for: entry.index, project: project, incarnation)
                    && machine.hasRoomToLoad(entry.index, project: project)
                if !isRoom { return .wait }
                guard let opensAt = machine.rateOpens(for: project, at: now) else { return .go }
                // Not for each of many a second: what may go at once covers the time between.
                let wakesAt = max(opensAt, now + Self.rateWaitMin)
                machine.rateOpensAt = min(machine.rateOpensAt ?? wakesAt, wakesAt)
                return .wait
            })
        {
            let index = next.entry.index
            if let other = relatedInTheWay(of: index) {
                dropReadBack(index)
                files[index].phase = .blocked
                blockedBy[other, default: []].append(index)
                queue.giveTurnBack(to: next.project)
                continue
            }
            if holdsBack(next.entry, for: label, incarnation) {
                queue.giveTurnBack(to: next.project)
                continue
            }
            let share = turnShare(of: index, project: next.project)
            guard let assignment = assignment(of: index, to: incarnation, at: now) else { continue }
            round.batches[incarnation, default: []].append(assignment)
            return share
        }
        return nil
    }

    /// Sends assignments, split where a message would be too big.
    private mutating func send(_ batch: [Assignment], to incarnation: Incarnation) {
        guard let member = membership[incarnation], let route = member.route else { return }
        let stamp = WorkerStamp(
            epoch: epoch, incarnation: incarnation, registration: member.registration)
        var message: [Assignment] = []
        var bytes = 0
        for assignment in batch {
            let isFull = bytes + assignment.byteCount > Self.messageBytesMax
            if isFull, !message.isEmpty {
                directives.append(.send(route, .assign(stamp, message)))
                message = []
                bytes = 0
            }
            message.append(assignment)
            bytes += assignment.byteCount
        }
        directives.append(.send(route, .assign(stamp, message)))
    }

    /// A worker's credit in edits and bytes; a project takes half of what is free.
    private func hasCredit(
        for index: FileIndex, project: ProjectName, _ incarnation: Incarnation
    ) -> Bool {
        guard let member = membership[incarnation] else { return false }
        let limit = limit(of: member)
        let own = member.projects[project] ?? Member.Share()
        let others = member.holds.count - own.count
        guard own.count < max((limit - others) / 2, own.count == 0 && others < limit ? 1 : 0)
        else { return false }
        let slot = files[index]
        let bytes = slot.row?.failure == nil ? slot.byteCount : 0
        let isBytesFree =
            own.count == 0
            ? member.byteCount + bytes <= settings.workerBytesMax
            : own.bytes + bytes
                <= (settings.workerBytesMax - (member.byteCount - own.bytes)) / 2
        return member.holds.isEmpty || isBytesFree
    }

    /// Files that a worker may have in hand.
    func limit(of member: Member) -> Int {
        min(settings.workerAssignmentsMax, max(member.capacity, 1))
    }

    /// Whether every target of a project that answers may be given one more.
    ///
    /// One that nobody has marked yet gets a single file at first: of two workers that mark it, the
    /// second one could not tell a sandbox that was wiped in between from one that never had a
    /// marker, and what the first one wrote would be missing. Nor does one whose other stages are
    /// still to be revoked: each worker that makes it ready would revoke those of the others.
    /// Of what is only written again few are in hand: a worker reads their contents before it knows
    /// their size.
    func hasTargetCredit(for index: FileIndex, project: ProjectName) -> Bool {
        // A loop, and no closure: one that captures the machine copies it.
        guard let record = projects[project] else { return true }
        let flood = active.floods.contains(project) ? floodShare : Int.max
        let share =
            files[index].isEditWaiting ? flood : min(flood, settings.remoteTargetAssignmentsMax)
        for target in record.targets where target.isAttached {
            let isReady = target.isMarked && !target.revokesOthers
            let most = isReady ? min(share, settings.assignmentsMax(of: target.url)) : 1
            let isFree = targetCredit[target.url] ?? 0 < most
            if !isFree, board.isWell(target.url) { return false }
        }
        return true
    }

    /// When a project may be given one more file by the rates of its targets' schemes; nil: now.
    func rateOpens(for project: ProjectName, at now: Instant) -> Instant? {
        guard !rates.isEmpty, let record = projects[project] else { return nil }
        var latest = now
        for target in record.targets where target.isAttached && board.isWell(target.url) {
            if let rate = rates[target.url.scheme] { latest = max(latest, rate.opensAt(now)) }
        }
        return latest > now ? latest : nil
    }

    /// A related file that goes first: one in hand, or one ready with a lower sequence (trace A11).
    private func relatedInTheWay(of index: FileIndex) -> FileIndex? {
        let slot = files[index]
        for folder in slot.key.path.ancestors {
            guard let path = try? EditPath(folder),
                let other = files.index(of: FileKey(project: slot.key.project, path: path)),
                goesFirst(other, before: slot)
            else { continue }
            return other
        }
        guard trees[slot.key.project]?.hasOpenBelow(slot.key.path) ?? false else { return nil }
        let below = slot.key.path.text + "/"
        return openFiles[slot.key.project]?.first { other in
            files[other].key.path.text.utf8.starts(with: below.utf8)
                && goesFirst(other, before: slot)
        }
    }

    private func goesFirst(_ other: FileIndex, before slot: FileSlot) -> Bool {
        let rival = files[other]
        if rival.inHand != nil { return true }
        switch rival.phase {
        case .ready, .heldOff, .blocked, .loading: return rival.queueSequence < slot.queueSequence
        case .rest, .delayed, .parked, .inHand, .failed, .ending: return false
        }
    }

    /// Makes an assignment, or starts to read the content back first.
    private mutating func assignment(
        of index: FileIndex, to incarnation: Incarnation, at now: Instant
    ) -> Assignment? {
        let slot = files[index]
        let isRefresh = !slot.isEditWaiting
        let wanted = wantedTargets(of: slot).filter {
            isOpen($0, for: slot.key.path) && board.heldUntil($0).map { $0 <= now } ?? true
        }
        let attached = attachedTargets(of: slot.key.project, in: nil)
        if wanted.isEmpty, isRefresh || !attached.isEmpty {
            requeue(index, at: now)
            return nil
        }
        var task = Assignment.Task.refresh(slot.key, slot.refreshSequence)
        if !isRefresh, let row = slot.row {
            if !row.isDelete, slot.content == nil {
                load(index, row)
                return nil
            }
            let change = slot.content.map { FileChange.put($0, isExecutable: row.isExecutable) }
            task = .edit(
                SequencedEdit(
                    sequence: row.sequence, file: slot.key, change: change ?? .delete,
                    expectedVersion: row.expectedVersion, id: row.id, acceptedAt: row.acceptedAt))
            spill(index)
            holdOffs.handOver(slot.key, at: now)
        }
        active.note(slot.key.project, at: now)
        for target in wanted { rates[target.scheme]?.take(at: now) }
        lastSerial += 1
        let assignment = Assignment(
            id: AssignmentID(epoch: epoch, serial: lastSerial),
            attempt: slot.trouble.value.attempts + 1, task: task,
            targets: wanted.compactMap { assigned($0, of: slot.key.project) })
        files[index].inHand = assignment.id
        files[index].phase = .inHand
        files[index].stamp &+= 1
        take(
            Hold(
                index: index, sequence: assignment.sequence, incarnation: incarnation,
                targets: wanted, byteCount: assignment.byteCount, isRefresh: isRefresh,
                isSuspect: slot.trouble.value.deaths > 0,
                generations: Dictionary(
                    assignment.targets.map { ($0.url, $0.generation) },
                    uniquingKeysWith: { first, _ in first })),
            as: assignment.id)
        return assignment
    }

    /// A target as assignments and probes name it.
    func assigned(_ url: TargetURL, of project: ProjectName) -> AssignedTarget? {
        guard let record = projects[project]?.targets.first(where: { $0.url == url }) else {
            return nil
        }
        var target = AssignedTarget(
            url: url, project: project, generation: record.generation, isMarked: record.isMarked,
            revokesOthers: record.revokesOthers, debts: record.debts)
        target.isBeingFilled = record.needsRefresh
        return target
    }

    // MARK: Credit

    /// Counts an assignment against its holder's credit.
    mutating func take(_ hold: Hold, as id: AssignmentID) {
        holds[id] = hold
        let project = files[hold.index].key.project
        membership[hold.incarnation]?.holds.insert(id)
        membership[hold.incarnation]?.byteCount += hold.byteCount
        membership[hold.incarnation]?.projects[project, default: Member.Share()].add(hold)
        membership[hold.incarnation]?.touched.formUnion(hold.targets)
        if hold.isSuspect { membership[hold.incarnation]?.suspect = id }
        for target in hold.targets { targetCredit[target, default: 0] += 1 }
    }

    /// Gives an assignment's credit back.
    mutating func release(_ id: AssignmentID) {
        guard let hold = holds.removeValue(forKey: id) else { return }
        let project = files[hold.index].key.project
        membership[hold.incarnation]?.holds.remove(id)
        membership[hold.incarnation]?.byteCount -= hold.byteCount
        if let member = membership[hold.incarnation], member.suspect == id {
            membership[hold.incarnation]?.suspect = nil
            nextSuspect(of: member.record.label)
        }
        membership[hold.incarnation]?.projects[project]?.remove(hold)
        if membership[hold.incarnation]?.projects[project]?.count == 0 {
            membership[hold.incarnation]?.projects[project] = nil
        }
        for target in hold.targets {
            guard let count = targetCredit[target] else { continue }
            targetCredit[target] = count > 1 ? count - 1 : nil
        }
    }
}

/// What one pass of ``CoordinatorMachine/dispatch(at:)`` has handed out so far.
private struct DispatchRound {
    var batches: [Incarnation: [Assignment]] = [:]
    /// Projects whose targets can't be given another edit: who comes later is not asked again.
    var usedUp: Set<ProjectName> = []
}
