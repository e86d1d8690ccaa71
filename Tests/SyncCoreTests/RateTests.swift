import SyncCore
import SyncTestKit
import Testing

/// How often edits are handed to the sandboxes of one scheme.
@Suite struct RateTests {
    private static let start = Instant(nanoseconds: 1_000_000_000)

    @Test(arguments: [1, 7, 40, 250, 5_000])
    func `no second has more than its share and what may go at once`(perSecond: Int) {
        var rate = EditRate(perSecond: perSecond)
        var random = SeededGenerator(seed: 1)
        var now = Self.start
        var times: [Instant] = []
        while times.count < perSecond * 4 + 10 {
            let opensAt = rate.opensAt(now)
            // Sometimes late, sometimes at once.
            let late = Duration.nanoseconds(Int64(random.next() % 3_000_000))
            now = random.next() % 3 == 0 ? max(opensAt, now) + late : max(opensAt, now)
            #expect(rate.opensAt(now) == now)
            rate.take(at: now)
            times.append(now)
        }
        var first = 0
        for (last, time) in times.enumerated() {
            while time - times[first] >= .seconds(1) { first += 1 }
            #expect(last - first + 1 <= perSecond + 1 + perSecond / 100)
        }
    }

    @Test func `what nobody used does not add up`() {
        var rate = EditRate(perSecond: 400)
        let now = Self.start + .seconds(3_600)
        var count = 0
        while rate.opensAt(now) == now {
            rate.take(at: now)
            count += 1
        }
        #expect(count == 5)
    }

    @Test func `a project with several sandboxes of a scheme gets its share beside others`() throws
    {
        var settings = CoordinatorSettings()
        settings.editsPerSecond = ["local": 400]
        let projects = ["p1", "p2"].map { MachineCluster.name($0) }
        let cluster = try MachineCluster(settings: settings, marked: projects)
        try cluster.addWorker("a")
        let other = try #require(TargetURL("local:other"))
        let both = [TargetURL(defaultOf: projects[0]), other]
        cluster.push(
            MachineCluster.put("first", "x", targets: both), number: 1, project: projects[0])
        cluster.advance(by: .seconds(1), step: .milliseconds(5))
        for number: UInt64 in 1...300 {
            cluster.push(
                MachineCluster.put("f\(number)", "x"), number: 1 + number, project: projects[0],
                settles: false)
            cluster.push(
                MachineCluster.put("f\(number)", "x"), number: number, project: projects[1],
                settles: false)
        }
        cluster.advance(by: .milliseconds(500), step: .milliseconds(5))
        let written = ["local:p1", "local:p2"].map { target in
            (1...300).count { cluster.text("f\($0)", in: target) != nil }
        }
        // 205 go to a sandbox in this time; an edit for two of them costs two.
        #expect(abs(written[0] - written[1]) <= 1)
        #expect((60...70).contains(written[0]), "\(written)")
        #expect(cluster.violations() == [])
    }

    @Test func `a new edit waits for two seconds of a refill, not for all of it`() throws {
        var settings = CoordinatorSettings()
        settings.editsPerSecond = ["local": 20]
        let projects = [MachineCluster.project]
        let cluster = try MachineCluster(settings: settings, marked: projects)
        try cluster.addWorker("a")
        for number: UInt64 in 1...400 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number, settles: false)
        }
        cluster.advance(by: .seconds(25), step: .milliseconds(20))
        let target = TargetURL(defaultOf: MachineCluster.project)
        #expect(cluster.text("f400") != nil)
        cluster.request(.project(MachineCluster.project, .hydrate([])))
        cluster.advance(by: .seconds(5), step: .milliseconds(20))
        cluster.push(MachineCluster.put("new", "x"), number: 401)
        // What waits already goes first, and what a page brings meanwhile.
        cluster.advance(by: .seconds(5), step: .milliseconds(20))
        #expect(cluster.text("new") == "x")
        #expect(!cluster.journal.events.contains { $0.kind == .refreshed })
        cluster.advance(by: .seconds(20), step: .milliseconds(20))
        #expect(cluster.journal.events.last?.kind == .refreshed)
        #expect(cluster.journal.events.last?.target == target)
        #expect(cluster.violations() == [])
    }

    @Test func `edits wait for the rate at the coordinator, and the newest goes`() throws {
        var settings = CoordinatorSettings()
        settings.editsPerSecond = ["local": 10]
        let projects = ["p1", "p2"].map { MachineCluster.name($0) }
        let cluster = try MachineCluster(settings: settings, marked: projects)
        try cluster.addWorker("a")
        try cluster.addWorker("b")
        for number: UInt64 in 1...20 {
            for project in projects {
                cluster.push(
                    MachineCluster.put("f\(number)", "old"), number: number, project: project,
                    settles: false)
            }
        }
        cluster.settle()
        func written(_ project: Int) -> Int {
            (1...20).count { cluster.text("f\($0)", in: "local:p\(project)") != nil }
        }
        #expect(written(1) + written(2) == 1)
        // Nothing is in the hand of a worker that has to wait.
        #expect(cluster.workers.allSatisfy { $0.machine.jobCount == 0 })
        for number: UInt64 in 5...20 {
            cluster.push(
                MachineCluster.put("f\(number)", "new"), number: 20 + number, project: projects[0],
                settles: false)
        }
        cluster.advance(by: .seconds(1), step: .milliseconds(10))
        #expect(written(1) + written(2) == 11)
        #expect(abs(written(1) - written(2)) <= 1)
        cluster.advance(by: .seconds(4), step: .milliseconds(10))
        for number in 1...20 {
            #expect(cluster.text("f\(number)", in: "local:p1") == (number < 5 ? "old" : "new"))
            #expect(cluster.text("f\(number)", in: "local:p2") == "old")
        }
        #expect(cluster.journal.snapshot.rows.isEmpty)
        #expect(cluster.violations() == [])
    }

    @Test func `a rate holds nobody up whose sandbox is of another scheme`() throws {
        var settings = CoordinatorSettings()
        settings.editsPerSecond = ["other": 1]
        let cluster = try MachineCluster(settings: settings)
        try cluster.addWorker("a")
        for number: UInt64 in 1...20 {
            cluster.push(MachineCluster.put("f\(number)", "x"), number: number)
        }
        #expect((1...20).allSatisfy { cluster.text("f\($0)") == "x" })
    }
}
