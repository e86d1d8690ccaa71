internal import Foundation
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// A request's first line and headers.
struct E2BDoubleRequest: Sendable {
    let method: String
    let path: String
    let query: [String: String]
    let headers: HTTPHeaders

    init(_ head: HTTPRequestHead) {
        method = head.method.rawValue
        headers = head.headers
        let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(parts[0])
        var query: [String: String] = [:]
        for pair in parts.count > 1 ? parts[1].split(separator: "&") : [] {
            let words = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            query[String(words[0])] = words.count > 1 ? Self.decoded(words[1]) : ""
        }
        self.query = query
    }

    /// In a query `+` is a space.
    private static func decoded(_ text: Substring) -> String {
        let spaced = text.replacingOccurrences(of: "+", with: " ")
        return spaced.removingPercentEncoding ?? spaced
    }

    func header(_ name: String) -> String? { headers.first(name: name) }
}

/// An answer of the double.
struct E2BDoubleReply: Sendable {
    var status = 200
    var type = "application/json"
    var headers: [(String, String)] = []
    var body: [UInt8] = []

    var head: HTTPResponseHead {
        var fields = HTTPHeaders([("content-length", "\(body.count)")])
        if !type.isEmpty { fields.add(name: "content-type", value: type) }
        fields.add(contentsOf: headers)
        return HTTPResponseHead(
            version: .http1_1, status: HTTPResponseStatus(statusCode: status), headers: fields)
    }

    private struct Numbered: Encodable {
        let code: Int
        let message: String
    }

    private struct Worded: Encodable {
        let code: String
        let message: String
    }

    static func json(_ value: some Encodable, status: Int = 200) -> E2BDoubleReply {
        let data = (try? JSONEncoder().encode(value)) ?? Data()
        return E2BDoubleReply(status: status, body: [UInt8](data))
    }

    /// Control plane, proxy and `/files` give the code as a number.
    static func error(_ status: Int, _ message: String) -> E2BDoubleReply {
        json(Numbered(code: status, message: message), status: status)
    }

    /// The file system service gives the code as a word (1.6).
    static func error(_ refusal: EnvdFiles.Refusal) -> E2BDoubleReply {
        json(Worded(code: refusal.code, message: refusal.message), status: refusal.status)
    }
}

typealias E2BDoubleParts = NIOAsyncChannelInboundStream<HTTPServerRequestPart>.AsyncIterator

extension E2BDouble {
    /// The answer; nil when the connection is to be closed without one.
    func answer(
        _ request: E2BDoubleRequest, _ parts: inout E2BDoubleParts
    ) async -> E2BDoubleReply? {
        guard let kind = Self.kind(of: request) else {
            return .error(404, "no such route")
        }
        state.withLock { $0.counts[kind, default: 0] += 1 }
        switch kind {
        case .connect, .info, .timeout, .kill:
            guard let body = await collected(&parts) else { return nil }
            return await faulty(kind, "", request) { self.control(kind, request, body) }
        case .health, .upload, .download, .stat, .list, .makeDirectory, .move, .remove, .run:
            break
        }
        let sandbox: String
        switch routed(request) {
        case .success(let found): sandbox = found
        case .failure(let refusal):
            guard await collected(&parts) != nil else { return nil }
            return refusal.reply
        }
        if kind == .upload { return await upload(sandbox, request, &parts) }
        guard let body = await collected(&parts) else { return nil }
        if kind == .run { return await run(sandbox, body, request) }
        let question = (try? JSONDecoder().decode(Question.self, from: Data(body))) ?? Question()
        let path = request.query["path"] ?? question.source ?? question.path ?? ""
        return await faulty(kind, path + " " + (question.destination ?? ""), request) {
            self.files(kind, sandbox, question, request)
        }
    }

    private static func kind(of request: E2BDoubleRequest) -> Kind? {
        let service = "/filesystem.Filesystem/"
        switch (request.method, request.path) {
        case ("GET", "/health"): return .health
        case ("POST", "/files"): return .upload
        case ("GET", "/files"): return .download
        case ("POST", service + "Stat"): return .stat
        case ("POST", service + "ListDir"): return .list
        case ("POST", service + "MakeDir"): return .makeDirectory
        case ("POST", service + "Move"): return .move
        case ("POST", service + "Remove"): return .remove
        case ("POST", "/process.Process/Start"): return .run
        case ("POST", let path) where path.hasSuffix("/connect"): return .connect
        case ("POST", let path) where path.hasSuffix("/timeout"): return .timeout
        case ("GET", let path) where path.hasPrefix("/sandboxes/"): return .info
        case ("DELETE", let path) where path.hasPrefix("/sandboxes/"): return .kill
        default: return nil
        }
    }

