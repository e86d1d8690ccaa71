import DequeModule
import HeapModule

extension CoordinatorMachine {
    /// Entries placed on their owners in one pass at most.
    private static let placementsMax = 4_096
    /// Bytes of content in one message of assignments; one edit always fits.
    private static let messageBytesMax = 8 << 20

    // MARK: Queues

    /// Puts a slot into the table and counts what it changes.
    mutating func install(_ index: FileIndex, _ slot: FileSlot, at now: Instant) {
        let old = files[index]
        var slot = slot
        let project = slot.key.project
        if old.isPending != slot.isPending {
            let change = slot.isPending ? 1 : -1
            pendingFiles += change
            projectPending[project, default: (0, 0)].files += change
            if slot.isPending {
                openFiles[project, default: []].insert(index)
                trees[project, default: PathTree()].open(slot.key.path)
            } else {
                openFiles[project]?.remove(index)
                if openFiles[project]?.isEmpty ?? false { openFiles[project] = nil }
                trees[project]?.close(slot.key.path)
            }
        }
        pendingBytes += slot.byteCount - old.byteCount
        projectPending[project, default: (0, 0)].bytes += slot.byteCount - old.byteCount
        memoryBytes -= old.content?.count ?? 0
        if let content = slot.content {
            // Past the budget the journal alone has it; it is read back at dispatch.
            if memoryBytes + content.count > settings.memoryBytesMax {
                slot.content = nil
            } else {
                memoryBytes += content.count
            }
        }
        slot.isStaged = false
        slot.stamp = old.stamp
        slot.phase = old.phase
        files[index] = slot
        requeue(index, at: now)
    }

    /// Finds out where a file stands and queues it there; older queue entries become void.
    mutating func requeue(_ index: FileIndex, at now: Instant) {
        unpark(index)
        files[index].stamp &+= 1
        let slot = files[index]
        if !slot.isPending {
            files[index].phase = .rest
            wakeBlocked(by: index, at: now)
            if projectPending[slot.key.project]?.files == 0 {
                projectPending[slot.key.project] = nil
            }
            files.release(index)
            return
        }
        files[index].phase = phase(of: slot, at: now)
        switch files[index].phase {
        case .ready:
            if arriving.isEmpty { arriving.append(ReadyQueue()) }
            arriving[arriving.count - 1].push(
                ReadyEntry(
                    sequence: slot.queueSequence, index: index, stamp: files[index].stamp),
                project: slot.key.project)
        case .delayed:
            guard let dueAt = slot.trouble.value.dueAt else { break }
            delayed.insert(
                DelayedEntry(dueAt: dueAt, index: index, stamp: files[index].stamp))
        case .parked: park(index)
        case .rest, .blocked, .loading, .inHand, .failed: break
        }
        wakeBlocked(by: index, at: now)
    }

    private func phase(of slot: FileSlot, at now: Instant) -> FilePhase {
        if slot.inHand != nil { return .inHand }
        let isFailed = slot.row?.failure != nil
        if slot.row == nil || isFailed {
            if slot.refresh.isEmpty { return isFailed ? .failed : .rest }
            return slot.refresh.contains { board.isWell($0) } ? .ready : .parked
        }
        let wanted = missingTargets(of: slot)
        if !wanted.isEmpty, !wanted.contains(where: { board.isWell($0) }) { return .parked }
        if let dueAt = slot.trouble.value.dueAt, dueAt > now { return .delayed }
        return .ready
    }

    /// Attached targets where the newest edit is neither visible nor failed.
    private func missingTargets(of slot: FileSlot) -> [TargetURL] {
        let attached = attachedTargets(of: slot.key.project, in: nil)
        guard case .some(let trouble) = slot.trouble else { return attached }
        return attached.filter {
            !trouble.visible.contains($0) && !trouble.failedIn.contains($0)
        }
    }

