internal import NIOCore
internal import SyncCore
internal import Synchronization

/// An incarnation's way into a sandbox of E2B, and how it is ended.
///
/// Files are uploaded into `.syncd/stage/INCARNATION.GENERATION/` and moved into place, and deleted
/// by a `Move` to there. To revoke it is to put a plain file in the place of the directory: then
/// envd can neither make a file below it, nor move one out or in, however late the request comes.
///
///     absent ──enter──▶ standing ──revoke (any process)──▶ revoked, for ever
struct E2BStage: Sendable {
    let envd: E2BEnvd
    /// Its name below `.syncd/stage`; of a stage that somebody else left, perhaps no stage's name.
    let name: String

    /// Key of the metadata that tells one write from every other one.
    static let writeKey = "syncd-write"

    private static let folder = "\(EditPath.reserved)/stage"
    private static let roundsMax = 200
    private static let unansweredMax = 3

    /// The directory.
    var path: String { envd.path("\(Self.folder)/\(name)") }

    /// Where a file lies in it, and the word that tells its write from every other one.
    typealias Staged = (path: String, token: String)

    /// A path in it that nobody has used.
    func unused() -> Staged {
        let chance = Hexadecimal.digits(of: UInt64.random(in: .min ... .max))
        return ("\(path)/\(chance)", "\(name)/\(chance)")
    }

    /// Names of all stages, standing and revoked.
    static func names(_ envd: E2BEnvd) async throws(SandboxError) -> [String] {
        try await envd.list(envd.path(folder))?.map(\.name) ?? []
    }

    /// Makes the directory, unless a plain file stands there.
    func make() async throws(SandboxError) {
        switch try await envd.makeDirectory(path) {
        case .made, .wasThere: return
        case .isFile: throw revoked()
        }
    }

    /// Throws when it has been revoked or has vanished.
    func check() async throws(SandboxError) {
        guard try await envd.stat(path)?.isDirectory ?? false else { throw revoked() }
    }

    /// The failure that tells the worker that its incarnation is over.
    func revoked() -> SandboxError {
        SandboxError(
            .worker, code: SandboxError.revokedCode,
            "Stage '\(name)' of sandbox '\(envd.place.sandbox)' was revoked or removed: its "
                + "incarnation may not write there any more. The worker registers as a new one.")
    }

    // MARK: Revoking

    // `Remove` will not do: one that is executed late would take the plain file away again, and
    // let the zombie make its directory anew. So the directory is moved away, and every `Move`
    // that may be executed late is made to fail: its destination is `.syncd/revoked/NAME/NUMBER`,
    // the lowest number of which no directory is there, and the plain file counts only when the
    // next number is a directory too, because nothing is moved onto a directory. Numbers are
    // chosen before the stage is looked at, so whoever chooses a higher one sees the plain file.

    /// Ends all writes through it: when it returns, a plain file has its name, for ever.
    func revoke() async throws(SandboxError) {
        try await refuseLinks()
        var unanswered = 0
        for _ in 0..<Self.roundsMax {
            let number = try await unusedNumber()
            let found = try await envd.stat(path)
            if let found, found.isFile {
                if try await isFenced(found) { return }
            } else if found != nil {
                if let loss = try await moveAway(as: number) {
                    unanswered += 1
                    if unanswered == Self.unansweredMax { throw loss }
                }
            } else {
                try await putPlainFile()
            }
        }
        throw SandboxError(
            .attempt, code: "EBUSY",
            "Could not revoke stage '\(name)' of sandbox '\(envd.place.sandbox)': its owner kept "
                + "making it anew for \(Self.roundsMax) rounds. Look for a worker that hangs.")
    }

    private var away: String { envd.path("\(EditPath.reserved)/revoked/\(name)") }

    private func unusedNumber() async throws(SandboxError) -> Int {
        // Whoever works in the sandbox may make any name there.
        let used = try await envd.list(away)?.compactMap { Int($0.name) } ?? []
        return (used.filter { (0..<Self.numberMax).contains($0) }.max() ?? 0) + 1
    }

    private static let numberMax = 1 << 30

    /// Through a link, what is moved away and removed would be somebody else's.
    private func refuseLinks() async throws(SandboxError) {
        for folder in ["", "/stage", "/revoked"] {
            let path = envd.path(EditPath.reserved + folder)
            guard try await envd.stat(path)?.isLink ?? false else { continue }
            throw SandboxError(
                .target, code: "ELOOP",
                "'\(path)' in sandbox '\(envd.place.sandbox)' is a link: nothing is revoked "
                    + "through it. Remove it; its edits wait.")
        }
    }

    /// Whether the plain file that was found stands for good.
    private func isFenced(_ found: E2BEntry) async throws(SandboxError) -> Bool {
        _ = try await envd.makeDirectory("\(away)/\(try await unusedNumber())")
        guard let again = try await envd.stat(path) else { return false }
        // The same one: it was never taken away in between.
        return again.isFile && again.modifiedTime == found.modifiedTime
            && again.metadata == found.metadata
    }

    /// - Returns: The failure of a `Move` without an answer; the next round looks what it did.
    private func moveAway(as number: Int) async throws(SandboxError) -> SandboxError? {
        switch try await envd.move(path, to: "\(away)/\(number)") {
        case .done(let moved):
            // What a link leads to is not this stage's.
            guard moved.isDirectory else { return nil }
            for entry in try await envd.list("\(away)/\(number)") ?? [] {
                try await envd.remove("\(away)/\(number)/\(entry.name)")
            }
            return nil
        case .notFound: return nil
        case .refused(let reply):
            // Another revoker took the number, or makes the same folders at the same time.
            if E2BFailure.isTaken(reply) || E2BFailure.isMissingFolder(reply) { return nil }
            throw envd.failure(reply, "revoke", subject)
        case .unknown(let error): return error
        }
    }

    private var subject: E2BFailure.Subject { .place("stage '\(name)'") }

    /// An upload that is executed late puts the plain file where it belongs in any case.
    private func putPlainFile() async throws(SandboxError) {
        // Not the stage's name, which may be anybody's: metadata are printable ASCII.
        let metadata = [(Self.writeKey, Hexadecimal.digits(of: .random(in: .min ... .max)))]
        switch try await envd.upload(ByteBuffer(), to: path, metadata: metadata) {
        case .success(let reply):
            // Refused when the zombie has made its directory meanwhile.
            let isMet = E2BFailure.isMissingFolder(reply) || E2BFailure.isTaken(reply)
            if reply.isSuccess || reply.status == 400 || isMet { return }
            throw envd.failure(reply, "revoke", subject)
        case .failure(let loss):
            throw E2BFailure.error(loss, "revoke", subject, of: envd.place.sandbox)
        }
    }
}
