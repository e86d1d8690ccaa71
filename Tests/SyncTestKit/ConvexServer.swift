internal import AsyncHTTPClient
internal import Foundation
internal import Glibc
internal import NIOCore
internal import NIOHTTP1

/// A double of a Convex deployment, new and empty.
///
/// It is a Node process with the functions of `deploy/convex`, compiled, and a database in memory:
/// `Tests/ConvexDouble`.
package final class ConvexServer: Sendable {
    /// What the double does to a call instead of answering it as it should.
    package enum Fault: String, Sendable, CaseIterable {
        /// The function's effect is there, and the connection breaks before the answer.
        case dropAfterCommit = "drop-after-commit"
        case serverErrorAfterCommit = "500-after-commit"
        case timeoutAfterCommit = "408-after-commit"
        /// 503, 429, 503, 400: nothing was done.
        case conflict
        case tooManyWrites = "too-many-writes"
        case tooManyRequests = "too-many-requests"
        case overloaded
        case systemTimeout = "system-timeout"
        /// 502 from a proxy, in HTML.
        case noJSON = "no-json"
        /// 200 with a body that is no answer.
        case nonsense
        /// No answer, ever.
        case hang
        /// 400, 404, 403: a person must do something.
        case paused
        case gone
        case blocked
        /// The function throws: with data, with data by the older status, with a text that is
        /// hidden.
        case refuse
        case olderRefuse = "refuse-560"
        case `throw`
        /// Nobody has deployed the functions.
        case undeployed
    }

    /// What happened so far.
    package struct Facts: Decodable, Sendable {
        /// Calls of each function, by its path.
        package let calls: [String: Int]
        /// How often a mutation met another one and was run again.
        package let conflicts: Int
        /// Most calls that ran at once.
        package let runningMax: Int
        /// Calls that the plan did not allow.
        package let turnedAway: Int
        /// Faults that are still to be played.
        package let pending: Int
        /// Documents of each table.
        package let documents: [String: Int]
    }

    /// The deployment's address.
    package let url: String
    /// Its deploy key.
    package static let key = "prod:double|secret-\(UInt64.random(in: .min ... .max))"

    private let process: Process
    private let input: Pipe
    private let folder: URL
    private let client: HTTPClient

    /// Runs a test's body with a deployment of its own.
    package static func with(_ body: (ConvexServer) async throws -> Void) async throws {
        let server = try await ConvexServer()
        do {
            try await body(server)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
    }

    /// Starts a deployment; returns when it listens.
    package init() async throws {
        LeakWatch.begin()
        let built = try Self.built.get()
        folder = try Self.makeFolder()
        let (log, port) = (folder.appendingPathComponent("log"), folder.path + "/port")
        try Data().write(to: log)
        let output = try FileHandle(forWritingTo: log)
        defer { try? output.close() }
        process = Process()
        input = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "node", Self.source.path + "/server.mjs", built.path + "/built", port,
        ]
        process.environment = ["PATH": Self.path, "CONVEX_DOUBLE_KEY": Self.key]
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
        var configuration = HTTPClient.Configuration()
        configuration.httpVersion = .http1Only
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let process = process
        let found = try? await Patience.value("the double of Convex listens") { () -> String? in
            guard process.isRunning else { throw KitError("it ended") }
            return try? String(contentsOfFile: port, encoding: .utf8)
        }
        url = "http://127.0.0.1:\(found ?? "0")"
        guard found != nil else {
            let said = (try? String(contentsOf: log, encoding: .utf8)) ?? ""
            await stop()
            throw KitError("the double of Convex did not start: \(said.suffix(2_000))")
        }
    }

    /// A test that failed halfway leaves no process behind.
    deinit { process.signal(SIGKILL) }

    /// Ends it like a crash; all that it held is gone.
    package func stop() async {
        process.signal(SIGKILL)
        process.waitUntilExit()
        try? input.fileHandleForWriting.close()
        try? await client.shutdown()
        try? FileManager.default.removeItem(at: folder)
    }

    /// Plays a fault in the next calls, of one function or of any.
    package func play(_ fault: Fault, times: Int = 1, in function: String? = nil) async throws {
        struct Order: Encodable {
            let fault: String
            let count: Int
            let function: String?
        }
        let order = Order(
            fault: fault.rawValue, count: times, function: function.map { "syncd:\($0)" })
        let text = String(decoding: try JSONEncoder().encode(order), as: UTF8.self)
        _ = try await send("/double/faults", text)
    }

    /// Lets only so many calls run at once, as a plan does.
    package func allow(requests: Int) async throws {
        _ = try await send("/double/plan", "{\"requests\":\(requests)}")
    }

    /// What happened so far.
    package func facts() async throws -> Facts {
        let (_, body) = try await send("/double/facts")
        return try JSONDecoder().decode(Facts.self, from: Data(body.utf8))
    }

    /// How often a function was called.
    package func calls(of function: String) async throws -> Int {
        try await facts().calls["syncd:\(function)"] ?? 0
    }

    /// Makes one request as anybody could, a POST if it has a body.
    ///
    /// - Returns: The answer's status and its body.
    package func send(
        _ path: String, _ body: String? = nil, headers: [String: String] = [:]
    ) async throws -> (status: Int, body: String) {
        var request = HTTPClientRequest(url: url + path)
        request.method = body == nil ? .GET : .POST
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await client.execute(request, timeout: .seconds(60))
        let answer = try await response.body.collect(upTo: 32 << 20)
        return (Int(response.status.code), String(buffer: answer))
    }
}

// MARK: Building

extension ConvexServer {
    /// Where Node and the compiler are.
    private static let path = "/usr/local/bin:/usr/bin:/bin"

    /// Where the double's own files lie.
    private static let source: URL = {
        let own = URL(fileURLWithPath: #filePath)
        return own.deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("ConvexDouble")
    }()

    /// The deployed functions, type-checked and compiled once in a test process.
    private static let built: Result<URL, any Error> = {
        let result = Result<URL, any Error> {
            let folder = try makeFolder()
            let (code, output) = try CommandRun.outcomeAtOnce(
                of: [source.path + "/build", folder.path],
                environment: ["PATH": path])
            guard code == 0 else { throw KitError("deploy/convex does not compile: \(output)") }
            return folder
        }
        atexit {
            guard case .success(let folder) = ConvexServer.built else { return }
            try? FileManager.default.removeItem(at: folder)
        }
        return result
    }()

    private static func makeFolder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("syncd-convex-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }
}