    private mutating func park(_ index: FileIndex) {
        let slot = files[index]
        let waitsFor = slot.row == nil ? slot.refresh : missingTargets(of: slot)
        for target in waitsFor { parked[target, default: []].insert(index) }
        if slot.row != nil, !slot.trouble.value.isParkedTold { inbox.append(.park(index)) }
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
            guard slot.stamp == entry.stamp, slot.phase == .delayed, !slot.isStaged else {
                continue
            }
            requeue(entry.index, at: now)
        }
    }

    /// Everything placed is placed anew, a bounded number a pass.
    mutating func membershipChanged() {
        for (_, queue) in placed where !queue.isEmpty { arriving.insert(queue, at: 0) }
        placed = [:]
        let waiting = stranded
        stranded = []
        if arriving.isEmpty { arriving.append(ReadyQueue()) }
        for index in waiting where files[index].phase == .ready {
            arriving[arriving.count - 1].push(
                ReadyEntry(
                    sequence: files[index].queueSequence, index: index,
                    stamp: files[index].stamp),
                project: files[index].key.project)
        }
    }

    // MARK: Dispatch

    /// Places ready files on their owners and hands over what credit allows.
    mutating func dispatch(at now: Instant) {
        let workers = membership.assignable
        guard !workers.isEmpty else { return }
        place(among: workers)
        for label in workers.keys.sorted() {
            guard let incarnation = workers[label] else { continue }
            assign(to: label, incarnation, at: now)
        }
    }

    private mutating func place(among workers: [WorkerLabel: Incarnation]) {
        let labels = Array(workers.keys)
        var schemes: [WorkerLabel: [String]] = [:]
        for (label, incarnation) in workers {
            schemes[label] = membership[incarnation]?.record.schemes ?? []
        }
        var moves = 0
        guard !arriving.isEmpty else { return }
        var queue = arriving.removeFirst()
        defer { if !queue.isEmpty { arriving.insert(queue, at: 0) } }
        while moves < Self.placementsMax {
            guard let next = queue.pop(where: { admission(of: $1) }) else {
                if arriving.isEmpty { return }
                queue = arriving.removeFirst()
                continue
            }
            moves += 1
            let key = files[next.entry.index].key
            let wanted = attachedTargets(of: key.project, in: nil).map(\.scheme)
            let able =
                wanted.isEmpty
                ? labels
                : labels.filter { label in
                    wanted.allSatisfy { schemes[label]?.contains($0) ?? false }
                }
            guard let owner = RendezvousHash.owner(of: key, among: able) else {
                stranded.append(next.entry.index)
                continue
            }
            placed[owner, default: ReadyQueue()].push(next.entry, project: next.project)
        }
    }

    private func admission(of entry: ReadyEntry) -> ReadyQueue.Admission {
        let slot = files[entry.index]
        return slot.stamp == entry.stamp && slot.phase == .ready && !slot.isStaged ? .go : .void
    }

    private mutating func assign(
        to label: WorkerLabel, _ incarnation: Incarnation, at now: Instant
    ) {
        guard var queue = placed[label], let route = membership[incarnation]?.route else { return }
        placed[label] = nil  // Taken out, so that the queue is changed in place, not copied.
        var batch: [Assignment] = []
        while let next = queue.pop(where: {
            let admission = admission(of: $1)
            guard case .go = admission else { return admission }
            return hasCredit(for: $1.index, project: $0, incarnation) ? .go : .wait
        }) {
            let index = next.entry.index
            if let other = relatedInTheWay(of: index) {
                files[index].phase = .blocked
                blockedBy[other, default: []].append(index)
                continue
            }
            if let assignment = assignment(of: index, to: incarnation, at: now) {
                batch.append(assignment)
            }
        }
        if placed[label] == nil { placed[label] = queue } else { arriving.append(queue) }
        guard !batch.isEmpty, let member = membership[incarnation] else { return }
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

    /// Credit in edits and bytes, per worker and target; a project takes half of what is free.
    private func hasCredit(
        for index: FileIndex, project: ProjectName, _ incarnation: Incarnation
    ) -> Bool {
        guard let member = membership[incarnation] else { return false }
        let limit = min(settings.workerAssignmentsMax, max(member.capacity, 1))
        let own = member.projects[project] ?? 0
        let others = member.holds.count - own
        guard own < max((limit - others) / 2, own == 0 && others < limit ? 1 : 0) else {
            return false
        }
        let slot = files[index]
        let bytes = slot.row?.failure == nil ? slot.byteCount : 0
        if !member.holds.isEmpty, member.byteCount + bytes > settings.workerBytesMax {
            return false
        }
        return attachedTargets(of: project, in: nil).allSatisfy {
            !board.isWell($0) || targetCredit[$0] ?? 0 < settings.targetAssignmentsMax
        }
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
        case .ready, .blocked, .loading: return rival.queueSequence < slot.queueSequence
        case .rest, .delayed, .parked, .inHand, .failed: return false
        }
    }

    /// Makes an assignment, or starts to read the content back first.
    private mutating func assignment(
        of index: FileIndex, to incarnation: Incarnation, at now: Instant
    ) -> Assignment? {
        let slot = files[index]
        let isRefresh = slot.row == nil || slot.row?.failure != nil
        let wanted = (isRefresh ? slot.refresh : missingTargets(of: slot)).filter {
            board.isWell($0)
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
        }
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
                targets: wanted, byteCount: assignment.byteCount, isRefresh: isRefresh),
            as: assignment.id)
        return assignment
    }

    /// A target as assignments and probes name it.
    func assigned(_ url: TargetURL, of project: ProjectName) -> AssignedTarget? {
        guard let record = projects[project]?.targets.first(where: { $0.url == url }) else {
            return nil
        }
        return AssignedTarget(
            url: url, project: project, generation: record.generation, isMarked: record.isMarked,
            revokesOthers: record.revokesOthers, debts: record.debts)
    }

    // MARK: Credit

    /// Counts an assignment against its holder's credit.
    mutating func take(_ hold: Hold, as id: AssignmentID) {
        holds[id] = hold
        let project = files[hold.index].key.project
        membership[hold.incarnation]?.holds.insert(id)
        membership[hold.incarnation]?.byteCount += hold.byteCount
        membership[hold.incarnation]?.projects[project, default: 0] += 1
        membership[hold.incarnation]?.touched.formUnion(hold.targets)
        for target in hold.targets { targetCredit[target, default: 0] += 1 }
    }

    /// Gives an assignment's credit back.
    mutating func release(_ id: AssignmentID) {
        guard let hold = holds.removeValue(forKey: id) else { return }
        let project = files[hold.index].key.project
        membership[hold.incarnation]?.holds.remove(id)
        membership[hold.incarnation]?.byteCount -= hold.byteCount
        if let count = membership[hold.incarnation]?.projects[project] {
            membership[hold.incarnation]?.projects[project] = count > 1 ? count - 1 : nil
        }
        for target in hold.targets {
            guard let count = targetCredit[target] else { continue }
            targetCredit[target] = count > 1 ? count - 1 : nil
        }
    }

    // MARK: Contents read back

    private mutating func load(_ index: FileIndex, _ row: JournalRow) {
        files[index].phase = .loading
        if loadingBytes > 0, loadingBytes + row.byteCount > settings.loadingBytesMax {
            postponedLoads.append((row.sequence, index))
            return
        }
        loads[row.sequence] = (index, row.byteCount)
        loadingBytes += row.byteCount
        directives.append(.load([row.sequence]))
    }

    /// Takes contents that were read back; nil when the journal could not be read.
    package mutating func loaded(
        _ asked: [EditSequence], _ contents: [EditSequence: Content]?, at now: Instant
    ) {
        for sequence in asked {
            guard let load = loads.removeValue(forKey: sequence) else { continue }
            loadingBytes -= load.byteCount
            let slot = files[load.index]
            guard slot.row?.sequence == sequence, slot.phase == .loading, !slot.isStaged else {
                continue
            }
            if let content = contents?[sequence] {
                files[load.index].content = content
                memoryBytes += content.count
            } else {
                files[load.index].trouble.change {
                    $0.dueAt = now + settings.retry.blamelessWait
                }
            }
            requeue(load.index, at: now)
        }
        while let next = postponedLoads.first {
            guard let row = files[next.index].row, row.sequence == next.sequence,
                files[next.index].phase == .loading
            else {
                postponedLoads.removeFirst()
                continue
            }
            if loadingBytes > 0, loadingBytes + row.byteCount > settings.loadingBytesMax { break }
            postponedLoads.removeFirst()
            load(next.index, row)
        }
    }

    /// Gives the memory of a content back that the journal has as well.
    private mutating func spill(_ index: FileIndex) {
        guard memoryBytes > settings.memoryBytesMax, let content = files[index].content else {
            return
        }
        memoryBytes -= content.count
        files[index].content = nil
    }
}
