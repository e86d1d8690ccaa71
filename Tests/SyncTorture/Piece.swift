import Foundation
import SyncCore
import SyncTestKit
import SyncTransport

/// One cluster from its start to its end: rounds of harm, each followed by a rest and a reckoning,
/// then hand-offs that are measured.
final class Piece {
    /// How long everything may take to come to rest: it only tells a hang.
    static let patience: Duration = .seconds(300)

    let rack: Rack
    let sums: Sums
    let watch: SandboxWatch
    let tape = EventTape()
    private(set) var authors: [Author] = []
    private var reckoning = Reckoning()
    private var random: SeededGenerator
    private let paths = AuthorPaths()
    /// Sandboxes of the first and of the second project, as its authors name them.
    private let targets: [[String]]

    /// Starts the cluster and everything around it.
    static func start(
        _ kind: Rack.Kind, in folder: URL, links: Links?, sums: Sums, seed: UInt64
    ) async throws -> Piece {
        let hosting = kind == .hosted ? try await Hosting.start() : nil
        let piece = try Piece(
            kind, in: folder, links: links, hosting: hosting, sums: sums, seed: seed)
        try await piece.open()
        return piece
    }

    private init(
        _ kind: Rack.Kind, in folder: URL, links: Links?, hosting: Hosting?, sums: Sums,
        seed: UInt64
    ) throws {
        rack = try Rack(kind, in: folder, links: links, hosting: hosting)
        self.sums = sums
        random = SeededGenerator(seed: seed)
        let local = rack.cluster.sandboxes
        var folders = ["p1", "p2"].map { ($0, local + "/" + $0) }
        if let hosting {
            folders = zip(["p1", "p2"], Hosting.sandboxes).map { ($0, hosting.folder(of: $1)) }
            targets = [["e2b:box1"], ["e2b:box2", "local:p2b"]]
        } else {
            targets = [[], ["local:p2", "local:p2b"]]
        }
        watch = SandboxWatch(
            (folders + [("p2", local + "/p2b")]).map { project, folder in
                SandboxWatch.Place(project: MachineCluster.name(project), folder: folder)
            }, paths: paths.all)
    }

    private func open() async throws {
        for index in 0..<6 {
            let project = index % 2 == 0 ? "p1" : "p2"
            // Two of them are behind a proxy that breaks and slows connections.
            let endpoint = index < 2 ? rack.intakeProxy.endpoint : nil
            let producer = try await rack.cluster.producer(
                project, name: "author-\(index)", endpoint: endpoint)
            let author = Author(
                index, MachineCluster.name(project), producer, paths: paths,
                targets: targets[index % 2].compactMap { TargetURL($0) }, seed: random.next())
            await author.open()
            authors.append(author)
        }
        let asker = try await rack.cluster.producer("p1", name: "monitor")
        try await tape.follow(rack.cluster.status, asking: asker)
    }

    /// Does harm for so long while everybody writes, then lets everything come to rest.
    func round(_ duration: Duration) async throws {
        let before = reckoning.acceptedCount
        let writing = authors.map { author in Task { await author.write() } }
        var chaos = Chaos(rack, sums, seed: random.next())
        try await chaos.run(for: duration)
        for task in writing {
            task.cancel()
            await task.value
        }
        sums.complain(chaos.flaws)
        let start = ContinuousClock.now
        try await rest()
        sums.record(
            "rest after a round of harm, \(rack.kind.rawValue)", ContinuousClock.now - start)
        try await reckon()
        sums.count("rounds")
        sums.count("edits accepted", reckoning.acceptedCount - before)
    }

    /// Waits until every edit is answered, every worker is there, and nothing is left to do.
    func rest() async throws {
        for author in authors {
            let count = Int(await author.number)
            try await Patience.until("author \(author.index) is answered", within: Self.patience) {
                await author.book.answeredCount >= count
            }
        }
        var words = ""
        do {
            try await Patience.until("everything comes to rest", within: Self.patience) {
                try rack.restart(sums)
                let report = try await rack.cluster.queue()
                words = "\(report.counts), \(report.workers.map(\.state))"
                return !report.isRecovering && report.counts.pending == report.counts.failed
                    && report.workers.count { $0.state == "live" } == Rack.labels.count
            }
        } catch {
            throw KitError("\(error): \(words)")
        }
        let last = try await rack.cluster.queue().eventNumber
        try await Patience.until("the monitor has heard everything", within: Self.patience) {
            await tape.last >= last
        }
        watch.catchUp()
    }

