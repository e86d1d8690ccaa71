import SyncCore
import SyncTestKit
import Testing

/// Faults of the machines that the simulator found, each cut down by hand; the seed is named.
@Suite struct FoundBySimulationTests {
    // Seed 19 of the standard mix: the older edit's end waited behind other inputs of the turn, the
    // file was handed out before it, and the next edit took its place.
    @Test
    func `an older edit that nobody has in hand after a restart ends before its file goes out`()
        throws
    {
        var settings = CoordinatorSettings()
        settings.turnEditsMax = 1
        let cluster = try MachineCluster(settings: settings)
        let worker = try cluster.addWorker("w1")
        worker.holdsSteps = true
        cluster.push(MachineCluster.put("f", "5"), number: 1)
        cluster.push(MachineCluster.put("f", "7"), number: 2)
        cluster.kill(worker)
        try cluster.restartCoordinator()
        try cluster.addWorker("w2")
        cluster.advance(by: .milliseconds(2_900))
        cluster.holdsCommits = true
        cluster.advance(by: .milliseconds(200))
        // Edits of other files wait before the end while the lost worker's end is on its way to
        // disk.
        for number in 3...6 as ClosedRange<UInt64> {
            cluster.push(MachineCluster.put("g\(number)", "x"), number: number, settles: false)
        }
        cluster.finishCommit()
        cluster.settle()
        cluster.finishCommit()
        cluster.settle()
        cluster.push(MachineCluster.put("f", "9"), number: 7, settles: false)
        cluster.holdsCommits = false
        cluster.finishCommit()
        cluster.advance(by: .seconds(1))
        #expect(cluster.text("f") == "9")
        #expect(cluster.violations() == [])
    }

    // Seed 5 of the standard mix: what a read content left free when it was handed out was not
    // offered to a worker that had been asked before in the same pass.
    @Test(arguments: [0, 1])
    func `a file that waits for room to be read back goes as soon as there is some`(
        extra: Int
    ) throws {
        var settings = CoordinatorSettings()
        settings.memoryBytesMax = 0
        settings.loadingBytesMax = 3 + Content.keepingBytes
        let cluster = try MachineCluster(settings: settings, marked: [MachineCluster.project])
        let labels = try ["w1", "w2"].map { try cluster.addWorker($0, holdsSteps: true).label }
        var own: [WorkerLabel: String] = [:]
        for letter in "abcdefgh" {
            let path = String(letter)
            let key = FileKey(project: MachineCluster.project, path: MachineCluster.path(path))
            if let owner = RendezvousHash(labels).owner(of: key) { own[owner] = path }
        }
        let paths = try labels.map { try #require(own[$0]) }
        cluster.holdsLoads = true
        // Who is asked first alternates.
        let order = extra == 0 ? paths : paths.reversed()
        for (place, path) in order.enumerated() {
            cluster.push(MachineCluster.put(path, "123"), number: UInt64(place + 1))
        }
        cluster.finishLoads()
        cluster.coordinator.pass(
            at: cluster.now, wall: Timestamp(milliseconds: 1), isDrained: true)
        let isRead = cluster.coordinator.takeDirectives().contains { directive in
            if case .load = directive { true } else { false }
        }
        #expect(isRead)
    }

    // Seeds 100718 and 100749: a file whose content had been read back stood, without credit,
    // behind an older one of its project that waited for the room which this content took.
    @Test func `an older file that waits for room lets one go whose content is there`() throws {
        var settings = CoordinatorSettings()
        settings.memoryBytesMax = 0
        settings.loadingBytesMax = 3 + Content.keepingBytes
        settings.targetAssignmentsMax = 1
        let cluster = try MachineCluster(settings: settings)
        let worker = try cluster.addWorker("w1")
        let target = TargetURL(defaultOf: MachineCluster.project)
        cluster.sandboxes[target] = SandboxModel()
        cluster.sandboxes[target]?.failures[MachineCluster.path("older")] = SandboxError(
            .attempt, code: "EIO", "The disk gave an error; try again.")
        cluster.push(MachineCluster.put("older", "123"), number: 2)
        cluster.sandboxes[target]?.failures = [:]
        // The younger one is read while the older one waits for its next attempt, and a delete,
        // which needs no room, takes the credit meanwhile.
        cluster.holdsLoads = true
        cluster.push(MachineCluster.put("younger", "456"), number: 3)
        worker.holdsSteps = true
        cluster.push(MachineCluster.delete("gone"), number: 4)
        cluster.finishLoads()
        cluster.holdsLoads = false
        cluster.advance(by: .seconds(3))
        worker.holdsSteps = false
        cluster.advance(by: .seconds(3))
        #expect(cluster.text("younger") == "456")
        #expect(cluster.text("older") == "123")
        #expect(cluster.violations() == [])
    }

    // Seed 204423: all workers' ends were journaled, then the coordinator was killed before the
    // turn that would have ended the older edit; the next one knew nobody to wait for.
    @Test func `an older edit ends although a crash parted its end from that of its worker`()
        throws
    {
        let cluster = try MachineCluster()
        let worker = try cluster.addWorker("w1", holdsSteps: true)
        cluster.push(MachineCluster.put("f", "1"), number: 1)
        cluster.push(MachineCluster.put("f", "2"), number: 2)
        cluster.kill(worker)
        try cluster.restartCoordinator()
        cluster.holdsCommits = true
        while cluster.journal.snapshot.incarnations.count > 0 {
            cluster.advance(by: .milliseconds(100))
            if cluster.isCommitting { cluster.finishCommit() }
        }
        #expect(cluster.journal.snapshot.rows.contains { $0.open != nil })
        cluster.holdsCommits = false
        try cluster.restartCoordinator()
        try cluster.addWorker("w2")
        cluster.push(MachineCluster.put("f", "3"), number: 3)
        cluster.advance(by: .seconds(5))
        #expect(cluster.text("f") == "3")
        let ends = cluster.journal.events.filter { $0.id?.number == 1 }.compactMap(EditEnd.init)
        #expect(ends.count == 1)
        #expect(cluster.violations() == [])
    }

    // Seed 205792: what was overdue made each pass over the backlog of a pause late by the whole
    // pause, and each one extended all leases by it.
    @Test func `a pause of the coordinator extends leases once, however long its backlog is`()
        throws
    {
        let cluster = try MachineCluster()
        let workers = try ["w1", "w2"].map { try cluster.addWorker($0, holdsSteps: true) }
        let labels = workers.map(\.label)
        let path = try #require(
            (0..<99).map { "f\($0)" }.first { path in
                let key = FileKey(
                    project: MachineCluster.project, path: MachineCluster.path(path))
                return RendezvousHash(labels).owner(of: key) == labels[1]
            })
        cluster.push(MachineCluster.put(path, "1"), number: 1)
        cluster.kill(workers[0])
        // The first one's lease is over, what it has is not handed on yet: that is overdue soon.
        while !cluster.hints.contains(where: { $0.state == "expelled" }) {
            cluster.advance(by: .milliseconds(50), step: .milliseconds(50))
        }
        cluster.kill(workers[1])
        cluster.now = cluster.now + .seconds(8)
        for _ in 0..<20 {
            cluster.coordinator.pass(
                at: cluster.now, wall: Timestamp(milliseconds: 1), isDrained: false)
            cluster.now = cluster.now + .milliseconds(1)
        }
        try cluster.addWorker("w3")
        cluster.advance(by: .seconds(12))
        #expect(cluster.text(path) == "1")
    }

