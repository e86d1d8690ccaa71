import SyncCore
import SyncTestKit
import Testing
import ZeroMQ

@testable import SyncTransport

/// Publisher and subscribers over a real socket.
@Suite(.timeLimit(.patience)) struct StatusChannelTests {
    /// A publisher and the numbers that its marks tell.
    private actor Host: SocketLoopClient {
        nonisolated let loop: SocketLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
        private var publisher: StatusPublisher?
        private var number: UInt64 = 0
        private let clock = ProcessClock()

        init(on loop: SocketLoop) { self.loop = loop }

        func open(_ endpoint: String) throws {
            publisher = try StatusPublisher(endpoint, on: loop)
            loop.attach(self)
        }

        func publish(_ path: String) {
            number += 1
            publisher?.publish([
                StatusEvent(
                    .accepted, project: MachineCluster.project, path: MachineCluster.path(path),
                    number: number, projectNumber: number)
            ])
        }

        nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
            assumeIsolated { host in
                for question in host.publisher?.turn(at: host.clock.instant(now)) ?? [] {
                    host.publisher?.mark(
                        question, number: host.number, projectNumber: host.number)
                }
                return host.publisher?.nextDeadline.map { host.clock.continuous($0) }
            }
        }

        nonisolated func loopWillStop() {
            assumeIsolated {
                $0.publisher?.close()
                $0.publisher = nil
            }
        }
    }

    private static func with(
        _ body: (Host, SocketLoop, String) async throws -> Void
    ) async throws {
        try await TestLoop.with("status") { loop in
            let endpoint = "inproc://status-\(UInt64.random(in: .min ... .max))"
            let host = Host(on: loop)
            try await host.open(endpoint)
            try await body(host, loop, endpoint)
        }
    }

    /// Numbers and paths of what arrives, from the mark on.
    private static func heard(
        _ notices: AsyncStream<StatusSubscriber.Notice>, until path: String
    ) async -> [String] {
        var heard: [String] = []
        for await notice in notices {
            guard case .event(let event) = notice, let text = event.path?.text else { continue }
            heard.append(text)
            if text == path { break }
        }
        return heard
    }

    private static func mark(
        _ notices: AsyncStream<StatusSubscriber.Notice>
    ) async -> (prefix: String, number: UInt64, projectNumber: UInt64?)? {
        for await notice in notices {
            if case .mark(let prefix, let number, let projectNumber) = notice {
                return (prefix, number, projectNumber)
            }
        }
        return nil
    }

    // Trace A14 (b).
    @Test func `each subscriber gets a mark under its own prefix, also the second of a folder`()
        async throws
    {
        try await Self.with { host, loop, endpoint in
            await host.publish("before")
            for _ in 0..<2 {
                let ear = StatusEar(endpoint, prefix: "edit/p1/src/", on: loop)
                let notices = await ear.listen()
                try await ear.open()
                let mark = try #require(await Self.mark(notices))
                #expect(mark.prefix == "edit/p1/src/")
                #expect(mark.number == 1)
                #expect(mark.projectNumber == 1)
            }
        }
    }

    @Test func `a prefix may end within a letter, as libzmq compares bytes`() async throws {
        try await Self.with { host, loop, endpoint in
            // The family is one letter to a person, and its first person a prefix of its bytes.
            let family = "\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}"
            let ear = StatusEar(endpoint, prefix: "edit/p1/\u{1F468}", on: loop)
            let notices = await ear.listen()
            try await ear.open()
            _ = await Self.mark(notices)
            await host.publish("other")
            await host.publish(family + "/f")
            await host.publish("\u{1F468}")
            #expect(
                await Self.heard(notices, until: "\u{1F468}") == [family + "/f", "\u{1F468}"])
        }
    }

    @Test func `a listener that comes later starts where the ear is`() async throws {
        try await Self.with { host, loop, endpoint in
            let ear = StatusEar(endpoint, prefix: "edit/p1/", on: loop)
            let first = await ear.listen()
            try await ear.open()
            _ = await Self.mark(first)
            await host.publish("a")
            #expect(await Self.heard(first, until: "a") == ["a"])
            let second = await ear.listen()
            let mark = try #require(await Self.mark(second))
            #expect(mark.number == 1)
            await host.publish("b")
            #expect(await Self.heard(second, until: "b") == ["b"])
        }
    }

    @Test func `a listener that is too slow loses the oldest, and the rest stays in order`()
        async throws
    {
        try await Self.with { host, loop, endpoint in
            let ear = StatusEar(endpoint, prefix: "edit/p1/", on: loop)
            let slow = await ear.listen(countMax: 10)
            let quick = await ear.listen()
            try await ear.open()
            _ = await Self.mark(quick)
            for number in 0..<50 { await host.publish("f\(number)") }
            #expect(await Self.heard(quick, until: "f49").count == 50)
            // Marks take room in the buffer too.
            let heard = await Self.heard(slow, until: "f49")
            #expect((1...10).contains(heard.count))
            #expect(heard == (50 - heard.count..<50).map { "f\($0)" })
        }
    }
}
