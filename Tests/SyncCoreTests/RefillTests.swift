import SyncCore
import SyncTestKit
import Testing

/// Sandboxes that are written again, and flushes that come meanwhile.
@Suite struct RefillTests {
    private let target = TargetURL(defaultOf: MachineCluster.project)

    /// A cluster whose files are all visible.
    private func filled(_ count: UInt64, workers: [String] = ["a", "b"]) throws -> MachineCluster {
        var settings = CoordinatorSettings()
        settings.markerInterval = .seconds(5)
        let cluster = try MachineCluster(settings: settings)
        for worker in workers { try cluster.addWorker(worker) }
        for number in 1...count {
            cluster.push(
                MachineCluster.put("d\(number % 3)/f\(number)", "\(number)"), number: number,
                settles: number % 100 == 0)
        }
        cluster.settle()
        #expect(cluster.coordinator.nextDeadline != nil)
        return cluster
    }

    private func flush(_ cluster: MachineCluster, _ prefix: String = "") -> ClientRoute {
        let route = cluster.request(.flush(project: MachineCluster.project, prefix: prefix))
        cluster.settle()
        return route
    }

    private func isFlushed(_ cluster: MachineCluster, _ route: ClientRoute) -> Bool {
        guard case .flushed? = cluster.answers(to: route).first else { return false }
        return true
    }

    private static func isWrite(_ step: WorkerDirective) -> Bool {
        if case .write = step { true } else { false }
    }

    private static func isList(_ step: WorkerDirective) -> Bool {
        if case .list = step { true } else { false }
    }

    /// Asks the workers to read markers, without letting a second pass.
    private func findBlank(_ cluster: MachineCluster) {
        cluster.sandboxes[target]?.wipe()
        cluster.advance(by: .seconds(6))
    }

