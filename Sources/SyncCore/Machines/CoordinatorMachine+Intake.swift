import OrderedCollections

extension CoordinatorMachine {
    /// Takes an EDIT message into the inbox; `busy` when too much waits there.
    mutating func collect(
        _ route: ClientRoute, _ project: ProjectName, _ producer: ProducerID, _ items: [EditItem],
        at now: Instant
    ) {
        active.note(project, at: now)
        // Also one that is turned away: what is counted is its silence.
        windows[ProducerKey(project: project, producer: producer)]?.heardAt = now
        if isInboxFull(for: items, of: project) {
            let answers = items.map {
                EditAnswer(number: $0.number, result: .failure(busy("disk")))
            }
            directives.append(.reply(route, .edits(answers)))
            return
        }
        inbox.append(items, of: producer, project: project, route: route)
    }

    /// Finds out whether a quiet project has work beside a flood.
    mutating func noteSharing(at now: Instant) {
        active.forget(at: now)
        active.findFloods(quietMax: settings.quietEditsMax) { project in
            var waiting = inbox.load(of: project).edits + (ahead?.editCounts[project] ?? 0)
            for queue in arriving { waiting += queue.count(of: project) }
            for queue in placed.values { waiting += queue.count(of: project) }
            return waiting
        }
    }

    /// Whether a project has used up its share of the inbox: half of what the others leave.
    private func isInboxFull(for items: [EditItem], of project: ProjectName) -> Bool {
        let own = inbox.load(of: project)
        let bytes = items.reduce(0) { $0 + $1.byteCount }
        if own.edits == 0 {
            let isOver =
                inbox.editCount + items.count > settings.inboxEditsMax
                || inbox.byteCount + bytes > settings.inboxBytesMax
            return isOver && inbox.editCount > 0
        }
        let roomEdits = (settings.inboxEditsMax - (inbox.editCount - own.edits)) / 2
        let roomBytes = (settings.inboxBytesMax - (inbox.byteCount - own.bytes)) / 2
        return own.edits + items.count > roomEdits || own.bytes + bytes > roomBytes
    }

    /// The refusal for a limit that is reached.
    func busy(_ limit: String) -> Rejection {
        Rejection(
            .busy,
            "The coordinator can't take more now (\(limit)); send the same number again after "
                + "\(settings.busyWait.wholeMilliseconds) ms.", retryAfter: settings.busyWait)
    }

    /// Stages every edit of a message's part, each with its own answer.
    mutating func stage(_ part: EditPart, in turn: inout Turn, at now: Instant) {
        let (project, producer, route) = (part.project, part.producer, part.route)
        let key = ProducerKey(project: project, producer: producer)
        var reply = Turn.EditReply(
            route: route, message: part.message, isLast: part.isLast, answers: [])
        reply.answers.reserveCapacity(part.items.count)
        windows[key]?.heardAt = now
        let isKnown =
            windows[key] != nil || turn.windows[key] != nil || self.turn?.windows[key] != nil
        let isCrowded = !isKnown && producerCount(in: turn) >= settings.producersMax
        for item in part.items {
            let result: Result<Acceptance, Rejection>
            switch item.edit {
            case .failure(let rejection): result = .failure(rejection)
            case .success where isCrowded: result = .failure(busy("producers"))
            case .success where isToBeAdopted:
                result = .failure(busy("no worker has brought the store to adopt yet"))
            case .success(let edit):
                let id = EditID(producer: producer, number: item.number)
                do throws(Rejection) {
                    let acceptance = try stage(edit, id: id, key: key, in: &turn, at: now)
                    if edit.wantsEnd, acceptance.end == nil {
                        turn.wanted.append((id, project, route))
                    }
                    result = .success(acceptance)
                } catch {
                    result = .failure(error)
                }
            }
            reply.answers.append(EditAnswer(number: item.number, result: result))
        }
        turn.replies.append(reply)
    }

    /// Producers that are remembered, or will be; asked for one that is not.
    private func producerCount(in turn: Turn) -> Int {
        var fresh = Set(turn.windows.keys)
        if let before = self.turn?.windows.keys { fresh.formUnion(before) }
        return windows.count + fresh.count { windows[$0] == nil }
    }

