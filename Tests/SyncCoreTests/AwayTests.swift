import SyncCore
import SyncTestKit
import Testing

/// Targets that are away, come back, stay away, or are detached (trace B1, A12).
@Suite struct AwayTests {
    private let target = TargetURL(defaultOf: MachineCluster.project)
    private static let absent = SandboxError(
        .target, code: "root-missing", "The local root is missing; mount it.")

    private func kinds(_ cluster: MachineCluster, at target: TargetURL) -> [EventKind] {
        cluster.journal.events.filter { $0.target == target && $0.path == nil }.map(\.kind)
    }

    private func isProbe(_ step: WorkerDirective) -> Bool {
        if case .probe = step { true } else { false }
    }

    // Trace B1.
    @Test func `a minute away with 1,000 files burns no attempt, one worker probes, all come soon`()
        throws
    {
        let cluster = try MachineCluster()
        for name in ["a", "b", "c"] { try cluster.addWorker(name) }
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failure = Self.absent
        for number: UInt64 in 1...1_000 {
            cluster.push(
                MachineCluster.put("f\(number)", "one"), number: number, settles: number % 100 == 0)
        }
        var probes = 0
        var probers: Set<WorkerLabel> = []
        for worker in cluster.workers {
            worker.isHeld = { step in
                if case .probe = step {
                    probes += 1
                    probers.insert(worker.label)
                }
                return false
            }
        }
        cluster.advance(by: .seconds(60))
        // 1, 2, 4, 8, 16 and 30 s apart, counted twice by the kit: asked, then carried out.
        #expect((4...7).contains(probes / 2))
        #expect(probers.count == 1)
        for number: UInt64 in 1...1_000 {
            cluster.push(
                MachineCluster.put("f\(number)", "two"), number: 1_000 + number,
                settles: number % 100 == 0)
        }
        cluster.sandboxes[target]?.failure = nil
        // The sixth probe comes 61 s after it went away.
        cluster.advance(by: .seconds(3))
        for number in 1...1_000 { #expect(cluster.text("f\(number)") == "two") }
        let events = cluster.journal.events
        #expect(!events.contains { $0.kind == .failed || $0.kind == .retrying })
        #expect(events.allSatisfy { $0.attempts == 0 })
        #expect(kinds(cluster, at: target) == [.attached, .away, .back])
        #expect(events.first { $0.kind == .away }?.code == "root-missing")
        #expect(cluster.violations() == [])
    }

    /// A file system that is full, or read-only, may be read: each probe finds the sandbox well.
    @Test func `a target that answers probes and takes no write swings ever slower`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        cluster.push(MachineCluster.put("other", "x"), number: 1)
        cluster.sandboxes[target]?.failures[MachineCluster.path("f")] = SandboxError(
            .target, code: "ENOSPC", "The sandbox is full; make room.")
        cluster.push(MachineCluster.put("f", "x"), number: 2)
        cluster.advance(by: .seconds(600))
        let swings = kinds(cluster, at: target).count { $0 == .away }
        // After 1, 2, 4, 8, 16 s, then each 30 s; at the first wait's pace it would be 600 times.
        #expect((10...30).contains(swings))
        #expect(!cluster.journal.events.contains { $0.kind == .failed })
        cluster.sandboxes[target]?.failures = [:]
        cluster.advance(by: .seconds(31))
        #expect(cluster.text("f") == "x")
        // Well for a while: the next trouble begins with short waits again.
        cluster.advance(by: .seconds(120))
        cluster.sandboxes[target]?.failure = Self.absent
        cluster.push(MachineCluster.put("g", "x"), number: 3)
        cluster.sandboxes[target]?.failure = nil
        cluster.advance(by: .milliseconds(1_500))
        #expect(cluster.text("g") == "x")
        #expect(cluster.violations() == [])
    }

