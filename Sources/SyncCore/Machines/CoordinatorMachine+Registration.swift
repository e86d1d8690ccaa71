import OrderedCollections

extension CoordinatorMachine {
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
        let isRepeated = turn.joins.contains { $0.registration.life == registration.life }
        // Sent again before the first was answered: the worker asks once more if it must.
        if isRepeated || isOutdone(registration, in: turn) { return }
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

    /// Whether a later registration of the process waits, or this turn takes in a newer process
    /// with its label: then nobody is answered, and whoever still asks is told.
    private func isOutdone(_ registration: Registration, in turn: Turn) -> Bool {
        let isFollowed = inbox.hasRegistration {
            $0.life == registration.life && $0.registration > registration.registration
        }
        guard !isFollowed, let previous = registration.previous else { return isFollowed }
        return turn.joins.contains { rival, incarnation, _ in
            rival.label == registration.label && rival.life != registration.life
                && min(incarnation.count, rival.previous?.count ?? .max) > previous.count
        }
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
        var slot = slot(index, in: turn)
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
}
