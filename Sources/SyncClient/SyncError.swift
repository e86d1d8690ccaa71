internal import SyncCore
internal import SyncTransport

/// What a call can fail with: a stable word, and a sentence for a person.
///
/// A sentence says what failed, why, and what to do; it never holds file content.
public struct SyncError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Stable words.
    ///
    /// The first part are the coordinator's own codes of the protocol.
    public enum Code: String, Sendable, CaseIterable {
        /// The message was malformed.
        case badRequest = "bad-request"
        /// Client and coordinator speak different versions of the protocol.
        case unsupportedVersion = "unsupported-version"
        /// The path can't name a file of a project.
        case invalidPath = "invalid-path"
        /// The content is over the limit.
        case tooLarge = "too-large"
        /// A limit is reached; come again later.
        case busy
        /// The number fell out of the window of remembered numbers.
        case staleNumber = "stale-number"
        /// A later edit of the file by the same client was accepted before.
        case overtaken
        /// The sandbox belongs to another project.
        case targetTaken = "target-taken"
        /// The sandbox was detached from the project by an operator.
        case targetDetached = "target-detached"
        /// The project may not be written.
        case forbidden
        /// The file is not at the expected version.
        case conflict
        /// The number was accepted with another content.
        case numberReused = "number-reused"
        /// The coordinator gave no answer in time: the edit may or may not have been accepted.
        case unknown
        /// A name or an endpoint is not valid.
        case invalidArgument = "invalid-argument"
        /// The coordinator did not answer in time.
        case silent
        /// The call waited as long as it was allowed to.
        case timedOut = "timed-out"
        /// Replaced by a newer edit of this client before it was sent.
        case superseded
        /// The client was closed.
        case closed
        /// The task was cancelled.
        case cancelled
        /// Sockets can't be used.
        case transport
    }

    /// Stable word.
    public let code: Code
    /// What failed, why, and what to do.
    public let sentence: String
    /// When to come again (`busy`).
    public let retryAfter: Duration?

    /// Describes a failure.
    public init(_ code: Code, _ sentence: String, retryAfter: Duration? = nil) {
        self.code = code
        self.sentence = sentence
        self.retryAfter = retryAfter
    }

    /// The word and the sentence.
    public var description: String { "\(code.rawValue): \(sentence)" }

    init(_ rejection: Rejection) {
        let code = Code(rawValue: rejection.code.rawValue) ?? .badRequest
        self.init(code, rejection.sentence, retryAfter: rejection.retryAfter)
    }

    static let closed = SyncError(
        .closed, "The client was closed before this was done; connect a new one.")
    static let cancelled = SyncError(.cancelled, "The task was cancelled before this was done.")
}
