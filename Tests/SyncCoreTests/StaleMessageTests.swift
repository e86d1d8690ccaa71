import SyncCore
import SyncTestKit
import Testing

/// What a connection's queue delivers late, after the coordinator or the connection is another one.
@Suite struct StaleMessageTests {
    private static let now = Instant(nanoseconds: 1_000_000_000)

    private static func registrations(_ directives: [WorkerDirective]) -> [Registration] {
        directives.compactMap { directive in
            guard case .send(.register(let registration)) = directive else { return nil }
            return registration
        }
    }

    private static func welcome(_ registration: Registration, epoch: UInt64) -> CoordinatorMessage {
        let epoch = Epoch(bits: epoch)
        return .welcome(
            Welcome(
                stamp: WorkerStamp(
                    epoch: epoch, incarnation: Incarnation(epoch: epoch, count: 1),
                    registration: registration.registration),
                journal: JournalID(bits: 7), isAdopted: false, lease: .milliseconds(2_500),
                clock: registration.clock, isKept: false))
    }

    private static func members(_ cluster: MachineCluster) -> [QueueReport.Worker] {
        let route = cluster.request(.queue(project: nil, prefix: "", after: "", countMax: 1))
        cluster.settle()
        for reply in cluster.answers(to: route) {
            if case .queue(let report) = reply { return report.workers }
        }
        return []
    }

    private static func worker() -> WorkerMachine {
        WorkerMachine(
            settings: WorkerSettings(
                label: MachineCluster.name("w"), life: 1, bootID: "boot", localRootID: "root",
                schemes: ["local"]),
            identity: StoreModel().identity)
    }

    /// Found by the simulator (seed 8900075): the page was taken for one of another project, whose
    /// refill ended without its files.
    @Test func `a page of files that a former coordinator asked for is told to nobody`() throws {
        var machine = Self.worker()
        func files() -> [FilesQuestion] {
            machine.takeDirectives().compactMap { directive in
                guard case .send(.files(_, let question, _, _)) = directive else { return nil }
                return question
            }
        }
        machine.connected(at: Self.now)
        machine.pass(at: Self.now)
        let first = try #require(Self.registrations(machine.takeDirectives()).first)
        machine.hear(Self.welcome(first, epoch: 1), at: Self.now)
        func question(of project: String) -> FilesQuestion {
            FilesQuestion(
                number: 1, project: MachineCluster.name(project), after: nil, countMax: 10)
        }
        func stamp(_ epoch: UInt64, registration: UInt64) -> WorkerStamp {
            let epoch = Epoch(bits: epoch)
            return WorkerStamp(
                epoch: epoch, incarnation: Incarnation(epoch: epoch, count: 1),
                registration: registration)
        }
        machine.hear(.list(stamp(1, registration: 1), question(of: "p1")), at: Self.now)
        machine.hear(.registerAgain(Epoch(bits: 2)), at: Self.now)
        let second = try #require(Self.registrations(machine.takeDirectives()).last)
        machine.hear(Self.welcome(second, epoch: 2), at: Self.now)
        machine.hear(.list(stamp(2, registration: 2), question(of: "p2")), at: Self.now)
        machine.listed(question(of: "p1"), of: Epoch(bits: 1), .success([]))
        #expect(files() == [])
        machine.listed(question(of: "p2"), of: Epoch(bits: 2), .success([]))
        #expect(files() == [question(of: "p2")])
    }

    // Trace B7.
    @Test func `a worker registers once, however many stale heartbeats are answered`() throws {
        var machine = Self.worker()
        machine.connected(at: Self.now)
        machine.pass(at: Self.now)
        let first = try #require(Self.registrations(machine.takeDirectives()).first)
        machine.hear(Self.welcome(first, epoch: 1), at: Self.now)
        // The coordinator was away for long; each heartbeat of that time gets an answer now.
        let back = Self.now + .seconds(3_600)
        for _ in 0..<4_096 { machine.hear(.registerAgain(Epoch(bits: 2)), at: back) }
        machine.pass(at: back)
        let again = Self.registrations(machine.takeDirectives())
        #expect(again.map(\.registration) == [2])
        // Grants for heartbeats of the former life are nothing worth.
        let stamp = WorkerStamp(
            epoch: Epoch(bits: 1), incarnation: Incarnation(epoch: Epoch(bits: 1), count: 1),
            registration: 1)
        machine.hear(.grant(stamp, lease: .seconds(60), clock: back), at: back)
        let leases = machine.takeDirectives().filter { directive in
            if case .lease = directive { true } else { false }
        }
        #expect(leases.isEmpty)
    }

    @Test func `a worker registers at once when its connection stands`() {
        var machine = Self.worker()
        machine.pass(at: Self.now)
        #expect(Self.registrations(machine.takeDirectives()).count == 1)
        // Nobody was there to take it.
        let later = Self.now + .milliseconds(100)
        machine.pass(at: later)
        #expect(Self.registrations(machine.takeDirectives()).isEmpty)
        machine.connected(at: later)
        machine.pass(at: later)
        #expect(Self.registrations(machine.takeDirectives()).map(\.registration) == [2])
    }

    @Test func `a registration that comes late from an old connection ends no living incarnation`()
        throws
    {
        let cluster = try MachineCluster()
        let node = try cluster.addWorker("w")
        let before = Self.members(cluster)
        #expect(before.count == 1)
        let late = Registration(
            label: node.label, life: node.life, bootID: "boot", store: cluster.store.identity,
            localRootID: "root", schemes: ["local"], capacity: 256, previous: nil, registration: 1,
            held: [], reports: [], clock: cluster.now)
        let route = WorkerRoute(id: Array("old connection".utf8))
        cluster.coordinator.hear(.register(late), from: route, at: cluster.now)
        cluster.settle()
        #expect(Self.members(cluster) == before)
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        #expect(cluster.text("f") == "x")
    }
}
