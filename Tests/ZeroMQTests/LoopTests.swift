import Glibc
import Synchronization
import Testing

@testable import ZeroMQ

/// An actor as the coordinator is one: it answers every message with the same message.
private actor Echo: SocketLoopClient {
    nonisolated let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    nonisolated let passes = Atomic<Int>(0)

    private var router: LoopSocket?
    private var answered = 0
    private var jobs = 0
    private var events: [SocketEvent.Kind] = []
    private var wanted: ContinuousClock.Instant?
    private(set) var hasStopped = false

    init(on loop: SocketLoop) { self.loop = loop }

    nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        passes.add(1, ordering: .relaxed)
        return assumeIsolated { $0.turn() }
    }

    nonisolated func loopWillStop() {
        assumeIsolated {
            $0.router?.close()
            $0.hasStopped = true
        }
    }

    func open(_ endpoint: String = "ipc") throws -> String {
        let router = try LoopSocket(.router, on: loop, options: [.routerMandatory(true)])
        try router.monitor()
        try router.bind(endpoint == "ipc" ? freshPath() : endpoint)
        self.router = router
        return try router.lastEndpoint
    }

    /// Opens another socket that nobody ever closes.
    func openAnother() throws {
        _ = try LoopSocket(.dealer, on: loop, options: []).connect("tcp://127.0.0.1:1")
    }

    func turnAt(_ time: ContinuousClock.Instant) { wanted = time }

    func count() -> Int {
        jobs += 1
        return jobs
    }

    func isOnThread() -> Bool { loop.isOnThread }

    func takeInterruptsOnThread() -> Thread {
        takeInterrupts()
        return Thread(number: Thread.currentNumber)
    }

    func readsNothing(_ isDeaf: Bool) { router?.interest = isDeaf ? [] : .readable }

    func sendToNobody() throws -> SendOutcome? { try router?.send([Frame("x"), Frame("y")]) }

    func seen() -> (answered: Int, events: [SocketEvent.Kind]) { (answered, events) }

    private func turn() -> ContinuousClock.Instant? {
        guard let router else { return wanted }
        do throws(ZeroMQError) {
            while let event = try router.nextEvent() { events.append(event.kind) }
            guard router.interest.contains(.readable) else { return wanted }
            for _ in 0..<100 {
                guard case .message(let message)? = try router.receive(limit: generous) else {
                    return wanted
                }
                if try router.send(message) == .sent { answered += 1 }
            }
            return ContinuousClock.now
        } catch {
            Issue.record(error)
            return nil
        }
    }
}

@Suite struct LoopTests {
    @Test func `an actor pinned to the loop answers from the loop's thread`() async throws {
        let context = try Context()
        let loop = try SocketLoop(name: "echo", context: context)
        let echo = Echo(on: loop)
        loop.attach(echo)
        let endpoint = try await echo.open()
        #expect(await echo.isOnThread())
        #expect(!loop.isOnThread)
        let dealer = try Socket(.dealer, in: context)
        try dealer.connect(endpoint)
        for number in 0..<1000 { try dealer.deliver([Frame("\(number)"), Frame("x")]) }
        for number in 0..<1000 {
            #expect(try dealer.nextMessage() == [Frame("\(number)"), Frame("x")])
        }
        let seen = await echo.seen()
        #expect(seen.answered == 1000)
        #expect(seen.events.contains(.handshakeSucceeded))
        await loop.stop()
        #expect(context.terminate(within: .zero) == false)
        _ = consume dealer
        #expect(context.terminate(within: patience))
    }

