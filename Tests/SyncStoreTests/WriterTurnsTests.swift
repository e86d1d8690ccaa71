import Dispatch
import Glibc
import SyncCore
import Synchronization
import SyncTestKit
import Testing

@testable import SyncStore

/// P6 at the store that the workers of a machine share.
@Suite struct WriterTurnsTests {
    let folder: TemporaryFolder
    let file: String

    init() throws {
        folder = try TemporaryFolder()
        file = folder.file("store.db")
    }

    /// Whether somebody waits at the door.
    private func isAwaited() throws -> Bool { try isTaken(".door") }

    private func isTaken(_ name: String) throws -> Bool {
        let descriptor = open(file + name, O_RDWR | O_CLOEXEC)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        return flock(descriptor, LOCK_EX | LOCK_NB) != 0
    }

    @Test func `of many that wait each one looks the less often the longer it waits`() {
        let pace = LookingPace.amongMany(first: .microseconds(150))
        #expect(pace.interval(after: .zero) == .microseconds(150))
        #expect(pace.interval(after: .milliseconds(1)) == .microseconds(150))
        #expect(pace.interval(after: .milliseconds(8)) == .milliseconds(1))
        #expect(pace.interval(after: .seconds(1)) == .milliseconds(2))
        let steady = LookingPace.steady(.microseconds(150))
        #expect(steady.interval(after: .seconds(1)) == .microseconds(150))
    }

    @Test func `a writer that waits goes before the one that comes back at once`() throws {
        let busy = WriterTurns(beside: file, patience: .seconds(60))
        let quiet = WriterTurns(beside: file, patience: .seconds(60))
        for round in 0..<20 {
            let order = Mutex<[String]>([])
            let group = DispatchGroup()
            try busy.taking {
                DispatchQueue(label: "quiet").async(group: group) {
                    quiet.taking { order.withLock { $0.append("quiet") } }
                }
                let end = ContinuousClock.now + .seconds(60)
                while try !isAwaited() {
                    try #require(ContinuousClock.now < end, "nobody waits at the door")
                    sched_yield()
                }
            }
            busy.taking { order.withLock { $0.append("busy") } }
            group.wait()
            #expect(order.withLock { $0 } == ["quiet", "busy"], "round \(round)")
        }
    }

    @Test func `a writer that stays in the room keeps nobody out for longer than the patience`() {
        let stopped = WriterTurns(beside: file, patience: .seconds(60))
        let patient = WriterTurns(beside: file, patience: .milliseconds(20))
        var count = 0
        stopped.taking {
            for _ in 0..<2 { patient.taking { count += 1 } }
        }
        #expect(count == 2)
    }

    @Test func `who waited in vain has turns again as soon as the room is free`() throws {
        let stopped = WriterTurns(beside: file, patience: .seconds(60))
        let patient = WriterTurns(beside: file, patience: .milliseconds(20))
        stopped.taking { patient.taking {} }
        let isInRoom = try patient.taking { try isTaken(".room") }
        #expect(isInRoom)
    }

    @Test func `a store waits for its turn before it writes`() async throws {
        let store = try await SQLiteStore(
            file: file, options: SQLiteOptions(turnPatience: Patience.stretched(.seconds(60))))
        let room = open(file + ".room", O_RDWR | O_CLOEXEC)
        try #require(room >= 0 && flock(room, LOCK_EX | LOCK_NB) == 0)
        async let answers = store.apply([.put(1, .named("a"))])
        try await Patience.until("the store waits", within: .seconds(60)) { try isAwaited() }
        close(room)
        #expect(try await answers == [.applied(Version(1))])
        await store.close()
    }

    @Test func `without its lock files a store is written all the same`() async throws {
        for name in [".door", ".room"] {
            try #require(mkdir(file + name, 0o700) == 0)
        }
        let store = try await SQLiteStore(file: file)
        #expect(try await store.apply([.put(1, .named("a"))]) == [.applied(Version(1))])
        await store.close()
    }
}
