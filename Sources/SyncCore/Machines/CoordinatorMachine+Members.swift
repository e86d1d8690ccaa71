import OrderedCollections

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
    mutating func hearDeath(ofLife life: UInt64, isKilled: Bool) {
        var isExpelled = false
        if let incarnation = membership.member(ofLife: life) {
            isExpelled = membership[incarnation]?.state == .expelled
            // It is given nothing while its end waits for a turn.
            membership[incarnation]?.isEnding = true
        }
        inbox.append(.died(life: life, isKilled: isKilled || isExpelled))
    }

    /// Stages the end of a process.
    ///
    /// A registration of it may be on its way to disk, or be staged in the same turn.
    mutating func stageDeath(
        ofLife life: UInt64, isKilled: Bool, in turn: inout Turn, at now: Instant
    ) {
        let isJoining = turn.joins.contains { !$0.isKept && $0.registration.life == life }
        // As soon as it is a member.
        if isJoining { turn.deaths.append((life, isKilled)) }
        guard let incarnation = membership.member(ofLife: life) else { return }
        stageEnd(of: incarnation, state: isKilled ? "killed" : "died", in: &turn, at: now)
    }

    /// Ends leases whose time is over, and hands on what the margin has freed.
    mutating func endLeases(at now: Instant) {
        for incarnation in leases.expired(at: now) {
            leases.end(incarnation)
            guard let member = membership[incarnation] else { continue }
            if isBeingKept(incarnation) {
                // Its registration is on its way to disk, and brings a lease.
                leases.grant(incarnation, at: now)
                continue
            }
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

    /// Whether a registration that takes a worker in again as who it was waits for a turn, or is on
    /// its way to disk.
    private func isBeingKept(_ incarnation: Incarnation) -> Bool {
        let joins = turn?.joins ?? []
        if joins.contains(where: { $0.isKept && $0.incarnation == incarnation }) { return true }
        let life = membership[incarnation]?.record.life
        return inbox.hasRegistration { $0.previous == incarnation && $0.life == life }
    }

    // MARK: Ends

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
            var record = self.record(of: name, in: turn) ?? newProject(name, in: turn)
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
    mutating func stageLost(
        _ id: AssignmentID, isSuspect: Bool = false, in turn: inout Turn
    ) {
        guard !turn.finished.contains(id),
            let hold = self.hold(id, in: turn)
        else { return }
        turn.finished.insert(id)
        var slot = slot(hold.index, in: turn)
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
            // One of a former epoch may have a lease of which this table knows nothing: it ends
            // with the wait for all of them.
            if leases.deadline(of: former) == nil, !awaited.contains(former) {
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
