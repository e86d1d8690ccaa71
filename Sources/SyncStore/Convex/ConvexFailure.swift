internal import AsyncHTTPClient
internal import Foundation

/// Why a function of a deployment gave no value, by what the caller can do about it.
///
/// Sentences tell status and code of an answer, never its text: that is not for a log.
enum ConvexFailure: Error, Equatable {
    /// Turned away before anything ran or was committed: there is too much at once.
    case busy(String)
    /// Nothing is known, or it passes: every function may be called again.
    case lost(String)
    /// It will be the same until a person does something.
    case closed(String)
    /// The function threw an error with this code; nothing was changed.
    case refused(code: String)
    /// The function threw an error that says nothing, or the deployment ended it; nothing was
    /// changed.
    case threw

    /// By the status of an answer that comes from no function.
    init(status: Int, body: Data) {
        struct Body: Decodable { let code: String? }
        // What is no JSON comes from a proxy.
        let code = (try? JSONDecoder().decode(Body.self, from: body))?.code.map(Self.word) ?? ""
        let said = "it answered \(status)" + (code.isEmpty ? "" : " (\(code))")
        switch (status, code) {
        case (429, _):
            self = .busy(
                "\(said). Lower 'convex-requests' or the number of workers, or take a plan that "
                    + "allows more; its files wait.")
        case (503, _):
            self = .busy(
                "\(said). It is overloaded, or others write the same files all the time; its "
                    + "files wait.")
        case (408, _), (421, _), (425, _), (500..., _), (400, "SystemTimeoutError"):
            self = .lost("\(said). Look at the deployment and at Convex's status; its files wait.")
        case (401, _), (403, _), (400, "InvalidAdminKey"), (400, "InvalidHeaderFailure"),
            (400, "HeaderParseFailure"):
            self = .closed("\(said). Give a deploy key of this deployment by SYNCD_CONVEX_KEY.")
        case (400, "BackendIsNotRunning"):
            self = .closed("\(said). The deployment is paused; resume it in its dashboard.")
        default:
            self = .closed(
                "\(said). Look whether the store's URL is that of a Convex deployment.")
        }
    }

    /// For a request without an answer.
    init(unanswered error: any Error) {
        let reason = (error as? HTTPClientError)?.shortDescription ?? "the connection failed"
        self = .lost(
            "there is no answer (\(reason)). Look at the network and at the store's URL; its "
                + "files wait.")
    }

    /// A code is a word; anything else is not shown.
    static func word(_ text: String) -> String {
        let isWord = text.utf8.allSatisfy { byte in
            (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte & 0xDF)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
        }
        return isWord && text.utf8.count <= 64 ? text : ""
    }
}
