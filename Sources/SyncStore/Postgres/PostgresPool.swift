internal import Dispatch
internal import SyncCore
internal import Synchronization

/// A few sessions, each with a thread of its own that may block, made when calls overlap.
///
/// A call takes the lane that was used last, so that a worker that does one thing at a time keeps
/// one session. Calls past the last lane wait in their order; what has waited too long, or whose
/// caller is gone, is not sent any more.
final class PostgresPool: Sendable {
    /// What a call does with its session; run on the lane's thread.
    typealias Body<R> =
        @Sendable (PostgresConnection, PostgresDeadline) throws(PostgresFailure) -> R

    // Unchecked: `connection` is used on `queue` only.
    private final class Lane: @unchecked Sendable {
        let queue: DispatchQueue
        var connection: PostgresConnection?

        init(_ number: Int) { queue = DispatchQueue(label: "syncd.postgres.\(number)") }
    }

    private struct State {
        var idle: [Int]
        var waiting: [@Sendable (Lane) -> Void] = []
        var isClosed = false
    }

    let url: PostgresURL
    let limits: PostgresLimits
    private let lanes: [Lane]
    private let state: Mutex<State>

    /// Opens nothing yet.
    init(_ url: PostgresURL, _ limits: PostgresLimits) {
        self.url = url
        self.limits = limits
        lanes = (0..<max(1, limits.connectionsMax)).map { Lane($0) }
        state = Mutex(State(idle: Array(lanes.indices.reversed())))
    }

    /// Runs a call on a session; the caller's thread is free meanwhile.
    ///
    /// A session that stood idle may have been closed by a restart of the server: then the call is
    /// made once more on a new one, so it must be one that can be repeated.
    ///
    /// - Parameter end: When the call is over at the latest; nil: as the limits say.
    func run<R: Sendable>(
        until end: ContinuousClock.Instant? = nil, _ body: @escaping Body<R>
    ) async throws(PostgresFailure) -> R {
        let deadline = PostgresDeadline(limits.sessionWait)
        let result: Result<R, PostgresFailure> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                submit { lane in
                    continuation.resume(
                        returning: self.attempt(body, on: lane, until: deadline, end))
                }
            }
        } onCancel: {
            deadline.giveUp()
        }
        return try result.get()
    }

    /// Ends every session when its last call is done; later calls fail.
    func close() async {
        state.withLock { $0.isClosed = true }
        for lane in lanes {
            await withCheckedContinuation { continuation in
                lane.queue.async {
                    lane.connection = nil
                    continuation.resume()
                }
            }
        }
    }

    private func submit(_ job: @escaping @Sendable (Lane) -> Void) {
        let number: Int? = state.withLock { state in
            if let number = state.idle.popLast() { return number }
            state.waiting.append(job)
            return nil
        }
        guard let number else { return }
        lanes[number].queue.async { self.work(off: job, on: number) }
    }

    /// Does a job, then those that wait.
    private func work(off first: @escaping @Sendable (Lane) -> Void, on number: Int) {
        var next: (@Sendable (Lane) -> Void)? = first
        while let job = next {
            job(lanes[number])
            next = state.withLock { state in
                if !state.waiting.isEmpty { return state.waiting.removeFirst() }
                state.idle.append(number)
                return nil
            }
        }
    }

    private func attempt<R>(
        _ body: Body<R>, on lane: Lane, until deadline: PostgresDeadline,
        _ end: ContinuousClock.Instant?
    ) -> Result<R, PostgresFailure> {
        do throws(PostgresFailure) {
            let wait = min(limits.answerWait, end.map { $0 - .now } ?? limits.answerWait)
            guard wait > .zero else { throw late() }
            guard deadline.begin(wait) else { throw unsent() }
            while true {
                let connection = try session(of: lane, until: deadline)
                let wasFresh = connection.isFresh
                defer { if connection.isBroken { lane.connection = nil } }
                do throws(PostgresFailure) {
                    return .success(try body(connection, deadline))
                } catch {
                    guard connection.isBroken, !wasFresh, deadline.slice() != nil else {
                        throw error
                    }
                }
            }
        } catch {
            return .failure(error)
        }
    }

    private func unsent() -> PostgresFailure {
        PostgresFailure(
            .unavailable,
            "Could not ask the store at \(url): all \(lanes.count) sessions of this process are in "
                + "use. Look whether the server is overloaded or hangs. Its files wait.")
    }

    private func late() -> PostgresFailure {
        PostgresFailure(
            .unavailable,
            "The time for this batch of the store at \(url) was over before all of it was asked. "
                + "Look whether the server is overloaded. Its files wait.")
    }

    private func session(
        of lane: Lane, until deadline: PostgresDeadline
    ) throws(PostgresFailure) -> PostgresConnection {
        if state.withLock({ $0.isClosed }) {
            throw PostgresFailure(.unavailable, "The store at \(url) was closed.")
        }
        if let connection = lane.connection { return connection }
        let connection = try PostgresConnection(to: url, limits: limits, until: deadline)
        lane.connection = connection
        return connection
    }
}
