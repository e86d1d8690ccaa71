import ArgumentParser
import Foundation
import Glibc
import Synchronization
import ZeroMQ

/// Subscribers of a status channel, one socket each, that read and count.
actor Subscribers: SocketLoopClient {
    private static let limit = ReceiveLimit(framesMax: 4, bytesMax: 1 << 20)
    /// Messages read of one subscriber in one pass.
    private static let messagesPerPassMax = 1_024

    nonisolated let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// Tells "done" after so many messages over all; nil: "ready" when each has heard one.
    private let doneAfter: Int?
    private var sockets: [LoopSocket] = []
    /// Places of those that have heard nothing yet.
    private var silent: Set<Int> = []
    private var isTold = false
    private nonisolated let total = Mutex(0)

    init(on loop: SocketLoop, doneAfter: Int?) {
        self.loop = loop
        self.doneAfter = doneAfter
    }

    /// Messages heard by all together.
    nonisolated var heard: Int { total.withLock { $0 } }

    /// Connects so many to an endpoint, under one prefix.
    func open(_ count: Int, to endpoint: String, prefix: String) throws {
        for number in 0..<count {
            let socket = try LoopSocket(
                .sub, on: loop, options: [.receiveHighWaterMark(100_000), .subscription(prefix)])
            try socket.connect(endpoint)
            sockets.append(socket)
            silent.insert(number)
        }
        loop.attach(self)
    }

    nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { $0.turn(at: now) }
    }

    nonisolated func loopWillStop() {
        assumeIsolated { subscribers in
            for socket in subscribers.sockets { socket.close() }
            subscribers.sockets = []
        }
    }

    private func turn(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        var isMore = false
        for (number, socket) in sockets.enumerated() {
            var count = 0
            while count < Self.messagesPerPassMax, (try? socket.receive(limit: Self.limit)) != nil {
                count += 1
            }
            if count == 0 { continue }
            total.withLock { $0 += count }
            silent.remove(number)
            if count == Self.messagesPerPassMax { isMore = true }
        }
        tell()
        return isMore ? now : nil
    }

    private func tell() {
        guard !isTold else { return }
        if let doneAfter {
            isTold = heard >= doneAfter
            if isTold { BenchOutput.write("done") }
        } else if silent.isEmpty {
            isTold = true
            BenchOutput.write("ready")
        }
    }
}

/// A process of subscribers; every line on its standard input asks for what they have heard.
struct SubscribeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "subscribe", abstract: "Subscribes and counts.", shouldDisplay: false)

    @Option var status: String
    @Option var prefix: String
    @Option var count: Int
    @Option var doneAfter: Int?

    func run() async throws {
        let loop = try SocketLoop(name: "subscribers", context: try Context())
        let subscribers = Subscribers(on: loop, doneAfter: doneAfter)
        try await subscribers.open(count, to: status, prefix: prefix)
        await Blocking.run {
            while readLine() != nil { BenchOutput.write(String(subscribers.heard)) }
        }
        // The parent has ended.
        Glibc.exit(0)
    }
}

/// What telling can cost at least: PUB and SUB of the same frames, between two processes.
enum PublishLimit {
    /// Messages over all subscribers.
    private static let deliveries = 200_000

    /// Messages a second over all subscribers.
    static func measure(in folder: BenchFolder, subscribers count: Int) async throws -> Double {
        let endpoint = "ipc://\(folder.path)/publish"
        let each = max(deliveries / count, 1)
        let child = try BenchProcess(
            "subscribers", program: "SyncBench",
            [
                "subscribe", "--status", endpoint, "--prefix", "edit/bench/", "--count",
                String(count), "--done-after", String(each * count),
            ], log: "", watchesParent: false)
        do {
            let time = try await Blocking.run {
                Result { try publish(each, to: count, at: endpoint, child) }
            }.get()
            await child.end()
            return Double(each * count) / time.seconds
        } catch {
            await child.end()
            throw error
        }
    }

    /// Publishes to all and tells how long it took until they had heard everything.
    private static func publish(
        _ each: Int, to count: Int, at endpoint: String, _ child: BenchProcess
    ) throws -> Duration {
        let context = try Context()
        let socket = try Socket(
            .xpub, in: context, options: [.xpubVerbose(true), .sendHighWaterMark(0)])
        try socket.bind(endpoint)
        let limit = ReceiveLimit(framesMax: 4, bytesMax: 65_536)
        var subscribed = 0
        while subscribed < count {
            guard try socket.waits(for: .readable, atMost: .seconds(30)) else {
                throw BenchError("only \(subscribed) of \(count) subscribers came in 30 seconds")
            }
            while try socket.receive(limit: limit) != nil { subscribed += 1 }
        }
        let start = ContinuousClock.now
        for number in 0..<each {
            let path = BenchEdits.distinctPath(number)
            _ = try socket.send([Frame("edit/bench/" + path), Frame(body(number, path))])
        }
        guard child.nextLine().hasPrefix("done") else {
            throw BenchError("the subscribers ended before they had heard everything")
        }
        return ContinuousClock.now - start
    }

    /// A body as long as that of an event about an edit.
    private static func body(_ number: Int, _ path: String) -> String {
        #"{"type":"accepted","number":\#(number),"projectNumber":\#(number),"time":1700000000000,"#
            + #""project":"bench","path":"\#(path)","sequence":\#(number),"#
            + #""producer":"bench/0123456789abcdef","producerNumber":\#(number)}"#
    }
}
