internal import CLibZMQ
internal import Synchronization

/// What a loop calls in every pass; usually an actor pinned to the loop.
///
///     nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
///         assumeIsolated { $0.turn(at: now) }
///     }
package protocol SocketLoopClient: AnyObject, Sendable {
    /// Reads its sockets, up to limits of its own, and acts; on the loop's thread.
    ///
    /// - Returns: The latest time of the next pass: past, or `now`, for "at once"; nil for "when a
    ///   socket, a job or `wake` asks for it".
    func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant?

    /// Closes its sockets; on the loop's thread, once, after the last pass.
    func loopWillStop()
}

/// The one thread that owns sockets, and the executor that actors are pinned to.
///
///     actor Coordinator: SocketLoopClient {
///         nonisolated let loop: SocketLoop
///         nonisolated var unownedExecutor: UnownedSerialExecutor {
///             loop.asUnownedSerialExecutor()
///         }
///         private var intake: LoopSocket?
///     }
///
///     running ──stop, or the context's shutdown──▶ stopping ──no job left──▶ ended
///
/// A pass: the jobs that waited at its start (at most 1,024), then every client, then the poll.
///
/// Trap "commands are processed only when the socket is called: an untouched XPUB accepts nobody":
/// the poll asks every open socket for its state in every pass, which does it.
package final class SocketLoop: SerialExecutor {
    private struct Inbox {
        var jobs: [UnownedJob] = []
        var clients: [any SocketLoopClient] = []
        var stopWaiters: [CheckedContinuation<Void, Never>] = []
        /// The loop is about to poll, or polls: whoever leaves something signals.
        var isAsleep = false
        var isWoken = false
        var isStopping = false
        var hasEnded = false
        /// After the end: a thread runs the late jobs.
        var isRunningLateJobs = false
    }

    /// What only the loop's thread touches.
    private struct OwnState {
        var batch: [UnownedJob] = []
        var batchStart = 0
        var clients: [any SocketLoopClient] = []
        var sockets: [ObjectIdentifier: LoopSocket] = [:]
        var items: [zmq_pollitem_t] = []
        var areItemsStale = true
    }

    /// Bounds a pass, so that a storm of jobs cannot keep sockets unread.
    private static let jobsPerPassMax = 1024
    /// No wait is longer, whatever a client says.
    private static let waitMax = Duration.seconds(60)

    /// The library the sockets are opened in.
    package let context: Context
    /// What the thread is called.
    package let name: String

    private let inbox = Guarded(Inbox())
    private let wakeup: Wakeup
    private let threadNumber = Atomic<UInt>(0)
    private let thread = Guarded(Thread?.none)
    // Unchecked: every access is on the loop's thread, which `assertOnThread` tells.
    nonisolated(unsafe) private var own = OwnState()

    /// Starts the thread; it lives until `stop`, or until the context is shut down.
    package init(name: String, context: Context) throws(ZeroMQError) {
        self.name = name
        self.context = context
        self.wakeup = try Wakeup()
        let thread = try Thread.starting(named: name) { [self] in run() }
        self.thread.withLock { $0 = thread }
    }

    /// Has a client called from the next pass on; from any thread, once per client.
    ///
    /// The loop keeps its clients until it ends.
    package func attach(_ client: any SocketLoopClient) {
        leave { $0.clients.append(client) }
    }

    /// Asks for a pass; from any thread.
    package func wake() {
        leave { $0.isWoken = true }
    }

    /// Ends the loop: runs the jobs that wait, lets clients close their sockets, joins the thread.
    ///
    /// From any task, repeats wait too. An actor pinned to the loop can still be called afterwards:
    /// its jobs run one after the other on a thread made for them, and its sockets are closed.
    package func stop() async {
        await withCheckedContinuation { waiter in
            let hasEnded = inbox.withLock { inbox in
                if !inbox.hasEnded { inbox.stopWaiters.append(waiter) }
                return inbox.hasEnded
            }
            if hasEnded { waiter.resume() }
            leave { $0.isStopping = true }
        }
        let thread = thread.withLock { $0.take() }
        thread?.join()
    }

    /// Leaves something in the inbox, and wakes the loop when it sleeps.
    private func leave(_ change: (inout Inbox) -> Void) {
        let isAsleep = inbox.withLock { inbox in
            change(&inbox)
            defer { inbox.isAsleep = false }
            return inbox.isAsleep
        }
        if isAsleep { wakeup.signal() }
    }
}

// MARK: - The executor

extension SocketLoop {
    /// Takes a job; the runtime calls it.
    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        var needsThread = false
        leave { inbox in
            inbox.jobs.append(job)
            needsThread = inbox.hasEnded && !inbox.isRunningLateJobs
            if needsThread { inbox.isRunningLateJobs = true }
        }
        if needsThread { startLateJobs() }
    }

    /// Whether the caller runs on the loop's thread: then actors pinned to it are entered.
    package func isIsolatingCurrentContext() -> Bool? { isOnThread }

    /// Traps when the caller does not run on the loop's thread.
    package func checkIsolated() { assertOnThread() }

    /// Whether the caller runs on the loop's thread.
    package var isOnThread: Bool {
        threadNumber.load(ordering: .relaxed) == Thread.currentNumber
    }

    /// Traps when the caller does not run on the loop's thread.
    func assertOnThread() {
        precondition(isOnThread, "Sockets of a loop are used on its thread only")
    }

    /// Runs what was sent to actors after the end; rare, so a thread each time is cheap enough.
    private func startLateJobs() {
        do {
            try Thread.start(named: name) { [self] in
                threadNumber.store(Thread.currentNumber, ordering: .relaxed)
                while let job = nextLateJob() {
                    job.runSynchronously(on: asUnownedSerialExecutor())
                }
            }
        } catch {
            fatalError("\(error) An actor of the ended loop \(name) could never answer.")
        }
    }

    private func nextLateJob() -> UnownedJob? {
        inbox.withLock { inbox in
            if inbox.jobs.isEmpty {
                threadNumber.store(0, ordering: .relaxed)
                inbox.isRunningLateJobs = false
                return nil
            }
            return inbox.jobs.removeFirst()
        }
    }
}

