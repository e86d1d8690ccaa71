import Foundation
import SyncCore

/// What a source of edits yields, in order.
enum SourceStep: Sendable {
    /// One file's new state.
    case edit(EditPath, FileChange)
    /// Something that can't be an edit.
    case skipped(SkippedEntry)
    /// A commit's edits are complete.
    case commitEnd(hash: String, index: Int, total: Int)
}

/// Something that can't be an edit, and why.
struct SkippedEntry: Sendable, Codable, Equatable {
    /// Reasons, as words for programs.
    enum Reason: String, Sendable, Codable, CaseIterable {
        case symbolicLink = "symbolic-link"
        case submodule
        case specialFile = "special-file"
        case invalidPath = "invalid-path"
        case tooLarge = "too-large"
        case sameAfterNFC = "same-name-after-nfc"
        case unreadable
        case dataDirectory = "data-directory"
    }

    /// The path; bytes that are no UTF-8 shown as `\xNN`.
    let path: String
    /// Why.
    let reason: Reason
    /// More, for a person.
    let detail: String
    /// Whether the path was named itself, and not only met.
    var isNamed = false

    init(_ path: [UInt8], _ reason: Reason, detail: String = "") {
        self.path = Self.shown(path)
        self.reason = reason
        self.detail = detail
    }

    /// A file that is larger than a content may be.
    static func tooLarge(_ path: [UInt8], _ count: Int, of most: Int) -> SkippedEntry {
        SkippedEntry(path, .tooLarge, detail: "\(count) bytes, the coordinator takes \(most)")
    }

    /// A path as it can be printed.
    static func shown(_ path: [UInt8]) -> String {
        guard let text = String(validating: path, as: UTF8.self) else {
            return path.map { byte in
                (0x20..<0x7F).contains(byte)
                    ? String(UnicodeScalar(byte)) : "\\x" + String(byte, radix: 16)
            }.joined()
        }
        return text.unicodeScalars.map { scalar in
            scalar.properties.generalCategory == .control
                ? scalar.escaped(asASCII: true) : String(scalar)
        }.joined()
    }
}

/// Counts what was skipped by reason, and lists the first of each.
struct SkippedReport: Sendable, Codable {
    private static let listedMax = 10

    private(set) var counts: [String: Int] = [:]
    private(set) var first: [SkippedEntry] = []
    /// Of all of them, those that were named themselves.
    private(set) var named = 0

    /// Counts an entry; one that was listed before is not listed again.
    mutating func add(_ entry: SkippedEntry) {
        counts[entry.reason.rawValue, default: 0] += 1
        if entry.isNamed { named += 1 }
        let listed = first.count { $0.reason == entry.reason }
        if listed < Self.listedMax, !first.contains(entry) { first.append(entry) }
    }

    /// Lines for a person.
    var lines: [String] {
        var lines: [String] = []
        for (reason, count) in counts.sorted(by: { $0.key < $1.key }) {
            lines.append("skipped \(count) × \(reason)")
            for entry in first where entry.reason.rawValue == reason {
                lines.append(
                    "  \(entry.path)" + (entry.detail.isEmpty ? "" : " (\(entry.detail))"))
            }
        }
        return lines
    }
}

/// Runs a source on a thread of its own: reading files and pipes blocks.
///
/// At most `aheadMax` steps are read ahead of the consumer.
struct StepStream: AsyncSequence, Sendable {
    typealias Element = SourceStep
    typealias Failure = any Error

    private static let aheadMax = 256

    private let stream: AsyncThrowingStream<SourceStep, any Error>
    private let room: DispatchSemaphore

    /// Starts the thread.
    init(_ produce: @escaping @Sendable (_ yield: (SourceStep) -> Bool) throws -> Void) {
        let room = DispatchSemaphore(value: Self.aheadMax)
        self.room = room
        let (stream, continuation) = AsyncThrowingStream<SourceStep, any Error>.makeStream()
        self.stream = stream
        continuation.onTermination = { _ in
            for _ in 0...Self.aheadMax { room.signal() }
        }
        let thread = Thread {
            do {
                try produce { step in
                    room.wait()
                    if case .terminated = continuation.yield(step) { return false }
                    return true
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        thread.name = "edit-source"
        thread.stackSize = 4 << 20
        thread.start()
    }

    /// Takes steps and gives their room back.
    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var inner: AsyncThrowingStream<SourceStep, any Error>.AsyncIterator
        fileprivate let room: DispatchSemaphore

        mutating func next() async throws -> SourceStep? {
            let step = try await inner.next(isolation: #isolation)
            room.signal()
            return step
        }
    }

    func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(inner: stream.makeAsyncIterator(), room: room)
    }
}
