internal import FoundationEssentials
internal import SyncCore
internal import ZeroMQ

/// JSON bodies of the protocol: keys are documented in the article *Protocol*, and only ever added.
enum Body {
    /// Options of one edit; an empty frame stands for none.
    struct Options: Codable {
        var delete: Bool?
        var executable: Bool?
        var targets: [String]?
        var expectedVersion: UInt64?
        var end: Bool?
    }

    /// Detail of an acceptance: the end, if the edit has one.
    struct End: Codable {
        var end: String
        var version: UInt64?
        var by: UInt64?
        var code: String?
    }

    /// Detail of a refusal.
    struct Refusal: Codable {
        var message: String
        var retryMs: UInt64?
        var by: UInt64?
    }

    struct QueueQuery: Codable {
        var project: String?
        var prefix: String?
        var after: String?
        var max: Int?
    }

    struct PageQuery: Codable {
        var project: String?
        var prefix: String?
        var after: String?
        var max: Int?
    }

    struct File: Codable {
        var path: String
        var state: String
        var sequence: UInt64
        var open: UInt64?
        var attempts: Int
        var worker: String?
        var dueMs: UInt64?
        var code: String?
        var reason: String?
        var acceptedAt: UInt64
        var stored: UInt64?
        var visible: [String]?
        var missing: [String]?
    }

    struct Page: Codable {
        var files: [File]
        var next: String?
    }

    struct Event: Codable, SpelledBody {
        var type: String
        var number: UInt64
        var projectNumber: UInt64
        var time: UInt64
        var project: String
        var path: String?
        var sequence: UInt64?
        var producer: String?
        var producerNumber: UInt64?
        var version: UInt64?
        var by: UInt64?
        var attempts: Int?
        var delayMs: UInt64?
        var target: String?
        var code: String?
        var reason: String?

        private enum CodingKeys: String, CodingKey {
            case type, number, time, project, path, sequence, producer, version, by, attempts
            case target, code, reason
            case projectNumber = "project_number"
            case producerNumber = "producer_number"
            case delayMs = "delay_ms"
        }
    }

    struct Mark: Codable {
        var type = "mark"
        var number: UInt64
        var project: String?
        var projectNumber: UInt64?
    }

    struct Hint: Codable {
        var type = "worker"
        var worker: String
        var life: String
        var state: String
    }

    struct Failure: Codable {
        var failureClass: String
        var code: String
        var message: String
        var retryMs: UInt64?
    }

    struct Target: Codable {
        var url: String
        var project: String
        var generation: UInt64
        var marked: Bool
        var revokeOthers: Bool
        var revoke: [String]
        /// In a probe: whether a small file is to be written too.
        var tried: Bool?
        /// Whether it is being filled.
        var filling: Bool?
    }

    struct Welcome: Codable {
        var journal: String
        var adopted: Bool
        var leaseMs: UInt64
        var clock: UInt64
        var kept: Bool
    }

    struct Held: Codable {
        var assignment: String
        var project: String
        var path: String
        var sequence: UInt64
        var targets: [String]
        var refresh: Bool?
    }

    struct Register: Codable {
        var label: String
        var life: String
        var boot: String
        var store: String
        var storeJournal: String?
        var storeSequence: UInt64
        var root: String?
        var schemes: [String]
        var capacity: Int
        var previous: String?
        var registration: UInt64
        var held: [Held]
        var stuck: [Held]?
        var clock: UInt64
    }

    /// Encodes with snake-case keys, sorted, so that golden vectors are stable.
    static func encode(_ body: some Encodable) -> Frame { Frame(data(body)) }

    /// Encodes to bytes.
    static func data(_ body: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        if !(body is any SpelledBody) { encoder.keyEncodingStrategy = .convertToSnakeCase }
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(body) else {
            preconditionFailure("a body of plain values can always be encoded")
        }
        return [UInt8](data)
    }

    /// Decodes what anybody may send, so not more than a request can need.
    static func decodeShort<T: Decodable>(_ type: T.Type, from frame: Frame) -> T? {
        frame.count <= Wire.queryBytesMax ? decode(type, from: frame) : nil
    }

    /// Decodes; an empty frame stands for an empty object.
    static func decode<T: Decodable>(_ type: T.Type, from frame: Frame) -> T? {
        let decoder = JSONDecoder()
        if !(type is any SpelledBody.Type) { decoder.keyDecodingStrategy = .convertFromSnakeCase }
        let data = frame.isEmpty ? Data("{}".utf8) : frame.withUnsafeBytes { Data($0) }
        return try? decoder.decode(type, from: data)
    }
}

/// A body that spells its keys as they are sent.
///
/// To convert each key is half of what it takes to encode an event, and events are what the
/// coordinator sends most of.
protocol SpelledBody {}

extension Body.Failure {
    init(_ failure: Failure) {
        self.init(
            failureClass: failure.failureClass.rawValue, code: failure.code,
            message: failure.message, retryMs: failure.retryAfter?.wholeMilliseconds)
    }