    @Test func `jobs from many threads are each run once, in turn, while the loop polls`()
        async throws
    {
        let loop = try SocketLoop(name: "jobs", context: Context())
        let echo = Echo(on: loop)
        loop.attach(echo)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<500 { _ = await echo.count() } }
            }
        }
        #expect(await echo.count() == 4001)
        await loop.stop()
    }

    @Test func `a wake asks for one more pass`() async throws {
        let loop = try SocketLoop(name: "wake", context: Context())
        let echo = Echo(on: loop)
        loop.attach(echo)
        for _ in 0..<100 {
            let before = echo.passes.load(ordering: .relaxed)
            loop.wake()
            try waitForPass(of: echo, after: before)
        }
        await loop.stop()
    }

    @Test func `a client is called again at the time it named`() async throws {
        let loop = try SocketLoop(name: "time", context: Context())
        let echo = Echo(on: loop)
        loop.attach(echo)
        let time = ContinuousClock.now + .milliseconds(30)
        await echo.turnAt(time)
        let before = echo.passes.load(ordering: .relaxed)
        try waitForPass(of: echo, after: before + 1)
        #expect(ContinuousClock.now >= time)
        await loop.stop()
    }

    @Test func `a signal during the poll only makes a pass`() async throws {
        let loop = try SocketLoop(name: "signal", context: Context())
        let echo = Echo(on: loop)
        loop.attach(echo)
        let thread = await echo.takeInterruptsOnThread()
        for _ in 0..<20 {
            let before = echo.passes.load(ordering: .relaxed)
            let deadline = ContinuousClock.now + patience
            while echo.passes.load(ordering: .relaxed) == before {
                thread.interrupt(with: SIGUSR1)
                sched_yield()
                try #require(ContinuousClock.now < deadline)
            }
        }
        #expect(await echo.count() == 1)
        await loop.stop()
    }

    @Test func `stop closes forgotten sockets and joins the thread`() async throws {
        let context = try Context()
        let loop = try SocketLoop(name: "stop-joins", context: context)
        let echo = Echo(on: loop)
        loop.attach(echo)
        _ = try await echo.open()
        try await echo.openAnother()
        #expect(threadNames().contains("stop-joins"))
        async let first: Void = loop.stop()
        async let second: Void = loop.stop()
        _ = await (first, second)
        #expect(!threadNames().contains("stop-joins"))
        #expect(context.terminate(within: patience))
        await loop.stop()
    }

    @Test func `an actor still answers after its loop has ended, without sockets`() async throws {
        let loop = try SocketLoop(name: "late", context: Context())
        let echo = Echo(on: loop)
        loop.attach(echo)
        _ = try await echo.open()
        await loop.stop()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask { for _ in 0..<50 { _ = await echo.count() } }
            }
        }
        #expect(await echo.count() == 201)
        #expect(await echo.hasStopped)
        #expect(await echo.isOnThread())
        let onClosed = await #expect(throws: ZeroMQError.self) { try await echo.sendToNobody() }
        #expect(onClosed?.code == .closed)
        let onEnded = await #expect(throws: ZeroMQError.self) { try await echo.openAnother() }
        #expect(onEnded?.code == .closed)
    }

    @Test func `a loop can be stopped by an actor it runs`() async throws {
        let loop = try SocketLoop(name: "suicide", context: Context())
        let echo = Echo(on: loop)
        loop.attach(echo)
        await echo.stopOwnLoop()
        #expect(await echo.hasStopped)
    }

    @Test func `a context that is shut down ends its loops`() async throws {
        let context = try Context()
        let loop = try SocketLoop(name: "shutdown", context: context)
        let echo = Echo(on: loop)
        _ = try await echo.open()
        // Not attached: its pass would report the error that every call throws now.
        context.shutdown()
        #expect(context.terminate(within: patience))
        await loop.stop()
    }

    @Test func `a socket without interest does not spin the loop, and is read later`()
        async throws
    {
        let context = try Context()
        let loop = try SocketLoop(name: "deaf", context: context)
        let echo = Echo(on: loop)
        loop.attach(echo)
        let endpoint = try await echo.open()
        await echo.readsNothing(true)
        let dealer = try Socket(.dealer, in: context)
        try dealer.connect(endpoint)
        try dealer.deliver([Frame("a")])
        // The handshake is done in the background; its event says that the message may be there.
        let deadline = ContinuousClock.now + patience
        while await !echo.seen().events.contains(.handshakeSucceeded) {
            try #require(ContinuousClock.now < deadline)
        }
        #expect(await echo.seen().answered == 0)
        await echo.readsNothing(false)
        #expect(try dealer.nextMessage() == [Frame("a")])
        await loop.stop()
    }

    private func waitForPass(of echo: Echo, after count: Int) throws {
        let deadline = ContinuousClock.now + patience
        while echo.passes.load(ordering: .relaxed) <= count {
            sched_yield()
            try #require(ContinuousClock.now < deadline)
        }
    }
}

extension Echo {
    fileprivate func stopOwnLoop() async { await loop.stop() }
}

/// The names of this process's threads, as the kernel has them.
private func threadNames() -> [String] {
    guard let directory = opendir("/proc/self/task") else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let number = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        guard let file = fopen("/proc/self/task/\(number)/comm", "r") else { continue }
        defer { fclose(file) }
        var line = [UInt8](repeating: 0, count: 32)
        let count = fread(&line, 1, line.count, file)
        names.append(String(decoding: line.prefix(count).prefix { $0 != 10 }, as: UTF8.self))
    }
    return names
}
