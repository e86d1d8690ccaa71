import OrderedCollections

/// Refills: a sandbox that came back without its files, or was attached late, is written again.
///
///     needed ──list, page by page──▶ files queued as refreshes ──all written──▶ refreshed
///
/// The need is journaled; how far a refill is, is not: after a restart it begins anew. Each file is
/// written by its owner, behind its own pending edit. Files pending when the need came up go to the
/// new filling by their own edits; what a worker says of a former filling does not count.
extension CoordinatorMachine {
    /// Files of a refill that may wait at a time, so that a big project is not held in memory.
    private static let refreshingMax = 500
    /// Likewise where a rate holds: so many seconds' worth, behind which new edits wait.
    private static let refreshingSeconds = 2
    /// The least of these.
    private static let refreshingMin = 10
    /// Files in a page.
    private static let pageFilesMax = 1_000

    private func pageSizes(of target: TargetURL) -> (waiting: Int, page: Int) {
        guard let rate = settings.editsPerSecond[target.scheme] else {
            return (Self.refreshingMax, Self.pageFilesMax)
        }
        let count = max(
            Self.refreshingMin, min(Self.refreshingMax, rate * Self.refreshingSeconds))
        return (count, count)
    }

    // MARK: Listing

    /// Asks for the files of projects whose targets must be written again.
    mutating func listForRefills(at now: Instant) {
        for (name, record) in projects {
            for target in record.targets where target.isAttached {
                let isFilled = target.isMarked && !verified.contains(target.url)
                markers.watch(
                    target.url, from: isFilled ? now : now + settings.markerInterval)
                if target.needsRefresh { list(for: target.url, of: name, at: now) }
            }
        }
    }

    private mutating func list(for target: TargetURL, of project: ProjectName, at now: Instant) {
        var refill = refills[target] ?? Refill(project: project)
        defer { refills[target] = refill }
        let outstanding = refreshCounts[target] ?? 0
        if refill.isListed {
            if outstanding == 0, !refill.isEnding, board.isWell(target) {
                refill.isEnding = true
                inbox.append(.refreshed(target, project))
            }
            return
        }
        if let asked = refill.asked {
            guard now >= asked.until else { return }
            // Whoever was asked does not answer: another one is asked, if there is one.
            refill.silent.insert(asked.lister)
            refill.asked = nil
            refill.failures += 1
        }
        if let askAt = refill.askAt, now < askAt { return }
        refill.askAt = nil
        let failing = failingRefreshes[target] ?? 0
        let sizes = pageSizes(of: target)
        guard outstanding - failing < sizes.waiting,
            failing < max(settings.pendingFilesMax, Self.refreshingMax),
            let (incarnation, member) = worker(for: target, avoiding: refill.silent),
            let route = member.route
        else { return }
        lastQuestion += 1
        let question = FilesQuestion(
            number: lastQuestion, project: project, after: refill.after,
            countMax: sizes.page)
        refill.asked = Refill.Page(
            question: question, lister: incarnation, until: now + settings.answerWait)
        let stamp = WorkerStamp(
            epoch: epoch, incarnation: incarnation, registration: member.registration)
        directives.append(.send(route, .list(stamp, question)))
    }

    /// A page could not be read: it is asked for again after a pause that doubles.
    mutating func listingFailed(_ question: UInt64, at now: Instant) {
        for (target, refill) in refills where refill.asked?.question.number == question {
            let pause = min(
                settings.probeWait * (1 << min(refill.failures, 10)), settings.probeWaitMax)
            refills[target]?.asked = nil
            refills[target]?.failures += 1
            refills[target]?.askAt = now + pause
        }
    }

    /// What keeps a refill open when all else is written; nil while it is not.
    package func hopelessRefreshes(of target: TargetURL) -> [FileKey]? {
        guard let refill = refills[target], refill.isListed else { return nil }
        let open = (openFiles[refill.project] ?? []).map { files[$0] }
            .filter { $0.refresh.contains(target) }
        return open.allSatisfy(\.trouble.value.isRefreshTold) ? open.map(\.key) : nil
    }

