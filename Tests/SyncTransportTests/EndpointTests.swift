import SyncCore
import SyncTestKit
import SyncTransport
import Testing
import ZeroMQ

/// The coordinator's intake and status sockets, without a coordinator behind them.
@Suite struct EndpointTests {
    /// The body runs off the host's own thread, because it blocks until the host has answered.
    private static func withHost<R: Sendable>(
        _ body: @concurrent (Host, Context) async throws -> R
    ) async throws -> R {
        let context = try Context()
        let loop = try SocketLoop(name: "host", context: context)
        let host = Host(on: loop)
        try await host.open()
        let result: Result<R, any Error>
        do {
            result = .success(try await body(host, context))
        } catch {
            result = .failure(error)
        }
        await loop.stop()
        return try result.get()
    }

    private static let queue = ["syncd/1", "QUEUE", "after", ""].map { Frame($0) }

    @Test(.timeLimit(.patience))
    func `a message over the limits gets its answer and its connection lives on`() async throws {
        try await Self.withHost { host, context in
            let client = try RawClient(to: host.intake, in: context)
            let head = ["syncd/1", "EDIT", "big", "p1"].map { Frame($0) }
            let block = Frame([UInt8](repeating: 7, count: 11 << 20))
            for message in [
                head + (0..<10_000).map { _ in Frame("x") }, head + [block, block, block],
            ] {
                try client.send(message)
                let (request, reply) = try client.reply()
                #expect(request == Array("big".utf8))
                guard case .rejected(let rejection) = reply else {
                    Issue.record("answered with \(reply)")
                    return
                }
                #expect(rejection.code == .tooLarge)
                #expect(rejection.sentence.contains("Split it"))
                try client.send(Self.queue)
                #expect(try client.reply().request == Array("after".utf8))
            }
        }
    }

    // Trace C1.
    @Test(.timeLimit(.patience))
    func `answers to a client that does not read are dropped and counted`() async throws {
        try await Self.withHost { host, context in
            let deaf = try RawClient(
                to: host.intake, in: context, options: [.receiveHighWaterMark(1)])
            let other = try RawClient(to: host.intake, in: context)
            try deaf.send(Self.queue)
            let route = try await host.firstRoute()
            let sentence = String(repeating: "blah ", count: 200)
            // Returns at all: no send blocks. The queue holds 4,096, the kernel some hundred.
            for _ in 0..<20_000 {
                await host.reply(.rejected(Rejection(.busy, sentence)), to: route)
            }
            #expect(await host.droppedCount > 1_000)
            let notices = await host.notices()
            #expect(notices.contains { $0.isWarning && $0.sentence.contains("do not read") })
            #expect(notices.count < 32)
            try other.send(Self.queue)
            #expect(try other.reply().request == Array("after".utf8))
        }
    }

    @Test(.timeLimit(.patience))
    func `a REQ that asks again takes the answer to its last question`() async throws {
        try await Self.withHost { host, context in
            let client = try RawClient(
                to: host.intake, in: context, kind: .req,
                options: [.requestRelaxed(true), .requestCorrelate(true)])
            for id in 1...20 {
                // Whether the first one is answered in between, nobody knows.
                try client.send(["syncd/1", "QUEUE", "lost \(id)", ""])
                try client.send(["syncd/1", "QUEUE", "\(id)", ""])
                #expect(try client.reply().request == Array("\(id)".utf8))
            }
        }
    }

    // Trace A14.
    @Test(.timeLimit(.patience))
    func `every subscription is answered by a mark under its own prefix`() async throws {
        try await Self.withHost { host, context in
            let first = try RawClient(to: host.status, in: context, kind: .xsub)
            try first.subscribe("edit/p1/src/")
            #expect(try first.words() == ["edit/p1/src/", Self.mark(project: 5)])
            // The same prefix from somebody else; both hear it, which is harmless.
            let second = try RawClient(to: host.status, in: context, kind: .xsub)
            try second.subscribe("edit/p1/src/")
            #expect(try second.words() == ["edit/p1/src/", Self.mark(project: 5)])
            #expect(try first.words() == ["edit/p1/src/", Self.mark(project: 5)])
            let all = try RawClient(to: host.status, in: context, kind: .xsub)
            try all.subscribe("")
            #expect(try all.words() == ["", Self.mark(project: nil)])
            // Again five seconds later, so that a lost last event is noticed.
            await host.advance(by: .seconds(6))
            #expect(try first.words() == ["edit/p1/src/", Self.mark(project: 5)])
        }
    }

    @Test(.timeLimit(.patience))
    func `a prefix that cuts a character hears its events`() async throws {
        try await Self.withHost { host, context in
            let monitor = try RawClient(to: host.status, in: context, kind: .xsub)
            let prefix = Array("edit/p1/é".utf8.dropLast())
            try monitor.subscribe(bytes: prefix)
            #expect(try monitor.frames()[0].bytes == prefix)
            await host.publish(["é.txt", "e.txt", "è.txt"])
            #expect(try monitor.words()[0] == "edit/p1/é.txt")
            #expect(try monitor.words()[0] == "edit/p1/è.txt")
        }
    }

    @Test(.timeLimit(.patience))
    func `junk, endless and countless subscriptions disturb nobody`() async throws {
        try await Self.withHost { host, context in
            let good = try RawClient(to: host.status, in: context, kind: .xsub)
            try good.subscribe("edit/p1/")
            _ = try good.words()
            let junk = try RawClient(to: host.status, in: context, kind: .xsub)
            for frames in [[Frame("")], [Frame("junk")], [Frame([2, 3])], Self.queue] {
                try junk.send(frames)
            }
            let endless = try RawClient(to: host.status, in: context, kind: .xsub)
            try endless.send([Frame([1] + [UInt8](repeating: 97, count: 10_000))])
            let many = try RawClient(
                to: host.status, in: context, kind: .xsub,
                options: [.receiveHighWaterMark(0), .sendHighWaterMark(0)])
            for place in 0..<12_000 { try many.send([Frame([1] + Array("many/\(place)".utf8))]) }
            for _ in 0..<12_000 { _ = try many.frames() }
            // More prefixes than are kept: a later one hears its events all the same.
            let late = try RawClient(to: host.status, in: context, kind: .xsub)
            try late.subscribe("edit/p1/late")
            #expect(try late.words()[1].contains("\"type\":\"mark\""))
            await host.publish(["late"])
            #expect(try late.words()[0] == "edit/p1/late")
            #expect(try good.words()[0] == "edit/p1/late")
        }
    }

    private static func mark(project: UInt64?) -> String {
        let tail = project.map { ",\"project\":\"p1\",\"project_number\":\($0)" } ?? ""
        return "{\"number\":9\(tail),\"type\":\"mark\"}"
    }
}