    @Test func `probes of a target that is away write, the others only read`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        var tries: [Bool] = []
        for worker in cluster.workers {
            worker.isHeld = { step in
                if case .probe(let assigned, _) = step { tries.append(assigned.isTriedByWriting) }
                return false
            }
        }
        cluster.advance(by: .seconds(31))
        #expect(!tries.isEmpty && !tries.contains(true))
        cluster.sandboxes[target]?.failure = Self.absent
        cluster.push(MachineCluster.put("f", "y"), number: 2)
        tries = []
        cluster.advance(by: .seconds(5))
        #expect(!tries.isEmpty && !tries.contains(false))
    }

    @Test func `the wait that a target asks for is kept`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failure = SandboxError(
            .target, code: "429", "Too many requests.", retryAfter: .seconds(20))
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.sandboxes[target]?.failure = nil
        cluster.advance(by: .seconds(19))
        #expect(cluster.text("f") == nil)
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("f") == "x")
    }

    @Test func `a prober that does not answer is replaced`() throws {
        let cluster = try MachineCluster()
        for name in ["a", "b"] { try cluster.addWorker(name) }
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failure = Self.absent
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        for worker in cluster.workers { worker.isHeld = isProbe }
        cluster.advance(by: .seconds(2))
        let prober = try #require(cluster.workers.first { $0.steps.contains(where: isProbe) })
        let other = try #require(cluster.workers.first { $0 !== prober })
        other.isHeld = { _ in false }
        cluster.sandboxes[target]?.failure = nil
        cluster.advance(by: .seconds(20))
        #expect(cluster.text("f") == nil)
        cluster.advance(by: .seconds(12))
        #expect(kinds(cluster, at: target) == [.attached, .away, .back])
        prober.isHeld = { _ in false }
        cluster.advance(by: .seconds(3))
        #expect(cluster.text("f") == "x")
        #expect(cluster.violations() == [])
    }

    @Test func `a marker that one worker does not read is read by another`() throws {
        let cluster = try MachineCluster()
        for name in ["a", "b"] { try cluster.addWorker(name) }
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        for worker in cluster.workers { worker.isHeld = isProbe }
        cluster.advance(by: .seconds(31))
        let prober = try #require(cluster.workers.first { $0.steps.contains(where: isProbe) })
        for worker in cluster.workers where worker !== prober { worker.isHeld = { _ in false } }
        cluster.sandboxes[target]?.wipe()
        cluster.advance(by: .seconds(32))
        #expect(cluster.text("f") == "x")
        #expect(prober.steps.filter(isProbe).count == 1)
    }

    @Test func `a target away for a day is detached and its files end`() throws {
        var settings = CoordinatorSettings()
        settings.awayMax = .seconds(3_600)
        let cluster = try MachineCluster(settings: settings)
        try cluster.addWorker("a")
        let second = try #require(TargetURL("local:second"))
        cluster.push(MachineCluster.put("f", "x", targets: [target, second]), number: 1)
        cluster.sandboxes[second]?.failure = Self.absent
        cluster.push(MachineCluster.put("f", "y"), number: 2)
        cluster.push(MachineCluster.put("g", "z"), number: 3)
        let flush = cluster.request(.flush(project: MachineCluster.project, prefix: ""))
        cluster.settle()
        guard case .blocked(let causes, 2)? = cluster.answers(to: flush).first else {
            Issue.record("not blocked")
            return
        }
        #expect(causes.map(\.code) == ["root-missing", "root-missing"])
        #expect(causes.map(\.visible) == [[target], [target]])
        #expect(causes.map(\.missing) == [[second], [second]])
        // A restart in between does not begin the hour anew.
        cluster.advance(by: .seconds(2_900), step: .seconds(1))
        try cluster.restartCoordinator()
        cluster.advance(by: .seconds(500), step: .seconds(1))
        #expect(kinds(cluster, at: second) == [.attached, .away])
        cluster.advance(by: .seconds(300), step: .seconds(1))
        #expect(kinds(cluster, at: second) == [.attached, .away, .detached])
        let detached = cluster.journal.events.last { $0.kind == .detached }
        #expect(detached?.code == "away")
        #expect(detached?.reason.contains("syncd project attach") ?? false)
        #expect(cluster.story(of: "f").last == "synced 2")
        #expect(cluster.story(of: "g").last == "synced 3")
        #expect(cluster.violations() == [])
    }

    @Test func `with no target left an edit fails with no-target, and comes back by attach`() throws
    {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        let detach = cluster.request(.project(MachineCluster.project, .detach([target])))
        cluster.settle()
        guard case .project(let line, _)? = cluster.answers(to: detach).first else {
            Issue.record("not detached")
            return
        }
        #expect(line.targets.map(\.state) == ["detached"])
        cluster.push(MachineCluster.put("f", "y"), number: 2)
        cluster.push(MachineCluster.put("g", "z"), number: 3)
        #expect(cluster.story(of: "f").last == "failed 2")
        #expect(cluster.journal.events.last { $0.kind == .failed }?.code == "no-target")
        #expect(cluster.text("f") == "x")
        #expect(
            cluster.rejection(
                of: cluster.push(MachineCluster.put("g", "z", targets: [target]), number: 4))
                == .targetDetached)
        cluster.request(.project(MachineCluster.project, .attach([target])))
        cluster.push(MachineCluster.put("f", "new"), number: 5)
        #expect(cluster.text("f") == "new")
        #expect(cluster.sandboxes[target]?.marker?.generation == 2)
        #expect(
            kinds(cluster, at: target) == [.attached, .detached, .attached, .refreshed])
        #expect(cluster.violations() == [])
    }

    @Test func `detaching the one that is waited for ends the edits that the others have`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        let second = try #require(TargetURL("local:second"))
        cluster.push(MachineCluster.put("f", "x", targets: [target, second]), number: 1)
        cluster.sandboxes[second]?.failure = Self.absent
        for number: UInt64 in 2...40 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number)
        }
        cluster.request(.project(MachineCluster.project, .detach([second])))
        cluster.settle()
        for number: UInt64 in 2...40 {
            #expect(cluster.story(of: "f\(number)").last == "synced \(number)")
        }
        let flush = cluster.request(.flush(project: MachineCluster.project, prefix: ""))
        cluster.settle()
        guard case .flushed? = cluster.answers(to: flush).first else {
            Issue.record("not flushed")
            return
        }
        #expect(kinds(cluster, at: second) == [.attached, .away, .detached])
        #expect(cluster.violations() == [])
    }

    @Test func `a detached target that comes back misses nothing`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        let second = try #require(TargetURL("local:second"))
        cluster.push(MachineCluster.put("f", "x", targets: [target, second]), number: 1)
        cluster.push(MachineCluster.put("g", "x"), number: 2)
        cluster.request(.project(MachineCluster.project, .detach([second])))
        cluster.push(MachineCluster.put("f", "y"), number: 3)
        cluster.push(MachineCluster.delete("g"), number: 4)
        #expect(cluster.text("f", in: "local:second") == "x")
        cluster.request(.project(MachineCluster.project, .attach([second])))
        cluster.settle()
        #expect(cluster.text("f", in: "local:second") == "y")
        #expect(cluster.text("g", in: "local:second") == nil)
        #expect(cluster.violations() == [])
    }

    @Test func `a sandbox that does not exist is detached while another one answers`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        let second = try #require(TargetURL("local:second"))
        cluster.push(MachineCluster.put("f", "x", targets: [target, second]), number: 1)
        let gone = SandboxError(.target, code: "gone", "The service knows no such sandbox.")
        cluster.sandboxes[second]?.failure = gone
        // The account is locked: nobody answers, so nothing is known to be gone.
        cluster.sandboxes[target]?.failure = Self.absent
        cluster.advance(by: .seconds(700), step: .seconds(1))
        #expect(kinds(cluster, at: second) == [.attached, .away])
        cluster.sandboxes[target]?.failure = nil
        cluster.advance(by: .seconds(60), step: .seconds(1))
        #expect(kinds(cluster, at: second) == [.attached, .away, .detached])
        #expect(cluster.journal.events.last { $0.kind == .detached }?.code == "gone")
        #expect(kinds(cluster, at: target) == [.attached, .away, .back])
    }

    @Test func `a sandbox of another project is refused, by an edit and by a command`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        let other = MachineCluster.name("p2")
        let edit = cluster.push(
            MachineCluster.put("f", "x", targets: [target]), number: 1, project: other)
        #expect(cluster.rejection(of: edit) == .targetTaken)
        let attach = cluster.request(.project(other, .attach([target])))
        let show = cluster.request(.project(other, .show))
        cluster.settle()
        guard case .rejected(let taken)? = cluster.answers(to: attach).first,
            case .rejected(let unknown)? = cluster.answers(to: show).first
        else {
            Issue.record("not refused")
            return
        }
        #expect(taken.code == .targetTaken)
        #expect(unknown.code == .unknown)
    }

    @Test func `hydrate writes everything again, deletes included`() throws {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.push(MachineCluster.put("g", "x"), number: 2)
        cluster.push(MachineCluster.delete("g"), number: 3)
        cluster.sandboxes[target]?.damage(MachineCluster.path("f"), with: .delete)
        cluster.sandboxes[target]?.damage(
            MachineCluster.path("g"), with: .put(Content([1]), isExecutable: false))
        cluster.request(.project(MachineCluster.project, .hydrate([])))
        cluster.settle()
        #expect(cluster.text("f") == "x")
        #expect(cluster.text("g") == nil)
        #expect(kinds(cluster, at: target) == [.attached, .refreshing, .refreshed])
    }

    @Test func `an edit that failed in a sandbox is tried again once that is attached anew`() throws
    {
        let cluster = try MachineCluster()
        try cluster.addWorker("a")
        let second = try #require(TargetURL("local:second"))
        cluster.push(MachineCluster.put("f", "x", targets: [target, second]), number: 1)
        cluster.sandboxes[target]?.failure = Self.absent
        let path = try EditPath("f")
        cluster.sandboxes[second]?.failures[path] = SandboxError(
            .file, code: "EACCES", "The file can't be written; look at its folder.")
        cluster.push(MachineCluster.put("f", "y"), number: 2)
        cluster.request(.project(MachineCluster.project, .detach([second])))
        cluster.settle()
        #expect(cluster.text("f", in: "local:second") == "x")
        cluster.sandboxes[second]?.failures = [:]
        cluster.request(.project(MachineCluster.project, .attach([second])))
        cluster.sandboxes[target]?.failure = nil
        cluster.advance(by: .seconds(40))
        #expect(cluster.text("f", in: "local:second") == "y")
        #expect(cluster.story(of: "f").last == "synced 2")
        #expect(cluster.violations() == [])
    }
}
