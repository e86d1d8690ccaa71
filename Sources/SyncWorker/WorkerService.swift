package import Logging
import ServiceLifecycle
package import SyncCore
import SyncTransport
import ZeroMQ

/// A worker as a service: works until it is told to stop, drained, replaced or refused.
package struct WorkerService: Service {
    private let configuration: WorkerConfiguration
    private let store: any VersionedStore
    private let sandboxes: any SandboxProvider
    private let logger: Logger
    private let onExit: @Sendable (WorkerExit) -> Void
    private let onOverdue: @Sendable () -> Void

    /// How long calls into store and sandboxes may take that are under way when the worker ends.
    private static let lastCallsPatience: Duration = .seconds(5)

    /// Describes a service.
    ///
    /// - Parameters:
    ///   - onExit: Told why the worker ended; its exit code follows from it.
    ///   - onOverdue: Called when the worker has ended but a call into store or sandboxes hangs:
    ///     nothing but the end of the process ends that.
    package init(
        _ configuration: WorkerConfiguration, store: any VersionedStore,
        sandboxes: any SandboxProvider, logger: Logger,
        onExit: @escaping @Sendable (WorkerExit) -> Void = { _ in },
        onOverdue: @escaping @Sendable () -> Void = {}
    ) {
        self.configuration = configuration
        self.store = store
        self.sandboxes = sandboxes
        self.logger = logger
        self.onExit = onExit
        self.onOverdue = onOverdue
    }

    /// Works; returns when drained, replaced or refused, and after the drain's patience.
    package func run() async throws {
        let clock = ProcessClock()
        let identity = try await store.identity()
        let (steps, stepsIn) = AsyncStream<WorkerStep>.makeStream()
        let (exits, exitsIn) = AsyncStream<WorkerExit>.makeStream()
        let context = try Context()
        let loop = try SocketLoop(name: "worker", context: context)
        let lease = LeaseClock()
        let landings = Landings()
        let worker = Worker(
            machine: WorkerMachine(settings: configuration.settings, identity: identity),
            bootID: configuration.settings.bootID, on: loop, clock: clock, lease: lease,
            landings: landings, steps: stepsIn, exits: exitsIn, logger: logger)
        do {
            try await worker.open(configuration)
            let (endings, endingsIn) = AsyncStream<Void>.makeStream()
            try await watching(endings) {
                defer { endingsIn.finish() }
                try await work(
                    worker, steps: steps, exits: exits,
                    desk: Desk(lease: lease, landings: landings, clock: clock),
                    onEnding: { endingsIn.yield() })
            }
        } catch {
            await stop(loop, context)
            throw error
        }
        await stop(loop, context)
    }

    private func stop(_ loop: SocketLoop, _ context: Context) async {
        await loop.stop()
        context.shutdown()
        if !context.terminate(within: .seconds(5)) {
            logger.warning("the messaging library did not end within 5 s; going on without it")
        }
    }

    /// Runs the work, and calls `onOverdue` when it is ending and does not come to its end.
    ///
    /// A task group waits for all its tasks, and a system call that hangs can't be cancelled.
    private func watching(
        _ endings: AsyncStream<Void>, _ work: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await work()
                return true
            }
            group.addTask {
                for await _ in endings {
                    do {
                        try await Task.sleep(for: Self.lastCallsPatience)
                    } catch {
                        return false  // Everything has ended.
                    }
                    onOverdue()
                }
                return false
            }
            for try await isWork in group where isWork { group.cancelAll() }
        }
    }

    private func work(
        _ worker: Worker, steps: AsyncStream<WorkerStep>, exits: AsyncStream<WorkerExit>,
        desk: Desk, onEnding: @Sendable () -> Void
    ) async throws {
        let applier = Applier(
            store: store, sandboxes: sandboxes, isLocalSynced: configuration.isLocalSynced)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await withDiscardingTaskGroup { inner in
                    for await step in steps {
                        inner.addTask { await carryOut(step, with: applier, for: worker, desk) }
                    }
                }
            }
            group.addTask {
                for await reason in exits {
                    onExit(reason)
                    return
                }
            }
            group.addTask {
                try await gracefulShutdown()
                await worker.drain()
                try await Task.sleep(for: configuration.drainPatience)
                logger.warning(
                    "the drain took longer than \(configuration.drainPatience); ending like a crash"
                )
            }
            defer {
                onEnding()
                group.cancelAll()
            }
            _ = try await group.next()
        }
    }

    /// What the loop and the threads that write share.
    private struct Desk: Sendable {
        let lease: LeaseClock
        let landings: Landings
        let clock: ProcessClock

        func isLeased(_ stage: StageName) -> Bool {
            lease.isValid(for: stage.incarnation, at: clock.now)
        }
    }

    private func carryOut(
        _ step: WorkerStep, with applier: Applier, for worker: Worker, _ desk: Desk
    ) async {
        switch step {
        case .one(let directive): await carryOut(directive, with: applier, for: worker, desk)
        case .writes(let writes):
            await applier.write(writes) {
                desk.isLeased(writes.stage)
            } landed: { place, result in
                let landing = Landings.Landing(
                    id: writes.ids[place], target: writes.target, result: result)
                if desk.landings.add(landing) { worker.loop.wake() }
            }
        }
    }

    private func carryOut(
        _ directive: WorkerDirective, with applier: Applier, for worker: Worker, _ desk: Desk
    ) async {
        switch directive {
        case .bind(let journal, let isAdopted):
            await worker.storeBound(applier.bind(journal, isAdopted: isAdopted))
        case .apply(let batch):
            let began = ContinuousClock.now
            let result = await applier.apply(batch)
            await worker.stored(batch.map(\.id), result, after: .now - began)
        case .read(let assignment):
            await worker.read(assignment.id, applier.read(assignment.file))
        case .prepare(let preparation):
            let result = await applier.prepare(preparation) { desk.isLeased(preparation.stage) }
            await worker.prepared(preparation, result)
        case .probe(let target, _):
            guard let marker = await worker.marker(for: target) else { return }
            await worker.probed(target, applier.probe(target, wanted: marker))
        case .list(let question, let epoch):
            await worker.listed(question, of: epoch, applier.list(question))
        case .write, .send, .lease, .exit: break
        }
    }
}
