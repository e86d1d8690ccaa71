#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import Synchronization

/// How often somebody looks whether a lock is free.
enum LookingPace: Sendable, Equatable {
    /// At equal intervals.
    case steady(Duration)
    /// At intervals of an eighth of the time waited so far, at least the first one, at most 2 ms.
    ///
    /// Of many that wait each one waits long. At equal short intervals sixty-four of them kept two
    /// processors busy with nothing but looking. The longest is short beside a commit, so that who
    /// has waited long still comes before those that come back.
    case amongMany(first: Duration)

    private static let longest: Duration = .milliseconds(2)

    /// How long to sleep before the next look.
    func interval(after waited: Duration) -> Duration {
        switch self {
        case .steady(let interval): interval
        case .amongMany(let first): min(max(first, waited / 8), Self.longest)
        }
    }

    /// Sleeps until the next look; on a thread that may block.
    func sleep(after waited: Duration) {
        usleep(UInt32(interval(after: waited) / .microseconds(1)))
    }
}

/// Asks again, at intervals that are short at first, for a lock that another process holds.
///
/// SQLite's own busy timeout sleeps 1, 2, 5, 10, 15 … 100 ms: under load a worker often sleeps
/// through many of the moments at which the other has let go, and a keystroke waits with it. Tried:
/// a commit of a few rows takes about 1 ms, so a third of that costs little and misses little.
final class BusyWait: Sendable {
    private static let pace = LookingPace.amongMany(first: .microseconds(300))

    private let patience: Duration
    private let begunAt = Mutex(ContinuousClock.now)

    /// Waits so long in all before the caller is told `SQLITE_BUSY`.
    init(patience: Duration) { self.patience = patience }

    /// Sleeps once; on the connection's own thread.
    ///
    /// - Parameter tries: How often this lock was asked for already.
    /// - Returns: Whether to ask again.
    func asksAgain(tries: Int) -> Bool {
        let now = ContinuousClock.now
        let begun = begunAt.withLock { begunAt in
            if tries == 0 { begunAt = now }
            return begunAt
        }
        guard now - begun < patience else { return false }
        Self.pace.sleep(after: now - begun)
        return true
    }
}
