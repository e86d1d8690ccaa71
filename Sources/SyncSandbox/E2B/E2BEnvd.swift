internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import SyncCore

/// The files of one sandbox: every call that goes to envd.
///
/// envd confines nothing and writes as root, so the paths given here are made by ``E2BPlace`` from
/// an ``EditPath``. Its `Remove` is recursive and takes an empty path for the user's home: it is
/// called below `.syncd` only.
struct E2BEnvd: Sendable {
    /// The port that the proxy takes for envd.
    static let port = 49_983

    /// How often a request is repeated that met others at work in the same folders.
    static let foldersRoundsMax = 10

    let place: E2BPlace
    let session: E2BSession
    let client: E2BClient
    let configuration: E2BConfiguration

    /// A path below the project's directory.
    func path(_ below: String) -> String { place.path(below) }

    // MARK: Files

    /// Writes a file; what was there is gone as soon as the request begins.
    ///
    /// - Parameter metadata: Kept with the file; words of printable ASCII.
    func upload(
        _ content: ByteBuffer, to path: String, metadata: [(String, String)] = []
    ) async throws(SandboxError) -> Result<E2BReply, E2BLoss> {
        let headers =
            [("content-type", "application/octet-stream")]
            + metadata.map { ("x-metadata-\($0.0)", $0.1) }
        return try await call(extendingLife: true) { pass in
            var request = E2BRequest(
                url: "\(pass.address)/files?path=\(Self.escaped(path))",
                deadline: configuration.uploadDeadline)
            request.headers = headers
            request.body = content
            return request
        }
    }

    /// Writes several small files, each as ``upload(_:to:metadata:)`` does, in half its time.
    ///
    /// Others wait for the answer, and their own comes after that. All get the same metadata.
    func upload(
        _ form: E2BForm, metadata: [(String, String)]
    ) async throws(SandboxError) -> Result<E2BReply, E2BLoss> {
        let headers =
            [("content-type", form.type)] + metadata.map { ("x-metadata-\($0.0)", $0.1) }
        return try await call(extendingLife: true) { pass in
            var request = E2BRequest(
                url: "\(pass.address)/files", deadline: configuration.requestDeadline)
            request.headers = headers
            request.body = form.body
            return request
        }
    }

    /// A small file's bytes; nil when there is none.
    ///
    /// - Parameter sparesPaused: A paused sandbox is left as it is: `target`, `paused`.
    func download(_ path: String, sparesPaused: Bool) async throws(SandboxError) -> [UInt8]? {
        var reply = try await get(path, sparesPaused: sparesPaused)
        if reply.status == 404 {
            // Content is served with numbers as codes, as the proxy has them; a look goes by words.
            if try await stat(path) == nil { return nil }
            // Another worker's marker came between the two.
            reply = try await get(path, sparesPaused: sparesPaused)
        }
        guard reply.isSuccess else { throw failure(reply, "read", .place("'\(path)'")) }
        return Array(reply.body.readableBytesView)
    }

    private func get(
        _ path: String, sparesPaused: Bool
    ) async throws(SandboxError) -> E2BReply {
        try await answer("read", .place("'\(path)'"), sparesPaused: sparesPaused) {
            E2BRequest(
                method: .GET, url: "\($0.address)/files?path=\(Self.escaped(path))",
                deadline: configuration.requestDeadline)
        }
    }

    // MARK: The file system service

    private struct Question: Encodable {
        var path: String?
        var depth: Int?
        var source: String?
        var destination: String?
    }

    private struct One: Decodable { let entry: E2BEntry? }
    private struct Many: Decodable { let entries: [E2BEntry]? }

    /// What stands under a path, a link itself and not what it leads to; nil for nothing.
    func stat(_ path: String) async throws(SandboxError) -> E2BEntry? {
        let subject = E2BFailure.Subject.place("'\(path)'")
        let reply = try await ask("Stat", Question(path: path), "look at", subject)
        if isNotFound(reply) || isBelowFile(reply) { return nil }
        guard reply.isSuccess else { throw failure(reply, "look at", subject) }
        guard let found = try? JSONDecoder().decode(One.self, from: reply.data).entry else {
            throw senseless("look at", subject)
        }
        return found
    }

    /// What is in a directory; nil when there is no such directory.
    func list(_ path: String) async throws(SandboxError) -> [E2BEntry]? {
        let subject = E2BFailure.Subject.place("'\(path)'")
        let reply = try await ask(
            "ListDir", Question(path: path, depth: 1), "list", subject, again: E2BFailure.isGone)
        let isOther = reply.status == 400 && E2BFailure.word(of: reply) != nil
        if isNotFound(reply) || isOther || isBelowFile(reply) { return nil }
        guard reply.isSuccess else { throw failure(reply, "list", subject) }
        guard let found = try? JSONDecoder().decode(Many.self, from: reply.data) else {
            throw senseless("list", subject)
        }
        // A name is appended to paths that are removed: what is none, envd never says.
        return (found.entries ?? []).filter {
            !["", ".", ".."].contains($0.name) && !$0.name.contains("/")
        }
    }

