import Foundation

/// Standard output and error, as a person and a program see them.
enum Terminal {
    /// Whether standard error is a terminal: progress is drawn only there.
    static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }

    /// Writes a line to standard output.
    static func say(_ line: String) { write(line + "\n", to: STDOUT_FILENO) }

    /// Writes a line to standard error.
    static func complain(_ line: String) { write("syncd: \(line)\n", to: STDERR_FILENO) }

    /// Writes an object as one line of JSON to standard output.
    static func say(json body: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        say(String(decoding: try encoder.encode(body), as: UTF8.self))
    }

    /// Writes all bytes; a closed reader ends the program quietly, as a pipe's writer should.
    static func write(_ text: String, to descriptor: Int32) {
        write(bytes: Array(text.utf8), to: descriptor)
    }

    /// Writes bytes as they are.
    static func write(bytes: [UInt8], to descriptor: Int32) {
        var offset = 0
        bytes.withUnsafeBytes { buffer in
            while offset < buffer.count {
                let count = Foundation.write(
                    descriptor, buffer.baseAddress?.advanced(by: offset), buffer.count - offset)
                if count < 0 {
                    if errno == EINTR { continue }
                    return
                }
                offset += count
            }
        }
    }
}

/// A bar on a terminal, redrawn in place; nothing elsewhere.
struct ProgressBar {
    private let label: String
    private var drawnAt = ContinuousClock.now - .seconds(1)

    init(_ label: String) { self.label = label }

    /// Draws `done` of `total`, at most ten times a second.
    mutating func draw(done: Int, total: Int?, note: String = "") {
        guard Terminal.isInteractive else { return }
        let now = ContinuousClock.now
        guard now - drawnAt > .milliseconds(100) || done == total else { return }
        drawnAt = now
        var line = "\r\u{1B}[2K\(label) "
        if let total, total > 0 {
            let filled = min(30, done * 30 / total)
            line += "[" + String(repeating: "█", count: filled)
            line += String(repeating: "·", count: 30 - filled) + "] \(done)/\(total)"
        } else {
            line += "\(done)"
        }
        Terminal.write(line + (note.isEmpty ? "" : "  \(note)"), to: STDERR_FILENO)
    }

    /// Ends the line.
    func finish() {
        if Terminal.isInteractive { Terminal.write("\n", to: STDERR_FILENO) }
    }
}
