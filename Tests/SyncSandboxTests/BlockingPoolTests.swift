internal import Dispatch
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Synchronization
internal import Testing

/// A fact that a thread announces and others look up.
final class Flag: Sendable {
    private let value = Atomic(false)

    /// Whether it has been announced.
    var isSet: Bool { value.load(ordering: .acquiring) }

    /// Announces it.
    func set() { value.store(true, ordering: .releasing) }
}

/// Threads for blocking calls.
struct BlockingPoolTests {
    private final class Meter: Sendable {
        private let counts = Mutex((now: 0, most: 0))
        private let notes = Mutex<Set<Int>>([])
        var noted: Set<Int> { notes.withLock { $0 } }
        func note(_ index: Int) { notes.withLock { _ = $0.insert(index) } }
        var most: Int { counts.withLock { $0.most } }
        func enter() { counts.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) } }
        func leave() { counts.withLock { $0.now -= 1 } }
    }

    @Test func `of several calls one that hangs holds none of the others up`() async {
        let pool = BlockingPool(threads: 8)
        let gate = DispatchSemaphore(value: 0)
        let meter = Meter()
        await pool.runEach(of: 40, for: "s") { place in
            // The first one comes back when all the others have.
            if place == 0 { gate.wait() }
            meter.note(place)
            if meter.noted.count == 39, place != 0 { gate.signal() }
        }
        #expect(meter.noted == Set(0..<40))
        await pool.runEach(of: 0, for: "s") { _ in Issue.record("nothing was to be done") }
    }

    // Trace B9.
    @Test func `a sandbox that hangs takes a quarter of the threads and delays no other`()
        async throws
    {
        let pool = BlockingPool(threads: 8)
        let gate = DispatchSemaphore(value: 0)
        let meter = Meter()
        try await withThrowingTaskGroup { group in
            for _ in 0..<32 {
                group.addTask {
                    try await pool.run(for: "hung") { () throws(SandboxError) in
                        meter.enter()
                        gate.wait()
                        meter.leave()
                    }
                }
            }
            for index in 0..<100 {
                let answer = try await pool.run(for: "well\(index % 3)") { index }
                #expect(answer == index)
            }
            for _ in 0..<32 { gate.signal() }
            try await group.waitForAll()
        }
        #expect(meter.most <= 2)
        #expect(pool.perSandboxMax == 2)
    }

    @Test func `calls that find no thread wait and are all made`() async throws {
        let pool = BlockingPool(threads: 1)
        let meter = Meter()
        let gate = DispatchSemaphore(value: 0)
        try await withThrowingTaskGroup { group in
            group.addTask {
                try await pool.run(for: "a") { () throws(SandboxError) in gate.wait() }
            }
            for index in 0..<50 {
                group.addTask {
                    try await pool.run(for: "a\(index % 4)") { () throws(SandboxError) in
                        meter.note(index)
                    }
                }
            }
            gate.signal()
            try await group.waitForAll()
        }
        #expect(meter.noted == Set(0..<50))
    }

    @Test func `a failure reaches its caller, and the thread serves on`() async throws {
        let pool = BlockingPool(threads: 1)
        let error = try await failure {
            try await pool.run(for: "a") { () throws(SandboxError) in
                throw SandboxError(.attempt, code: "EIO", "no")
            }
        }
        #expect(error.code == "EIO")
        #expect(try await pool.run(for: "a") { 7 } == 7)
    }
}
