import CLinux
import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import SyncCore
import SyncTransport
import ZeroMQ

/// What `syncd up` runs.
struct SupervisorPlan: Sendable {
    /// Arguments of the coordinator.
    let coordinator: [String]
    /// Arguments of every worker, without label and life.
    let worker: [String]
    /// How many workers.
    let workerCount: Int
    /// Where deaths are reported.
    let intake: String
    /// Where expulsions are heard.
    let status: String
}

/// Keeps the children of `syncd up` running, and stops them in order.
///
/// A worker that died is reported by the random token of its life, never by its label: the label
/// may belong to its successor already. An expelled worker (stopped, or cut off) is killed, because
/// a stopped process in a transaction of the shared store would hold up all others (trace B2).
final class Supervisor: Service {
    private let plan: SupervisorPlan
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var isStopping = false
        /// A second signal came, or something can't go on: nothing is waited for.
        var isForced = false
        var coordinator: ChildProcess?
        var workers: [UInt64: ChildProcess] = [:]
        /// Lives that were killed because they had been expelled: their deaths prove nothing
        /// against the files that they had in hand.
        var killed: Set<UInt64> = []
    }

    init(_ plan: SupervisorPlan, logger: Logger) {
        self.plan = plan
        self.logger = logger
    }

    func run() async throws {
        // A write to a pipe whose reader died must be an error, not the end.
        signal(SIGPIPE, SIG_IGN)
        var ends: [Int32] = [-1, -1]
        guard syncd_pipe_close_on_exec(&ends) == 0 else {
            throw Trouble("No pipe for the children: \(String(cString: strerror(errno))).")
        }
        let pipe = ends[0]
        defer { for end in ends { close(end) } }
        let context = try Context()
        let loop = try SocketLoop(name: "up", context: context)
        guard let name = Name("up") else { return }
        let reporter = Producer(endpoint: plan.intake, project: name, name: name, on: loop)
        try await reporter.open()
        let ear = ExpulsionEar(on: loop)
        try await ear.open(plan.status)
        do {
            try await supervise(pipe: pipe, reporter: reporter, ear: ear)
        } catch {
            await stop(loop, context)
            throw error
        }
        await stop(loop, context)
    }

    private func stop(_ loop: SocketLoop, _ context: Context) async {
        await loop.stop()
        context.shutdown()
        _ = context.terminate(within: .seconds(2))
    }

    private func supervise(pipe: Int32, reporter: Producer, ear: ExpulsionEar) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask { [self] in
                try await keepCoordinator(pipe: pipe)
                return true
            }
            for number in 1...plan.workerCount {
                group.addTask { [self] in
                    try await keepWorker("worker-\(number)", pipe: pipe, reporter: reporter)
                    return false
                }
            }
            group.addTask { [self] in
                for await life in ear.expelled { killExpelled(life) }
                return false
            }
            group.addTask { [self] in
                try await gracefulShutdown()
                stopWorkers()
                return false
            }
            do {
                // The coordinator goes last; with it everything is over.
                while let isCoordinator = try await group.next(), !isCoordinator {}
            } catch {
                killAll()
                group.cancelAll()
                throw error
            }
            group.cancelAll()
        }
    }

    private func killExpelled(_ life: UInt64) {
        let child = state.withLock { state in
            if state.workers[life] != nil { state.killed.insert(life) }
            return state.workers[life]
        }
        guard let child else { return }
        logger.warning(
            "killing an expelled worker", metadata: ["pid": .stringConvertible(child.pid)])
        child.signal(SIGKILL)
    }

    /// Takes the road of a crash: no child may be left behind, none is waited for.
    func killAll() {
        let children = state.withLock { state in
            state.isStopping = true
            state.isForced = true
            return Array(state.workers.values) + (state.coordinator.map { [$0] } ?? [])
        }
        for child in children { child.signal(SIGKILL) }
    }

    /// Whether children were killed because a second signal came.
    var wasForced: Bool { state.withLock { $0.isForced } }

    /// Drains the workers; the coordinator goes when the last one has gone.
    private func stopWorkers() {
        logger.info("stopping: workers drain first")
        let (workers, coordinator) = state.withLock { state in
            state.isStopping = true
            return (Array(state.workers.values), state.coordinator)
        }
        for worker in workers { worker.signal(SIGTERM) }
        if workers.isEmpty { coordinator?.signal(SIGTERM) }
    }

    // MARK: Children

    private func keepCoordinator(pipe: Int32) async throws {
        var restarts = Restarts()
        while !state.withLock({ $0.isStopping }) {
            let child = try ChildProcess.spawn(
                plan.coordinator + ["--parent-fd", String(ChildProcess.pipeDescriptor)],
                pipe: pipe)
            logger.info("coordinator started", metadata: ["pid": .stringConvertible(child.pid)])
            let isForced = state.withLock { state in
                state.coordinator = child
                return state.isForced
            }
            if isForced { child.signal(SIGKILL) }
            let ending = await child.ending()
            let isStopping = state.withLock { state in
                state.coordinator = nil
                return state.isStopping
            }
            if isStopping { return }
            if ending.isFinal {
                throw Trouble(
                    "The coordinator can't run as it is configured; see its message above.",
                    code: .configuration)
            }
            logger.error("coordinator ended (\(ending)); starting it again")
            try await restarts.pause()
        }
    }

    private func keepWorker(_ label: String, pipe: Int32, reporter: Producer) async throws {
        var restarts = Restarts()
        while !state.withLock({ $0.isStopping }) {
            let life = UInt64.random(in: .min ... .max)
            let child = try ChildProcess.spawn(
                plan.worker + [
                    "--id", label, "--life", Hexadecimal.digits(of: life), "--parent-fd",
                    String(ChildProcess.pipeDescriptor),
                ], pipe: pipe)
            logger.info(
                "worker started",
                metadata: ["worker": "\(label)", "pid": .stringConvertible(child.pid)])
            let (isLate, isForced) = state.withLock { state in
                state.workers[life] = child
                return (state.isStopping, state.isForced)
            }
            if isLate { child.signal(isForced ? SIGKILL : SIGTERM) }
            let ending = await child.ending()
            let (isOver, last) = state.withLock { state in
                state.workers[life] = nil
                // Told to end once: a second signal would be taken for impatience.
                let isLast = state.isStopping && state.workers.isEmpty
                return (state.isForced, isLast ? state.coordinator : nil)
            }
            if isOver { return }
            if ending != .exited(0) { await report(life, ending, label, reporter) }
            last?.signal(SIGTERM)
            if state.withLock({ $0.isStopping }) { return }
            switch ending {
            case .exited(Trouble.Code.configuration.rawValue):
                throw Trouble(
                    "Worker \(label) can't run as it is configured; see its message above.",
                    code: .configuration)
            case .exited(Trouble.Code.replaced.rawValue):
                // Started again it would replace the one that replaced it, and so on for ever.
                logger.error(
                    "another process took this worker's label; it is not started again",
                    metadata: ["worker": "\(label)"])
                return
            case .exited, .signalled: try await restarts.pause()
            }
        }
    }

    private func report(
        _ life: UInt64, _ ending: ChildProcess.Ending, _ label: String, _ reporter: Producer
    ) async {
        logger.error("worker ended (\(ending))", metadata: ["worker": "\(label)"])
        let isKilled = state.withLock { $0.killed.remove(life) != nil }
        do {
            _ = try await reporter.ask(.died(life: life, isKilled: isKilled), patience: .seconds(5))
        } catch {
            // Without the report its files move on when its lease has run out.
            logger.warning("its death could not be reported: \(error)")
        }
    }
}

