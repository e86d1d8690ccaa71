import Foundation
import SyncCore
import SyncTransport
import ZeroMQ

/// A coordinator and its workers, as processes of their own on `ipc://`.
actor Pool {
    nonisolated let folder: BenchFolder
    private var coordinator: BenchProcess?
    private var workers: [BenchProcess] = []
    /// Labels that were given: no worker bears one of a dead one.
    private var labelCount = 0
    private var up: BenchProcess?
    private let context: Context
    private let loop: SocketLoop
    /// Threads of producers that have one of their own.
    private var ownLoops: [SocketLoop] = []
    private var askers: [ProjectName: Producer] = [:]

    init(in folder: BenchFolder) throws {
        self.folder = folder
        context = try Context()
        loop = try SocketLoop(name: "bench", context: context)
    }

    /// Calls with a pool in a folder of its own and ends the pool, whatever comes of the call.
    ///
    /// - Parameter isKept: Whether the folder stays until the pair's own is removed, so that what
    ///   is measured next does not pay for it.
    static func with<Answer: Sendable>(
        in parent: BenchFolder, isKept: Bool = true, _ body: (Pool) async throws -> Answer
    ) async throws -> Answer {
        let pool = try Pool(in: try BenchFolder(in: parent.path))
        defer { if !isKept { pool.folder.remove() } }
        do {
            let answer = try await body(pool)
            await pool.stop()
            return answer
        } catch {
            await pool.stop()
            throw error
        }
    }

    /// Starts the coordinator and waits until it answers.
    ///
    /// - Parameter flags: More flags for it.
    func startCoordinator(_ flags: [String] = []) async throws {
        coordinator = try BenchProcess(
            "coordinator", program: "syncd",
            [
                "coordinator", "--journal", "sqlite:\(folder.journal)", "--intake", folder.intake,
                "--worker-endpoint", folder.workers, "--status", folder.status,
            ] + flags, log: folder.path + "/coordinator.log")
        _ = try await queue()
    }

    /// Starts workers that share one store and one root.
    ///
    /// - Parameter flags: More flags for each.
    func startWorkers(_ count: Int, _ flags: [String] = []) throws {
        try startWorkers(count) { name, label in
            try BenchProcess(
                name, program: "syncd",
                ["worker"] + workerFlags(label, store: "sqlite:\(folder.store)") + flags,
                log: workerLog(label))
        }
    }

    /// Starts workers whose store and sandboxes do nothing with an edit.
    func startNullWorkers(_ count: Int) throws {
        try startWorkers(count) { name, label in
            try BenchProcess(
                name, program: "SyncBench",
                ["null-worker"] + workerFlags(label, store: folder.store), log: "",
                watchesParent: false)
        }
    }

    private func startWorkers(
        _ count: Int, by start: (_ name: String, _ label: String) throws -> BenchProcess
    ) throws {
        for _ in 0..<count {
            labelCount += 1
            workers.append(try start("worker \(labelCount)", "worker-\(labelCount)"))
        }
    }

    private func workerFlags(_ label: String, store: String) -> [String] {
        [
            "--coordinator", folder.workers, "--store", store, "--local-root", folder.sandboxes,
            "--id", label,
        ]
    }

    private func workerLog(_ label: String) -> String { "\(folder.path)/\(label).log" }

    /// Starts coordinator and workers, and has one edit go all the way.
    ///
    /// - Parameter flags: More flags for each worker.
    /// - Returns: The pusher that pushed it.
    func startWarm(_ workers: Int, _ flags: [String] = []) async throws -> Pusher {
        try await startCoordinator()
        try startWorkers(workers, flags)
        try await waitForWorkers(workers)
        let pusher = try await pusher("bench")
        try await pusher.push(
            Pusher.Run(count: 1, batch: 1, window: 1) { _ in
                BenchEdits.put("before", place: 0, bytes: 64)
            })
        try await flush("bench")
        return pusher
    }

    /// Waits until so many workers get work.
    func waitForWorkers(_ count: Int) async throws {
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            let live = try await queue().workers.filter { $0.state == MemberState.live.rawValue }
            if live.count >= count { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw BenchError("\(count) workers had not registered within two minutes")
    }

    /// Ends coordinator and workers like a crash; the folder stays.
    func crash() async {
        let crashed = [coordinator].compactMap(\.self) + workers
        (coordinator, workers) = (nil, [])
        for process in crashed { await process.end() }
    }

    /// What the coordinator has used up to now.
    func coordinatorUsage() throws -> ProcessUsage {
        guard let coordinator, let usage = ProcessUsage(of: coordinator.pid) else {
            throw BenchError(
                "the coordinator ended in the middle of the workload; start one by hand with the "
                    + "same flags to see why.")
        }
        return usage
    }

    /// Milliseconds of the longest turn, of the longest work for one beside the disk's, and of the
    /// store's longest batch, of processes that log at level debug.
    func longest() throws -> (turn: Double, work: Double, batch: Double) {
        func last(_ what: String, in log: String) throws -> Double {
            let text = try String(contentsOfFile: log, encoding: .utf8)
            let line = text.split(separator: "\n").last { $0.contains("longest \(what) so far") }
            let field = line?.split(separator: " ").first { $0.hasPrefix("ms=") }
            guard let value = field.flatMap({ Double($0.dropFirst("ms=".count)) }) else {
                throw BenchError("\(log) tells of no \(what); is its level debug?")
            }
            return value
        }
        let batches = try (1...max(labelCount, 1)).map {
            try last("batch of the store", in: workerLog("worker-\($0)"))
        }
        let coordinator = folder.path + "/coordinator.log"
        return (
            try last("turn", in: coordinator), try last("work for a turn", in: coordinator),
            batches.max() ?? 0
        )
    }

    /// Starts `syncd up` and waits until its coordinator answers.
    func startUp(workers count: Int) async throws {
        up = try BenchProcess(
            "up", program: "syncd",
            [
                "up", "--data", folder.path, "--workers", String(count), "--intake",
                folder.intake, "--worker-endpoint", folder.workers, "--status", folder.status,
            ], log: folder.path + "/up.log")
        _ = try await queue()
    }

    /// The processes that do the work, by name.
    var processes: [(name: String, pid: pid_t)] {
        guard let up else {
            return ([coordinator].compactMap(\.self) + workers).map { ($0.name, $0.pid) }
        }
        return ProcessUsage.children(of: up.pid).compactMap { child in
            guard child.words.count > 1 else { return nil }
            let label = child.words.firstIndex(of: "--id").map { child.words[$0 + 1] }
            return (label ?? child.words[1], child.pid)
        }.sorted { $0.name < $1.name }
    }

    /// Ends everything.
    func stop() async {
        // The children of `up` end by the pipe that closes with it.
        for process in workers + [coordinator, up].compactMap(\.self) { await process.end() }
        for each in ownLoops + [loop] { await each.stop() }
        context.shutdown()
        _ = context.terminate(within: .seconds(5))
    }

    // MARK: Clients

    /// A pusher of a project, connected.
    func pusher(_ project: String) async throws -> Pusher {
        let pusher = Pusher(folder.intake, project: try Self.name(project), on: loop)
        try await pusher.open()
        return pusher
    }

    /// A pusher of a project, connected, with a thread of its own.
    func pusherApart(_ project: String) async throws -> Pusher {
        let loop = try SocketLoop(name: "producer", context: context)
        ownLoops.append(loop)
        let pusher = Pusher(folder.intake, project: try Self.name(project), on: loop)
        try await pusher.open()
        return pusher
    }

    /// The pool now.
    func queue() async throws -> QueueReport {
        let asker = try await asker(Self.name("bench"))
        let reply = try await asker.ask(
            .queue(project: nil, prefix: "", after: "", countMax: 1), patience: .seconds(120))
        guard case .queue(let report) = reply else { throw BenchError("no queue: \(reply)") }
        return report
    }

    /// Waits until everything of a project is visible.
    func flush(_ project: String) async throws {
        let asker = try await asker(Self.name(project))
        let end = ContinuousClock.now + .seconds(600)
        while ContinuousClock.now < end {
            let reply = try await asker.ask(
                .flush(project: asker.project, prefix: ""), patience: .seconds(600))
            switch reply {
            case .flushed: return
            case .blocked(_, let count):
                throw BenchError("\(count) files of \(project) can't become visible")
            case .rejected(let rejection) where rejection.code == .busy:
                try await Task.sleep(for: rejection.retryAfter ?? .milliseconds(200))
            case .rejected(let rejection):
                throw BenchError("the flush of \(project) was refused: \(rejection.sentence)")
            case .edits, .end, .queue, .events, .gap, .snapshot, .failed, .ordered, .project,
                .done:
                throw BenchError("the answer to the flush of \(project) is none to a flush")
            }
        }
        throw BenchError("\(project) was not visible within 10 minutes")
    }

    private func asker(_ project: ProjectName) async throws -> Producer {
        if let asker = askers[project] { return asker }
        let asker = Producer(
            endpoint: folder.intake, project: project, name: try Self.name("asker"), on: loop)
        askers[project] = asker
        try await asker.open()
        return asker
    }

    /// A name that follows the grammar.
    static func name(_ text: String) throws -> Name {
        guard let name = Name(text) else { throw BenchError("'\(text)' is no name") }
        return name
    }
}
