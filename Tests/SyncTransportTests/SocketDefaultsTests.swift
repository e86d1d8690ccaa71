import Dispatch
import Glibc
import SyncTestKit
import Testing
import ZeroMQ

@testable import SyncTransport

/// What sockets are opened with.
@Suite struct SocketDefaultsTests {
    // Libzmq 4.3 ended the process here when sockets asked for its heartbeats (every two seconds).
    @Test(.timeLimit(.patience))
    func `a connection that breaks while its messages wait harms nobody`() async throws {
        let sum = try await withCheckedThrowingContinuation { done in
            // It blocks, so it has a thread of its own.
            DispatchQueue(label: "broken input").async {
                done.resume(with: Result { try Self.breakConnection() })
            }
        }
        #expect(sum > 0)
    }

    /// - Returns: How many messages came after all.
    private static func breakConnection() throws -> Int {
        var limits = WireLimits()
        limits.receivedMax = 1
        let context = try Context()
        let router = try Socket(
            .router, in: context, options: SocketDefaults.bound(limits: limits))
        let endpoint = "ipc:///tmp/syncd-input-\(UInt32.random(in: .min ... .max))"
        try router.bind(endpoint)
        do {
            let client = try RawClient(to: endpoint, in: context, options: [.linger(.seconds(1))])
            for number in 0..<1_000 { try client.send(["\(number)"]) }
            // Until all that goes is on its way.
            _ = try router.waits(for: .readable, atMost: .seconds(60))
        }
        // Two probes and more would be due now, on a connection that is gone.
        _ = try router.waits(for: .writable, atMost: .zero)
        usleep(5_000_000)
        var count = 0
        while try router.waits(for: .readable, atMost: .milliseconds(200)),
            try router.receive(limit: limits.receiveLimit) != nil
        {
            count += 1
        }
        return count
    }
}
