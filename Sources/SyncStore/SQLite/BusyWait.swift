#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import Synchronization

/// Asks again, at short and equal intervals, for a lock that another process holds.
///
/// SQLite's own busy timeout sleeps 1, 2, 5, 10, 15 … 100 ms: under load a worker often sleeps
/// through many of the moments at which the other has let go, and a keystroke waits with it. Tried:
/// a commit of a few rows takes about 1 ms, so a third of that costs little and misses little.
final class BusyWait: Sendable {
    private static let intervalMicroseconds: UInt32 = 300

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
        usleep(Self.intervalMicroseconds)
        return true
    }
}
