internal import AsyncHTTPClient
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import SyncCore

/// One request to the control plane or to a sandbox.
struct E2BRequest: Sendable {
    var method: HTTPMethod = .POST
    let url: String
    var headers: [(String, String)] = []
    var body: ByteBuffer?
    let deadline: Duration
}

/// An answer, whole.
struct E2BReply: Sendable {
    let status: Int
    let headers: HTTPHeaders
    let body: ByteBuffer

    /// Whether it was done.
    var isSuccess: Bool { (200..<300).contains(status) }
}

/// A request without an answer.
struct E2BLoss: Error, Sendable {
    /// Whether it may have arrived, and may take effect yet.
    let mayTakeEffect: Bool
    /// Why, for a person.
    let reason: String
}

/// The connections to E2B, shared by all sandboxes of a worker.
///
/// HTTP/1.1 only: envd speaks nothing else, and E2B's own SDK avoids HTTP/2 for downloads.
final class E2BClient: Sendable {
    /// Largest answer that is read: a listing of some ten thousand files.
    private static let replyBytesMax = 16 << 20

    private let client: HTTPClient

    init(_ configuration: E2BConfiguration) {
        var http = HTTPClient.Configuration()
        http.httpVersion = .http1Only
        http.redirectConfiguration = .disallow
        http.dnsOverride = configuration.addresses
        http.timeout.connect = .nanoseconds(
            Int64(clamping: configuration.requestDeadline.wholeNanoseconds))
        http.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit =
            configuration.connectionsMax
        // A refused connection is told at once: the coordinator decides when to try again.
        http.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: http)
    }

    /// Closes all connections; nothing is sent afterwards.
    func close() async {
        do {
            try await client.shutdown()
        } catch {
            // It is closed already.
        }
    }

    /// Sends a request once and reads its answer; the deadline is for all of it.
    func send(_ request: E2BRequest) async throws(E2BLoss) -> E2BReply {
        var message = HTTPClientRequest(url: request.url)
        message.method = request.method
        for (name, value) in request.headers { message.headers.add(name: name, value: value) }
        message.headers.replaceOrAdd(name: "accept", value: "application/json")
        message.headers.replaceOrAdd(name: "user-agent", value: "syncd")
        if let body = request.body { message.body = .bytes(body) }
        let sent = message
        let result: Result<E2BReply, E2BLoss> = await withTaskGroup { group in
            group.addTask { await self.exchange(sent) }
            group.addTask {
                do {
                    try await Task.sleep(for: request.deadline)
                } catch {
                    // The answer came first.
                }
                return .failure(
                    E2BLoss(
                        mayTakeEffect: true,
                        reason: "no answer within \(request.deadline.inWords)"))
            }
            let first = await group.next()
            group.cancelAll()
            return first ?? .failure(E2BLoss(mayTakeEffect: true, reason: "cancelled"))
        }
        return try result.get()
    }

    private func exchange(_ request: HTTPClientRequest) async -> Result<E2BReply, E2BLoss> {
        do {
            let response = try await client.execute(request, deadline: .distantFuture)
            let body = try await response.body.collect(upTo: Self.replyBytesMax)
            return .success(
                E2BReply(
                    status: Int(response.status.code), headers: response.headers, body: body))
        } catch {
            return .failure(Self.loss(error))
        }
    }

    /// Whether a request was sent at all; in doubt it was.
    private static func loss(_ error: any Error) -> E2BLoss {
        switch error {
        case is NIOConnectionError:
            return E2BLoss(mayTakeEffect: false, reason: "the connection was refused")
        case let error as HTTPClientError:
            let early: [HTTPClientError] = [
                .connectTimeout, .tlsHandshakeTimeout, .getConnectionFromPoolTimeout, .invalidURL,
                .emptyHost, .emptyScheme, .alreadyShutdown,
            ]
            return E2BLoss(mayTakeEffect: !early.contains(error), reason: error.shortDescription)
        case let error as IOError:
            let isEarly = error.errnoCode == ECONNREFUSED || error.errnoCode == EHOSTUNREACH
            return E2BLoss(mayTakeEffect: !isEarly, reason: "errno \(error.errnoCode)")
        default:
            return E2BLoss(mayTakeEffect: true, reason: "the connection broke")
        }
    }
}
