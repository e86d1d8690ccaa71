import SyncCore
import SyncTestKit
import Testing
import ZeroMQ

@testable import SyncTransport

/// The article's test vectors: what is written there is what is sent and understood.
@Suite struct GoldenFrameTests {
    private static let article = Result { try ProtocolArticle() }

    private func frames(_ name: String) throws -> Message {
        try Self.article.get().golden(name).map { Frame($0) }
    }

    @Test(arguments: Golden.requests)
    func `requests`(_ name: String, _ id: String, _ request: ClientRequest) throws {
        let golden = try frames(name)
        #expect(ClientCodec.encode(request, id: Array(id.utf8)) == golden)
        let decoded = try #require(
            ClientCodec.request([Frame("route")] + golden, limits: WireLimits()))
        #expect(decoded.route.request == Array(id.utf8))
        try #expect(portrait(decoded.request.get()) == portrait(request))
    }

    @Test(arguments: Golden.replies)
    func `replies`(_ name: String, _ id: String, _ reply: ClientReply) throws {
        let golden = try frames(name)
        let route = ClientRoute(envelope: [], request: Array(id.utf8))
        #expect(ClientCodec.encode(reply, to: route) == golden)
        let decoded = try #require(ClientCodec.reply(golden))
        #expect(decoded.request == Array(id.utf8))
        #expect(portrait(decoded.reply) == portrait(reply))
    }

    @Test(arguments: Golden.fromWorkers)
    func `workers' messages`(_ name: String, _ message: WorkerMessage) throws {
        let golden = try frames(name)
        #expect(WorkerCodec.encode(message) == golden)
        try #expect(portrait(WorkerCodec.decode(golden[...])) == portrait(message))
    }

    @Test(arguments: Golden.toWorkers)
    func `messages to workers`(_ name: String, _ message: CoordinatorMessage) throws {
        let golden = try frames(name)
        #expect(CoordinatorCodec.encode(message) == golden)
        try #expect(portrait(CoordinatorCodec.decode(golden)) == portrait(message))
    }

    @Test func `the status channel's messages`() throws {
        let event = try frames("event")
        #expect(event[0].text == "edit/p1/src/App.tsx")
        #expect(JSONBody.event(Golden.event) == event[1].bytes)
        let mark = try frames("mark")
        #expect(mark[0].text == "edit/p1/src/")
        let body = Body.Mark(number: 9, project: "p1", projectNumber: 5)
        #expect(Body.encode(body) == mark[1])
        let hint = Body.Hint(worker: "w0", life: "00000000000000aa", state: "joined")
        try #expect(Body.encode(hint) == frames("worker-hint")[1])
    }

    @Test func `every golden message of the article is tested`() throws {
        let names =
            Golden.requests.map(\.0) + Golden.replies.map(\.0)
            + Golden.fromWorkers.map(\.0) + Golden.toWorkers.map(\.0)
            + ["event", "mark", "worker-hint"]
        #expect(try Self.article.get().goldenNames == names)
    }

    @Test func `every verb, code and kind of event stands in the article`() throws {
        let article = try Self.article.get()
        let words =
            Wire.Request.allCases.map(\.rawValue) + Wire.Reply.allCases.map(\.rawValue)
            + Wire.FromWorker.allCases.map(\.rawValue) + Wire.ToWorker.allCases.map(\.rawValue)
            + RejectionCode.allCases.map(\.rawValue) + EventKind.allCases.map(\.word)
            + FailureClass.allCases.map(\.rawValue)
        for word in words { #expect(article.mentions(word), "\(word)") }
    }

    @Test func `every verb has a golden message`() throws {
        let article = try Self.article.get()
        let told = try Set(
            article.goldenNames.map { try article.golden($0) }
                .filter { $0.count > 1 }.map { String(decoding: $0[1], as: UTF8.self) })
        let verbs =
            Wire.Request.allCases.map(\.rawValue) + Wire.Reply.allCases.map(\.rawValue)
            + Wire.FromWorker.allCases.map(\.rawValue) + Wire.ToWorker.allCases.map(\.rawValue)
        for verb in verbs { #expect(told.contains(verb), "\(verb)") }
    }
}
