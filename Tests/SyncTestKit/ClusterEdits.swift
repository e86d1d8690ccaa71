package import SyncCore

extension MachineCluster {
    /// The project that tests use unless they say otherwise.
    package static let project = name("p1")

    /// A valid name; a test that gives another one is wrong.
    package static func name(_ text: String) -> Name {
        guard let name = Name(text) else { preconditionFailure("bad name in a test") }
        return name
    }

    /// A valid path likewise.
    package static func path(_ text: String) -> EditPath {
        guard let path = try? EditPath(text) else { preconditionFailure("bad path in a test") }
        return path
    }

    /// A producer's life.
    package static func producer(_ text: String = "tester") -> ProducerID {
        ProducerID(name: name(text), life: 1)
    }

    /// A put of a text.
    package static func put(_ path: String, _ text: String, targets: [TargetURL] = []) -> Edit {
        Edit(
            path: Self.path(path), change: .put(Content(Array(text.utf8)), isExecutable: false),
            targets: targets)
    }

    /// A delete.
    package static func delete(_ path: String) -> Edit {
        Edit(path: Self.path(path), change: .delete)
    }

    /// Pushes one edit and lets the cluster settle; answers what the producer heard, if anything.
    @discardableResult
    package func push(
        _ edit: Edit, number: UInt64, producer: ProducerID = MachineCluster.producer(),
        project: ProjectName = MachineCluster.project, settles: Bool = true
    ) -> ClientRoute {
        let route = request(
            .edits(
                project: project, producer: producer,
                [EditItem(number: number, edit: .success(edit))]))
        if settles { settle() }
        return route
    }

    /// The answer to the one edit of a message.
    package func answer(to route: ClientRoute) -> Result<Acceptance, Rejection>? {
        for reply in answers(to: route) {
            if case .edits(let answers) = reply { return answers.first?.result }
        }
        return nil
    }

    /// The sequence that one edit got; nil when it was refused or not answered.
    package func sequence(of route: ClientRoute) -> UInt64? {
        guard case .success(let acceptance) = answer(to: route) else { return nil }
        return acceptance.sequence.value
    }

    /// The code with which one edit was refused.
    package func rejection(of route: ClientRoute) -> RejectionCode? {
        guard case .failure(let rejection) = answer(to: route) else { return nil }
        return rejection.code
    }

    /// Text of a file in a sandbox; nil when there is none.
    package func text(_ path: String, in target: String = "local:p1") -> String? {
        guard let url = TargetURL(target),
            case .put(let content, _) = sandboxes[url]?.files[Self.path(path)]
        else { return nil }
        return String(decoding: content.bytes, as: UTF8.self)
    }

    /// Text of the store's newest version.
    package func storedText(_ path: String) -> String? {
        let file = FileKey(project: Self.project, path: Self.path(path))
        guard case .put(let content, _) = store.newest(file)?.change else { return nil }
        return String(decoding: content.bytes, as: UTF8.self)
    }

    /// Kinds of the logged events of a path, in order, with their sequences.
    package func story(of path: String) -> [String] {
        journal.events.filter { $0.path == Self.path(path) }.map { "\($0.kind) \($0.sequence)" }
    }

    /// Checks what must hold whenever the cluster is at rest: returns violations in words.
    package func violations() -> [String] {
        var found: [String] = []
        if isSpinning { found.append("something happens again and again without any pause") }
        let events = journal.events
        for (place, event) in events.enumerated() where event.number != UInt64(place + 1) {
            found.append("event \(place + 1) has number \(event.number)")
        }
        for (project, own) in Dictionary(grouping: events, by: \.project) {
            for (place, event) in own.enumerated() where event.projectNumber != UInt64(place + 1) {
                found.append("event \(place + 1) of \(project) has \(event.projectNumber)")
            }
        }
        var open: [EditSequence: Int] = [:]
        for event in events {
            switch event.kind {
            case .accepted: open[event.sequence] = 0
            case .retried: open[event.sequence, default: 1] -= 1
            case .synced, .superseded, .failed, .discarded:
                open[event.sequence, default: 0] += 1
            case .retrying, .parked, .stored, .attached, .detached, .away, .back, .refreshing,
                .refreshed, .drifted:
                break
            }
        }
        let failed = Set(
            journal.snapshot.rows.filter { $0.failure != nil }.map(\.sequence))
        let closed = Set(events.filter { $0.kind == .failed }.map(\.sequence))
        let pending = Set(journal.snapshot.rows.filter { $0.failure == nil }.map(\.sequence))
            .union(journal.snapshot.rows.compactMap { $0.open?.sequence })
        for (sequence, ends) in open {
            let allowed =
                pending.contains(sequence)
                ? [0] : closed.contains(sequence) && !failed.contains(sequence) ? [1, 2] : [1]
            if !allowed.contains(ends) { found.append("edit \(sequence) has \(ends) ends") }
        }
        for (file, versions) in store.versions {
            for (place, version) in versions.enumerated()
            where version.version.value != UInt64(place + 1) {
                found.append("version \(place + 1) of \(file) is \(version.version)")
            }
        }
        return found
    }
}
