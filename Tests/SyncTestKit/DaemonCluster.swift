package import Foundation
package import SyncCore
package import SyncTransport
import ZeroMQ

/// Real processes for a test: one coordinator, some workers, in a temporary folder, on `ipc://`.
///
/// Whatever was started is ended by pid when the cluster stops.
package final class DaemonCluster: @unchecked Sendable {
    // Unchecked: a test drives one cluster from one task at a time.

    /// One child.
    package final class Child {
        package let process: Process
        package let log: URL

        package var pid: pid_t { process.processIdentifier }

        init(process: Process, log: URL) {
            self.process = process
            self.log = log
        }

        /// What it has written to standard output and error so far.
        package var text: String {
            (try? String(contentsOf: log, encoding: .utf8)) ?? ""
        }

        /// Waits for the end of a process that ends by itself; tells the exit code.
        package func ending(within limit: Duration = .seconds(120)) async throws -> Int32 {
            let process = process
            try await Patience.until("process \(pid) ends", within: limit) { !process.isRunning }
            return status
        }

        /// The exit code of one that has ended; a signal's number below 0 if that ended it.
        package var status: Int32 {
            process.terminationReason == .exit
                ? process.terminationStatus : -process.terminationStatus
        }

        /// Ends it like a crash and waits for the end.
        package func crash() {
            process.signal(SIGKILL)
            process.waitUntilExit()
        }

        /// Asks it to end in order, waits, and tells the exit code.
        package func drain() -> Int32 {
            process.signal(SIGTERM)
            process.waitUntilExit()
            return process.terminationStatus
        }
    }

    /// Directories of what can lie on a disk of its own; nil: below the cluster's folder.
    package struct Places: Sendable {
        package var journal: String?
        package var store: String?
        package var sandboxes: String?
        /// URL of a store that is no file; it reaches workers by their environment, not by a flag.
        package var storeURL: String?
        /// Endpoint of the intake.
        package var intake: String?
        /// Endpoint that the coordinator binds for workers, and the one that they connect to.
        package var workers: (bound: String, reached: String)?

        /// Everything below the cluster's folder.
        package init(
            journal: String? = nil, store: String? = nil, sandboxes: String? = nil,
            intake: String? = nil
        ) {
            self.journal = journal
            self.store = store
            self.sandboxes = sandboxes
            self.intake = intake
        }

        /// Everything in one directory.
        package init(all directory: String) {
            self.init(journal: directory, store: directory, sandboxes: directory)
        }
    }

    /// Sockets and logs lie below, and the rest unless it has another place.
    package let folder: URL
    package private(set) var coordinator: Child?
    package private(set) var workers: [String: Child] = [:]
    /// `syncd up`, in the place of the other two.
    package private(set) var supervisor: Child?
    private let places: Places
    private let coordinatorFlags: [String]
    private let workerFlags: [String]
    private var childCount = 0
    private let context: Context
    private let loop: SocketLoop

    package var intake: String { places.intake ?? "ipc://\(folder.path)/i" }
    package var workerEndpoint: String { places.workers?.reached ?? "ipc://\(folder.path)/w" }
    package var status: String { "ipc://\(folder.path)/s" }
    package var storeFile: String { (places.store ?? folder.path) + "/store.db" }
    package var storeURL: String { places.storeURL ?? "sqlite:\(storeFile)" }
    package var journalFile: String { (places.journal ?? folder.path) + "/journal.db" }
    package var sandboxes: String { (places.sandboxes ?? folder.path) + "/sandboxes" }

    /// Variables that let the command find the cluster.
    package var environment: [String: String] {
        var environment = ProcessInfo.processInfo.environment
        environment["SYNCD_INTAKE"] = intake
        environment["SYNCD_STATUS"] = status
        environment["SYNCD_STORE"] = storeURL
        return environment
    }

    /// The built `syncd`, which lies beside the test bundle.
    package static var binary: URL {
        get throws {
            let own = URL(fileURLWithPath: CommandLine.arguments[0])
            var place = own.deletingLastPathComponent()
            for _ in 0..<4 {
                let candidate = place.appendingPathComponent("syncd")
                if FileManager.default.isExecutableFile(atPath: candidate.path) {
                    return candidate
                }
                place = place.deletingLastPathComponent()
            }
            throw KitError("no syncd near \(own.path); run 'swift build' first")
        }
    }

    /// Starts coordinator and workers; returns when the coordinator answers.
    ///
    /// - Parameters:
    ///   - folder: Where to put everything; a temporary folder if nil.
    ///   - places: What lies elsewhere.
    ///   - intake: Where producers connect; `ipc://` in the folder if nil.
    package static func start(
        workers: Int, folder: URL? = nil, places: Places = Places(), intake: String? = nil,
        coordinatorFlags: [String] = [], workerFlags: [String] = []
    ) async throws -> DaemonCluster {
        var places = places
        if let intake { places.intake = intake }
        let cluster = try DaemonCluster(
            folder: folder, places: places, coordinatorFlags: coordinatorFlags,
            workerFlags: workerFlags)
        try cluster.startCoordinator()
        for number in 0..<workers { try cluster.startWorker("w\(number)") }
        _ = try await cluster.queue()
        return cluster
    }

    /// Makes the folders; starts nothing.
    package init(
        folder: URL?, places: Places = Places(), coordinatorFlags: [String] = [],
        workerFlags: [String] = []
    ) throws {
        LeakWatch.begin()
        self.places = places
        let id = String(UInt32.random(in: .min ... .max), radix: 36)
        self.folder = folder ?? URL(fileURLWithPath: "/tmp/syncd-test-\(id)")
        self.coordinatorFlags = coordinatorFlags
        self.workerFlags = workerFlags
        context = try Context()
        loop = try SocketLoop(name: "test", context: context)
        for directory in [self.folder.path, sandboxes] {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
        }
    }

    /// A test that failed halfway leaves no process behind.
    deinit { for pid in pids { kill(pid, SIGKILL) } }

    package func startCoordinator(environment: [String: String] = [:]) throws {
        coordinator = try spawn(
            [
                "coordinator", "--journal", "sqlite:\(journalFile)", "--intake", intake,
                "--worker-endpoint", places.workers?.bound ?? workerEndpoint, "--status", status,
            ] + coordinatorFlags, environment: environment)
    }

    /// Starts a worker.
    ///
    /// - Parameters:
    ///   - endpoint: Where it finds the coordinator, if not where the others do.
    ///   - launcher: Words of a command that becomes the worker, `nsenter` for instance.
    @discardableResult
    package func startWorker(
        _ label: String, flags: [String] = [], environment: [String: String] = [:],
        endpoint: String? = nil, launcher: [String] = []
    ) throws -> Child {
        let store = places.storeURL.map { ["SYNCD_STORE": $0] } ?? [:]
        let child = try spawn(
            [
                "worker", "--coordinator", endpoint ?? workerEndpoint,
                "--local-root", sandboxes, "--id", label,
            ] + (places.storeURL == nil ? ["--store", storeURL] : []) + workerFlags + flags,
            environment: environment.merging(store) { $1 }, launcher: launcher)
        workers[label] = child
        return child
    }

    package func crashCoordinator() {
        coordinator?.crash()
        coordinator = nil
    }

    package func crashWorker(_ label: String) {
        workers.removeValue(forKey: label)?.crash()
    }

    /// Leaves a worker to its caller: it is ended no more with the cluster.
    package func forgetWorker(_ label: String) { workers[label] = nil }

    package func drainWorker(_ label: String) -> Int32? {
        workers.removeValue(forKey: label)?.drain()
    }

    /// Starts `syncd up` with everything below the folder; more flags may follow.
    @discardableResult
    package func startUp(
        workers: Int, flags: [String] = [], environment: [String: String] = [:]
    ) throws -> Child {
        let child = try spawn(
            [
                "up", "--data", folder.path, "--workers", String(workers), "--intake", intake,
                "--worker-endpoint", workerEndpoint, "--status", status,
            ] + flags, environment: environment)
        supervisor = child
        return child
    }

    /// All processes of the cluster that live.
    package var pids: [pid_t] {
        // One that has ended may have left its number to a stranger.
        let started = ([coordinator, supervisor].compactMap(\.self) + workers.values)
            .filter(\.process.isRunning).map(\.pid)
        return (started + started.flatMap { ProcessTable.children(of: $0).map(\.pid) })
            .filter { ProcessTable.isAlive($0) }
    }

    /// Stops all processes; returns when no thread of theirs is inside a system call any more.
    package func pause() async throws {
        let pids = pids
        for pid in pids { kill(pid, SIGSTOP) }
        try await Patience.until("everything is stopped") {
            pids.allSatisfy { ProcessTable.isStopped($0) }
        }
    }

    /// Lets all processes go on.
    package func resume() { for pid in pids { kill(pid, SIGCONT) } }

    /// Ends everything and removes the folder.
    package func stop() async {
        let pids = pids
        supervisor?.crash()
        supervisor = nil
        for child in workers.values { child.crash() }
        workers = [:]
        crashCoordinator()
        // Children of `up` go by themselves; one that is stopped can't.
        for pid in pids where ProcessTable.isAlive(pid) { kill(pid, SIGKILL) }
        await loop.stop()
        context.shutdown()
        _ = context.terminate(within: .seconds(5))
        try? FileManager.default.removeItem(at: folder)
    }

    private func spawn(
        _ arguments: [String], environment: [String: String] = [:], launcher: [String] = []
    ) throws -> Child {
        childCount += 1
        let process = Process()
        process.executableURL = try Self.binary
        process.arguments = arguments
        if !launcher.isEmpty {
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = launcher + [try Self.binary.path] + arguments
        }
        process.environment = ProcessInfo.processInfo.environment
            .filter { !$0.key.hasPrefix("SYNCD_") }
        let log = folder.appendingPathComponent("log-\(childCount)-\(arguments[0])")
        try Data().write(to: log)
        let handle = try FileHandle(forWritingTo: log)
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardError = handle
        process.standardOutput = handle
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return Child(process: process, log: log)
    }

    // MARK: Clients

    private var askers: [String: Producer] = [:]

    /// The producer that asks questions about a project; one each, so that sockets do not pile up.
    private func asker(_ project: String = "p1") async throws -> Producer {
        if let asker = askers[project] { return asker }
        let asker = try await producer(project, name: "asker")
        askers[project] = asker
        return asker
    }

    /// A producer of a new life.
    package func producer(
        _ project: String = "p1", name: String = "tester", endpoint: String? = nil,
        settings: ProducerMachine.Settings = ProducerMachine.Settings(),
        reconnectWait: Duration = .milliseconds(100)
    ) async throws -> Producer {
        let producer = Producer(
            endpoint: endpoint ?? intake, project: MachineCluster.name(project),
            name: MachineCluster.name(name), on: loop, settings: settings,
            reconnectWait: reconnectWait)
        try await producer.open()
        return producer
    }

    /// The pool now.
    package func queue(_ project: String? = nil) async throws -> QueueReport {
        let producer = try await asker()
        let reply = try await producer.ask(
            .queue(
                project: project.map { MachineCluster.name($0) }, prefix: "", after: "",
                countMax: 1_000), patience: Patience.stretched(.seconds(60)))
        guard case .queue(let report) = reply else { throw KitError("no queue: \(reply)") }
        return report
    }

    /// Waits until so many workers have joined: one that finds no local root at its start ends.
    package func joined(_ count: Int = 1) async throws {
        try await Patience.until("\(count) workers have joined") {
            try await queue().workers.count { $0.state == "live" } >= count
        }
    }

    /// Waits until everything of a project is visible.
    package func flush(_ project: String = "p1", patience: Duration = .seconds(120)) async throws {
        let producer = try await asker(project)
        let end = ContinuousClock.now + patience
        while ContinuousClock.now < end {
            let reply = try await producer.ask(
                .flush(project: producer.project, prefix: ""), patience: patience)
            switch reply {
            case .flushed: return
            case .blocked(let causes, let count):
                throw KitError("flush is blocked by \(count) files: \(causes)")
            default: continue
            }
        }
        throw KitError("flush did not answer within \(patience)")
    }

    /// All events of the log, over pages.
    package func events() async throws -> [StatusEvent] {
        let producer = try await asker()
        var all: [StatusEvent] = []
        var next: UInt64 = 1
        while true {
            let reply = try await producer.ask(
                .replay(from: next, project: nil, countMax: 1_000),
                patience: Patience.stretched(.seconds(60)))
            guard case .events(let events, let after, let last) = reply else {
                throw KitError("no events: \(reply)")
            }
            all += events
            next = after
            if next > last { return all }
        }
    }

    /// Runs the command and gives what it printed.
    package func command(_ arguments: [String]) async throws -> (code: Int32, output: String) {
        try await CommandRun.outcome(of: Self.binary, arguments, environment: environment)
    }
}

