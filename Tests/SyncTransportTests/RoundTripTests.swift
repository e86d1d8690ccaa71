import SyncCore
import SyncTestKit
import Testing
import ZeroMQ

@testable import SyncTransport

/// What one side writes, the other reads: every verb, every body, a thousand of each.
@Suite struct RoundTripTests {
    private let rounds = 1_000

    @Test(arguments: Wire.Request.allCases)
    func `a client's request is read as it was written`(_ verb: Wire.Request) throws {
        var sample = Sample(seed: 1)
        for _ in 0..<rounds {
            let request = sample.request(verb)
            let id = Array("\(sample.number())".utf8)
            let envelopes: [Message] = [[], [Frame("")], [Frame([0, 1, 2, 3]), Frame("")]]
            let envelope = [Frame([0, 9, 9, 9, 9])] + sample.one(of: envelopes)
            let frames = ClientCodec.encode(request, id: id)
            #expect(frames[1].text == verb.rawValue)
            let decoded = try #require(
                ClientCodec.request(envelope + frames, limits: WireLimits()))
            #expect(decoded.route.envelope == envelope.map(\.bytes))
            #expect(decoded.route.request == id)
            try #expect(portrait(decoded.request.get()) == portrait(request))
        }
    }

    @Test(arguments: [(1, false), (64, false), (8_191, false), (8_192, true), (100_000, true)])
    func `a small content leaves libzmq's receive buffer, a large one is shared`(
        byteCount: Int, isShared: Bool
    ) throws {
        let edit = MachineCluster.put("a", String(repeating: "x", count: byteCount))
        let frames = ClientCodec.encode(
            .edits(
                project: MachineCluster.name("p"), producer: MachineCluster.producer(),
                [EditItem(number: 1, edit: .success(edit))]), id: [1])
        let sent = try #require(frames.last)
        let decoded = try #require(
            ClientCodec.request([Frame([0, 1])] + frames, limits: WireLimits()))
        guard case .edits(_, _, let items) = try decoded.request.get(),
            case .put(let content, _) = try items[0].edit.get().change
        else {
            Issue.record("no put")
            return
        }
        #expect(content == edit.change.content)
        let kept = content.withBytes { $0.baseAddress.map { UInt(bitPattern: $0) } }
        let received = sent.withUnsafeBytes { $0.baseAddress.map { UInt(bitPattern: $0) } }
        #expect((kept == received) == isShared)
    }

    @Test(arguments: Wire.Reply.allCases)
    func `a reply is read as it was written`(_ verb: Wire.Reply) throws {
        var sample = Sample(seed: 2)
        for _ in 0..<rounds {
            let reply = sample.reply(verb)
            let route = ClientRoute(envelope: [[0, 1], []], request: [7])
            let frames = ClientCodec.encode(reply, to: route)
            #expect(frames[..<2].map(\.bytes) == route.envelope)
            #expect(frames[3].text == verb.rawValue)
            let (request, decoded) = try #require(ClientCodec.reply(Array(frames[2...])))
            #expect(request == [7])
            #expect(portrait(decoded) == portrait(reply))
        }
    }

    @Test(arguments: Wire.FromWorker.allCases)
    func `a worker's message is read as it was written`(_ verb: Wire.FromWorker) throws {
        var sample = Sample(seed: 3)
        for _ in 0..<rounds {
            let message = sample.message(verb)
            let frames = WorkerCodec.encode(message)
            #expect(frames[1].text == verb.rawValue)
            try #expect(portrait(WorkerCodec.decode(frames[...])) == portrait(message))
        }
    }

    @Test(arguments: Wire.ToWorker.allCases)
    func `a coordinator's message is read as it was written`(_ verb: Wire.ToWorker) throws {
        var sample = Sample(seed: 4)
        let (sent, heard) = (TargetTables(), TargetTables())
        for _ in 0..<rounds {
            let message = sample.message(verb)
            let frames = CoordinatorCodec.encode(message)
            #expect(frames[1].text == verb.rawValue)
            try #expect(portrait(CoordinatorCodec.decode(frames)) == portrait(message))
            // Twice: the second time from what is remembered.
            for _ in 0..<2 {
                #expect(CoordinatorCodec.encode(message, with: sent) == frames)
                let decoded = try CoordinatorCodec.decode(frames, with: heard)
                #expect(portrait(decoded) == portrait(message))
            }
        }
    }

    @Test func `a failure whose message has control characters still arrives`() throws {
        let failure = Failure(.attempt, code: "E\rIO", message: "line one\r\nline two\u{0}\r")
        let url = try #require(TargetURL("local:p1"))
        let outcome = Outcome(
            assignment: AssignmentID(epoch: Epoch(bits: 1), serial: 2), store: .stored(Version(3)),
            targets: [url: .failed(failure)])
        let frame = ReportCodec.encode(NumberedReport(number: 4, report: .outcome(outcome)))
        let text = try #require(frame.text)
        let decoded = try #require(ReportCodec.decode(text))
        guard case .outcome(let back) = decoded.report, case .failed(let told)? = back.targets[url]
        else {
            Issue.record("not the outcome that was sent")
            return
        }
        #expect(told.code == "E IO")
        #expect(told.message == "line one  line two  ")
    }
}