// MARK: - The thread

extension SocketLoop {
    private func run() {
        threadNumber.store(Thread.currentNumber, ordering: .relaxed)
        while !takeInbox() {
            runJobs(atMost: Self.jobsPerPassMax)
            let next = passClients()
            poll(until: next)
        }
        finish()
    }

    /// Moves what was left for the loop into its own state; says whether it shall stop.
    private func takeInbox() -> Bool {
        inbox.withLock { inbox in
            inbox.isWoken = false
            own.clients.append(contentsOf: inbox.clients)
            inbox.clients.removeAll()
            if own.batch.isEmpty { swap(&own.batch, &inbox.jobs) }
            return inbox.isStopping
        }
    }

    private func runJobs(atMost countMax: Int) {
        let end = min(own.batch.count, own.batchStart + countMax)
        for index in own.batchStart..<end {
            // Copied out first: the job may change `own`, by opening a socket.
            let job = own.batch[index]
            job.runSynchronously(on: asUnownedSerialExecutor())
        }
        own.batchStart = end
        if end == own.batch.count {
            own.batch.removeAll(keepingCapacity: end <= Self.jobsPerPassMax)
            own.batchStart = 0
        }
    }

    private func passClients() -> ContinuousClock.Instant? {
        let now = ContinuousClock.now
        var next: ContinuousClock.Instant?
        for client in own.clients {
            guard let wanted = client.pass(at: now) else { continue }
            next = min(next ?? wanted, wanted)
        }
        return next
    }

    private func poll(until deadline: ContinuousClock.Instant?) {
        let hasWork = inbox.withLock { inbox in
            let hasWork =
                !own.batch.isEmpty || !inbox.jobs.isEmpty || !inbox.clients.isEmpty
                || inbox.isWoken || inbox.isStopping
            inbox.isAsleep = !hasWork
            return hasWork
        }
        if own.areItemsStale { collectItems() }
        var wait = Self.waitMax
        if hasWork {
            wait = .zero
        } else if let deadline {
            wait = min(wait, deadline - ContinuousClock.now)
        }
        do throws(ZeroMQError) {
            _ = try LibraryCalls.poll(&own.items, milliseconds: wait.wholeMilliseconds)
        } catch {
            // ETERM: the context was shut down before this loop was stopped. Polling again would
            // spin, and every call on a socket throws now: close them all.
            inbox.withLock { $0.isStopping = true }
        }
        inbox.withLock { $0.isAsleep = false }
        if own.items[0].revents != 0 { wakeup.reset() }
    }

    private func collectItems() {
        own.items.removeAll(keepingCapacity: true)
        own.items.append(
            zmq_pollitem_t(
                socket: nil, fd: wakeup.descriptor, events: Int16(ZMQ_POLLIN), revents: 0))
        for socket in own.sockets.values { socket.appendItems(to: &own.items) }
        own.areItemsStale = false
    }

    /// Runs what waits, lets clients close, closes what they forgot, and runs what that caused.
    private func finish() {
        _ = takeInbox()
        runJobs(atMost: .max)
        // Dropped at the end of this function, outside of the lock: a client's own end may leave
        // a job, which then runs as a late one.
        let clients = own.clients
        own.clients.removeAll()
        for client in clients { client.loopWillStop() }
        for socket in Array(own.sockets.values) { socket.close() }
        while !ends() { runJobs(atMost: .max) }
        let waiters = inbox.withLock { $0.stopWaiters }
        for waiter in waiters { waiter.resume() }
    }

    /// Ends the loop, or takes the jobs that stand against it.
    private func ends() -> Bool {
        inbox.withLock { inbox in
            if !inbox.jobs.isEmpty {
                swap(&own.batch, &inbox.jobs)
                return false
            }
            threadNumber.store(0, ordering: .relaxed)
            inbox.hasEnded = true
            return true
        }
    }
}

// MARK: - What sockets tell their loop

extension SocketLoop {
    /// Has a socket polled from now on; on the loop's thread.
    func register(_ socket: LoopSocket) throws(ZeroMQError) {
        if inbox.withLock({ $0.hasEnded }) {
            throw ZeroMQError(
                code: .closed, message: "The loop \(name) has ended. Open sockets before it stops.")
        }
        own.sockets[ObjectIdentifier(socket)] = socket
        own.areItemsStale = true
    }

    /// Has a socket polled no more; on the loop's thread.
    func unregister(_ socket: LoopSocket) {
        own.sockets[ObjectIdentifier(socket)] = nil
        own.areItemsStale = true
    }

    /// Has the poll set built anew; on the loop's thread.
    func pollItemsChanged() { own.areItemsStale = true }
}
