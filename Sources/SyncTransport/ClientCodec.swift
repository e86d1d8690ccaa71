package import SyncCore
package import ZeroMQ

/// Frames ↔ requests and replies of clients.
package enum ClientCodec {
    // MARK: Requests, as intake reads them

    /// Decodes what came over intake; nil when there is nothing to answer to.
    ///
    /// - Parameter frames: Routing id first, then at most two envelope frames.
    package static func request(_ frames: Message, limits: WireLimits) -> DecodedRequest? {
        guard let head = head(of: frames) else { return nil }
        var reader = FrameReader(frames[head...])
        var id: [UInt8] = []
        let result: Result<ClientRequest, Rejection>
        do throws(Rejection) {
            let version = try reader.text("protocol version")
            guard version == Wire.version else {
                if let verb = try? reader.frame("verb"), verb.count <= 32,
                    let request = try? reader.frame("request id"),
                    request.count <= Wire.requestBytesMax
                {
                    id = request.bytes
                }
                throw Rejection(
                    .unsupportedVersion,
                    "This coordinator speaks \(Wire.version) only; the message names another "
                        + "version.")
            }
            let verb = try reader.text("verb")
            let request = try reader.frame("request id")
            // It is kept as long as the answer takes, so it must be short.
            guard request.count <= Wire.requestBytesMax else {
                throw Rejection(
                    .badRequest,
                    "The request id has \(request.count) bytes, more than the "
                        + "\(Wire.requestBytesMax) allowed.")
            }
            id = request.bytes
            guard let request = Wire.Request(rawValue: verb) else {
                let known = Wire.Request.allCases.map(\.rawValue).joined(separator: ", ")
                throw Rejection(.badRequest, "The verb is unknown; known are \(known).")
            }
            result = .success(try decode(request, from: &reader, limits: limits))
        } catch {
            result = .failure(error)
        }
        let route = ClientRoute(envelope: frames[..<head].map(\.bytes), request: id)
        return DecodedRequest(route: route, request: result)
    }

    /// The route of a message that was too big to be kept, by its first frames.
    package static func route(ofOversize prefix: Message) -> ClientRoute? {
        guard let head = head(of: prefix) else { return nil }
        let request = prefix.count > head + 2 ? prefix[head + 2] : Frame("")
        return ClientRoute(
            envelope: prefix[..<head].map(\.bytes),
            request: request.count <= Wire.requestBytesMax ? request.bytes : [])
    }

    /// Where the protocol's own frames begin: after the routing id and at most two envelope frames.
    private static func head(of frames: Message) -> Int? {
        guard frames.count >= 2 else { return nil }
        for index in 1...min(3, frames.count - 1) {
            let frame = frames[index]
            if frame.count < 32, frame.text?.hasPrefix("syncd/") ?? false { return index }
            // Echoed as it is, so it must be short; a REQ's are empty or four bytes.
            if frame.count > Wire.requestBytesMax { break }
        }
        return 1
    }

    private static func decode(
        _ verb: Wire.Request, from reader: inout FrameReader, limits: WireLimits
    ) throws(Rejection) -> ClientRequest {
        let request: ClientRequest
        switch verb {
        case .edit: return try edits(from: &reader, limits: limits)
        case .wait:
            let project = try reader.project()
            let producer = try reader.producer()
            let number = try reader.number("number")
            request = .wait(project: project, EditID(producer: producer, number: number))
        case .queue:
            let query = try reader.query(Body.QueueQuery.self)
            let project = try Field.project(query.project)
            request = .queue(
                project: project, prefix: try Field.prefix(query.prefix ?? ""),
                after: try Field.after(query.after)?.text ?? "", countMax: query.max ?? 100)
        case .flush:
            let project = try reader.project()
            request = .flush(project: project, prefix: try Field.prefix(reader.text("prefix")))
        case .replay:
            let from = try reader.number("first event")
            let query = try reader.query(Body.PageQuery.self)
            request = .replay(
                from: from, project: try Field.project(query.project), countMax: query.max ?? 1_000)
        case .snapshot:
            let project = try reader.project()
            let query = try reader.query(Body.PageQuery.self)
            request = .snapshot(
                project: project, prefix: try Field.prefix(query.prefix ?? ""),
                after: try Field.after(query.after), countMax: query.max ?? 1_000)
        case .failed: request = .failed(try FailedCodec.query(from: &reader))
        case .retry: request = .order(try FailedCodec.order(.retry, from: &reader))
        case .discard: request = .order(try FailedCodec.order(.discard, from: &reader))
        case .project:
            let project = try reader.project()
            request = .project(project, try ProjectCodec.action(from: &reader))
        case .died:
            guard let life = Hexadecimal.value(of: try reader.text("life")) else {
                throw Rejection(.badRequest, "The life must be 16 hexadecimal digits.")
            }
            let cause = reader.count > 0 ? try reader.text("cause") : "died"
            guard cause == "died" || cause == "killed" else {
                throw Rejection(.badRequest, "The cause of a death is 'died' or 'killed'.")
            }
            request = .died(life: life, isKilled: cause == "killed")
        }
        try reader.end()
        return request
    }

    private static func edits(
        from reader: inout FrameReader, limits: WireLimits
    ) throws(Rejection) -> ClientRequest {
        let project = try reader.project()
        let producer = try reader.producer()
        guard reader.count > 0, reader.count % 4 == 0 else {
            throw Rejection(
                .badRequest,
                "An EDIT has four frames per edit (number, path, options, content) and at least "
                    + "one edit; this one has \(reader.count) frames after the producer.")
        }
        guard reader.count / 4 <= limits.editsMax else {
            throw Rejection(
                .tooLarge,
                "The message has \(reader.count / 4) edits, more than the \(limits.editsMax) "
                    + "allowed; send several messages.")
        }
        var items: [EditItem] = []
        items.reserveCapacity(reader.count / 4)
        while reader.count > 0 {
            let number = Result { () throws(Rejection) in try reader.number("number") }
            let path = try reader.frame("path")
            let options = try reader.frame("options")
            let content = try reader.frame("content")
            let edit = Result { () throws(Rejection) in
                _ = try number.get()
                return try Self.edit(path, options, content, limits: limits)
            }
            items.append(EditItem(number: (try? number.get()) ?? 0, edit: edit))
        }
        return .edits(project: project, producer: producer, items)
    }

    private static func edit(
        _ path: Frame, _ options: Frame, _ content: Frame, limits: WireLimits
    ) throws(Rejection) -> Edit {
        guard let text = path.text else {
            throw Rejection(.invalidPath, EditPath.Flaw.invalidUTF8.sentence)
        }
        let parsed = try Field.path(text)
        var chosen = Body.Options()
        if !options.isEmpty {
            guard let given = Body.decodeShort(Body.Options.self, from: options) else {
                throw Rejection(
                    .badRequest,
                    "The options are no JSON object of the documented fields; an empty frame "
                        + "stands for none.")
            }
            chosen = given
        }
        guard content.count <= limits.contentBytesMax else {
            throw Rejection(
                .tooLarge,
                "The content has \(content.count) bytes, more than the \(limits.contentBytesMax) "
                    + "allowed.")
        }
        let isDelete = chosen.delete ?? false
        if isDelete, !content.isEmpty || chosen.executable ?? false {
            throw Rejection(
                .badRequest, "A delete has no content and no executable bit; send an empty frame.")
        }
        // It may wait for hours: not in a receive buffer that it keeps as a whole.
        let change: FileChange =
            isDelete
            ? .delete
            : .put(Content(content.standalone), isExecutable: chosen.executable ?? false)
        return Edit(
            path: parsed, change: change, targets: try Field.targets(chosen.targets ?? []),
            expectedVersion: try Field.version(chosen.expectedVersion),
            wantsEnd: chosen.end ?? false)
    }

    // MARK: Requests, as clients write them

    /// Frames of a request, without envelope.
    package static func encode(_ request: ClientRequest, id: [UInt8]) -> Message {
        func message(_ verb: Wire.Request, _ fields: [Frame]) -> Message {
            [Frame(Wire.version), Frame(verb.rawValue), Frame(id)] + fields
        }
        switch request {
        case .edits(let project, let producer, let items):
            var fields = [Frame(project.text), Frame(producer.text)]
            fields.reserveCapacity(2 + items.count * 4)
            for item in items {
                guard case .success(let edit) = item.edit else { continue }
                fields += [
                    Frame(item.number), Frame(edit.path.text), options(of: edit),
                    edit.change.content?.frame ?? Frame(""),
                ]
            }
            return message(.edit, fields)
        case .wait(let project, let id):
            return message(
                .wait, [Frame(project.text), Frame(id.producer.text), Frame(id.number)])
        case .queue(let project, let prefix, let after, let countMax):
            let query = Body.QueueQuery(
                project: project?.text, prefix: prefix, after: after, max: countMax)
            return message(.queue, [Body.encode(query)])
        case .flush(let project, let prefix):
            return message(.flush, [Frame(project.text), Frame(prefix)])
        case .replay(let from, let project, let countMax):
            let query = Body.PageQuery(project: project?.text, max: countMax)
            return message(.replay, [Frame(from), Body.encode(query)])
        case .snapshot(let project, let prefix, let after, let countMax):
            let query = Body.PageQuery(prefix: prefix, after: after?.text, max: countMax)
            return message(.snapshot, [Frame(project.text), Body.encode(query)])
        case .failed(let query): return message(.failed, [FailedCodec.encode(query)])
        case .order(let order):
            let verb: Wire.Request =
                switch order.action {
                case .retry: .retry
                case .discard: .discard
                }
            return message(verb, FailedCodec.encode(order))
        case .project(let project, let action):
            return message(.project, [Frame(project.text), ProjectCodec.encode(action)])
        case .died(let life, let isKilled):
            return message(
                .died,
                [Frame(Hexadecimal.digits(of: life))] + (isKilled ? [Frame("killed")] : []))
        }
    }

    private static func options(of edit: Edit) -> Frame {
        let isPlain =
            !edit.change.isDelete && !edit.change.isExecutable && edit.targets.isEmpty
            && edit.expectedVersion == nil && !edit.wantsEnd
        if isPlain { return Frame("") }
        return Body.encode(
            Body.Options(
                delete: edit.change.isDelete ? true : nil,
                executable: edit.change.isExecutable ? true : nil,
                targets: edit.targets.isEmpty ? nil : edit.targets.map(\.text),
                expectedVersion: edit.expectedVersion?.value, end: edit.wantsEnd ? true : nil))
    }
}
