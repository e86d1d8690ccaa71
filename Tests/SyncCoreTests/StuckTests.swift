import SyncCore
import SyncTestKit
import Testing

/// Writes that hang: nobody acts beside them, nobody waits for ever (design §3, trace B9).
@Suite struct StuckTests {
    private static let target = TargetURL(defaultOf: MachineCluster.project)

    /// A cluster of which one worker's first write of `f` hangs, past its deadline.
    private static func stuck() throws -> (MachineCluster, MachineCluster.WorkerNode) {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("other", "x"), number: 1)
        worker.hangingTargets = [target]
        cluster.push(MachineCluster.put("f", "old"), number: 2)
        cluster.advance(by: .milliseconds(30_500))
        return (cluster, worker)
    }

    private static func kinds(_ cluster: MachineCluster) -> [EventKind] {
        cluster.journal.events.filter { $0.target == target }.map(\.kind)
    }

    @Test func `past its deadline a write is stuck, its target away, nothing burnt`() throws {
        let (cluster, worker) = try Self.stuck()
        #expect(cluster.story(of: "f") == ["accepted 2", "stored 2", "parked 2"])
        #expect(Self.kinds(cluster) == [.attached, .away, .parked])
        let away = cluster.journal.events.last { $0.kind == .away }
        #expect(away?.code == "stuck")
        #expect(worker.machine.jobCount == 0)
        // Reading the sandbox works, so probes find it well: it stays away all the same.
        cluster.advance(by: .seconds(120))
        #expect(!Self.kinds(cluster).contains(.back))
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "old")
        #expect(cluster.story(of: "f").last == "synced 2")
        #expect(Self.kinds(cluster).last == .back)
        #expect(cluster.violations() == [])
    }

    @Test func `of many files few are being written at once, the others wait without a deadline`()
        throws
    {
        let cluster = try MachineCluster(marked: [MachineCluster.project])
        let worker = try cluster.addWorker("a")
        worker.isHeld = { if case .write = $0 { true } else { false } }
        for number: UInt64 in 1...100 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number, settles: false)
        }
        cluster.settle()
        #expect(worker.machine.jobCount == 100)
        #expect(worker.steps.count == 32)
        // A folder that takes seconds for each write is slow; it does not hang.
        for _ in 0..<100 {
            cluster.advance(by: .milliseconds(500))
            guard case .write(let next, _, _, _)? = worker.steps.first else { break }
            worker.isHeld = { if case .write(let id, _, _, _) = $0 { id != next } else { false } }
            cluster.settle()
        }
        #expect(cluster.journal.snapshot.rows.isEmpty)
        #expect(!cluster.journal.events.contains { $0.kind == .away })
        #expect(cluster.violations() == [])
    }

    @Test func `what waits for writes that hang is given back, and nothing is burnt`() throws {
        let cluster = try MachineCluster(marked: [MachineCluster.project])
        let worker = try cluster.addWorker("a")
        worker.hangingTargets = [Self.target]
        for number: UInt64 in 1...100 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number, settles: false)
        }
        cluster.advance(by: .milliseconds(30_500))
        #expect(worker.machine.jobCount == 0)
        #expect(Self.kinds(cluster).filter { $0 == .away }.count == 1)
        #expect(worker.hungWrites.count == 32)
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(10))
        for number in 1...100 { #expect(cluster.text("f\(number)") == "x") }
        #expect(!cluster.journal.events.contains { $0.kind == .retrying || $0.kind == .failed })
        #expect(cluster.violations() == [])
    }

    @Test func `what waits behind writes of a target that is gone is given back with them`() throws
    {
        let cluster = try MachineCluster(marked: [MachineCluster.project])
        let worker = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("first", "x"), number: 1)
        worker.isHeld = { if case .write = $0 { true } else { false } }
        for number: UInt64 in 2...121 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number, settles: false)
        }
        cluster.settle()
        #expect(worker.machine.jobCount == 120)
        cluster.sandboxes[Self.target]?.failure = SandboxError(
            .target, code: "away", "The sandbox does not answer.")
        worker.isHeld = { _ in false }
        cluster.settle()
        #expect(worker.machine.jobCount == 0)
        #expect(cluster.journal.events.filter { $0.kind == .parked }.count == 120)
        cluster.sandboxes[Self.target]?.failure = nil
        cluster.advance(by: .seconds(5))
        #expect(cluster.journal.snapshot.rows.isEmpty)
        #expect(cluster.violations() == [])
    }

    @Test func `a write that waits again is overdue by its new time, and hides no other`() {
        func step(_ serial: UInt64) -> WriteStep {
            WriteStep(
                assignment: AssignmentID(epoch: Epoch(bits: 1), serial: serial),
                target: Self.target)
        }
        func at(_ seconds: Int) -> Instant { Instant(nanoseconds: 0) + .seconds(seconds) }
        var deadlines = Deadlines()
        for serial: UInt64 in 1...3 { deadlines.begin(step(serial), due: at(30)) }
        deadlines.begin(step(4), due: at(31))
        deadlines.end(step(2))
        deadlines.begin(step(2), due: at(51))
        deadlines.end(step(1))
        #expect(deadlines.nextDeadline == at(30))
        #expect(deadlines.overdue(at: at(40)) == [step(3), step(4)])
        #expect(deadlines.nextDeadline == at(51))
        #expect(deadlines.overdue(at: at(51)) == [step(2)])
        #expect(deadlines.nextDeadline == nil)
    }

    @Test func `other targets of the project go on while one hangs (B12)`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        let one = try #require(TargetURL("local:one"))
        let two = try #require(TargetURL("local:two"))
        cluster.push(MachineCluster.put("z", "x", targets: [one, two]), number: 1)
        worker.hangingTargets = [two]
        cluster.push(MachineCluster.put("f", "1"), number: 2)
        cluster.advance(by: .seconds(31))
        for number: UInt64 in 3...20 {
            cluster.push(MachineCluster.put("f", "\(number)"), number: number)
            #expect(cluster.text("f", in: "local:one") == "\(number)")
        }
        #expect(worker.hungWrites.count == 1)
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f", in: "local:two") == "20")
        #expect(cluster.violations() == [])
    }

    @Test func `a newer edit does not pass the hung write, and is there in the end`() throws {
        let (cluster, worker) = try Self.stuck()
        try cluster.addWorker("b")
        cluster.push(MachineCluster.put("f", "new"), number: 3)
        cluster.advance(by: .seconds(60))
        #expect(cluster.text("f") == nil)
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "new")
        #expect(cluster.violations() == [])
    }

    @Test func `a stuck holder that dies is revoked before the file is written again`() throws {
        let (cluster, worker) = try Self.stuck()
        cluster.push(MachineCluster.put("f", "new"), number: 3)
        let writes = worker.hungWrites
        cluster.kill(worker)
        let next = try cluster.addWorker("b")
        cluster.request(.died(life: worker.life))
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "new")
        // The zombie's write lands in a stage that is gone.
        next.hungWrites = writes
        for write in writes {
            guard case .write(_, let target, let edit, let stage) = write else { continue }
            guard case .failure(let error)? = cluster.sandboxes[target]?.write(edit, through: stage)
            else {
                Issue.record("it was written")
                continue
            }
            #expect(error.code == SandboxError.revokedCode)
        }
        #expect(cluster.text("f") == "new")
    }

    @Test func `a process never overtakes its own hung write, as a new incarnation either (B9)`()
        throws
    {
        let (cluster, worker) = try Self.stuck()
        let hung = worker.hungWrites.count
        worker.isCut = true
        cluster.advance(by: .seconds(5))
        worker.isCut = false
        cluster.push(MachineCluster.put("f", "new"), number: 3)
        cluster.advance(by: .seconds(5))
        #expect(worker.hungWrites.count == hung)
        worker.hangingTargets = []
        cluster.advance(by: .seconds(60))
        #expect(cluster.text("f") == nil)
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(10))
        #expect(cluster.text("f") == "new")
        #expect(cluster.violations() == [])
    }

    @Test func `related paths wait for a hung write, and go on when it has settled`() throws {
        let (cluster, worker) = try Self.stuck()
        try cluster.addWorker("b")
        cluster.push(MachineCluster.delete("f"), number: 3)
        cluster.push(MachineCluster.put("f/below", "x"), number: 4)
        cluster.push(MachineCluster.put("g", "y"), number: 5)
        cluster.advance(by: .seconds(60))
        #expect(cluster.text("f/below") == nil)
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == nil)
        #expect(cluster.text("f/below") == "x")
        #expect(cluster.text("g") == "y")
        #expect(cluster.violations() == [])
    }

    @Test func `a path below one that is stuck on one target goes on at the others`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        let one = try #require(TargetURL("local:one"))
        let two = try #require(TargetURL("local:two"))
        cluster.push(MachineCluster.put("z", "x", targets: [one, two]), number: 1)
        worker.hangingTargets = [two]
        cluster.push(MachineCluster.delete("f"), number: 2)
        cluster.advance(by: .seconds(31))
        cluster.push(MachineCluster.put("f/below", "x"), number: 3)
        #expect(cluster.text("f/below", in: "local:one") == "x")
        #expect(cluster.text("f/below", in: "local:two") == nil)
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f/below", in: "local:two") == "x")
        #expect(cluster.violations() == [])
    }

    @Test func `what is stuck is known again after a restart of the coordinator`() throws {
        let (cluster, worker) = try Self.stuck()
        try cluster.addWorker("b")
        try cluster.restartCoordinator()
        cluster.push(MachineCluster.put("f", "new"), number: 3)
        cluster.advance(by: .seconds(60))
        #expect(cluster.text("f") == nil)
        #expect(worker.hungWrites.count == 1)
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "new")
        #expect(cluster.violations() == [])
    }

    @Test func `a refresh that hangs is stuck like an edit`() throws {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.sandboxes[Self.target]?.wipe()
        worker.hangingTargets = [Self.target]
        cluster.advance(by: .seconds(70))
        #expect(Self.kinds(cluster).contains(.away))
        #expect(worker.hungWrites.count == 1)
        cluster.push(MachineCluster.put("f", "y"), number: 2)
        cluster.advance(by: .seconds(10))
        #expect(cluster.text("f") == nil)
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "y")
        #expect(cluster.violations() == [])
    }

    @Test func `a worker with a hung write does not leave in order`() throws {
        let (cluster, worker) = try Self.stuck()
        worker.machine.drain()
        cluster.advance(by: .seconds(5))
        #expect(worker.exit == nil)
        cluster.finishHungWrites(of: worker)
        cluster.advance(by: .seconds(5))
        #expect(worker.exit == .drained)
    }
}
