import SyncCore
import SyncTestKit
import Testing

/// The failed list: nothing in it is lost, nothing in it goes back in time (P7; traces A13, C12).
@Suite struct FailedListTests {
    private static let target = TargetURL(defaultOf: MachineCluster.project)

    /// A cluster with `count` failed files, `f1` to `fN`, with sequences 1 to N.
    private static func failed(_ count: UInt64) throws -> MachineCluster {
        let cluster = try MachineCluster()
        try cluster.addWorker("w")
        cluster.sandboxes[target] = SandboxModel()
        for number in 1...count {
            cluster.sandboxes[target]?.failures[MachineCluster.path("f\(number)")] = SandboxError(
                .file, code: "EACCES", "Permission denied; mend the mode.")
            cluster.push(MachineCluster.put("f\(number)", "\(number)"), number: number)
        }
        return cluster
    }

    private static func mend(_ cluster: MachineCluster) {
        cluster.sandboxes[target]?.failures = [:]
    }

    private static func list(
        _ cluster: MachineCluster, _ query: FailedQuery = FailedQuery()
    ) -> (entries: [FailedEntry], next: String?) {
        let route = cluster.request(.failed(query))
        cluster.settle()
        guard case .failed(let entries, let next)? = cluster.answers(to: route).first else {
            return ([], "no answer")
        }
        return (entries, next)
    }

    static func order(
        _ cluster: MachineCluster, _ action: FailedAction, _ items: [(String, UInt64)]
    ) -> [FailedResult] {
        let route = cluster.request(
            .order(
                FailedOrder(
                    action: action, project: MachineCluster.project,
                    by: MachineCluster.name("alice"),
                    items: items.map {
                        FailedOrder.Item(
                            path: MachineCluster.path($0.0), sequence: EditSequence($0.1))
                    })))
        cluster.settle()
        guard case .ordered(let results)? = cluster.answers(to: route).first else { return [] }
        return results
    }

    @Test func `the list tells file, edit, reason, attempts and time, in pages`() throws {
        let cluster = try Self.failed(5)
        let first = Self.list(cluster, FailedQuery(countMax: 3))
        #expect(first.entries.map(\.file.path.text) == ["f1", "f2", "f3"])
        #expect(first.entries.first?.failure.code == "EACCES")
        #expect(first.entries.first?.failure.attempts == 1)
        #expect(first.entries.first?.sequence.value == 1)
        let rest = Self.list(cluster, FailedQuery(after: first.next ?? "", countMax: 3))
        #expect(rest.entries.map(\.file.path.text) == ["f4", "f5"])
        #expect(rest.next == nil)
        let one = Self.list(cluster, FailedQuery(project: MachineCluster.project, prefix: "f4"))
        #expect(one.entries.map(\.sequence.value) == [4])
        #expect(Self.list(cluster, FailedQuery(project: MachineCluster.name("p9"))).entries == [])
    }

    @Test func `a retry after the repair syncs the content that was kept`() throws {
        let cluster = try Self.failed(2)
        Self.mend(cluster)
        #expect(Self.order(cluster, .retry, [("f1", 1), ("f2", 2)]) == [.done, .done])
        #expect(cluster.text("f1") == "1")
        #expect(cluster.text("f2") == "2")
        #expect(cluster.story(of: "f1") == ["accepted 1", "failed 1", "retried 1", "synced 1"])
        let told = cluster.journal.events.first { $0.kind == .retried }
        #expect(told?.reason == "by alice")
        #expect(cluster.journal.contents.isEmpty)
        #expect(cluster.store.versions.values.allSatisfy { $0.count == 1 })
        #expect(cluster.violations() == [])
    }

