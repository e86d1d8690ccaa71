internal import NIOCore
internal import SyncCore
internal import Synchronization

/// What is kept with every file that is written, so that a change by somebody else is noticed: its
/// size and XXH64, and that of its path.
///
/// envd keeps it in the file system's extended attributes; where there are none, an upload answers
/// without it, and nothing is looked for.
final class E2BDrift: Sendable {
    /// Key of the metadata.
    static let key = "syncd-content"
    /// The word of a file that was uploaded together with others: it is not known.
    static let unknown = "unknown"
    /// A larger file is not read: size and metadata decide.
    static let readBytesMax = 1 << 20

    private let isKept = Atomic<Bool>(false)

    /// Whether this sandbox is known to keep metadata.
    var keepsMetadata: Bool { isKept.load(ordering: .relaxed) }

    /// Takes an upload's answer, which tells that.
    func note(_ reply: E2BReply) {
        if keepsMetadata { return }
        if reply.written?.first?.metadata?[Self.key] != nil {
            isKept.store(true, ordering: .relaxed)
        }
    }

    /// The word for a content under a path.
    static func word(of content: Content, at path: EditPath) -> String {
        "\(content.count)-\(Hexadecimal.digits(of: content.digest))-"
            + Hexadecimal.digits(of: StableHash.hash(path.text))
    }
}

extension E2BEnvd {
    /// What somebody else has made of a file, or put in its place; nil when it is as it was
    /// written.
    ///
    /// No request when size or metadata tell, or the file is large; otherwise the file is read.
    func drift(
        of found: E2BEntry, at place: String, _ path: EditPath
    ) async throws(SandboxError) -> Drift? {
        if found.isDirectory { return nil }
        guard found.isFile, let metadata = found.metadata, metadata[E2BStage.writeKey] != nil else {
            return .foreign
        }
        guard let word = metadata[E2BDrift.key], word != E2BDrift.unknown else { return nil }
        let parts = word.split(separator: "-")
        guard parts.last == Hexadecimal.digits(of: StableHash.hash(path.text))[...] else {
            return .foreign
        }
        let size = found.size.flatMap { Int($0) } ?? 0
        guard parts.first == "\(size)" else { return .changed }
        if size > E2BDrift.readBytesMax { return nil }
        guard let bytes = try await download(place, sparesPaused: false) else { return nil }
        return word == E2BDrift.word(of: Content(bytes), at: path) ? nil : .changed
    }
}
