internal import Synchronization

/// How many requests run at once: as many as the deployment takes.
///
/// One more after as many answers as there is room, half as many when one is turned away, down to
/// one, up to a limit. So workers that do not know of each other share what a plan allows. Requests
/// that wait go in their order; none waits for ever, because each that runs has a deadline.
final class ConvexWindow: Sendable {
    /// A request that may run; given back by ``ConvexWindow/leave(_:turnedAway:)``.
    struct Pass: Sendable {
        /// How often the window had been halved when the request began.
        fileprivate let halvings: Int
    }

    private struct State {
        let widthMax: Int
        var width: Int
        var running = 0
        var answers = 0
        var halvings = 0
        var waiting: [CheckedContinuation<Pass, Never>] = []

        mutating func end(_ pass: Pass, turnedAway: Bool) {
            running -= 1
            if turnedAway {
                guard pass.halvings == halvings else { return }
                width = max(1, width / 2)
                halvings += 1
                answers = 0
            } else {
                answers += 1
                guard answers >= width else { return }
                width = min(widthMax, width + 1)
                answers = 0
            }
        }

        /// Those that may go now.
        mutating func admit() -> Admitted {
            let count = min(waiting.count, max(0, width - running))
            defer { waiting.removeFirst(count) }
            running += count
            return Admitted(requests: Array(waiting.prefix(count)), pass: Pass(halvings: halvings))
        }
    }

    private struct Admitted: Sendable {
        let requests: [CheckedContinuation<Pass, Never>]
        let pass: Pass

        /// Lets them go; not under the lock.
        func go() { for request in requests { request.resume(returning: pass) } }
    }

    private let state: Mutex<State>

    init(_ widthMax: Int) {
        let widthMax = max(1, widthMax)
        state = Mutex(State(widthMax: widthMax, width: widthMax))
    }

    /// How many may run now.
    var width: Int { state.withLock { $0.width } }

    /// Waits until one more may run.
    func enter() async -> Pass {
        await withCheckedContinuation { continuation in
            let admitted = state.withLock { state in
                state.waiting.append(continuation)
                return state.admit()
            }
            admitted.go()
        }
    }

    /// Ends a request.
    ///
    /// - Parameter turnedAway: Whether there was too much at once. Of those that ran together the
    ///   first one halves the window.
    func leave(_ pass: Pass, turnedAway: Bool) {
        let admitted = state.withLock { state in
            state.end(pass, turnedAway: turnedAway)
            return state.admit()
        }
        admitted.go()
    }
}
