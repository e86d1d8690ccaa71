package import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// A server that behaves as E2B does, control plane and envd in one, faults included.
///
/// It answers as `e2b-convex.md` says, part 1; E2B's own Python SDK is run against it. Each sandbox
/// is a directory on this machine. What a test can do to it is in the extension below.
package final class E2BDouble: Sendable {
    /// What a request asks for; requests are counted and made to fail by kind.
    package enum Kind: String, Sendable, CaseIterable {
        case connect, info, timeout, kill, health
        case upload, download, stat, list, makeDirectory, move, remove, run
    }

    /// What becomes of a request instead of what it asks for.
    package enum Fault: Sendable {
        /// Answered so, without any effect.
        case refuse(Int, String, retryAfter: Int? = nil)
        /// Executed; then the connection is closed without an answer.
        case loseAnswer
        /// Executed; then the proxy answers that it did not reach envd (1.8).
        case unreachableAfterEffect
        /// The connection is closed at once; executed when the test says so (1.8, last row).
        case late
        /// The edge does not wait for it and answers 524; executed when the test says so.
        case lateTimedOut
        /// The disk is full after so many bytes: 507, and the file is left with them (1.4).
        case fullDisk(after: Int)
        /// Answered when the test lets it go.
        case hold
        /// Executed when the test lets it go; then the connection is closed without an answer.
        case holdAndLoseAnswer
        /// The command is not started; the code and the words that are said instead.
        case refuseCommand(String, String)
        /// The command is started and killed by a signal, as when the sandbox has no memory left.
        case killCommand
    }

    struct Sandbox: Sendable {
        var token: String
        var tokens = 1
        var isPaused = false
        var isKilled = false
        var endsAt: ContinuousClock.Instant
        var isOfDomain: String?
    }

    struct Rule: Sendable {
        let kind: Kind
        var count: Int
        let fault: Fault
        let path: String
    }

    struct State: Sendable {
        var sandboxes: [String: Sandbox] = [:]
        var rules: [Rule] = []
        var counts: [Kind: Int] = [:]
        var late: [@Sendable () -> Int] = []
        var held: [CheckedContinuation<Void, Never>] = []
        var envdVersion = "0.6.13"
        var livesAsked: [Int] = []
        var moves: [String] = []
        var limitedCount = 0
        var ratePerSecond: Int?
        var keepsMetadata = true
        var recent: [ContinuousClock.Instant] = []
    }

    /// Where it listens.
    package let port: Int
    /// The key that it takes.
    package let key = "e2b_00112233445566778899aabbccddeeff"
    /// Holds one directory per sandbox.
    package let folder: URL

    let state = Mutex(State())
    let metadata = EnvdMetadata()
    private let serving: Task<Void, Never>

    /// Address of control plane and sandboxes.
    package var url: String { "http://127.0.0.1:\(port)" }

    /// Begins to listen, with these sandboxes running.
    package static func start(_ sandboxes: [String] = ["sbx1"]) async throws -> E2BDouble {
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        guard let port = listener.channel.localAddress?.port else { throw KitError("no port") }
        let chance = String(UInt64.random(in: .min ... .max), radix: 36)
        let folder = URL(fileURLWithPath: NSTemporaryDirectory() + "/syncd-e2b-\(chance)")
        let (doubles, send) = AsyncStream<E2BDouble>.makeStream()
        let serving = Task(executorPreference: OwnThreads(label: "e2b")) {
            for await double in doubles {
                await double.serve(listener)
                return
            }
        }
        let double = E2BDouble(port: port, folder: folder, serving: serving)
        for sandbox in sandboxes { try double.create(sandbox) }
        send.yield(double)
        send.finish()
        return double
    }

    private init(port: Int, folder: URL, serving: Task<Void, Never>) {
        self.port = port
        self.folder = folder
        self.serving = serving
    }

    /// Stops listening and removes all sandboxes.
    package func stop() async {
        release()
        serving.cancel()
        await serving.value
        try? FileManager.default.removeItem(at: folder)
    }

    // MARK: Connections

    typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    private func serve(_ listener: NIOAsyncChannel<Connection, Never>) async {
        await withDiscardingTaskGroup { group in
            do {
                try await listener.executeThenClose { connections in
                    for try await connection in connections {
                        group.addTask { await self.serve(connection) }
                    }
                }
            } catch {
                // Cancelled: the test is over.
            }
            group.cancelAll()
        }
    }

    private func serve(_ connection: Connection) async {
        do {
            try await connection.executeThenClose { inbound, outbound in
                var parts = inbound.makeAsyncIterator()
                while let part = try await parts.next(isolation: #isolation) {
                    guard case .head(let head) = part else { continue }
                    let request = E2BDoubleRequest(head)
                    guard let reply = await answer(request, &parts) else { return }
                    try await outbound.write(.head(reply.head))
                    try await outbound.write(.body(.byteBuffer(ByteBuffer(bytes: reply.body))))
                    try await outbound.write(.end(nil))
                }
            }
        } catch {
            // The client went away; what it asked for has been done or not, as with envd.
        }
    }
}