    /// Stages one edit, or says why not.
    private mutating func stage(
        _ edit: Edit, id: EditID, key: ProducerKey, in turn: inout Turn, at now: Instant
    ) throws(Rejection) -> Acceptance {
        let fileHash = StableHash.hash(edit.path.text)
        let digest = edit.digest
        if let known = try judge(id, fileHash: fileHash, digest: digest, key: key, in: turn) {
            return known
        }
        guard edit.change.byteCount <= settings.contentBytesMax else {
            throw Rejection(
                .tooLarge,
                "The content has \(edit.change.byteCount) bytes, more than the "
                    + "\(settings.contentBytesMax) allowed; split the file or raise the limit.")
        }
        let file = FileKey(project: key.project, path: edit.path)
        let existing = files.index(of: file)
        var before: FileSlot?
        if let existing { before = slot(existing, in: turn) }
        if edit.expectedVersion != nil, before?.row != nil || before?.inHand != nil {
            throw Rejection(
                .conflict,
                "Another edit of the file is pending or failed; wait for its end, read the "
                    + "version, and push again under a new number.")
        }
        try checkRoom(for: edit, before: before, project: key.project, in: turn)
        try attach(edit.targets, to: key.project, in: &turn)
        turn.header.lastSequence = turn.header.lastSequence.next
        let sequence = turn.header.lastSequence
        let index = existing ?? files.claim(file)
        put(edit, id: id, digest: digest, sequence: sequence, at: index, in: &turn)
        let accepted = AcceptedNumber(
            number: id.number, sequence: sequence, fileHash: fileHash, digest: digest)
        // In place: a copy for each edit would make a turn's cost grow with its square.
        turn.windows[key, default: Turn.StagedWindow()].accept(accepted)
        return Acceptance(sequence: sequence, end: nil)
    }

    /// Asks the window, the acceptances of turns that are not on disk first; nil when the number is
    /// new.
    private func judge(
        _ id: EditID, fileHash: UInt64, digest: UInt64, key: ProducerKey, in turn: Turn
    ) throws(Rejection) -> Acceptance? {
        guard id.number >= 1, id.number <= countMax else {
            throw Rejection(
                .badRequest, "The edit's number must be 1 to \(countMax); count up from 1.")
        }
        let staged = turn.windows[key]
        let before = self.turn?.windows[key]
        if let seen = staged?.records[id.number] ?? before?.records[id.number] {
            guard seen.digest == digest, seen.fileHash == fileHash else { throw Self.reused }
            return Acceptance(sequence: seen.sequence, end: nil)
        }
        // What was accepted before is answered again, whatever this turn holds of the file.
        let verdict = windows[key]?.verdict(
            number: id.number, fileHash: fileHash, digest: digest)
        switch verdict {
        case nil, .new, .overtaken: break
        case .again(let seen): return Acceptance(sequence: seen.sequence, end: seen.end)
        case .reused: throw Self.reused
        case .stale: throw Self.stale
        }
        if let newer = staged?.newest[fileHash] ?? before?.newest[fileHash],
            newer.number > id.number
        {
            throw Self.overtaken(by: newer.sequence)
        }
        let highest = max(staged?.highest ?? 0, before?.highest ?? 0)
        if id.number + ProducerWindow.length <= highest { throw Self.stale }
        if case .overtaken(let sequence) = verdict { throw Self.overtaken(by: sequence) }
        return nil
    }

    private static let reused = Rejection(
        .numberReused,
        "This number was accepted with another content; every new edit needs the next number.")

    private static let stale = Rejection(
        .staleNumber,
        "The number is below the window of the last \(ProducerWindow.length); ask with WAIT what "
            + "became of it, and push the file again under a new number if need be.")

    private static func overtaken(by sequence: EditSequence) -> Rejection {
        Rejection(
            .overtaken,
            "A later edit of this file by the same producer is accepted already (sequence "
                + "\(sequence)); nothing is to be done.", by: sequence)
    }

