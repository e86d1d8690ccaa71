internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import SyncCore

/// Calls the functions of a Convex deployment over its HTTP API.
///
/// Every function of ours may be repeated. So a request whose end nobody knows (no answer, 500,
/// 408) is made again like one that was turned away (429, 503), after growing waits, until the
/// deadline of the call.
final class ConvexClient: Sendable {
    /// What kind of function.
    private enum Kind: String { case query, mutation }

    /// Largest answer that is read: a page of long paths, or four pieces in base 64.
    private static let answerBytesMax = 32 << 20

    private let settings: ConvexSettings
    private let client: HTTPClient
    private let window: ConvexWindow

    /// Opens nothing yet; ``close()`` must be called at the end.
    init(_ settings: ConvexSettings) {
        self.settings = settings
        var http = HTTPClient.Configuration()
        http.httpVersion = .http1Only
        http.redirectConfiguration = .disallow
        http.timeout.connect = .nanoseconds(Int64(clamping: settings.answerWait.wholeNanoseconds))
        http.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit =
            max(1, settings.requestsMax)
        // A refused connection is told at once: the repetitions are ours.
        http.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: http)
        window = ConvexWindow(settings.requestsMax)
    }

    /// Closes all connections; nothing is sent afterwards.
    func close() async {
        do {
            try await client.shutdown()
        } catch {
            // It is closed already.
        }
    }

    /// Reads by a query.
    func query<Value: Decodable & Sendable>(
        _ function: String, _ arguments: some Encodable & Sendable,
        until deadline: ContinuousClock.Instant
    ) async throws(ConvexFailure) -> Value {
        try await call(.query, function, arguments, until: deadline)
    }

    /// Writes by a mutation.
    func mutate<Value: Decodable & Sendable>(
        _ function: String, _ arguments: some Encodable & Sendable,
        until deadline: ContinuousClock.Instant
    ) async throws(ConvexFailure) -> Value {
        try await call(.mutation, function, arguments, until: deadline)
    }

    private func call<Value: Decodable & Sendable>(
        _ kind: Kind, _ function: String, _ arguments: some Encodable & Sendable,
        until deadline: ContinuousClock.Instant
    ) async throws(ConvexFailure) -> Value {
        let question = Question(
            path: "syncd:\(function)", args: arguments, format: "convex_encoded_json")
        var wait = settings.repeatWait
        var told: ConvexFailure?
        while true {
            let failure: ConvexFailure
            do throws(ConvexFailure) {
                return try Self.value(of: try await attempt(kind, question, until: deadline))
            } catch {
                // What the deployment has said tells more than that the time is over.
                failure = error == Self.late ? told ?? error : error
                told = failure
            }
            // Up to half of the wait is left out by chance: else all would come again together.
            let pause = wait * Double.random(in: 0.5...1)
            guard failure.passes, ContinuousClock.now + pause < deadline else { throw failure }
            do {
                try await Task.sleep(for: pause)
            } catch {
                // Nobody waits for the answer any more.
                throw failure
            }
            wait = min(wait * 2, settings.repeatWaitMax)
        }
    }

    /// Makes one request when there is room for it.
    ///
    /// It is written out only then: all contents of a batch at once would take much memory.
    private func attempt(
        _ kind: Kind, _ question: Question<some Encodable & Sendable>,
        until deadline: ContinuousClock.Instant
    ) async throws(ConvexFailure) -> Data {
        let pass = await window.enter()
        do throws(ConvexFailure) {
            let answer = try await post(kind, question, until: deadline)
            window.leave(pass, turnedAway: false)
            return answer
        } catch {
            window.leave(pass, turnedAway: error.isBusy)
            throw error
        }
    }

    private func post(
        _ kind: Kind, _ question: Question<some Encodable & Sendable>,
        until deadline: ContinuousClock.Instant
    ) async throws(ConvexFailure) -> Data {
        let left = deadline - .now
        guard left > .zero else { throw Self.late }
        let wait = min(left, settings.answerWait)
        var request = HTTPClientRequest(url: "\(settings.url)/api/\(kind.rawValue)")
        request.method = .POST
        request.headers = [
            "content-type": "application/json", "accept": "application/json",
            "authorization": "Convex \(settings.key.text)", "user-agent": "syncd",
        ]
        do {
            request.body = .bytes(ByteBuffer(bytes: try Self.encoder.encode(question)))
        } catch {
            throw .closed("the arguments of \(question.path) can't be written as JSON.")
        }
        let sent = request
        let result: Result<Data, ConvexFailure> = await withTaskGroup { group in
            group.addTask { await self.exchange(sent) }
            group.addTask {
                do {
                    try await Task.sleep(for: wait)
                } catch {
                    // The answer came first.
                }
                return .failure(Self.late)
            }
            let first = await group.next()
            group.cancelAll()
            return first ?? .failure(Self.late)
        }
        return try result.get()
    }

    private func exchange(_ request: HTTPClientRequest) async -> Result<Data, ConvexFailure> {
        do {
            let response = try await client.execute(request, deadline: .distantFuture)
            let body = try await response.body.collect(upTo: Self.answerBytesMax)
            let data = Data(body.readableBytesView)
            // Older deployments say 560 for a function that threw.
            if response.status == .ok || response.status.code == 560 { return .success(data) }
            return .failure(ConvexFailure(status: Int(response.status.code), body: data))
        } catch {
            return .failure(ConvexFailure(unanswered: error))
        }
    }

    private static let late = ConvexFailure.lost(
        "there is no answer in time. Look at the network and at the deployment; its files wait.")

    private static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        // A backslash before each slash would make base 64 longer.
        encoder.outputFormatting = .withoutEscapingSlashes
        return encoder
    }
}