    /// Holds everything against the books.
    func reckon() async throws {
        for author in authors {
            let fresh = await author.takeFresh()
            reckoning.take(fresh, of: author.producer.id, author.project)
        }
        reckoning.follow(await tape.events)
        for author in authors {
            reckoning.check(
                author.producer.id, accepted: await author.book.accepted,
                refused: await author.book.refused, unknown: await author.book.unknown)
        }
        let observations = watch.take()
        sums.count("looks at a file that had changed", observations.count)
        let producers = Dictionary(
            uniqueKeysWithValues: authors.map { ($0.index, $0.producer.id) })
        reckoning.check(observations, of: watch.places, producers)
        try await reckoning.checkEnd(watch.places, storeURL: rack.cluster.storeURL)
        for project in Set(authors.map(\.project)) {
            if let producer = authors.first(where: { $0.project == project })?.producer {
                try await reckoning.check(tape, against: producer, project)
            }
        }
        sums.complain(reckoning.takeFlaws())
    }

    /// Asks the log itself for what the monitor has heard, and ends everything.
    func end() async throws {
        let events = try await rack.cluster.events()
        if events != (await tape.events) {
            sums.complain(["the log's \(events.count) events are not those that were heard"])
        }
        for end in [EventKind.synced, .superseded, .failed] {
            sums.count("ended \(end)", reckoning.count(end))
        }
        for code in reckoning.failures { sums.count("failed: \(code)") }
        sums.count("attempts burnt", events.count { $0.kind == .retrying })
        await stop()
    }

    /// Ends everything; what it left behind stays to be looked at when something was wrong.
    func stop() async {
        for author in authors { await author.close() }
        await tape.stop()
        watch.stop()
        await rack.stop(keeping: !sums.flaws.isEmpty)
    }

    // MARK: Hand-off

    /// Has a worker die, or stop, with files in hand, and takes the time until another one writes
    /// the first of them.
    ///
    /// - Parameter place: Which worker, counted on.
    func handOff(_ place: Int, isPause: Bool) async throws {
        let label = Rack.labels[place % Rack.labels.count]
        guard let author = authors.first(where: { $0.index == 2 }) else { return }
        guard let pid = rack.pid(of: label) else { throw KitError("\(label) does not run") }
        kill(pid, SIGSTOP)
        let stopped = ContinuousClock.now
        let numbers = await author.put(paths.flat)
        var inHand: [EditPath: UInt64] = [:]
        try await Patience.until("\(label) has files in hand") {
            let files = try await rack.cluster.queue("p1").files
                .filter { $0.worker?.text == label }
            for file in files { inHand[file.path] = numbers[file.path] }
            return !inHand.isEmpty
        }
        // Stopped is as good as dead for separate processes: nobody reports a death. The moment of
        // the stop is the earlier one, and the worker's last heartbeat was before it.
        var start = stopped
        if !isPause {
            if rack.kind == .supervised { start = ContinuousClock.now }
            rack.crash(label)
        }
        var seen: ContinuousClock.Instant?
        try await Patience.until("another worker writes", within: Self.patience) {
            seen = watch.first(of: inHand, by: author.index, after: start)
            return seen != nil
        }
        note(seen, start, isPause)
        if isPause {
            kill(pid, SIGCONT)
        } else if rack.kind.isSeparate {
            try rack.start(label)
        }
        try await rest()
        try await reckon()
    }

    private func note(
        _ seen: ContinuousClock.Instant?, _ start: ContinuousClock.Instant, _ isPause: Bool
    ) {
        guard let seen else { return }
        let kind = rack.kind.rawValue
        if isPause {
            sums.count("pauses past the lease: a worker with files in hand")
            sums.record("hand-off after a pause, \(kind)", seen - start)
        } else {
            sums.count("kills: a worker with files in hand")
            sums.record(
                "hand-off after a death, \(kind)", seen - start,
                target: (99, rack.kind.isSeparate ? 3_500 : 500))
        }
    }
}