    /// What became of a `MakeDir`.
    enum MadeDirectory { case made, wasThere, isFile }

    /// Makes a directory, parents included.
    func makeDirectory(_ path: String) async throws(SandboxError) -> MadeDirectory {
        let subject = E2BFailure.Subject.place("'\(path)'")
        let reply = try await ask(
            "MakeDir", Question(path: path), "make", subject, again: E2BFailure.isMissingFolder)
        switch reply.status {
        case 200: return .made
        case 409 where E2BFailure.word(of: reply) == "already_exists": return .wasThere
        case 400 where E2BFailure.word(of: reply) == "invalid_argument": return .isFile
        default: throw failure(reply, "make", subject)
        }
    }

    /// Renames once; whatever stood at the destination is replaced, unless it is a directory.
    func move(_ source: String, to destination: String) async throws(SandboxError) -> E2BMoved {
        let question = Question(source: source, destination: destination)
        let subject = E2BFailure.Subject.place("'\(source)'")
        let request = encoded(question, "Move")
        switch try await call(extendingLife: false, request) {
        case .failure(let loss):
            let error = E2BFailure.error(loss, "move", subject, of: place.sandbox)
            if loss.mayTakeEffect { return .unknown(error) }
            throw error
        case .success(let reply):
            if reply.isSuccess {
                guard let entry = try? JSONDecoder().decode(One.self, from: reply.data).entry
                else { return .unknown(senseless("move", subject)) }
                return .done(entry)
            }
            if isNotFound(reply) { return .notFound }
            let error = failure(reply, "move", subject)
            if E2BFailure.mayTakeEffect(reply) { return .unknown(error) }
            // Only envd's own refusal says anything about the file.
            if reply.status == 500 || reply.status == 400 { return .refused(reply) }
            throw error
        }
    }

    /// Removes what stands below `.syncd`, whatever it is; done as well when nothing does.
    func remove(_ path: String) async throws(SandboxError) {
        precondition(
            path.contains("/\(EditPath.reserved)/") && !path.hasSuffix("/"),
            "Remove is recursive")
        let subject = E2BFailure.Subject.place("'\(path)'")
        let reply = try await ask("Remove", Question(path: path), "remove", subject)
        guard reply.isSuccess else { throw failure(reply, "remove", subject) }
    }

    /// Removes what nobody uses again; if that fails, it lies there until its stage is revoked.
    func discard(_ path: String) async {
        do throws(SandboxError) {
            try await remove(path)
        } catch {
            // What the caller has to tell counts, not this.
        }
    }

    // MARK: Commands

    private struct Start: Encodable {
        struct Process: Encodable {
            let cmd: String
            let args: [String]
            let cwd: String
        }

        let process: Process
        let stdin = false
    }

    private struct Event: Decodable {
        struct Kind: Decodable {
            struct End: Decodable {
                let exitCode: Int?
                let exited: Bool?
            }

            let end: End?
        }

        struct Failure: Decodable {
            let code: String?
            let message: String?

            /// Whether it will be the same next time: there is no such program, or it is not ours.
            var isLasting: Bool {
                let words = ["not found", "no such file", "permission denied"]
                return ["not_found", "invalid_argument", "permission_denied"].contains(code)
                    || words.contains { message?.contains($0) ?? false }
            }
        }

        let event: Kind?
        let error: Failure?
    }

    /// How a command ended.
    enum Exit {
        case exited(Int)
        /// Ended by a signal, or not started because something was short.
        case killed
        /// Never to be started.
        case notFound
    }

    /// Runs a command in the project's directory, as the sandbox's default user.
    func run(_ command: String, _ arguments: [String]) async throws(SandboxError) -> Exit {
        let subject = E2BFailure.Subject.place("'\(command)'")
        let start = Start(process: .init(cmd: command, args: arguments, cwd: place.root))
        guard let body = try? JSONEncoder().encode(start) else {
            preconditionFailure("words are JSON")
        }
        var framed = ByteBuffer()
        framed.writeInteger(UInt8(0))
        framed.writeInteger(UInt32(body.count))
        framed.writeBytes(body)
        let sent = framed
        let reply = try await answer("run", subject, sparesPaused: false) { pass in
            var request = E2BRequest(
                url: "\(pass.address)/process.Process/Start",
                deadline: configuration.requestDeadline)
            request.headers = [
                ("content-type", "application/connect+json"), ("connect-protocol-version", "1"),
            ]
            request.body = sent
            return request
        }
        guard reply.isSuccess else { throw failure(reply, "run", subject) }
        var rest = reply.body
        while rest.readInteger(as: UInt8.self) != nil,
            let count = rest.readInteger(as: UInt32.self),
            let bytes = rest.readBytes(length: Int(count)),
            let event = try? JSONDecoder().decode(Event.self, from: Data(bytes))
        {
            if let end = event.event?.end {
                return end.exited ?? false ? .exited(end.exitCode ?? 0) : .killed
            }
            if let error = event.error { return error.isLasting ? .notFound : .killed }
        }
        throw senseless("run", subject)
    }