    /// How far a refill is; nil when nothing is known of one.
    func progress(of target: TargetURL) -> QueueReport.Refill? {
        guard let refill = refills[target] else { return nil }
        let waiting = refreshCounts[target] ?? 0
        return QueueReport.Refill(
            written: max(0, refill.listedCount - waiting), waiting: waiting,
            isListed: refill.isListed)
    }

    // MARK: Turns

    /// Stages a page of files: each is written again, behind its own pending edit.
    mutating func stage(
        files listed: [ListedFile], of question: FilesQuestion, isLast: Bool, in turn: inout Turn
    ) {
        guard
            let (target, _) = refills.first(where: {
                $0.value.asked?.question.number == question.number
                    && $0.value.project == question.project
            }), !turn.refilled.contains(target),
            attachedTargets(of: question.project, in: turn).contains(target)
        else { return }
        turn.pages.append(
            Turn.Page(
                target: target, question: question.number,
                after: listed.last?.path ?? question.after, count: listed.count,
                isLast: isLast))
        for file in listed {
            let index = files.claim(FileKey(project: question.project, path: file.path))
            var slot = slot(index, in: turn)
            if case .some = slot.trouble, !slot.isEditWaiting {
                // What stood in the way in a former filling, or elsewhere, says nothing here.
                slot.trouble.change {
                    $0.dueAt = nil
                    $0.attempts = 0
                    $0.shapeSince = nil
                    $0.isRefreshFailing = false
                    $0.isRefreshTold = false
                }
            }
            if !slot.refresh.contains(target) { slot.refresh.append(target) }
            slot.refreshSequence = max(slot.refreshSequence, file.sequence)
            turn.files[index] = slot
        }
    }

    /// Notes that a page's files are queued, and tells flushes how far the listing is.
    mutating func note(_ page: Turn.Page, at now: Instant) {
        guard refills[page.target]?.asked?.question.number == page.question else { return }
        refills[page.target]?.asked = nil
        refills[page.target]?.failures = 0
        refills[page.target]?.silent = []
        refills[page.target]?.after = page.after
        refills[page.target]?.listedCount += page.count
        refills[page.target]?.isListed = page.isLast
        guard let project = refills[page.target]?.project else { return }
        answer(
            flushes.listed(
                page.target, of: project, through: page.isLast ? nil : page.after))
    }

    /// A new filling begins: the listing starts over, and what was visible in the former one, or
    /// failed there, is to be written.
    mutating func beginRefill(of target: TargetURL, at now: Instant) {
        guard let project = targetOwners[target] else { return }
        refills[target] = Refill(project: project)
        for index in openFiles[project] ?? [] {
            guard case .some(let trouble) = files[index].trouble,
                trouble.isDone(at: target)
            else { continue }
            files[index].trouble.change {
                $0.visible.removeAll { $0 == target }
                $0.failedIn.removeAll { $0 == target }
            }
            if files[index].phase == .parked { requeue(index, at: now) }
        }
        flushes.refilling(target, of: project)
    }

    /// Stages a refresh's result.
    ///
    /// A refresh that fails is tried again for as long as its target is attached, slower and
    /// slower: the need is told once, shown by `queue`, and answers a flush. So is a path that
    /// another one stands in the way of, since that one may go: both are live in the store, or the
    /// sandbox's own program made something there.
    mutating func stageRefreshOutcome(
        _ outcome: Outcome, hold: Hold, slot: inout FileSlot, in turn: inout Turn, at now: Instant
    ) {
        for target in hold.targets where slot.refresh.contains(target) {
            switch outcome.targets[target] {
            case .visible: slot.refresh.removeAll { $0 == target }
            case .failed(let failure):
                refreshAgain(after: failure, at: target, slot: &slot, in: &turn, now)
            case .stuck: continue  // The target is away; the refresh waits for it there.
            case nil:
                if !slot.isEditWaiting {
                    slot.trouble.change { $0.dueAt = now + settings.retry.blamelessWait }
                }
            }
        }
        if slot.refresh.isEmpty, !slot.isEditWaiting {
            slot.trouble.change {
                $0.dueAt = nil
                $0.isRefreshFailing = false
                $0.isRefreshTold = false
            }
        }
    }

