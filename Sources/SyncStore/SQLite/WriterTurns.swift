#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import Synchronization

/// Turns for the processes that write one SQLite file: who waits goes before who comes back.
///
/// SQLite gives its write lock to whoever asks in the right moment, so a process with one batch
/// after the other gets it back again and again while another one sleeps between two looks. Two
/// `flock`s beside the file order them. A writer takes the *door*, with the door in hand the
/// *room*, lets go of the door, and writes; who comes out of the room finds the door shut as long
/// as somebody waits there.
///
/// Only a courtesy: what protects the file is SQLite's own lock. Who has waited for `patience`, say
/// because a process is stopped in the room, goes on without a turn, and for a while takes a turn
/// only when it gets it at once; a process that can't open the files goes without. The kernel lets
/// go of what an ended process held.
///
/// Used by one thread at a time: a connection's queue.
final class WriterTurns: Sendable {
    /// How long no turn is waited for after one that was waited for in vain.
    private static let restAfterVain: Duration = .seconds(10)

    private let door: CInt
    private let room: CInt
    private let patience: Duration
    private let restsUntil = Mutex<ContinuousClock.Instant?>(nil)

    /// Opens `FILE.door` and `FILE.room`; they stay behind, as lock files must.
    init(beside file: String, patience: Duration) {
        door = open(file + ".door", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        room = open(file + ".room", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        self.patience = patience
    }

    deinit {
        for descriptor in [door, room] where descriptor >= 0 { close(descriptor) }
    }

    /// Runs a body when it is this writer's turn, or when its patience has ended.
    func taking<R>(_ body: () throws -> R) rethrows -> R {
        let hasTurn = take()
        defer { if hasTurn { flock(room, LOCK_UN) } }
        return try body()
    }

    private func take() -> Bool {
        guard door >= 0, room >= 0 else { return false }
        let now = ContinuousClock.now
        let isResting = restsUntil.withLock { $0.map { now < $0 } ?? false }
        let hasTurn = enter(until: isResting ? now : now + patience)
        if hasTurn {
            restsUntil.withLock { $0 = nil }
        } else if !isResting {
            restsUntil.withLock { $0 = .now + Self.restAfterVain }
        }
        return hasTurn
    }

    private func enter(until end: ContinuousClock.Instant) -> Bool {
        guard wait(for: door, until: end, LookingPace.amongMany(first: .microseconds(150)))
        else { return false }
        defer { flock(door, LOCK_UN) }
        // Whoever has the door is the only one here: how soon it looks is what all others wait for.
        return wait(for: room, until: end, .steady(.microseconds(150)))
    }

    /// Looks again and again: a lock that is waited for in the kernel can't be given up.
    private func wait(
        for descriptor: CInt, until end: ContinuousClock.Instant, _ pace: LookingPace
    ) -> Bool {
        let begun = ContinuousClock.now
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let now = ContinuousClock.now
            guard errno == EWOULDBLOCK || errno == EINTR, now < end else { return false }
            pace.sleep(after: now - begun)
        }
        return true
    }
}
