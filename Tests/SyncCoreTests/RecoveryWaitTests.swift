import SyncCore
import SyncTestKit
import Testing

/// How long a coordinator that starts waits for the workers of the life before.
@Suite struct RecoveryWaitTests {
    /// Lease and margin of the standard settings: 3 s.
    private static let wait: Duration = {
        let settings = CoordinatorSettings()
        return settings.lease + settings.margin
    }()

    /// A worker is cut off when a coordinator dies, and a file is pushed to the next one.
    private static func restarted(
        readingFor duration: Duration, isAdopting: Bool = false, label: String = "b"
    ) throws -> MachineCluster {
        var settings = CoordinatorSettings()
        settings.isAdopting = isAdopting
        let cluster = try MachineCluster(settings: settings)
        let first = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        cluster.advance(by: wait + .seconds(1))
        first.isCut = true
        try cluster.restartCoordinator(readingFor: duration)
        try cluster.addWorker(label)
        cluster.push(MachineCluster.put("f", "two"), number: 2)
        return cluster
    }

    /// The file goes to the next worker when the wait is over, and not before.
    private static func expect(
        _ cluster: MachineCluster, waits wait: Duration,
        at location: SourceLocation = #_sourceLocation
    ) {
        cluster.advance(by: wait - .milliseconds(100))
        #expect(cluster.text("f") == "one", sourceLocation: location)
        cluster.advance(by: .milliseconds(200))
        #expect(cluster.text("f") == "two", sourceLocation: location)
    }

    @Test(arguments: [0, 400, 1_250])
    func `the time in which the journal was read counts`(milliseconds: Int) throws {
        let reading = Duration.milliseconds(milliseconds)
        let cluster = try Self.restarted(readingFor: reading)
        Self.expect(cluster, waits: Self.wait - reading)
        #expect(cluster.violations() == [])
    }

    @Test func `half a lease and the margin are left for those who live to register`() throws {
        let cluster = try Self.restarted(readingFor: .seconds(60))
        Self.expect(cluster, waits: Self.wait - CoordinatorSettings().lease / 2)
        #expect(cluster.violations() == [])
    }

    @Test func `the whole wait begins after a restored journal was read`() throws {
        let cluster = try Self.restarted(readingFor: .seconds(1), isAdopting: true)
        Self.expect(cluster, waits: Self.wait)
    }

    @Test func `a process that takes the label of one that is cut off does not shorten its lease`()
        throws
    {
        let cluster = try Self.restarted(readingFor: .zero, label: "a")
        Self.expect(cluster, waits: Self.wait)
        #expect(cluster.violations() == [])
    }

    @Test func `a restart soon after an adoption waits for those whom only the lost journal knew`()
        throws
    {
        let cluster = try MachineCluster()
        // An adoption is known by numbers that go on by the wall clock, near zero here else.
        cluster.now = cluster.now + .seconds(5_000_000)
        let copy = cluster.journal
        let lost = try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "one"), number: 1)
        lost.isCut = true
        cluster.journal = copy
        cluster.settings.isAdopting = true
        try cluster.restartCoordinator()
        try cluster.addWorker("b")
        cluster.advance(by: .seconds(1))
        cluster.settings.isAdopting = false
        try cluster.restartCoordinator()
        cluster.push(MachineCluster.put("f", "two"), number: 2)
        Self.expect(cluster, waits: Self.wait)
    }
}