    private mutating func refreshAgain(
        after failure: Failure, at target: TargetURL, slot: inout FileSlot, in turn: inout Turn,
        _ now: Instant
    ) {
        if slot.isEditWaiting { return }  // The newer edit goes first, and covers this.
        var trouble = slot.trouble.value
        var wait = settings.retry.blamelessWait
        var isLasting = false
        trouble.isRefreshFailing = true
        switch failure.failureClass {
        case .target: return  // Away or filled anew by now; the refresh waits for it there.
        case .store, .worker: trouble.isRefreshFailing = false
        case .shape:
            let since = trouble.shapeSince ?? now
            trouble.shapeSince = since
            isLasting = now - since >= settings.retry.shapePatience
            wait = isLasting ? settings.refreshWaitMax : settings.retry.shapeWait
        case .attempt:
            trouble.attempts += 1
            let next = settings.retry.wait(after: trouble.attempts)
            isLasting = next == nil
            wait = next ?? settings.refreshWaitMax
        case .file:
            trouble.attempts += 1
            isLasting = true
            wait = settings.refreshWaitMax
        }
        trouble.cause = failure
        trouble.dueAt = now + max(wait, failure.retryAfter ?? .zero)
        if isLasting, !trouble.isRefreshTold {
            trouble.isRefreshTold = true
            // Of a file in the failed list it was told when it came there.
            if slot.row == nil {
                turn.tell(
                    StatusEvent(
                        .refreshing, project: slot.key.project, path: slot.key.path,
                        attempts: trouble.attempts, target: target, code: failure.code,
                        reason: "The file can't be written again. \(failure.message)"))
            }
        }
        slot.trouble = .some(trouble)
    }

    /// Stages that a target holds everything again, unless files still wait for it.
    mutating func stageRefreshed(
        _ target: TargetURL, of project: ProjectName, in turn: inout Turn
    ) {
        refills[target]?.isEnding = false
        var open = refreshCounts[target] ?? 0
        for (index, slot) in turn.files {
            open -= files[index].refresh.contains(target) ? 1 : 0
            open += slot.refresh.contains(target) ? 1 : 0
        }
        guard open == 0, refills[target]?.isListed ?? false, !turn.refilled.contains(target),
            var record = self.record(of: project, in: turn),
            let place = record.targets.firstIndex(where: { $0.url == target }),
            record.targets[place].isAttached, record.targets[place].needsRefresh
        else { return }
        record.targets[place].needsRefresh = false
        turn.projects[project] = record
        turn.refreshed.append(target)
        turn.tell(StatusEvent(.refreshed, project: project, target: target))
    }

    // MARK: Fillings

    /// An outcome without what it says of fillings that are over.
    ///
    /// A write into a sandbox that was found blank meanwhile is gone; so is, perhaps, one that was
    /// taken over from another epoch while its target waits for a refill.
    func current(
        _ outcome: Outcome, of hold: Hold, project: ProjectName, in turn: Turn
    ) -> Outcome {
        guard !outcome.targets.isEmpty else { return outcome }
        let targets = record(of: project, in: turn)?.targets ?? []
        let kept = outcome.targets.filter { url, result in
            if result == .stuck { return true }
            guard let target = targets.first(where: { $0.url == url }), target.isAttached else {
                return false
            }
            return hold.generations[url].map { $0 == target.generation } ?? !target.needsRefresh
        }
        return Outcome(
            assignment: outcome.assignment, store: outcome.store, targets: kept,
            drifts: outcome.drifts.filter { kept[$0.key] == .visible })
    }

    /// Counts what a slot's change means for the refills of its targets.
    mutating func countRefreshes(_ old: FileSlot, _ new: FileSlot) {
        Self.count(old.refresh, new.refresh, in: &refreshCounts)
        Self.count(old.failingRefresh, new.failingRefresh, in: &failingRefreshes)
    }

    private static func count(
        _ old: [TargetURL], _ new: [TargetURL], in counts: inout [TargetURL: Int]
    ) {
        guard old != new else { return }
        for target in old where !new.contains(target) {
            let count = counts[target] ?? 0
            counts[target] = count > 1 ? count - 1 : nil
        }
        for target in new where !old.contains(target) { counts[target, default: 0] += 1 }
    }
}