extension ConvexFailure {
    /// Whether there was too much at once.
    fileprivate var isBusy: Bool {
        if case .busy = self { return true }
        return false
    }

    /// Whether the same request may fare better in a moment.
    fileprivate var passes: Bool {
        switch self {
        case .busy, .lost: true
        case .closed, .refused, .threw: false
        }
    }
}

// MARK: The messages

private struct Question<Arguments: Encodable & Sendable>: Encodable, Sendable {
    let path: String
    let args: Arguments
    let format: String
}

private struct Answer<Value: Decodable>: Decodable {
    let result: Result<Value, ConvexFailure>

    private enum CodingKeys: CodingKey { case status, value, errorMessage, errorData }

    private struct ErrorData: Decodable { let code: String }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        switch try container.decode(String.self, forKey: .status) {
        case "success":
            // A null is a value like any other, for those that may be null.
            result = .success(try container.decode(Value.self, forKey: .value))
        case "error":
            // The data is whatever somebody threw; its code is all that counts.
            let data = try? container.decode(ErrorData.self, forKey: .errorData)
            let message = try container.decodeIfPresent(String.self, forKey: .errorMessage)
            result = .failure(Self.failure(code: data?.code, message: message ?? ""))
        default:
            throw DecodingError.dataCorruptedError(
                forKey: .status, in: container, debugDescription: "an unknown status")
        }
    }

    private static func failure(code: String?, message: String) -> ConvexFailure {
        if let code { return .refused(code: ConvexFailure.word(code)) }
        // Convex's own words, for want of a code.
        guard message.hasPrefix("Could not find") else { return .threw }
        return .closed(
            "it has no function of syncd that this key may call. Deploy the folder deploy/convex "
                + "there, and give a deploy key of that deployment by SYNCD_CONVEX_KEY.")
    }
}

extension ConvexClient {
    private static func value<Value: Decodable>(of data: Data) throws(ConvexFailure) -> Value {
        let answer: Answer<Value>
        do {
            answer = try JSONDecoder().decode(Answer<Value>.self, from: data)
        } catch {
            throw .closed(
                "it answers what makes no sense. Deploy the functions of this build, and look "
                    + "whether the store's URL is that of a Convex deployment.")
        }
        return try answer.result.get()
    }
}