    @Test func `a flush that comes while a sandbox is refilled waits for the refill`() throws {
        let cluster = try filled(1_020)
        for worker in cluster.workers { worker.isHeld = Self.isWrite }
        findBlank(cluster)
        let waiting = flush(cluster)
        #expect(cluster.answers(to: waiting).isEmpty)
        for worker in cluster.workers { worker.isHeld = { _ in false } }
        cluster.settle()
        #expect(isFlushed(cluster, waiting))
        for number in 1...1_020 { #expect(cluster.text("d\(number % 3)/f\(number)") != nil) }
        #expect(cluster.violations() == [])
    }

    @Test func `a flush waits for a refill only as far as its prefix`() throws {
        let cluster = try filled(30)
        for worker in cluster.workers {
            worker.isHeld = { step in
                guard case .write(_, _, let edit, _) = step else { return false }
                return edit.path.isCovered(by: "d2")
            }
        }
        findBlank(cluster)
        let near = flush(cluster, "d1")
        let far = flush(cluster, "d2/")
        #expect(isFlushed(cluster, near))
        #expect(cluster.answers(to: far).isEmpty)
        for worker in cluster.workers { worker.isHeld = { _ in false } }
        cluster.settle()
        #expect(isFlushed(cluster, far))
    }

    @Test func `a flush is not answered when a sandbox is found blank meanwhile`() throws {
        let cluster = try filled(20, workers: ["a"])
        let worker = cluster.workers[0]
        worker.isHeld = { step in
            guard case .write(_, _, let edit, _) = step else { return false }
            return edit.path == MachineCluster.path("late")
        }
        cluster.push(MachineCluster.put("late", "x"), number: 21)
        let waiting = flush(cluster)
        cluster.sandboxes[target]?.wipe()
        worker.isHeld = { step in
            guard case .write(_, _, let edit, _) = step else { return false }
            return edit.path != MachineCluster.path("late")
        }
        cluster.advance(by: .seconds(6))
        #expect(cluster.answers(to: waiting).isEmpty)
        worker.isHeld = { _ in false }
        cluster.advance(by: .seconds(5))
        #expect(isFlushed(cluster, waiting))
        for number in 1...20 { #expect(cluster.text("d\(number % 3)/f\(number)") == "\(number)") }
        #expect(cluster.text("late") == "x")
        #expect(cluster.violations() == [])
    }

    @Test func `a flush heard after the finding waits before the finding is journaled`() throws {
        let cluster = try filled(5, workers: ["a"])
        cluster.holdsCommits = true
        findBlank(cluster)
        #expect(cluster.isCommitting)
        let waiting = flush(cluster)
        #expect(cluster.answers(to: waiting).isEmpty)
        cluster.holdsCommits = false
        cluster.finishCommit()
        cluster.workers[0].isHeld = Self.isWrite
        cluster.settle()
        #expect(cluster.answers(to: waiting).isEmpty)
        cluster.workers[0].isHeld = { _ in false }
        cluster.settle()
        #expect(isFlushed(cluster, waiting))
        #expect(cluster.text("d1/f1") == "1")
    }

    @Test func `a write into the former filling does not count for the new one`() throws {
        let cluster = try filled(1)
        let second = try #require(TargetURL("local:second"))
        cluster.push(MachineCluster.put("g", "new", targets: [second]), number: 2)
        // Visible in the first target, held in the second one.
        for worker in cluster.workers {
            worker.isHeld = { step in
                guard case .write(_, let url, _, _) = step else { return false }
                return url == second
            }
        }
        cluster.push(MachineCluster.put("g", "newer"), number: 3)
        #expect(cluster.text("g") == "newer")
        findBlank(cluster)
        #expect(cluster.text("g") == nil)
        for worker in cluster.workers { worker.isHeld = { _ in false } }
        cluster.settle()
        #expect(cluster.text("g") == "newer")
        #expect(cluster.text("g", in: "local:second") == "newer")
        #expect(cluster.violations() == [])
    }

    @Test func `a page that fails is asked for again, with a pause`() throws {
        let cluster = try filled(5, workers: ["a"])
        cluster.sandboxes[target]?.wipe()
        cluster.store.isAway = true
        cluster.advance(by: .seconds(6))
        #expect(cluster.text("d1/f1") == nil)
        // A tight loop would never come to rest here.
        cluster.advance(by: .seconds(20))
        cluster.store.isAway = false
        cluster.advance(by: .seconds(31))
        #expect(cluster.text("d1/f1") == "1")
        let kinds = cluster.journal.events.filter { $0.target == target }.map(\.kind)
        #expect(kinds == [.attached, .refreshing, .refreshed])
    }

    @Test func `a worker that does not answer with its page is replaced by another`() throws {
        let cluster = try filled(5)
        for worker in cluster.workers { worker.isHeld = Self.isList }
        findBlank(cluster)
        let asked = try #require(cluster.workers.first { $0.steps.contains(where: Self.isList) })
        let other = try #require(cluster.workers.first { $0 !== asked })
        other.isHeld = { _ in false }
        cluster.advance(by: .seconds(20))
        #expect(cluster.text("d1/f1") == nil)
        cluster.advance(by: .seconds(11))
        #expect(cluster.text("d1/f1") == "1")
        // The late answer changes nothing.
        asked.isHeld = { _ in false }
        cluster.settle()
        #expect(cluster.journal.events.last?.kind == .refreshed)
    }

    @Test func `a page under way when the sandbox is found blank again does not count`() throws {
        let cluster = try filled(1, workers: ["a"])
        cluster.workers[0].isHeld = Self.isList
        findBlank(cluster)
        let late = cluster.workers[0].steps.filter(Self.isList)
        #expect(late.count == 1)
        cluster.push(MachineCluster.put("g", "x"), number: 2)
        #expect(cluster.text("g") == "x")
        findBlank(cluster)
        #expect(cluster.text("g") == nil)
        cluster.workers[0].isHeld = { _ in false }
        cluster.settle()
        #expect(cluster.text("g") == "x")
        #expect(cluster.text("d1/f1") == "1")
    }

    @Test func `a page whose turn fails is taken again`() throws {
        let cluster = try filled(40)
        cluster.holdsCommits = false
        for worker in cluster.workers { worker.isHeld = Self.isList }
        findBlank(cluster)
        cluster.journal.isFull = true
        for worker in cluster.workers { worker.isHeld = { _ in false } }
        cluster.advance(by: .seconds(3))
        #expect(cluster.text("d1/f1") == nil)
        let snapshot = cluster.request(
            .snapshot(project: MachineCluster.project, prefix: "", after: nil, countMax: 100))
        cluster.settle()
        guard case .snapshot(let files, _, _, _)? = cluster.answers(to: snapshot).first else {
            Issue.record("no snapshot")
            return
        }
        #expect(files.isEmpty)
        cluster.journal.isFull = false
        cluster.advance(by: .seconds(3))
        for number in 1...40 { #expect(cluster.text("d\(number % 3)/f\(number)") == "\(number)") }
        #expect(cluster.violations() == [])
    }

    /// `a` and `a/b` live in the store, and a refill has found `a` in the way of `a/b`.
    private func contested() throws -> MachineCluster {
        let cluster = try filled(3)
        cluster.push(MachineCluster.put("a", "file"), number: 4)
        cluster.push(MachineCluster.put("a/b", "below"), number: 5)
        cluster.advance(by: .seconds(120))
        #expect(cluster.story(of: "a/b").last == "failed 5")
        let item = FailedOrder.Item(path: MachineCluster.path("a/b"), sequence: EditSequence(5))
        cluster.request(
            .order(
                FailedOrder(
                    action: .discard, project: MachineCluster.project,
                    by: MachineCluster.name("alice"), items: [item])))
        cluster.settle()
        findBlank(cluster)
        cluster.advance(by: .seconds(90))
        #expect(cluster.text("a") == "file")
        #expect(cluster.text("a/b") == nil)
        return cluster
    }

    @Test func `a path that a live one stands in the way of holds up no other`() throws {
        let cluster = try contested()
        for number in 1...3 { #expect(cluster.text("d\(number % 3)/f\(number)") == "\(number)") }
        let told = cluster.journal.events.filter { $0.path == MachineCluster.path("a/b") }
        #expect(told.suffix(2).map(\.kind) == [.discarded, .refreshing])
        #expect(told.last?.code == "ENOTDIR")
        guard case .blocked? = cluster.answers(to: flush(cluster, "a/b")).first else {
            Issue.record("not blocked")
            return
        }
        #expect(isFlushed(cluster, flush(cluster, "d1")))
        #expect(cluster.violations() == [])
    }

    @Test func `a path that a live one stood in the way of is written when that one is gone`()
        throws
    {
        let cluster = try contested()
        cluster.push(MachineCluster.delete("a"), number: 6)
        #expect(cluster.text("a/b") == "below")
        #expect(cluster.journal.events.last { $0.target == target }?.kind == .refreshed)
        #expect(isFlushed(cluster, flush(cluster)))
        #expect(cluster.violations() == [])
    }

    @Test func `a path in the way is remembered over the coordinator's restart`() throws {
        let cluster = try contested()
        try cluster.restartCoordinator()
        cluster.push(MachineCluster.delete("a"), number: 6)
        cluster.advance(by: .seconds(61))
        #expect(cluster.text("a/b") == "below")
        #expect(isFlushed(cluster, flush(cluster)))
        #expect(cluster.violations() == [])
    }

    @Test func `files that can not be written hold up no other file of a refill`() throws {
        let cluster = try filled(1_500)
        for number in 1...1_500 where number % 3 == 1 {
            cluster.sandboxes[target]?.failures[MachineCluster.path("d1/f\(number)")] =
                SandboxError(.file, code: "EACCES", "Permission denied; mend the mode.")
        }
        findBlank(cluster)
        cluster.advance(by: .seconds(10))
        for number in 1...1_500 where number % 3 != 1 {
            #expect(cluster.text("d\(number % 3)/f\(number)") == "\(number)")
        }
        #expect(cluster.violations() == [])
    }

    @Test func `a file that can not be written again is told once and answers flush`() throws {
        let cluster = try filled(3)
        cluster.sandboxes[target]?.failures[MachineCluster.path("d1/f1")] = SandboxError(
            .file, code: "EACCES", "Permission denied; mend the mode.")
        findBlank(cluster)
        cluster.advance(by: .seconds(200))
        let told = cluster.journal.events.filter { $0.path == MachineCluster.path("d1/f1") }
        #expect(told.map(\.kind) == [.accepted, .synced, .refreshing])
        #expect(told.last?.code == "EACCES")
        let blocked = flush(cluster)
        guard case .blocked(let causes, 1)? = cluster.answers(to: blocked).first else {
            Issue.record("not blocked")
            return
        }
        #expect(causes.first?.code == "EACCES")
        #expect(isFlushed(cluster, flush(cluster, "d2")))
        cluster.sandboxes[target]?.failures = [:]
        cluster.advance(by: .seconds(61))
        #expect(cluster.text("d1/f1") == "1")
        #expect(isFlushed(cluster, flush(cluster)))
        #expect(cluster.violations() == [])
    }

    @Test func `writes that wait for a former filling go into the new one`() throws {
        let cluster = try filled(20, workers: ["a"])
        cluster.workers[0].isHeld = { step in
            if case .prepare = step { true } else { false }
        }
        findBlank(cluster)
        cluster.request(.project(MachineCluster.project, .hydrate([])))
        cluster.push(MachineCluster.put("late", "x"), number: 21)
        cluster.workers[0].isHeld = { _ in false }
        cluster.advance(by: .seconds(5))
        for number in 1...20 { #expect(cluster.text("d\(number % 3)/f\(number)") == "\(number)") }
        #expect(cluster.text("late") == "x")
        #expect(cluster.journal.events.last { $0.target == target }?.kind == .refreshed)
        #expect(!cluster.journal.events.contains { $0.kind == .away })
        #expect(cluster.violations() == [])
    }

    // Trace B6.
    @Test func `after a restart of the machine a flush waits for the repair`() throws {
        let cluster = try filled(20, workers: ["a"])
        cluster.kill(cluster.workers[0])
        for number in 1...20 {
            cluster.sandboxes[target]?.damage(
                MachineCluster.path("d\(number % 3)/f\(number)"),
                with: .put(Content([]), isExecutable: false))
        }
        try cluster.restartCoordinator()
        let waiting = flush(cluster)
        #expect(cluster.answers(to: waiting).isEmpty)
        try cluster.addWorker("b", bootID: "after")
        cluster.advance(by: .seconds(5))
        #expect(isFlushed(cluster, waiting))
        for number in 1...20 { #expect(cluster.text("d\(number % 3)/f\(number)") == "\(number)") }
        #expect(cluster.journal.events.last { $0.kind == .refreshing }?.code == "rebooted")
        #expect(cluster.violations() == [])
    }

    @Test func `a refill goes on after the coordinator's restart`() throws {
        let cluster = try filled(30)
        for worker in cluster.workers { worker.isHeld = Self.isWrite }
        findBlank(cluster)
        try cluster.restartCoordinator()
        for worker in cluster.workers { worker.isHeld = { _ in false } }
        cluster.advance(by: .seconds(10))
        for number in 1...30 { #expect(cluster.text("d\(number % 3)/f\(number)") == "\(number)") }
        #expect(cluster.journal.events.last?.kind == .refreshed)
        #expect(cluster.violations() == [])
    }

    // Seed 9402315.
    @Test func `a failed edit is failed in a snapshot while its file is written again`() throws {
        let cluster = try filled(3)
        let path = try EditPath("d1/f1")
        cluster.sandboxes[target]?.failures[path] = SandboxError(
            .file, code: "EACCES", "The file can't be written; look at its folder.")
        cluster.push(MachineCluster.put(path.text, "new"), number: 4)
        #expect(cluster.story(of: path.text).last == "failed 4")
        for worker in cluster.workers { worker.isHeld = Self.isWrite }
        findBlank(cluster)
        let route = cluster.request(
            .snapshot(project: MachineCluster.project, prefix: "", after: nil, countMax: 100))
        cluster.settle()
        guard case .snapshot(let files, _, _, _)? = cluster.answers(to: route).first else {
            Issue.record("no snapshot")
            return
        }
        let failed = try #require(files.first { $0.path == path })
        #expect(failed.worker != nil)
        #expect(failed.state == "failed")
        #expect(files.count { $0.state == "failed" } == 1)
    }
}
