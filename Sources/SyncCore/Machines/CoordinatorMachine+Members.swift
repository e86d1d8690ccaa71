extension CoordinatorMachine {
    /// The member that a stamp names, if the message came over its registered connection.
    func member(_ stamp: WorkerStamp, from route: WorkerRoute) -> Member? {
        guard stamp.epoch == epoch, let member = membership[stamp.incarnation],
            member.registration == stamp.registration, member.route == route
        else { return nil }
        return member
    }

    /// Grants, or says `register`: a heartbeat of another epoch is never granted (trace B7).
    mutating func heartbeat(
        _ stamp: WorkerStamp, clock: Instant, from route: WorkerRoute, at now: Instant
    ) {
        if let old = membership[stamp.incarnation], old.state == .replaced {
            directives.append(.send(route, .replaced(sentence: Self.replacedSentence)))
            return
        }
        guard let member = member(stamp, from: route), member.state != .expelled else {
            directives.append(.send(route, .registerAgain(epoch)))
            return
        }
        leases.grant(stamp.incarnation, at: now)
        directives.append(
            .send(route, .grant(stamp, lease: settings.lease, clock: clock)))
    }

    static let replacedSentence =
        "Another worker process registered with this label; give each worker its own --id."

    /// Stops giving work to a worker.
    mutating func drain(_ stamp: WorkerStamp, from route: WorkerRoute) {
        guard let member = member(stamp, from: route), member.state == .live else { return }
        membership[stamp.incarnation]?.state = .draining
        hint(member, "draining")
        membershipChanged()
    }

    /// Lets a drained worker go; one that still has something in hand is told nothing and asks
    /// again.
    mutating func leave(_ stamp: WorkerStamp, from route: WorkerRoute) {
        guard let member = member(stamp, from: route) else {
            // Asked again after the answer was lost: nothing is owed any more.
            if stamp.epoch == epoch, membership[stamp.incarnation] == nil {
                directives.append(.send(route, .left(stamp)))
            }
            return
        }
        guard member.holds.isEmpty, !stuck.isHolder(stamp.incarnation) else { return }
        inbox.append(.ended(stamp.incarnation, state: "left"))
    }

    /// A parent reports the death of a process: proof, its files move on at once.
    ///
    /// The death makes suspects of what the process had in hand (trace B3), unless its parent
    /// killed it because it had been expelled.
    mutating func died(life: UInt64, isKilled: Bool) {
        guard let incarnation = membership.member(ofLife: life) else { return }
        let isExpelled = membership[incarnation]?.state == .expelled
        inbox.append(.ended(incarnation, state: isKilled || isExpelled ? "killed" : "died"))
    }

    /// Ends leases whose time is over, and hands on what the margin has freed.
    mutating func endLeases(at now: Instant) {
        for incarnation in leases.expired(at: now) {
            leases.end(incarnation)
            guard let member = membership[incarnation] else { continue }
            if member.state == .replaced {
                membership[incarnation]?.handOnAt = now + settings.margin
                continue
            }
            membership[incarnation]?.state = .expelled
            membership[incarnation]?.handOnAt = now + settings.margin
            hint(member, "expelled")
            membershipChanged()
        }
        for (incarnation, member) in membership.members {
            guard let at = member.handOnAt, now >= at else { continue }
            membership[incarnation]?.handOnAt = nil
            inbox.append(.ended(incarnation, state: "ended"))
        }
    }

    // MARK: Registration

    /// Stages a registration: the same incarnation again, or a new one that is journaled first.
    mutating func stage(
        _ registration: Registration, from route: WorkerRoute, in turn: inout Turn,
        at now: Instant
    ) {
        if let refusal = refusal(of: registration, in: turn) {
            directives.append(
                .send(route, .refused(code: refusal.code, sentence: refusal.sentence)))
            return
        }
        let isRepeated = turn.members.contains { change in
            guard case .joined(_, let other, _, _) = change else { return false }
            return other.life == registration.life
        }
        // Sent again before the first was answered: the worker asks once more if it must.
        if isRepeated { return }
        let known = membership.member(ofLife: registration.life)
        // Also one whose end, or another epoch, has made its replacement forgotten.
        if known.flatMap({ membership[$0]?.state }) == .replaced
            || membership.isReplaced(registration)
        {
            directives.append(.send(route, .replaced(sentence: Self.replacedSentence)))
            return
        }
        if let known, let member = membership[known] {
            // Overtaken on its way by a later one of the same process (an old connection's queue):
            // to take it would end an incarnation that lives and acts.
            if member.registration >= registration.registration { return }
        }
        turn.header.storeID = registration.store.id
        if let root = registration.localRootID { turn.header.localRootID = root }
        adopt(registration.store, in: &turn)
        turn.header.longestLeaseMilliseconds = max(
            turn.header.longestLeaseMilliseconds, settings.lease.wholeMilliseconds)
        let keeps =
            known.map {
                membership[$0]?.state != .expelled
                    && registration.previous == $0
                    && !(settings.isAdopting && membership[$0]?.state == .awaited)
                    && !turn.transaction.incarnationsEnded.contains($0)
            } ?? false
        if keeps, let known {
            rejoin(known, registration, from: route, in: &turn, at: now)
            return
        }
        if let known { stageEnd(of: known, state: "ended", in: &turn, at: now) }
        turn.header.incarnationCount += 1
        let fresh = Incarnation(epoch: epoch, count: turn.header.incarnationCount)
        turn.transaction.incarnationsAdded.append(
            IncarnationRecord(
                incarnation: fresh, label: registration.label, life: registration.life,
                schemes: registration.schemes))
        turn.members.append(.joined(route, registration, fresh, isKept: false))
        for numbered in registration.reports { turn.acknowledge(numbered.number, to: fresh) }
    }

    /// The same incarnation over a new connection: what it holds stays its own, the rest is lost.
    private mutating func rejoin(
        _ incarnation: Incarnation, _ registration: Registration, from route: WorkerRoute,
        in turn: inout Turn, at now: Instant
    ) {
        turn.members.append(.joined(route, registration, incarnation, isKept: true))
        membership[incarnation]?.isEnding = true
        stage(stuck: registration.stuck, of: incarnation, in: &turn)
        for held in registration.held { stage(held, of: incarnation, in: &turn) }
        stage(reports: registration.reports, of: incarnation, in: &turn, at: now)
        var living = Set(registration.held.map(\.assignment))
        for numbered in registration.reports {
            if case .outcome(let outcome) = numbered.report { living.insert(outcome.assignment) }
        }
        for id in membership[incarnation]?.holds ?? [] where !living.contains(id) {
            stageLost(id, in: &turn)
        }
    }

    /// Takes over a held assignment of a former epoch, also one whose edit has ended meanwhile.
    ///
    /// As long as its holder may write, nobody else touches the file. What it reports of an ended
    /// edit is dropped.
    private mutating func stage(
        _ held: Registration.Held, of incarnation: Incarnation, in turn: inout Turn
    ) {
        guard holds[held.assignment] == nil, held.assignment.epoch != epoch,
            !turn.adopted.contains(where: { $0.id == held.assignment })
        else { return }
        let index = files.claim(held.file)
        var slot = turn.files[index] ?? files[index]
        guard slot.inHand == nil else { return }
        slot.inHand = held.assignment
        turn.files[index] = slot
        let isNewest = slot.row?.sequence == held.sequence && !held.isRefresh
        turn.adopted.append(
            (
                held.assignment,
                Hold(
                    index: index, sequence: held.sequence, incarnation: incarnation,
                    targets: held.targets, byteCount: isNewest ? slot.byteCount : 0,
                    isRefresh: held.isRefresh)
            ))
    }

    /// Why a worker can't join; nil when it can.
    private func refusal(
        of registration: Registration, in turn: Turn
    ) -> (code: String, sentence: String)? {
        let store = registration.store
        if let bound = turn.header.storeID, bound != store.id {
            return (
                "store-differs",
                "The pool's store is \(bound), this worker's is \(store.id); give every worker the "
                    + "same --store."
            )
        }
        if let bound = turn.header.localRootID, let own = registration.localRootID, bound != own {
            return (
                "root-differs",
                "The pool's local root is \(bound), this worker's is \(own); give every worker the "
                    + "same --local-root."
            )
        }
        if settings.isAdopting { return nil }
        if let journal = store.journal, journal != header.journal {
            return (
                "store-foreign",
                "The store belongs to journal \(journal), the coordinator has \(header.journal); "
                    + "start the coordinator with the right --journal, or with --adopt to take the "
                    + "store over."
            )
        }
        if store.highestSequence > header.lastSequence {
            return (
                "store-ahead",
                "The store has applied sequence \(store.highestSequence), the journal knows only "
                    + "\(header.lastSequence): it was restored from an older copy. Start the "
                    + "coordinator with --adopt to count on above the store's."
            )
        }
        return nil
    }

    // MARK: Ends

    /// Whether an end that time has brought is out of date: the worker's registration was on its
    /// way to disk then, and it has another lease.
    func isRevived(_ incarnation: Incarnation) -> Bool {
        guard let member = membership[incarnation] else { return false }
        return member.state == .live || member.state == .draining
    }

    /// Stages an incarnation's end: what it held goes back, what it owes is journaled.
    mutating func stageEnd(
        of incarnation: Incarnation, state: String, in turn: inout Turn, at now: Instant
    ) {
        guard let member = membership[incarnation],
            !turn.transaction.incarnationsEnded.contains(incarnation)
        else { return }
        membership[incarnation]?.isEnding = true
        turn.transaction.incarnationsEnded.append(incarnation)
        turn.members.append(.ended(incarnation, state: state))
        let adopted = turn.adopted.filter { $0.hold.incarnation == incarnation }.map(\.id)
        for id in member.holds.union(adopted) {
            stageLost(id, isSuspect: state == "died", in: &turn)
        }
        if state == "left", member.holds.isEmpty { return }
        for name in Set(projects.keys).union(turn.projects.keys) {
            var record = turn.projects[name] ?? projects[name] ?? newProject(name, in: turn)
            var isChanged = false
            for index in record.targets.indices {
                let target = record.targets[index]
                let reached =
                    member.state == .awaited || member.registration == 0
                    ? member.record.schemes.contains(target.url.scheme)
                    : member.touched.contains(target.url)
                guard reached, !target.debts.contains(incarnation) else { continue }
                record.targets[index].debts.append(incarnation)
                isChanged = true
            }
            if isChanged { turn.projects[name] = record }
        }
    }

    /// Stages that nobody has an assignment any more: no attempt is burnt.
    private mutating func stageLost(
        _ id: AssignmentID, isSuspect: Bool = false, in turn: inout Turn
    ) {
        guard !turn.finished.contains(id),
            let hold = holds[id] ?? turn.adopted.first(where: { $0.id == id })?.hold
        else { return }
        turn.finished.insert(id)
        var slot = turn.files[hold.index] ?? files[hold.index]
        slot.inHand = nil
        if !hold.isRefresh, let row = slot.row, let open = row.open, open.sequence == hold.sequence
        {
            slot.row?.open = nil
            turn.tell(
                StatusEvent(
                    .superseded, project: slot.key.project, path: slot.key.path,
                    sequence: open.sequence, id: open.id, by: row.sequence))
        } else if isSuspect, !hold.isRefresh, slot.row?.sequence == hold.sequence {
            stageDeath(&slot, in: &turn)
        }
        turn.files[hold.index] = slot
    }

    /// Makes a membership change true after its commit.
    mutating func conclude(_ change: Turn.MemberChange, at now: Instant) {
        switch change {
        case .ended(let incarnation, let state):
            leases.end(incarnation)
            awaited.remove(incarnation)
            board.forget(prober: incarnation)
            markers.forget(prober: incarnation)
            for target in stuck.forget(incarnation) { noteSettled(target, at: now) }
            for (target, refill) in refills where refill.asked?.lister == incarnation {
                refills[target]?.asked = nil
            }
            guard let member = membership.remove(incarnation) else { return }
            if state == "left", let route = member.route {
                let stamp = WorkerStamp(
                    epoch: epoch, incarnation: incarnation, registration: member.registration)
                directives.append(.send(route, .left(stamp)))
            }
            hint(member, state)
        case .joined(let route, let registration, let incarnation, let isKept):
            join(registration, as: incarnation, isKept: isKept, from: route, at: now)
        }
        membershipChanged()
    }

    private mutating func join(
        _ registration: Registration, as incarnation: Incarnation, isKept: Bool,
        from route: WorkerRoute, at now: Instant
    ) {
        if let former = membership.bearer[registration.label], former != incarnation {
            membership[former]?.state = .replaced
            if let member = membership[former] { hint(member, "replaced") }
            if leases.deadline(of: former) == nil {
                membership[former]?.handOnAt = now + settings.margin
            }
        }
        var member =
            membership[incarnation]
            ?? Member(
                record: IncarnationRecord(
                    incarnation: incarnation, label: registration.label, life: registration.life,
                    schemes: registration.schemes), state: .live)
        member.isEnding = false
        // Its lease may have ended while the registration was on its way to disk; it has a new one.
        member.handOnAt = nil
        let isAwaited = member.state == .awaited
        if isAwaited { member.touched = reachable(registration.schemes) }
        if member.state != .draining { member.state = .live }
        if let previous = registration.previous {
            member.origin = min(member.origin, previous.count)
        }
        member.route = route
        member.registration = registration.registration
        member.capacity = registration.capacity
        membership.add(member)
        awaited.remove(incarnation)
        // What was asked over the former connection may be lost.
        board.forget(prober: incarnation)
        markers.forget(prober: incarnation)
        for (target, refill) in refills where refill.asked?.lister == incarnation {
            refills[target]?.asked = nil
        }
        if bootIDs.insert(registration.bootID).inserted {
            verified = []
            markers.hurry(at: now)
        }
        hasAdopted = true
        leases.grant(incarnation, at: now)
        let stamp = WorkerStamp(
            epoch: epoch, incarnation: incarnation, registration: registration.registration)
        directives.append(
            .send(
                route,
                .welcome(
                    Welcome(
                        stamp: stamp, journal: header.journal, isAdopted: settings.isAdopting,
                        lease: settings.lease, clock: registration.clock, isKept: isKept))))
        hint(member, "joined")
    }

    /// Every attached target that these schemes reach.
    private func reachable(_ schemes: [String]) -> Set<TargetURL> {
        Set(
            projects.values.flatMap(\.targets).filter { schemes.contains($0.url.scheme) }
                .map(\.url))
    }

    mutating func acknowledge(_ owed: Turn.Acknowledgement) {
        guard let member = membership[owed.incarnation], let route = member.route else { return }
        let stamp = WorkerStamp(
            epoch: epoch, incarnation: owed.incarnation, registration: member.registration)
        directives.append(.send(route, .acknowledge(stamp, owed.numbers)))
    }

    func hintOf(_ member: Member, _ state: String) -> WorkerHint {
        WorkerHint(label: member.record.label, life: member.record.life, state: state)
    }

    private mutating func hint(_ member: Member, _ state: String) {
        directives.append(.hint(hintOf(member, state)))
    }
}
