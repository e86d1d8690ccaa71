internal import SyncCore
internal import ZeroMQ

/// Lines of a frame.
enum LinesOfText {
    /// Splits at every line feed, by bytes: as characters, a carriage return before one would hide
    /// it.
    static func split(_ text: String) -> [String] {
        var text = text
        return text.withUTF8 { bytes in
            var lines: [String] = []
            var start = 0
            while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
                lines.append(line(bytes[start..<end]))
                start = end + 1
            }
            lines.append(line(bytes[start...]))
            return lines
        }
    }

    private static func line(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> String {
        String(decoding: UnsafeBufferPointer(rebasing: bytes), as: UTF8.self)
    }
}

/// One report as one frame: lines of text, no serializer on the hot path.
///
///     NUMBER "outcome" ASSIGNMENT STORE VALUE MESSAGE
///         (URL "visible"|"stuck" | URL "over" DRIFT | URL CLASS CODE RETRY MESSAGE)*
///     NUMBER "target" URL GENERATION FINDING VALUE MESSAGE
///
/// Each word is a line. Codes and messages are made by syncd; a control character in one becomes a
/// space.
enum ReportCodec {
    static func encode(_ numbered: NumberedReport) -> Frame {
        var lines = [String(numbered.number)]
        switch numbered.report {
        case .outcome(let outcome):
            lines += ["outcome", outcome.assignment.description]
            lines += encode(outcome.store)
            for (url, result) in outcome.targets.sorted(by: { $0.key < $1.key }) {
                lines.append(url.text)
                switch result {
                case .visible:
                    lines += outcome.drifts[url].map { ["over", $0.rawValue] } ?? ["visible"]
                case .stuck: lines.append("stuck")
                case .failed(let failure): lines += encode(failure)
                }
            }
        case .target(let report):
            lines += ["target", report.url.text, String(report.generation)]
            lines += encode(report.finding)
        }
        return Frame(lines.joined(separator: "\n"))
    }

    private static func flat(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 }) else { return text }
        return String(decoding: text.utf8.map { $0 < 0x20 ? 0x20 : $0 }, as: UTF8.self)
    }

    /// Four lines: class, code, wait in milliseconds or nothing, message.
    private static func encode(_ failure: Failure) -> [String] {
        [
            failure.failureClass.rawValue, flat(failure.code),
            failure.retryAfter.map { String($0.wholeMilliseconds) } ?? "", flat(failure.message),
        ]
    }

    private static func encode(_ store: StoreResult) -> [String] {
        switch store {
        case .stored(let version): ["stored", String(version.value), ""]
        case .stale(let newer): ["stale", String(newer.value), ""]
        case .conflict(let current): ["conflict", String(current.value), ""]
        case .refused(let reason): ["refused", "", flat(reason)]
        case .failed(let failure): ["failed", ""] + encode(failure)
        case .returned(let failure): ["returned", ""] + encode(failure)
        }
    }

    private static func encode(_ finding: TargetFinding) -> [String] {
        switch finding {
        case .marked(let mark): ["marked"] + (mark.map { [flat($0)] } ?? [])
        case .revoked(let incarnations): ["revoked"] + incarnations.map(\.description)
        case .othersRevoked: ["others-revoked"]
        case .settled(let path): ["settled", path.text]
        case .blank: ["blank"]
        case .rolledBack: ["rolled-back"]
        case .rebooted: ["rebooted"]
        case .taken(let owner): ["taken", flat(owner)]
        case .well(let mark): ["well"] + (mark.map { [flat($0)] } ?? [])
        case .failed(let failure): ["failed"] + encode(failure)
        }
    }

    // MARK: Reading

    static func decode(_ text: String) -> NumberedReport? {
        var lines = Lines(text)
        guard let number = lines.number(), let kind = lines.next() else { return nil }
        let report: Report
        switch kind {
        case "outcome":
            guard let outcome = outcome(from: &lines) else { return nil }
            report = .outcome(outcome)
        case "target":
            guard let url = lines.next().flatMap({ TargetURL($0) }),
                let generation = lines.number(), let finding = finding(from: &lines)
            else { return nil }
            report = .target(TargetReport(url: url, generation: generation, finding: finding))
        default: return nil
        }
        return NumberedReport(number: number, report: report)
    }

    private struct Lines {
        private var rest: [String].Iterator

        init(_ text: String) {
            rest = LinesOfText.split(text).makeIterator()
        }

        mutating func next() -> String? { rest.next() }

        mutating func number() -> UInt64? { rest.next().flatMap { FrameReader.number($0) } }
    }

    private static func failure(_ name: String, from lines: inout Lines) -> Failure? {
        guard let failureClass = FailureClass(rawValue: name), let code = lines.next(),
            let wait = lines.next(), let message = lines.next()
        else { return nil }
        return Failure(
            failureClass, code: code, message: message,
            retryAfter: FrameReader.number(wait).map { .milliseconds(Int64($0)) })
    }

    private static func outcome(from lines: inout Lines) -> Outcome? {
        guard let assignment = lines.next().flatMap({ AssignmentID($0) }),
            let store = store(from: &lines)
        else { return nil }
        var targets: [TargetURL: TargetResult] = [:]
        var drifts: [TargetURL: Drift] = [:]
        while let text = lines.next() {
            guard let url = TargetURL(text), let word = lines.next() else { return nil }
            switch word {
            case "visible": targets[url] = .visible
            case "over":
                guard let drift = lines.next().flatMap({ Drift(rawValue: $0) }) else { return nil }
                targets[url] = .visible
                drifts[url] = drift
            case "stuck": targets[url] = .stuck
            default:
                guard let failure = failure(word, from: &lines) else { return nil }
                targets[url] = .failed(failure)
            }
        }
        return Outcome(assignment: assignment, store: store, targets: targets, drifts: drifts)
    }

    private static func store(from lines: inout Lines) -> StoreResult? {
        guard let word = lines.next(), let value = lines.next() else { return nil }
        let number = FrameReader.number(value)
        switch word {
        case "stored", "stale", "conflict":
            guard let number, lines.next() != nil else { return nil }
            if word == "stored" { return .stored(Version(number)) }
            return word == "stale"
                ? .stale(by: EditSequence(number)) : .conflict(current: Version(number))
        case "refused": return lines.next().map { .refused(reason: $0) }
        case "failed", "returned":
            guard let name = lines.next(), let failure = failure(name, from: &lines) else {
                return nil
            }
            return word == "failed" ? .failed(failure) : .returned(failure)
        default: return nil
        }
    }

    private static func finding(from lines: inout Lines) -> TargetFinding? {
        switch lines.next() {
        case "marked": return .marked(as: lines.next())
        case "revoked":
            var incarnations: [Incarnation] = []
            while let text = lines.next() {
                guard let incarnation = Incarnation(text) else { return nil }
                incarnations.append(incarnation)
            }
            return .revoked(incarnations)
        case "others-revoked": return .othersRevoked
        case "settled":
            guard let path = lines.next().flatMap({ try? EditPath($0) }) else { return nil }
            return .settled(path)
        case "blank": return .blank
        case "rolled-back": return .rolledBack
        case "rebooted": return .rebooted
        case "taken": return lines.next().map { .taken(by: $0) }
        case "well": return .well(as: lines.next())
        case "failed":
            guard let name = lines.next() else { return nil }
            return failure(name, from: &lines).map { .failed($0) }
        default: return nil
        }
    }
}