/// A producer's own book: what it pushed, and what it was told.
package actor ProducerBook {
    package private(set) var edits: [UInt64: Edit] = [:]
    package private(set) var accepted: [UInt64: EditSequence] = [:]
    package private(set) var refused: [UInt64: Rejection] = [:]
    package private(set) var dropped: Set<UInt64> = []
    package private(set) var unknown: Set<UInt64> = []
    private var goals: [(count: Int, done: CheckedContinuation<Void, Never>)] = []

    package init() {}

    /// How many edits are answered, one way or the other.
    package var answeredCount: Int {
        accepted.count + refused.count + dropped.count + unknown.count
    }

    package func pushed(_ number: UInt64, _ edit: Edit) { edits[number] = edit }

    /// Adds acceptances, to put two lives' books together.
    package func note(_ accepted: [UInt64: EditSequence]) {
        self.accepted.merge(accepted) { _, new in new }
    }

    /// Writes down what the producer hears, until its stream ends or the task is cancelled.
    package func keep(_ updates: AsyncStream<ProducerMachine.Update>) async {
        for await update in updates {
            switch update {
            case .accepted(let number, let sequence, _): accepted[number] = sequence
            case .rejected(let number, let rejection): refused[number] = rejection
            case .dropped(let number, _): dropped.insert(number)
            case .unknown(let number): unknown.insert(number)
            case .ended: continue
            }
            let answered = answeredCount
            for goal in goals where answered >= goal.count { goal.done.resume() }
            goals.removeAll { answered >= $0.count }
        }
    }

    /// Waits until so many edits are answered.
    package func reach(_ count: Int) async {
        if answeredCount >= count { return }
        await withCheckedContinuation { goals.append((count, $0)) }
    }

    /// Per path: the accepted edit with the highest number.
    package var newest: [EditPath: (number: UInt64, edit: Edit)] {
        var newest: [EditPath: (number: UInt64, edit: Edit)] = [:]
        for number in accepted.keys.sorted() {
            guard let edit = edits[number] else { continue }
            newest[edit.path] = (number, edit)
        }
        return newest
    }
}