/// What a test does to the double.
extension E2BDouble {
    /// Makes a running sandbox.
    package func create(_ sandbox: String) throws {
        try FileManager.default.createDirectory(
            at: home(of: sandbox), withIntermediateDirectories: true)
        state.withLock {
            $0.sandboxes[sandbox] = Sandbox(
                token: "token-1-of-\(sandbox)", endsAt: .now + .seconds(3_600))
        }
    }

    /// The user's home of a sandbox, on this machine.
    package func home(of sandbox: String) -> URL {
        folder.appendingPathComponent(sandbox + EnvdFiles.home)
    }

    /// Pauses it: requests for its files are answered 502 until somebody connects.
    package func pause(_ sandbox: String) {
        state.withLock { $0.sandboxes[sandbox]?.isPaused = true }
    }

    /// Whether it is paused.
    package func isPaused(_ sandbox: String) -> Bool {
        state.withLock { $0.sandboxes[sandbox]?.isPaused ?? false }
    }

    /// Ends it for good.
    package func kill(_ sandbox: String) {
        state.withLock { $0.sandboxes[sandbox]?.isKilled = true }
    }

    /// Gives it another token: the old one is refused until somebody connects.
    package func rotateToken(of sandbox: String) {
        state.withLock { state in
            guard let tokens = state.sandboxes[sandbox]?.tokens else { return }
            state.sandboxes[sandbox]?.tokens = tokens + 1
            state.sandboxes[sandbox]?.token = "token-\(tokens + 1)-of-\(sandbox)"
        }
    }

    /// Its token now.
    package func token(of sandbox: String) -> String? {
        state.withLock { $0.sandboxes[sandbox]?.token }
    }

    /// Says that its envd is of another version.
    package func setVersion(_ version: String) { state.withLock { $0.envdVersion = version } }

    /// Answers 429 with `Retry-After` to more requests for files in one second.
    package func limitRate(to perSecond: Int?) {
        state.withLock { $0.ratePerSecond = perSecond }
    }

    /// Makes the next requests of a kind fail.
    ///
    /// - Parameter path: Only those that name a path with this part.
    package func fail(_ kind: Kind, times: Int = 1, path: String = "", with fault: Fault) {
        state.withLock {
            $0.rules.append(Rule(kind: kind, count: times, fault: fault, path: path))
        }
    }

    /// From now on files are on a file system without extended attributes.
    package func forgetMetadata() { state.withLock { $0.keepsMetadata = false } }

    /// Ends all faults that are set.
    package func mend() { state.withLock { $0.rules = [] } }

    /// How many requests of a kind came.
    package func count(_ kind: Kind) -> Int { state.withLock { $0.counts[kind] ?? 0 } }

    /// How many requests came, connects apart.
    package var fileRequests: Int {
        state.withLock { state in
            let control: Set<Kind> = [.connect, .info, .timeout, .kill, .health]
            return state.counts.reduce(0) { $0 + (control.contains($1.key) ? 0 : $1.value) }
        }
    }

    /// For how many seconds each connect wished the sandbox to live.
    package var livesAsked: [Int] { state.withLock { $0.livesAsked } }

    /// How many files were moved out of a stage.
    package var movesOutOfStages: Int {
        state.withLock { state in
            state.moves.count { source in
                let below = source.firstRange(of: "/.syncd/stage/")?.upperBound
                return below.map { source[$0...].contains("/") } ?? false
            }
        }
    }

    /// How many requests were refused because of ``limitRate(to:)``.
    package var limitedCount: Int { state.withLock { $0.limitedCount } }

    /// How many requests wait to be executed late.
    package var lateCount: Int { state.withLock { $0.late.count } }

    /// Executes what was kept back, in order; the status that nobody hears.
    package func executeLate() -> [Int] {
        let late = state.withLock { state in
            defer { state.late = [] }
            return state.late
        }
        return late.map { $0() }
    }

    /// How many requests are held.
    package var heldCount: Int { state.withLock { $0.held.count } }

    /// Lets held requests go on.
    package func release() {
        let held = state.withLock { state in
            defer { state.held = [] }
            return state.held
        }
        for request in held { request.resume() }
    }
}