    // MARK: First touches

    private static let target = TargetURL(defaultOf: MachineCluster.project)

    /// Two workers, and for each a path that it owns.
    private static func pair() throws -> (MachineCluster, [MachineCluster.WorkerNode], [String]) {
        var settings = CoordinatorSettings()
        settings.markerInterval = .seconds(5)
        let cluster = try MachineCluster(settings: settings)
        let nodes = try ["w1", "w2"].map { try cluster.addWorker($0) }
        let paths = try nodes.map { node in
            try #require(
                "abcdefgh".map(String.init).first { path in
                    let key = FileKey(
                        project: MachineCluster.project, path: MachineCluster.path(path))
                    return RendezvousHash(nodes.map(\.label)).owner(of: key) == node.label
                })
        }
        return (cluster, nodes, paths)
    }

    // Seeds 201852 and 500831: the second worker marked the blank sandbox under the same filling,
    // and nobody missed what the first one had written.
    @Test
    func `a sandbox wiped between two workers' first touches is found blank`() throws {
        let (cluster, nodes, paths) = try Self.pair()
        for node in nodes { node.isHeld = { if case .prepare = $0 { true } else { false } } }
        for (place, path) in paths.enumerated() {
            cluster.push(
                MachineCluster.put(path, path), number: UInt64(place + 1), settles: place == 1)
        }
        let first = try #require(nodes.firstIndex { !$0.steps.isEmpty })
        nodes[first].isHeld = { _ in false }
        cluster.finishSteps(of: nodes[first])
        cluster.settle()
        #expect(cluster.text(paths[first]) == paths[first])
        cluster.sandboxes[Self.target]?.wipe()
        for node in nodes { node.isHeld = { _ in false } }
        cluster.advance(by: .seconds(10))
        for path in paths { #expect(cluster.text(path) == path) }
        #expect(cluster.journal.events.contains { $0.code == TargetCode.blank })
        #expect(cluster.violations() == [])
    }

    // The report of the marker may be lost at a reconnect, and the outcome arrive.
    @Test
    func `a sandbox in which something is visible is known to be marked`() throws {
        let (cluster, nodes, paths) = try Self.pair()
        nodes[0].isHeld = { if case .prepare = $0 { true } else { false } }
        cluster.push(MachineCluster.put(paths[0], "first"), number: 1)
        nodes[0].isCut = true
        nodes[0].isHeld = { if case .write = $0 { true } else { false } }
        cluster.finishSteps(of: nodes[0])
        cluster.settle()
        nodes[0].isCut = false
        nodes[0].isHeld = { _ in false }
        cluster.settle()
        #expect(cluster.text(paths[0]) == "first")
        #expect(cluster.story(of: paths[0]).last == "synced 1")
        cluster.sandboxes[Self.target]?.wipe()
        cluster.push(MachineCluster.put(paths[1], "second"), number: 2)
        cluster.advance(by: .seconds(10))
        #expect(cluster.text(paths[0]) == "first")
        #expect(cluster.text(paths[1]) == "second")
        #expect(cluster.violations() == [])
    }
}