/// Waits longer from restart to restart, as long as they follow each other closely.
struct Restarts {
    private var wait: Duration = .milliseconds(50)
    private var startedAt = ContinuousClock.now

    /// Waits before the next start.
    mutating func pause() async throws {
        if ContinuousClock.now - startedAt > .seconds(10) { wait = .milliseconds(50) }
        try await Task.sleep(for: wait)
        wait = min(wait * 2, .seconds(5))
        startedAt = ContinuousClock.now
    }
}

/// Hears on the status channel which workers were expelled.
actor ExpulsionEar: SocketLoopClient {
    nonisolated let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    /// Lives of expelled workers.
    nonisolated let expelled: AsyncStream<UInt64>
    private let expelledIn: AsyncStream<UInt64>.Continuation
    private var subscriber: StatusSubscriber?

    init(on loop: SocketLoop) {
        self.loop = loop
        (expelled, expelledIn) = AsyncStream.makeStream()
    }

    /// Subscribes; the coordinator may start later.
    func open(_ endpoint: String) throws {
        let subscriber = try StatusSubscriber(endpoint, on: loop)
        try subscriber.subscribe("worker/")
        self.subscriber = subscriber
        loop.attach(self)
    }

    nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { ear in
            for notice in ear.subscriber?.receive(countMax: 1_024) ?? [] {
                guard case .worker(_, let life, "expelled") = notice,
                    let value = Hexadecimal.value(of: life)
                else { continue }
                ear.expelledIn.yield(value)
            }
            return nil
        }
    }

    nonisolated func loopWillStop() {
        assumeIsolated {
            $0.subscriber?.close()
            $0.subscriber = nil
            $0.expelledIn.finish()
        }
    }
}
