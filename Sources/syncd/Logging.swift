import Foundation
import Logging
import SyncCore
import SyncTransport

/// Writes log lines to standard error: text for people, one JSON object a line for programs.
struct LineLogHandler: LogHandler {
    /// How lines look.
    enum Format: String, CaseIterable, Sendable {
        case text
        case json
    }

    /// A field of a JSON line: what was logged as a number stays one.
    private enum Field: Encodable {
        case text(String)
        case number(Int)

        init(_ value: Logger.Metadata.Value) {
            if case .stringConvertible(let number as any BinaryInteger) = value,
                let number = Int(exactly: number)
            {
                self = .number(number)
            } else {
                self = .text("\(value)")
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .text(let text): try container.encode(text)
            case .number(let number): try container.encode(number)
            }
        }
    }

    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let format: Format

    init(label: String, format: Format, level: Logger.Level) {
        self.label = label
        self.format = format
        logLevel = level
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var merged = metadata
        if let given = event.metadata { merged.merge(given) { $1 } }
        if let error = event.error { merged["error"] = "\(error)" }
        let fields = merged.sorted { $0.key < $1.key }
        let time = Date(
            timeIntervalSince1970: Double(ProcessClock.wall.milliseconds) / 1_000)
        let stamp = time.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        switch format {
        case .text:
            let rest = fields.map { " \($0.key)=\($0.value)" }.joined()
            Terminal.write(
                "\(stamp) \(event.level) \(label): \(event.message)\(rest)\n", to: STDERR_FILENO)
        case .json:
            var object: [String: Field] = [
                "time": .text(stamp), "level": .text("\(event.level)"), "logger": .text(label),
                "message": .text("\(event.message)"),
            ]
            for (key, value) in fields { object[key] = Field(value) }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            guard let line = try? encoder.encode(object) else { return }
            Terminal.write(String(decoding: line, as: UTF8.self) + "\n", to: STDERR_FILENO)
        }
    }
}