    /// The rest of a request; nil when the client went away in the middle of it.
    private func collected(_ parts: inout E2BDoubleParts) async -> [UInt8]? {
        var body: [UInt8] = []
        do {
            while let part = try await parts.next(isolation: #isolation) {
                switch part {
                case .head: continue
                case .body(let bytes): body += bytes.readableBytesView
                case .end: return body
                }
            }
        } catch {
            return nil
        }
        return nil
    }

    // MARK: Faults

    static let timedOut = E2BDoubleReply.error(524, "A timeout occurred")

    func fault(_ kind: Kind, _ path: String) -> Fault? {
        state.withLock { state in
            let found = state.rules.firstIndex {
                $0.kind == kind && $0.count > 0 && ($0.path.isEmpty || path.contains($0.path))
            }
            guard let found else { return nil }
            state.rules[found].count -= 1
            return state.rules[found].fault
        }
    }

    /// Does what is asked, unless a fault is set for it.
    func faulty(
        _ kind: Kind, _ path: String, _ request: E2BDoubleRequest,
        _ effect: @escaping @Sendable () -> E2BDoubleReply
    ) async -> E2BDoubleReply? {
        switch fault(kind, path) {
        case nil, .fullDisk, .killCommand, .refuseCommand: return effect()
        case .refuse(500, let message, nil):
            return .error(EnvdFiles.Refusal("internal", message))
        case .refuse(let status, let message, let retryAfter):
            return Self.refusal(status, message, retryAfter)
        case .loseAnswer:
            _ = effect()
            return nil
        case .unreachableAfterEffect:
            _ = effect()
            return .error(502, "The sandbox is running but port is not open")
        case .late:
            state.withLock { $0.late.append { effect().status } }
            return nil
        case .lateTimedOut:
            state.withLock { $0.late.append { effect().status } }
            return Self.timedOut
        case .hold:
            await withCheckedContinuation { held in state.withLock { $0.held.append(held) } }
            return effect()
        case .holdAndLoseAnswer:
            await withCheckedContinuation { held in state.withLock { $0.held.append(held) } }
            _ = effect()
            return nil
        }
    }

    static func refusal(
        _ status: Int, _ message: String, _ retryAfter: Int?
    ) -> E2BDoubleReply {
        var reply = E2BDoubleReply.error(status, message)
        if let retryAfter { reply.headers.append(("retry-after", "\(retryAfter)")) }
        return reply
    }

    // MARK: The proxy

    struct Refused: Error { let reply: E2BDoubleReply }

    /// Which sandbox a request for files is for (1.3), if it runs and the token is right.
    private func routed(_ request: E2BDoubleRequest) -> Result<String, Refused> {
        let host = (request.header("host") ?? "").prefix { $0 != ":" }
        let isShared = host == "localhost" || host.allSatisfy { $0.isNumber || $0 == "." }
        var id = ""
        if isShared || host.hasPrefix("sandbox.") {
            let names = ["e2b-sandbox-id", "e2b-sandbox-port"].map { request.header($0) }
            guard let named = names[0], names[1] == "49983" else {
                return .failure(Refused(reply: .error(400, "missing header")))
            }
            id = named
        } else {
            let label = host.split(separator: ".").first ?? ""
            guard label.hasPrefix("49983-") else {
                return .failure(Refused(reply: .error(400, "Invalid host")))
            }
            id = String(label.dropFirst("49983-".count))
        }
        if let refusal = limited() { return .failure(Refused(reply: refusal)) }
        let found = state.withLock { $0.sandboxes[id] }
        guard let found, !found.isPaused, !found.isKilled, found.endsAt > .now else {
            return .failure(Refused(reply: .error(502, "The sandbox was not found")))
        }
        let isOpen = request.path == "/health"
        guard isOpen || request.header("x-access-token") == found.token else {
            let message = "access token present in header but does not match"
            return .failure(Refused(reply: .error(401, message)))
        }
        return .success(id)
    }