    /// Checks the limits: one project may take at most half of what the others leave.
    private func checkRoom(
        for edit: Edit, before: FileSlot?, project: ProjectName, in turn: Turn
    ) throws(Rejection) {
        let own = projectPending[project] ?? (0, 0)
        if !(before?.isPending ?? false) {
            let others = pendingFiles - own.files
            let room = (settings.pendingFilesMax - others) / 2
            let coming = turn.pendingFiles + (self.turn?.pendingFiles ?? 0)
            if own.files + coming + 1 > max(room, 1) { throw busy("pending files") }
        }
        let replaced = before?.row.map { $0.sequence > header.lastSequence ? $0.byteCount : 0 } ?? 0
        let others = pendingBytes - own.bytes
        let room = (settings.pendingBytesMax - others) / 2
        let coming = turn.pendingBytes + (self.turn?.pendingBytes ?? 0)
        let wanted = own.bytes + coming + edit.change.byteCount - replaced
        if wanted > max(room, settings.contentBytesMax) { throw busy("pending bytes") }
    }

    /// Attaches targets that the edit names, or the default one of a project that never had any.
    private func attach(
        _ named: [TargetURL], to project: ProjectName, in turn: inout Turn
    ) throws(Rejection) {
        var record = self.record(of: project, in: turn) ?? newProject(project, in: turn)
        let wanted =
            named.isEmpty && record.targets.isEmpty ? [TargetURL(defaultOf: project)] : named
        var attached: [TargetURL] = []
        for target in wanted {
            if let known = record.targets.first(where: { $0.url == target }) {
                guard known.isAttached else {
                    throw Rejection(
                        .targetDetached,
                        "Target \(target) was detached from the project; an operator can attach "
                            + "it again with 'syncd project'.")
                }
                continue
            }
            if let owner = owner(of: target, in: turn), owner != project {
                throw Rejection(
                    .targetTaken,
                    "Target \(target) belongs to project \(owner); name another sandbox.")
            }
            record.targets.append(
                newTarget(
                    target,
                    // An adopted store may have files of a project that this journal never saw.
                    needsRefresh: record.eventNumber > 0 || settings.isAdopting, in: turn))
            attached.append(target)
        }
        if attached.isEmpty { return }
        turn.projects[project] = record
        for target in attached {
            turn.targetOwners[target] = project
            turn.tell(StatusEvent(.attached, project: project, target: target))
        }
    }

    /// Puts the newest edit into its file's slot; what it replaces ends, or stays open in hand.
    private mutating func put(
        _ edit: Edit, id: EditID, digest: UInt64, sequence: EditSequence, at index: FileIndex,
        in turn: inout Turn
    ) {
        var slot = slot(index, in: turn)
        let isNew = !slot.isPending
        var open: OpenEdit?
        turn.tell(
            StatusEvent(
                .accepted, project: slot.key.project, path: slot.key.path, sequence: sequence,
                id: id))
        if let old = slot.row {
            if let id = slot.inHand, let held = hold(id, in: turn), !held.isRefresh,
                held.sequence == old.sequence
            {
                open = OpenEdit(sequence: old.sequence, id: old.id)
            } else {
                open = old.open
                turn.tell(
                    StatusEvent(
                        .superseded, project: slot.key.project, path: slot.key.path,
                        sequence: old.sequence, id: old.id, by: sequence))
            }
            if old.sequence > header.lastSequence { turn.pendingBytes -= old.byteCount }
        }
        slot.row = JournaledEdit(
            sequence: sequence, id: id, digest: digest,
            expectedVersion: edit.expectedVersion, acceptedAt: turn.time,
            isDelete: edit.change.isDelete, isExecutable: edit.change.isExecutable,
            byteCount: edit.change.byteCount, open: open, failure: nil)
        slot.content = edit.change.content
        slot.trouble = .none
        turn.files[index] = slot
        // Staged ahead, it is not handed over meanwhile either.
        files[index].isStaged = true
        turn.pendingFiles += isNew ? 1 : 0
        if !isNew { turn.replacing[slot.key.project, default: 0] += 1 }
        turn.pendingBytes += edit.change.byteCount
    }
}

extension FileChange {
    /// The content of a put.
    package var content: Content? {
        switch self {
        case .put(let content, _): content
        case .delete: nil
        }
    }
}
