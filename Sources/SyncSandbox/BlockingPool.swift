internal import Dispatch
package import SyncCore
internal import Synchronization

/// Threads for calls that block, shared by all sandboxes of a worker.
///
/// Each lane is a serial Dispatch queue, which has a thread of its own while it is busy, so that a
/// call that hangs costs one lane. A sandbox has at most a quarter of them (trace B9); its further
/// calls wait in order, and sandboxes that wait are served in turn. How many may wait is the
/// callers' limit: the assignments that a worker holds.
package final class BlockingPool: Sendable {
    private struct Job: Sendable {
        let sandbox: String
        let body: @Sendable () -> Void
    }

    private struct State {
        var idleLanes: [Int]
        var running: [String: Int] = [:]
        var waiting: [String: [Job]] = [:]
        /// Sandboxes that have a job waiting, next one first.
        var turns: [String] = []
    }

    /// How many lanes one sandbox may have.
    package let perSandboxMax: Int

    private let lanes: [DispatchQueue]
    private let state: Mutex<State>

    /// Makes a pool.
    ///
    /// - Parameter threads: How many calls may block at once; at least 1.
    package init(threads: Int) {
        precondition(threads > 0, "a pool needs a thread")
        perSandboxMax = max(1, threads / 4)
        lanes = (0..<threads).map { DispatchQueue(label: "syncd.sandbox.\($0)") }
        state = Mutex(State(idleLanes: Array((0..<threads).reversed())))
    }

    /// Runs a call that blocks; the caller's thread is free meanwhile.
    package func run<Answer: Sendable>(
        for sandbox: String, _ work: @escaping @Sendable () throws(SandboxError) -> Answer
    ) async throws(SandboxError) -> Answer {
        let result: Result<Answer, SandboxError> = await withCheckedContinuation { continuation in
            let job = Job(sandbox: sandbox) {
                do throws(SandboxError) {
                    continuation.resume(returning: .success(try work()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
            submit(job)
        }
        return try result.get()
    }

    /// Runs several calls that block, each as soon as there is a thread for it; returns when all
    /// have come back.
    package func runEach(
        of count: Int, for sandbox: String, _ work: @escaping @Sendable (Int) -> Void
    ) async {
        if count == 0 { return }
        let countdown = Countdown(from: count)
        await withCheckedContinuation { continuation in
            for place in 0..<count {
                submit(
                    Job(sandbox: sandbox) {
                        work(place)
                        if countdown.isLast() { continuation.resume() }
                    })
            }
        }
    }

    private final class Countdown: Sendable {
        private let left: Atomic<Int>

        init(from count: Int) { left = Atomic(count) }

        func isLast() -> Bool { left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
    }

    private func submit(_ job: Job) {
        let lane: Int? = state.withLock { state in
            if state.running[job.sandbox, default: 0] < perSandboxMax,
                let lane = state.idleLanes.popLast()
            {
                state.running[job.sandbox, default: 0] += 1
                return lane
            }
            if state.waiting[job.sandbox] == nil { state.turns.append(job.sandbox) }
            state.waiting[job.sandbox, default: []].append(job)
            return nil
        }
        if let lane { lanes[lane].async { self.work(off: job, on: lane) } }
    }

    /// Does a job, then whatever waits and may run: no switch of threads in between.
    private func work(off first: Job, on lane: Int) {
        var next: Job? = first
        while let job = next {
            job.body()
            next = state.withLock { Self.finish(job, on: lane, perSandboxMax: perSandboxMax, &$0) }
        }
    }

    private static func finish(
        _ job: Job, on lane: Int, perSandboxMax: Int, _ state: inout State
    ) -> Job? {
        let running = state.running[job.sandbox, default: 1] - 1
        state.running[job.sandbox] = running == 0 ? nil : running
        let turn = state.turns.firstIndex { state.running[$0, default: 0] < perSandboxMax }
        guard let turn else {
            state.idleLanes.append(lane)
            return nil
        }
        let sandbox = state.turns.remove(at: turn)
        guard var jobs = state.waiting.removeValue(forKey: sandbox), !jobs.isEmpty else {
            preconditionFailure("a sandbox has its turn without a job")
        }
        let job = jobs.removeFirst()
        if !jobs.isEmpty {
            state.waiting[sandbox] = jobs
            state.turns.append(sandbox)
        }
        state.running[sandbox, default: 0] += 1
        return job
    }
}