    @Test func `a retry that fails again starts at attempt one and ends again`() throws {
        let cluster = try Self.failed(1)
        cluster.sandboxes[Self.target]?.failures[MachineCluster.path("f1")] = SandboxError(
            .attempt, code: "EIO", "The disk gave an error; try again.")
        #expect(Self.order(cluster, .retry, [("f1", 1)]) == [.done])
        cluster.advance(by: .seconds(8))
        #expect(
            cluster.story(of: "f1").filter { !$0.hasPrefix("stored") } == [
                "accepted 1", "failed 1", "retried 1", "retrying 1", "retrying 1", "retrying 1",
                "failed 1",
            ])
        #expect(Self.list(cluster).entries.first?.failure.attempts == 4)
        #expect(cluster.violations() == [])
    }

    @Test func `a discard ends the edit and drops its content`() throws {
        let cluster = try Self.failed(2)
        #expect(Self.order(cluster, .discard, [("f1", 1)]) == [.done])
        #expect(cluster.story(of: "f1") == ["accepted 1", "failed 1", "discarded 1"])
        #expect(cluster.journal.contents.count == 1)
        #expect(Self.order(cluster, .discard, [("f1", 1)]) == [.gone])
        #expect(Self.order(cluster, .retry, [("f1", 1)]) == [.gone])
        #expect(Self.list(cluster).entries.map(\.file.path.text) == ["f2"])
        let end = cluster.request(
            .wait(
                project: MachineCluster.project,
                EditID(producer: MachineCluster.producer(), number: 1)))
        cluster.settle()
        guard case .end(_, _, let told)? = cluster.answers(to: end).first else {
            Issue.record("no end")
            return
        }
        #expect(told.kind == .discarded)
        #expect(cluster.violations() == [])
    }

    @Test func `an order about an older edit can't go back in time (C12)`() throws {
        let cluster = try Self.failed(1)
        Self.mend(cluster)
        cluster.push(MachineCluster.put("f1", "newer"), number: 2)
        #expect(Self.order(cluster, .retry, [("f1", 1)]) == [.gone])
        #expect(cluster.text("f1") == "newer")
        // The newer one failed too: it is not the one that was meant.
        let again = try Self.failed(1)
        again.push(MachineCluster.put("f1", "newer"), number: 2)
        #expect(Self.order(again, .discard, [("f1", 1)]) == [.newer])
        #expect(Self.list(again).entries.map(\.sequence.value) == [2])
        #expect(again.violations() == [])
    }

    @Test func `failed entries survive a restart, their repeats are told the end`() throws {
        let cluster = try Self.failed(3)
        try cluster.restartCoordinator()
        #expect(Self.list(cluster).entries.map(\.failure.code) == ["EACCES", "EACCES", "EACCES"])
        let repeated = cluster.push(MachineCluster.put("f2", "2"), number: 2)
        guard case .success(let acceptance) = cluster.answer(to: repeated) else {
            Issue.record("the repeat was refused")
            return
        }
        #expect(acceptance.end?.kind == .failed)
        Self.mend(cluster)
        #expect(Self.order(cluster, .retry, [("f2", 2)]) == [.done])
        cluster.advance(by: .seconds(4))
        #expect(cluster.text("f2") == "2")
        #expect(cluster.violations() == [])
    }

    @Test func `failed entries count as pending`() throws {
        let cluster = try Self.failed(3)
        let route = cluster.request(.queue(project: nil, prefix: "", after: "", countMax: 1))
        cluster.settle()
        guard case .queue(let report)? = cluster.answers(to: route).first else {
            Issue.record("no queue")
            return
        }
        #expect(report.counts.failed == 3)
        #expect(report.pendingBytes == 3)
    }

    @Test func `an order whose turn fails is carried out when the disk is back`() throws {
        let cluster = try Self.failed(1)
        Self.mend(cluster)
        cluster.journal.isFull = true
        let route = cluster.request(
            .order(
                FailedOrder(
                    action: .retry, project: MachineCluster.project,
                    by: MachineCluster.name("alice"),
                    items: [
                        FailedOrder.Item(
                            path: MachineCluster.path("f1"), sequence: EditSequence(1))
                    ])))
        cluster.settle()
        #expect(cluster.answers(to: route).isEmpty)
        #expect(cluster.text("f1") == nil)
        cluster.journal.isFull = false
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f1") == "1")
        #expect(cluster.answers(to: route).count == 1)
    }
}
