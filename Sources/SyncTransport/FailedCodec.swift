internal import SyncCore
internal import ZeroMQ

/// Frames ↔ the failed list and what is done with it.
enum FailedCodec {
    // MARK: Requests

    static func query(from reader: inout FrameReader) throws(Rejection) -> FailedQuery {
        let body = try reader.query(Body.QueueQuery.self)
        return FailedQuery(
            project: try Field.project(body.project),
            prefix: try Field.prefix(body.prefix ?? ""), after: body.after ?? "",
            countMax: body.max ?? 100)
    }

    static func encode(_ query: FailedQuery) -> Frame {
        Body.encode(
            Body.QueueQuery(
                project: query.project?.text, prefix: query.prefix, after: query.after,
                max: query.countMax))
    }

    static func order(
        _ action: FailedAction, from reader: inout FrameReader
    ) throws(Rejection) -> FailedOrder {
        let project = try reader.project()
        guard let by = Name(try reader.text("name of who decides")) else {
            throw Rejection(
                .badRequest,
                "Who decides must be a name of A-Z a-z 0-9 _ - and '.', at most \(Name.bytesMax).")
        }
        guard reader.count > 0, reader.count % 2 == 0 else {
            throw Rejection(
                .badRequest, "Name at least one entry, each by two frames: path and sequence.")
        }
        guard reader.count / 2 <= FailedOrder.itemsMax else {
            throw Rejection(
                .tooLarge,
                "The message names \(reader.count / 2) entries, more than the "
                    + "\(FailedOrder.itemsMax) allowed; send several messages.")
        }
        var items: [FailedOrder.Item] = []
        while reader.count > 0 {
            let path = try Field.path(try reader.text("path"))
            let sequence = EditSequence(try reader.number("sequence"))
            items.append(FailedOrder.Item(path: path, sequence: sequence))
        }
        return FailedOrder(action: action, project: project, by: by, items: items)
    }

    static func encode(_ order: FailedOrder) -> [Frame] {
        [Frame(order.project.text), Frame(order.by.text)]
            + order.items.flatMap { [Frame($0.path.text), Frame($0.sequence.value)] }
    }

    // MARK: Replies

    static func encode(_ entries: [FailedEntry], next: String?) -> Frame {
        Body.encode(Body.FailedPage(entries: entries.map { Body.FailedEntry($0) }, next: next))
    }

    static func page(from reader: inout FrameReader) throws(Rejection) -> ClientReply {
        let page = try reader.json(Body.FailedPage.self, "page")
        return .failed(page.entries.compactMap(\.value), next: page.next)
    }

    static func results(from reader: inout FrameReader) throws(Rejection) -> ClientReply {
        var results: [FailedResult] = []
        while reader.count > 0 {
            guard let result = FailedResult(rawValue: try reader.text("result")) else {
                throw Rejection(.badRequest, "The coordinator's reply makes no sense.")
            }
            results.append(result)
        }
        return .ordered(results)
    }
}

extension Body {
    /// A page of the failed list.
    struct FailedPage: Codable {
        var entries: [FailedEntry]
        var next: String?
    }

    /// One entry of the failed list, on the wire and as `syncd failed list --json` prints it.
    struct FailedEntry: Codable {
        var project: String
        var path: String
        var sequence: UInt64
        var producer: String
        var producerNumber: UInt64
        var delete: Bool?
        var bytes: Int
        var acceptedAt: UInt64
        var failedAt: UInt64
        var attempts: Int
        var code: String
        var reason: String
    }
}

extension Body.FailedEntry {
    init(_ entry: FailedEntry) {
        self.init(
            project: entry.file.project.text, path: entry.file.path.text,
            sequence: entry.sequence.value, producer: entry.id.producer.text,
            producerNumber: entry.id.number, delete: entry.isDelete ? true : nil,
            bytes: entry.byteCount, acceptedAt: entry.acceptedAt.milliseconds,
            failedAt: entry.failure.failedAt.milliseconds, attempts: entry.failure.attempts,
            code: entry.failure.code, reason: entry.failure.reason)
    }

    var value: FailedEntry? {
        guard let project = Name(project), let path = try? EditPath(path),
            let producer = ProducerID(producer)
        else { return nil }
        return FailedEntry(
            file: FileKey(project: project, path: path), sequence: EditSequence(sequence),
            id: EditID(producer: producer, number: producerNumber), isDelete: delete ?? false,
            byteCount: bytes, acceptedAt: Timestamp(milliseconds: acceptedAt),
            failure: FailureRecord(
                code: code, reason: reason, attempts: attempts,
                failedAt: Timestamp(milliseconds: failedAt)))
    }
}