    private func limited() -> E2BDoubleReply? {
        state.withLock { state in
            guard let rate = state.ratePerSecond else { return nil }
            let now = ContinuousClock.now
            state.recent.removeAll { $0 < now - .seconds(1) }
            if state.recent.count >= rate {
                state.limitedCount += 1
                return Self.refusal(429, "Rate limit exceeded", 1)
            }
            state.recent.append(now)
            return nil
        }
    }

    // MARK: The control plane

    private struct Described: Encodable {
        let templateID = "base"
        let sandboxID: String
        let clientID = "client"
        let envdVersion: String
        let envdAccessToken: String
        let state: String
        let startedAt = "2026-01-01T00:00:00Z"
        let endAt = "2026-01-02T00:00:00Z"
        let cpuCount = 2
        let memoryMB = 512
        let diskSizeMB = 1_024
    }

    private struct Wish: Decodable { let timeout: Int? }

    private func control(
        _ kind: Kind, _ request: E2BDoubleRequest, _ body: [UInt8]
    ) -> E2BDoubleReply {
        guard request.header("x-api-key") == key else {
            return .error(401, "Invalid API key")
        }
        let parts = request.path.split(separator: "/")
        guard let place = parts.firstIndex(of: "sandboxes"), place + 1 < parts.count else {
            return .error(404, "no such route")
        }
        let id = String(parts[place + 1])
        let wish = (try? JSONDecoder().decode(Wish.self, from: Data(body)))?.timeout ?? 300
        return state.withLock { state in
            guard var found = state.sandboxes[id], !found.isKilled, found.endsAt > .now else {
                return .error(
                    404, "Sandbox \"\(id)\" doesn't exist or you don't have access to it")
            }
            let isPaused = found.isPaused
            switch kind {
            case .connect:
                found.isPaused = false
                state.livesAsked.append(wish)
                found.endsAt = max(found.endsAt, .now + .seconds(wish))
            case .timeout: found.endsAt = .now + .seconds(wish)
            case .kill: found.isKilled = true
            default: break
            }
            state.sandboxes[id] = found
            if kind == .timeout || kind == .kill {
                return E2BDoubleReply(status: 204, type: "")
            }
            return .json(
                Described(
                    sandboxID: id, envdVersion: state.envdVersion, envdAccessToken: found.token,
                    state: isPaused ? "paused" : "running"),
                status: kind == .connect && isPaused ? 201 : 200)
        }
    }

    // MARK: The file system service

    struct Question: Decodable, Sendable {
        var path: String?
        var depth: Int?
        var source: String?
        var destination: String?
    }

    private struct One: Encodable { let entry: EnvdFiles.Entry }
    private struct Many: Encodable { let entries: [EnvdFiles.Entry]? }
    private struct Nothing: Encodable {}

    func envd(_ sandbox: String) -> EnvdFiles {
        EnvdFiles(root: folder.appendingPathComponent(sandbox).path)
    }

    private func files(
        _ kind: Kind, _ sandbox: String, _ question: Question, _ request: E2BDoubleRequest
    ) -> E2BDoubleReply {
        let envd = envd(sandbox)
        let path = question.path ?? ""
        do throws(EnvdFiles.Refusal) {
            switch kind {
            case .health: return E2BDoubleReply(status: 204, type: "")
            case .stat: return .json(One(entry: try envd.stat(path, metadata)))
            case .list:
                let depth = max(1, question.depth ?? 1)
                let found = try envd.list(path, depth: depth, metadata)
                return .json(Many(entries: found.isEmpty ? nil : found))
            case .makeDirectory:
                return .json(One(entry: try envd.makeDirectory(path, metadata)))
            case .move:
                let to = question.destination ?? ""
                let moved = try envd.move(question.source ?? "", to, metadata)
                state.withLock { $0.moves.append(question.source ?? "") }
                return .json(One(entry: moved))
            case .remove:
                try envd.remove(path)
                return .json(Nothing())
            case .download:
                let found = try envd.resolve(request.query["path"] ?? "")
                guard let bytes = FileManager.default.contents(atPath: envd.place(found)) else {
                    return .error(404, "path '\(found)' does not exist")
                }
                return E2BDoubleReply(type: "application/octet-stream", body: [UInt8](bytes))
            case .connect, .info, .timeout, .kill, .upload, .run:
                return .error(404, "no such route")
            }
        } catch {
            return .error(error)
        }
    }
}
