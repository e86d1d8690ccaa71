package import SyncCore
package import ZeroMQ

extension ClientCodec {
    // MARK: Replies, as intake writes them

    /// Frames of a reply, envelope first.
    package static func encode(_ reply: ClientReply, to route: ClientRoute) -> Message {
        var message = route.envelope.map { Frame($0) }
        func add(_ verb: Wire.Reply, _ fields: [Frame]) {
            message += [Frame(Wire.version), Frame(verb.rawValue), Frame(route.request)]
            message += fields
        }
        switch reply {
        case .edits(let answers): add(.answer, answers.flatMap { encode($0) })
        case .end(let id, let sequence, let end):
            add(
                .end,
                [
                    Frame(id.producer.text), Frame(id.number), Frame(sequence.value),
                    Body.encode(Body.End(end)),
                ])
        case .queue(let report): add(.queue, [Body.encode(Body.Queue(report))])
        case .flushed(let through): add(.flushed, [Frame(through.value)])
        case .blocked(let causes, let count):
            let page = Body.Page(files: causes.map { Body.File($0) })
            add(.blocked, [Frame(UInt64(count)), Body.encode(page)])
        case .events(let events, let next, let last):
            add(
                .events,
                [Frame(next), Frame(last)] + events.map { Body.encode(Body.Event($0)) })
        case .gap(let first, let last): add(.gap, [Frame(first), Frame(last)])
        case .snapshot(let files, let number, let projectNumber, let next):
            let page = Body.Page(files: files.map { Body.File($0) }, next: next?.text)
            add(.snapshot, [Frame(number), Frame(projectNumber), Body.encode(page)])
        case .failed(let entries, let next):
            add(.failed, [FailedCodec.encode(entries, next: next)])
        case .ordered(let results): add(.ordered, results.map { Frame($0.rawValue) })
        case .project(let project, let sentence):
            add(.project, [Body.encode(Body.Queue.Project(project, sentence: sentence))])
        case .done: add(.done, [])
        case .rejected(let rejection):
            add(
                .rejected,
                [Frame(rejection.code.rawValue), Body.encode(Body.Refusal(rejection))])
        }
        return message
    }

    private static func encode(_ answer: EditAnswer) -> [Frame] {
        switch answer.result {
        case .success(let acceptance):
            [
                Frame(answer.number), Frame("ACCEPTED"), Frame(acceptance.sequence.value),
                acceptance.end.map { Body.encode(Body.End($0)) } ?? Frame(""),
            ]
        case .failure(let rejection):
            [
                Frame(answer.number), Frame("REJECTED"), Frame(rejection.code.rawValue),
                Body.encode(Body.Refusal(rejection)),
            ]
        }
    }

    // MARK: Replies, as clients read them

    /// Decodes a reply; nil when the frames are none of this version.
    ///
    /// - Parameter frames: Without envelope.
    package static func reply(_ frames: Message) -> (request: [UInt8], reply: ClientReply)? {
        guard frames.count >= 3, frames[0].text == Wire.version,
            let verb = frames[1].text.flatMap({ Wire.Reply(rawValue: $0) })
        else { return nil }
        var reader = FrameReader(frames[3...])
        guard let reply = try? decode(verb, from: &reader) else { return nil }
        return (frames[2].bytes, reply)
    }

    private static func decode(
        _ verb: Wire.Reply, from reader: inout FrameReader
    ) throws(Rejection) -> ClientReply {
        switch verb {
        case .answer:
            var answers: [EditAnswer] = []
            while reader.count > 0 { answers.append(try answer(from: &reader)) }
            return .edits(answers)
        case .end:
            let producer = try reader.producer()
            let number = try reader.number("number")
            let sequence = EditSequence(try reader.number("sequence"))
            guard let end = try reader.json(Body.End.self, "end").value else { throw garbled }
            return .end(
                EditID(producer: producer, number: number), sequence: sequence, end)
        case .queue:
            guard let report = try reader.json(Body.Queue.self, "report").value else {
                throw garbled
            }
            return .queue(report)
        case .flushed: return .flushed(through: EditSequence(try reader.number("sequence")))
        case .blocked:
            let count = try reader.number("count")
            let page = try reader.json(Body.Page.self, "causes")
            return .blocked(page.files.compactMap(\.value), count: Int(count))
        case .events:
            let next = try reader.number("next")
            let last = try reader.number("last")
            var events: [StatusEvent] = []
            while reader.count > 0 {
                guard let event = try reader.json(Body.Event.self, "event").value else {
                    throw garbled
                }
                events.append(event)
            }
            return .events(events, next: next, last: last)
        case .gap: return .gap(first: try reader.number("first"), last: try reader.number("last"))
        case .snapshot:
            let number = try reader.number("number")
            let projectNumber = try reader.number("project number")
            let page = try reader.json(Body.Page.self, "page")
            return .snapshot(
                page.files.compactMap(\.value), number: number, projectNumber: projectNumber,
                next: page.next.flatMap { try? EditPath($0) })
        case .failed: return try FailedCodec.page(from: &reader)
        case .ordered: return try FailedCodec.results(from: &reader)
        case .project:
            let body = try reader.json(Body.Queue.Project.self, "project")
            guard let project = body.value else { throw garbled }
            return .project(project, sentence: body.sentence ?? "")
        case .done: return .done
        case .rejected:
            let code = try rejectionCode(from: &reader)
            return .rejected(try reader.json(Body.Refusal.self, "refusal").value(code))
        }
    }

    private static let garbled = Rejection(.badRequest, "The coordinator's reply makes no sense.")

    /// A code that a newer coordinator added reads as `unknown`.
    private static func rejectionCode(
        from reader: inout FrameReader
    ) throws(Rejection) -> RejectionCode {
        RejectionCode(rawValue: try reader.text("code")) ?? .unknown
    }

    private static func answer(from reader: inout FrameReader) throws(Rejection) -> EditAnswer {
        let number = try reader.number("number")
        switch try reader.text("result") {
        case "ACCEPTED":
            let sequence = EditSequence(try reader.number("sequence"))
            let detail = try reader.frame("detail")
            let end = detail.isEmpty ? nil : Body.decode(Body.End.self, from: detail)?.value
            return EditAnswer(
                number: number, result: .success(Acceptance(sequence: sequence, end: end)))
        case "REJECTED":
            let code = try rejectionCode(from: &reader)
            let refusal = try reader.json(Body.Refusal.self, "refusal")
            return EditAnswer(number: number, result: .failure(refusal.value(code)))
        default: throw garbled
        }
    }
}
