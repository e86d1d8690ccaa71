internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import SyncCore

/// What an answer that is no success means, by what is to be done about it.
enum E2BFailure {
    /// What a request was about.
    enum Subject {
        /// The file of the edit.
        case file(EditPath)
        /// What all files share: the stage, the marker, the sandbox.
        case place(String)

        var text: String {
            switch self {
            case .file(let path): "'\(path)'"
            case .place(let place): place
            }
        }
    }

    /// The failure to report for an answer.
    static func error(
        _ reply: E2BReply, _ action: String, _ subject: Subject, of sandbox: String
    ) -> SandboxError {
        let said = message(of: reply)
        let (failureClass, code, remedy) = meaning(reply, said, subject)
        return SandboxError(
            failureClass, code: code,
            "Could not \(action) \(subject.text) in sandbox '\(sandbox)' of E2B: it answered "
                + "\(reply.status)\(said.isEmpty ? "" : " (\(said))"). \(remedy)",
            retryAfter: retryAfter(reply))
    }

    /// The failure to report for a request without an answer.
    static func error(
        _ loss: E2BLoss, _ action: String, _ subject: Subject, of sandbox: String
    ) -> SandboxError {
        let start = "Could not \(action) \(subject.text) in sandbox '\(sandbox)' of E2B: "
        return loss.mayTakeEffect
            ? SandboxError(
                .attempt, code: "no-answer",
                "\(start)\(loss.reason). Look at the network if it stays so.")
            : SandboxError(
                .target, code: "unreachable",
                "\(start)\(loss.reason). Look at the network and at E2B's status; its edits wait.")
    }

    private static func meaning(
        _ reply: E2BReply, _ said: String, _ subject: Subject
    ) -> (FailureClass, String, remedy: String) {
        switch reply.status {
        case 400:
            switch subject {
            case .file: (.file, "e2b-400", "Mend the path, then retry the edit if it failed.")
            case .place: (.target, "e2b-400", "Look what stands there; its edits wait.")
            }
        case 401:
            (
                .target, "unauthorized",
                "A new token did not help: check the API key, then its edits go on."
            )
        case 403:
            (.target, "forbidden", "The team is blocked or may not use it; its edits wait.")
        case 409: (.target, "transitioning", "It is being paused or resumed; its edits wait.")
        case 413:
            switch subject {
            case .file: (.file, "e2b-413", "Make the file smaller and push it again.")
            case .place: (.target, "e2b-413", "Look what limits requests; its edits wait.")
            }
        case 429: (.target, "rate-limited", "Its edits wait; push less, or raise the limit.")
        case 500: storage(said, subject)
        case 502: (.target, "unreachable", "It does not run, or its files can't be reached.")
        case 507: (.target, "ENOSPC", "Make room in the sandbox; its edits wait.")
        default: (.attempt, "e2b-\(reply.status)", "Look at E2B's status if it stays so.")
        }
    }

    /// What envd's file system says: it answers 500 to whatever that refuses, and only the text
    /// tells.
    private static let known: [(part: String, FailureClass, String, remedy: String)] = [
        ("no space left", .target, "ENOSPC", "Make room in the sandbox; its edits wait."),
        ("read-only file system", .target, "EROFS", "Mount it writable; its edits wait."),
        ("file name too long", .file, "ENAMETOOLONG", "Shorten the name and push it again."),
        ("permission denied", .file, "EACCES", "Mend permissions, then retry the edit."),
        ("operation not permitted", .file, "EPERM", "Mend flags, then retry the edit."),
        (
            "cross-device link", .file, "EXDEV",
            "Its folder is another file system than the project's: make that a target."
        ),
    ]

    private static func storage(
        _ said: String, _ subject: Subject
    ) -> (FailureClass, String, remedy: String) {
        for (part, failureClass, code, remedy) in known where said.contains(part) {
            switch subject {
            case .file: return (failureClass, code, remedy)
            case .place: return (.target, code, remedy)
            }
        }
        return (.attempt, "e2b-500", "Look at E2B's status if it stays so.")
    }

    // MARK: Reading answers

    private struct Body: Decodable { let message: String? }
    private static let messageMax = 200

    /// What the answer says, shortened and on one line.
    static func message(of reply: E2BReply) -> String {
        guard let body = try? JSONDecoder().decode(Body.self, from: reply.data) else { return "" }
        let text = (body.message ?? "").unicodeScalars.filter { $0.value >= 0x20 }
        return String(String.UnicodeScalarView(text.prefix(messageMax)))
    }

    /// Whether a new pass may help: the sandbox was paused or ended, or its token has changed.
    static func asksForConnect(_ reply: E2BReply) -> Bool {
        switch reply.status {
        case 401: !message(of: reply).contains("looking up user")
        case 403: true
        case 502: isNotFound(reply)
        default: false
        }
    }

    /// Whether the proxy knows no running sandbox of the id.
    static func isNotFound(_ reply: E2BReply) -> Bool {
        reply.status == 502 && message(of: reply).contains("not found")
    }

    /// Whether a folder was missing, or was made by somebody else, while envd was at it: it makes
    /// folders one by one, and of two that do so at once one is refused.
    static func isMissingFolder(_ reply: E2BReply) -> Bool {
        guard reply.status == 500 else { return false }
        let said = message(of: reply)
        return ["create directory", "no such file", "not a directory", "path is a file"]
            .contains { said.contains($0) }
    }

    /// Whether something went while envd was at it: to a listing that is an error.
    static func isGone(_ reply: E2BReply) -> Bool {
        reply.status == 500 && message(of: reply).contains("no such file")
    }

    /// Whether something stands where it was to be moved to.
    static func isTaken(_ reply: E2BReply) -> Bool {
        guard reply.status == 500 else { return false }
        let said = message(of: reply)
        return ["file exists", "directory not empty", "is a directory"].contains {
            said.contains($0)
        }
    }

    /// Whether an upload of several files was refused for one's sake, which none of the others need
    /// suffer from.
    static func isOfOneFile(_ reply: E2BReply) -> Bool {
        switch reply.status {
        case 400, 413: true
        case 500: !known.contains { message(of: reply).contains($0.part) && $0.1 == .target }
        default: false
        }
    }

    private struct Word: Decodable { let code: String? }

    /// The word by which envd itself names a failure; nil for an answer of anybody else.
    ///
    /// The proxy, and envd where it serves content, give a number as the code.
    static func word(of reply: E2BReply) -> String? {
        (try? JSONDecoder().decode(Word.self, from: reply.data))?.code
    }

    /// Whether the request may have been delivered although the answer does not come from envd.
    ///
    /// In doubt it may. envd's own refusals have a word as their code.
    static func mayTakeEffect(_ reply: E2BReply) -> Bool {
        switch reply.status {
        case 408, 501...: !isNotFound(reply)
        case 500: word(of: reply) == nil
        default: false
        }
    }

    private static let retryAfterMax = 3_600

    private static func retryAfter(_ reply: E2BReply) -> Duration? {
        guard let text = reply.headers.first(name: "retry-after"), let seconds = Int(text),
            seconds > 0
        else { return nil }
        return .seconds(min(seconds, retryAfterMax))
    }
}

extension E2BReply {
    /// The body, for a decoder.
    var data: Data { Data(body.readableBytesView) }

    /// What an upload has written; nil when the answer is none of an upload.
    var written: [E2BEntry]? { try? JSONDecoder().decode([E2BEntry].self, from: data) }
}
