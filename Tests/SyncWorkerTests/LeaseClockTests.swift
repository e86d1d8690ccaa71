import SyncCore
import Testing

@testable import SyncWorker

/// What the shell asks right before each write.
struct LeaseClockTests {
    private let first = Incarnation(epoch: Epoch(bits: 1), count: 1)
    private let second = Incarnation(epoch: Epoch(bits: 1), count: 2)
    private let now = Instant(nanoseconds: 1_000)

    @Test func `nothing is written before there is a lease`() {
        #expect(!LeaseClock().isValid(for: first, at: now))
    }

    @Test func `a lease ends at its moment, not after it`() {
        let lease = LeaseClock()
        lease.set(now + .seconds(1), of: first)
        #expect(lease.isValid(for: first, at: now))
        #expect(lease.isValid(for: first, at: now + .milliseconds(999)))
        #expect(!lease.isValid(for: first, at: now + .seconds(1)))
    }

    // Seeds 500374 and 600072 of the simulator.
    @Test func `a former incarnation's write does not begin under the next one's lease`() {
        let lease = LeaseClock()
        lease.set(now + .seconds(1), of: first)
        lease.set(now + .seconds(9), of: second)
        #expect(!lease.isValid(for: first, at: now))
        #expect(lease.isValid(for: second, at: now))
    }

    @Test func `with the membership the lease is over`() {
        let lease = LeaseClock()
        lease.set(now + .seconds(1), of: first)
        lease.set(now + .seconds(1), of: nil)
        #expect(!lease.isValid(for: first, at: now))
    }
}
