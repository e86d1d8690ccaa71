internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import SyncCore

/// What a sandbox's files are reached with, until the service says otherwise.
struct E2BPass: Sendable {
    /// Counts the passes of this session.
    let number: Int
    /// How often the sandbox was resumed by this worker.
    let resumes: Int
    /// Address of the sandbox's files.
    let address: String
    /// Token that envd asks for; nil when it asks for none.
    let token: String?
}

/// One sandbox as the control plane knows it: connect, resume, token, life.
///
///     none ──connect──▶ pass ──half of the life is over, edits go──▶ connect ──▶ pass
///                       pass ──401, 403, 502 not found──▶ connect ──▶ next pass, or gone
///
/// `connect` resumes a paused sandbox and only ever extends its life. It is sent by one caller at a
/// time; the others wait for its answer. A failure is remembered for a moment, so that thirty
/// writes that wait do not send thirty requests.
actor E2BSession {
    private let sandbox: String
    private let configuration: E2BConfiguration
    private let client: E2BClient

    private var current: E2BPass?
    private var connectedAt = ContinuousClock.now
    /// When life is to be extended at the earliest: asking in vain has its pauses.
    private var extendsAt = ContinuousClock.now
    private var isConnecting = false
    private var waiters: [CheckedContinuation<Void, Never>] = []
    private var lastFailure: (error: SandboxError, until: ContinuousClock.Instant)?

    private static let failureMemory: Duration = .milliseconds(500)
    private static let extensionsInLife = 20
    /// The oldest envd that keeps metadata with a file.
    private static let oldestEnvd = [0, 6, 2]

    init(sandbox: String, configuration: E2BConfiguration, client: E2BClient) {
        self.sandbox = sandbox
        self.configuration = configuration
        self.client = client
    }

    /// The pass; connects when there is none, or when an edit goes and half of the life is over.
    func pass(extendingLife: Bool) async throws(SandboxError) -> E2BPass {
        guard let current else { return try await connect(after: nil) }
        let now = ContinuousClock.now
        let age = now - connectedAt
        guard extendingLife, age > configuration.life / 2 else { return current }
        let isAlive = age < configuration.life
        // One edit asks; the others go on meanwhile.
        if isAlive, isConnecting || now < extendsAt { return current }
        do throws(SandboxError) {
            return try await connect(after: current.number)
        } catch {
            guard isAlive, error.code != TargetCode.gone else { throw error }
            extendsAt = .now + configuration.life / Self.extensionsInLife
            return current
        }
    }

    /// A pass newer than the one that was refused.
    func pass(after refused: E2BPass) async throws(SandboxError) -> E2BPass {
        try await connect(after: refused.number)
    }

    /// Whether the sandbox is paused, as the service says; asking does not resume it.
    func isPaused() async throws(SandboxError) -> Bool {
        let reply = try await ask(.init(method: .GET, url: url(""), deadline: deadline))
        if reply.status == 404 { throw gone(reply) }
        guard reply.isSuccess, let body = try? JSONDecoder().decode(State.self, from: reply.data)
        else { throw failure(reply) }
        return body.state == "paused"
    }

    // MARK: Connect

    private struct State: Decodable { let state: String }

    private struct Connected: Decodable {
        let envdVersion: String
        let envdAccessToken: String?
        let domain: String?
    }

    private struct Wish: Encodable { let timeout: UInt64 }

    /// - Parameter number: The pass that will not do.
    private func connect(after number: Int?) async throws(SandboxError) -> E2BPass {
        while isConnecting {
            await withCheckedContinuation { waiters.append($0) }
        }
        if let current, current.number > number ?? 0 { return current }
        if let lastFailure, ContinuousClock.now < lastFailure.until { throw lastFailure.error }
        isConnecting = true
        defer {
            isConnecting = false
            for waiter in waiters { waiter.resume() }
            waiters = []
        }
        do throws(SandboxError) {
            let pass = try await connectNow()
            current = pass
            lastFailure = nil
            return pass
        } catch {
            let memory = max(error.retryAfter ?? .zero, Self.failureMemory)
            lastFailure = (error, ContinuousClock.now + memory)
            throw error
        }
    }

    private func connectNow() async throws(SandboxError) -> E2BPass {
        let begun = ContinuousClock.now
        let seconds = configuration.life.wholeMilliseconds / 1_000
        guard let body = try? JSONEncoder().encode(Wish(timeout: max(1, seconds))) else {
            preconditionFailure("a number is JSON")
        }
        var request = E2BRequest(url: url("/connect"), deadline: deadline)
        request.headers = [("content-type", "application/json")]
        request.body = ByteBuffer(bytes: body)
        let reply = try await ask(request)
        if reply.status == 404 { throw gone(reply) }
        guard reply.isSuccess else { throw failure(reply) }
        guard let found = try? JSONDecoder().decode(Connected.self, from: reply.data) else {
            throw SandboxError(
                .target, code: "e2b-answer",
                "E2B's answer to connecting sandbox '\(sandbox)' makes no sense. Look whether its "
                    + "address is E2B's; its edits wait.")
        }
        try check(found.envdVersion)
        connectedAt = begun
        return E2BPass(
            number: (current?.number ?? 0) + 1,
            resumes: (current?.resumes ?? 0) + (reply.status == 201 ? 1 : 0),
            address: configuration.dataPlane(of: sandbox, own: found.domain),
            token: found.envdAccessToken)
    }

    private func check(_ version: String) throws(SandboxError) {
        let parts = version.split(separator: ".").map { Int($0.prefix { $0.isNumber }) ?? 0 }
        guard parts.lexicographicallyPrecedes(Self.oldestEnvd) else { return }
        throw SandboxError(
            .target, code: "envd-too-old",
            "Sandbox '\(sandbox)' has envd \(version.prefix(20)), and syncd needs 0.6.2 or newer. "
                + "Build its template again; its edits wait.")
    }

    // MARK: Requests

    private var deadline: Duration { configuration.requestDeadline }

    private func url(_ rest: String) -> String {
        "\(configuration.controlPlane)/sandboxes/\(sandbox)\(rest)"
    }

    private func ask(_ request: E2BRequest) async throws(SandboxError) -> E2BReply {
        var request = request
        request.headers.append(("x-api-key", configuration.key.text))
        do throws(E2BLoss) {
            return try await client.send(request)
        } catch {
            // Connecting twice does no harm, whatever became of the first.
            throw SandboxError(
                .target, code: "unreachable",
                "E2B did not answer when asked for sandbox '\(sandbox)': \(error.reason). Look at "
                    + "the network and at E2B's status; its edits wait.")
        }
    }

    /// No answer of the control plane is one file's fault.
    private func failure(_ reply: E2BReply) -> SandboxError {
        let error = E2BFailure.error(reply, "connect", .place("to the service"), of: sandbox)
        return SandboxError(
            .target, code: error.code, error.message, retryAfter: error.retryAfter)
    }

    private func gone(_ reply: E2BReply) -> SandboxError {
        SandboxError(
            .target, code: TargetCode.gone,
            "E2B knows no sandbox '\(sandbox)' of this key (404): it was killed, its life ran out, "
                + "or it belongs to another team. Its edits wait until it is detached.")
    }
}
