internal import Synchronization

/// A result that comes once, and that any number of tasks may await.
final class Promise<Value: Sendable>: Sendable {
    private typealias Waiter = CheckedContinuation<Result<Value, SyncError>, Never>

    private struct State: Sendable {
        var result: Result<Value, SyncError>?
        var waiters: [UInt64: Waiter] = [:]
        var cancelled: Set<UInt64> = []
        var lastTicket: UInt64 = 0
    }

    private let state = Mutex(State())

    /// The result, if it has come.
    var result: Result<Value, SyncError>? { state.withLock(\.result) }

    /// Gives the result; repeats do nothing.
    func resolve(_ result: Result<Value, SyncError>) {
        let waiters = state.withLock { state -> [Waiter] in
            guard state.result == nil else { return [] }
            state.result = result
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: result) }
    }

    /// Awaits the result; a cancelled task gets ``SyncError/Code/cancelled``.
    func value() async throws(SyncError) -> Value {
        let ticket = state.withLock { state -> UInt64 in
            state.lastTicket += 1
            return state.lastTicket
        }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (waiter: Waiter) in
                let ready = state.withLock { state -> Result<Value, SyncError>? in
                    if let result = state.result { return result }
                    if state.cancelled.remove(ticket) != nil { return .failure(.cancelled) }
                    state.waiters[ticket] = waiter
                    return nil
                }
                if let ready { waiter.resume(returning: ready) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                if let waiter = state.waiters.removeValue(forKey: ticket) { return waiter }
                if state.result == nil { state.cancelled.insert(ticket) }
                return nil
            }
            waiter?.resume(returning: .failure(.cancelled))
        }
        return try result.get()
    }
}