    var value: Failure? {
        guard let failureClass = FailureClass(rawValue: failureClass) else { return nil }
        return Failure(
            failureClass, code: code, message: message,
            retryAfter: retryMs.map { .milliseconds(Int64(clamping: $0)) })
    }
}

extension Body.Target {
    init(_ target: AssignedTarget) {
        self.init(
            url: target.url.text, project: target.project.text, generation: target.generation,
            marked: target.isMarked, revokeOthers: target.revokesOthers,
            revoke: target.debts.map(\.description), tried: target.isTriedByWriting ? true : nil,
            filling: target.isBeingFilled ? true : nil)
    }

    var value: AssignedTarget? {
        guard let url = TargetURL(url), let project = Name(project) else { return nil }
        var target = AssignedTarget(
            url: url, project: project, generation: generation, isMarked: marked,
            revokesOthers: revokeOthers, debts: revoke.compactMap { Incarnation($0) })
        target.isTriedByWriting = tried ?? false
        target.isBeingFilled = filling ?? false
        return target
    }
}

extension Body.Event {
    init(_ event: StatusEvent) {
        self.init(
            type: event.kind.word, number: event.number, projectNumber: event.projectNumber,
            time: event.time.milliseconds, project: event.project.text, path: event.path?.text,
            sequence: event.sequence == .none ? nil : event.sequence.value,
            producer: event.id?.producer.text, producerNumber: event.id?.number,
            version: event.version == .none ? nil : event.version.value,
            by: event.by == .none ? nil : event.by.value,
            attempts: event.attempts == 0 ? nil : event.attempts,
            delayMs: event.delayMilliseconds == 0 ? nil : event.delayMilliseconds,
            target: event.target?.text, code: event.code.isEmpty ? nil : event.code,
            reason: event.reason.isEmpty ? nil : event.reason)
    }

    var value: StatusEvent? {
        guard let kind = EventKind.allCases.first(where: { $0.word == type }),
            let project = Name(project)
        else { return nil }
        let id = producer.flatMap { ProducerID($0) }.map {
            EditID(producer: $0, number: producerNumber ?? 0)
        }
        return StatusEvent(
            kind, project: project, path: path.flatMap { try? EditPath($0) },
            sequence: EditSequence(sequence ?? 0), id: id, version: Version(version ?? 0),
            by: EditSequence(by ?? 0), attempts: attempts ?? 0, delayMilliseconds: delayMs ?? 0,
            target: target.flatMap { TargetURL($0) }, code: code ?? "", reason: reason ?? "",
            time: Timestamp(milliseconds: time), number: number, projectNumber: projectNumber)
    }
}

extension Body.File {
    init(_ status: FileStatus) {
        self.init(
            path: status.path.text, state: status.state, sequence: status.sequence.value,
            open: status.open?.value, attempts: status.attempts, worker: status.worker?.text,
            dueMs: status.dueMilliseconds, code: status.code.isEmpty ? nil : status.code,
            reason: status.reason.isEmpty ? nil : status.reason,
            acceptedAt: status.acceptedAt.milliseconds, stored: status.stored?.value,
            visible: status.visible.isEmpty ? nil : status.visible.map(\.text),
            missing: status.missing.isEmpty ? nil : status.missing.map(\.text))
    }

    var value: FileStatus? {
        guard let path = try? EditPath(path) else { return nil }
        var status = FileStatus(
            path: path, state: state, sequence: EditSequence(sequence),
            open: open.map { EditSequence($0) }, attempts: attempts,
            worker: worker.flatMap { Name($0) }, dueMilliseconds: dueMs, code: code ?? "",
            reason: reason ?? "", acceptedAt: Timestamp(milliseconds: acceptedAt))
        status.stored = stored.map { Version($0) }
        status.visible = (visible ?? []).compactMap { TargetURL($0) }
        status.missing = (missing ?? []).compactMap { TargetURL($0) }
        return status
    }
}

extension Body.End {
    init(_ end: EditEnd) {
        self.init(
            end: end.kind.word, version: end.kind == .synced ? end.value : nil,
            by: end.kind == .superseded ? end.value : nil,
            code: end.code.isEmpty ? nil : end.code)
    }

    var value: EditEnd? {
        guard let kind = EventKind.allCases.first(where: { $0.word == end && $0.isEnd }) else {
            return nil
        }
        return EditEnd(kind: kind, value: version ?? by ?? 0, code: code ?? "")
    }
}

extension Body.Refusal {
    init(_ rejection: Rejection) {
        self.init(
            message: rejection.sentence, retryMs: rejection.retryAfter?.wholeMilliseconds,
            by: rejection.by?.value)
    }

    func value(_ code: RejectionCode) -> Rejection {
        Rejection(
            code, message, retryAfter: retryMs.map { .milliseconds(Int64(clamping: $0)) },
            by: by.map { EditSequence($0) })
    }
}
