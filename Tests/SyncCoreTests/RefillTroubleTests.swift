import SyncCore
import SyncTestKit
import Testing

/// Files that can't be written again, and sandboxes that can't be made ready: others go on.
@Suite struct RefillTroubleTests {
    private let target = TargetURL(defaultOf: MachineCluster.project)

    private func cluster(files count: UInt64 = 0) throws -> MachineCluster {
        var settings = CoordinatorSettings()
        settings.markerInterval = .seconds(5)
        let cluster = try MachineCluster(settings: settings)
        try cluster.addWorker("a")
        for number in 1..<(count + 1) {
            cluster.push(MachineCluster.put("g\(number)", "\(number)"), number: number)
        }
        return cluster
    }

    private func refuse(_ path: String, _ failure: FailureClass, in cluster: MachineCluster) {
        cluster.sandboxes[target]?.failures[MachineCluster.path(path)] = SandboxError(
            failure, code: "EIO", "It does not work; mend it.")
    }

    private func discard(_ cluster: MachineCluster, _ items: [(String, UInt64)]) {
        cluster.request(
            .order(
                FailedOrder(
                    action: .discard, project: MachineCluster.project,
                    by: MachineCluster.name("alice"),
                    items: items.map {
                        FailedOrder.Item(
                            path: MachineCluster.path($0.0), sequence: EditSequence($0.1))
                    })))
        cluster.settle()
    }

    private func findBlank(_ cluster: MachineCluster) {
        cluster.sandboxes[target]?.wipe()
        cluster.advance(by: .seconds(6))
    }

    private func isFlushed(_ cluster: MachineCluster, _ prefix: String) -> Bool {
        let route = cluster.request(.flush(project: MachineCluster.project, prefix: prefix))
        cluster.settle()
        guard case .flushed? = cluster.answers(to: route).first else { return false }
        return true
    }

    // Each failed try was taken for the end of a related path, and woke the other at once.
    @Test func `paths in each other's way wait, and the edit that clears it goes first`() throws {
        let cluster = try cluster()
        cluster.push(MachineCluster.put("a/b", "middle"), number: 1)
        cluster.push(MachineCluster.put("a", "above"), number: 2)
        cluster.push(MachineCluster.put("a/b/c", "below"), number: 3)
        cluster.advance(by: .seconds(120))
        discard(cluster, [("a", 2), ("a/b/c", 3)])
        findBlank(cluster)
        cluster.advance(by: .seconds(90))
        #expect(cluster.text("a/b") == "middle")
        cluster.push(MachineCluster.delete("a/b"), number: 4)
        cluster.advance(by: .seconds(1))
        #expect(cluster.story(of: "a/b").last == "synced 4")
        #expect(cluster.violations() == [])
    }

    @Test func `files of the failed list that fail again hold up no other of a refill`() throws {
        let cluster = try cluster(files: 30)
        for number: UInt64 in 31...630 {
            refuse("b\(number)", .file, in: cluster)
            cluster.push(MachineCluster.put("b\(number)", "x"), number: number)
            refuse("b\(number)", .attempt, in: cluster)
        }
        findBlank(cluster)
        cluster.advance(by: .seconds(20))
        for number in 1...30 { #expect(cluster.text("g\(number)") == "\(number)") }
        #expect(cluster.violations() == [])
    }

    @Test func `a file of the failed list is written again once it can be`() throws {
        let cluster = try cluster(files: 3)
        refuse("g1", .file, in: cluster)
        cluster.push(MachineCluster.put("g1", "new"), number: 4)
        #expect(cluster.story(of: "g1").last == "failed 4")
        findBlank(cluster)
        cluster.advance(by: .seconds(10))
        discard(cluster, [("g1", 4)])
        cluster.sandboxes[target]?.failures = [:]
        cluster.advance(by: .seconds(61))
        #expect(cluster.text("g1") == "new")
        #expect(isFlushed(cluster, ""))
        #expect(cluster.violations() == [])
    }

    @Test func `what failed in a former filling is tried at once in the new one`() throws {
        let cluster = try cluster(files: 3)
        refuse("g1", .file, in: cluster)
        findBlank(cluster)
        cluster.advance(by: .seconds(80))
        #expect(cluster.journal.events.last?.code == "EIO")
        cluster.sandboxes[target]?.failures = [:]
        findBlank(cluster)
        cluster.advance(by: .seconds(2))
        #expect(cluster.text("g1") == "1")
        #expect(isFlushed(cluster, ""))
        #expect(cluster.violations() == [])
    }

    @Test func `a sandbox that can't be made ready is away, and no attempt is burnt`() throws {
        let cluster = try cluster()
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failure = SandboxError(
            .attempt, code: "no-answer", "It did not answer.")
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.advance(by: .seconds(100))
        #expect(!cluster.story(of: "f").contains("failed 1"))
        #expect(cluster.journal.events.contains { $0.kind == .away })
        cluster.sandboxes[target]?.failure = nil
        cluster.advance(by: .seconds(61))
        #expect(cluster.text("f") == "x")
        #expect(cluster.violations() == [])
    }

    @Test func `a worker that can't reach the store gives its files back, with the cause`() throws {
        let cluster = try MachineCluster()
        cluster.store.isAway = true
        try cluster.addWorker("a")
        cluster.push(MachineCluster.put("f", "x"), number: 1)
        cluster.advance(by: .seconds(3))
        let route = cluster.request(
            .queue(project: MachineCluster.project, prefix: "f", after: "", countMax: 1))
        cluster.settle()
        guard case .queue(let report)? = cluster.answers(to: route).first else {
            Issue.record("no queue")
            return
        }
        #expect(report.files.first?.code == "unavailable")
        cluster.store.isAway = false
        cluster.advance(by: .seconds(3))
        #expect(cluster.text("f") == "x")
        #expect(cluster.violations() == [])
    }
}