    // MARK: Asking

    private func encoded(
        _ question: Question, _ method: String
    ) -> @Sendable (E2BPass) -> E2BRequest {
        guard let body = try? JSONEncoder().encode(question) else {
            preconditionFailure("paths are JSON")
        }
        return { [configuration] pass in
            var request = E2BRequest(
                url: "\(pass.address)/filesystem.Filesystem/\(method)",
                deadline: configuration.requestDeadline)
            request.headers = [("content-type", "application/json")]
            request.body = ByteBuffer(bytes: body)
            return request
        }
    }

    private func ask(
        _ method: String, _ question: Question, _ action: String, _ subject: E2BFailure.Subject,
        again isCrossed: (E2BReply) -> Bool = { _ in false }
    ) async throws(SandboxError) -> E2BReply {
        let request = encoded(question, method)
        var reply = try await answer(action, subject, sparesPaused: false, request)
        for _ in 0..<Self.foldersRoundsMax where isCrossed(reply) {
            reply = try await answer(action, subject, sparesPaused: false, request)
        }
        return reply
    }

    /// Asks what may be asked again, once more if there was no answer: a connection that was kept
    /// open may have been closed meanwhile.
    private func answer(
        _ action: String, _ subject: E2BFailure.Subject, sparesPaused: Bool,
        _ request: @Sendable (E2BPass) -> E2BRequest
    ) async throws(SandboxError) -> E2BReply {
        let first = try await call(
            extendingLife: false, sparesPaused: sparesPaused, request)
        if case .success(let reply) = first { return reply }
        switch try await call(extendingLife: false, sparesPaused: sparesPaused, request) {
        case .success(let reply): return reply
        case .failure(let loss):
            throw E2BFailure.error(loss, action, subject, of: place.sandbox)
        }
    }

    /// Sends a request; once more when the sandbox was paused, or its token changed.
    ///
    /// What is answered so was not executed.
    private func call(
        extendingLife: Bool, sparesPaused: Bool = false,
        _ request: @Sendable (E2BPass) -> E2BRequest
    ) async throws(SandboxError) -> Result<E2BReply, E2BLoss> {
        let pass = try await session.pass(extendingLife: extendingLife)
        let first = await send(request(pass), with: pass)
        guard case .success(let reply) = first, E2BFailure.asksForConnect(reply) else {
            return first
        }
        if sparesPaused, E2BFailure.isNotFound(reply), try await session.isPaused() {
            throw SandboxError(
                .target, code: Self.pausedCode,
                "Sandbox '\(place.sandbox)' is paused. The next edit resumes it.")
        }
        let next = try await session.pass(after: pass)
        return await send(request(next), with: next)
    }

    /// Code of a sandbox that was found paused and was left so.
    static let pausedCode = "paused"

    private func send(
        _ request: E2BRequest, with pass: E2BPass
    ) async -> Result<E2BReply, E2BLoss> {
        var request = request
        request.headers += [
            ("e2b-sandbox-id", place.sandbox), ("e2b-sandbox-port", "\(Self.port)"),
        ]
        if let token = pass.token { request.headers.append(("x-access-token", token)) }
        do throws(E2BLoss) {
            return .success(try await client.send(request))
        } catch {
            return .failure(error)
        }
    }

    // MARK: Answers

    /// The failure for an answer of this sandbox.
    func failure(
        _ reply: E2BReply, _ action: String, _ subject: E2BFailure.Subject
    ) -> SandboxError {
        E2BFailure.error(reply, action, subject, of: place.sandbox)
    }

    private func senseless(_ action: String, _ subject: E2BFailure.Subject) -> SandboxError {
        SandboxError(
            .attempt, code: "e2b-answer",
            "Could not \(action) \(subject.text) in sandbox '\(place.sandbox)' of E2B: its answer "
                + "makes no sense. Look whether its address is E2B's.")
    }

    /// Whether envd says so; a 404 of anything on the way says nothing about the file.
    private func isNotFound(_ reply: E2BReply) -> Bool {
        reply.status == 404 && E2BFailure.word(of: reply) == "not_found"
    }

    private func isBelowFile(_ reply: E2BReply) -> Bool {
        reply.status == 500 && E2BFailure.message(of: reply).contains("not a directory")
    }

    /// A path in a query: `+` would be a space there.
    private static func escaped(_ path: String) -> String {
        var text = ""
        for byte in path.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "/"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                text += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return text
    }
}
