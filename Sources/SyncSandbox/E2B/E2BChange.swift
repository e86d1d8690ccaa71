internal import NIOCore
internal import SyncCore

/// One put or delete on its way into a sandbox of E2B.
///
/// A put is an upload into the stage, in a refill together with others, and a `Move` into place,
/// an executable one a `chmod` in between. A delete is a look, a `Move` into the stage and a
/// clearing. A `Move` without an answer is settled before the attempt ends, however long that
/// takes: until it can't be executed any more, nobody else may write the file.
struct E2BChange: Sendable {
    let envd: E2BEnvd
    let stage: E2BStage
    let parents: E2BParents
    let bulk: E2BBulk
    let drifts: E2BDrift
    let edit: SandboxEdit
    /// Throws when the sandbox was resumed and is not the one that was filled.
    let verify: @Sendable () async throws(SandboxError) -> Void

    private static let roundsMax = 50
    private static let clearedRoundsMax = 10
    private static let settleWaitFactorMax = 20
    private static let retryAfterMax: Duration = .seconds(30)
    /// Codes that a look at a file may meet because of this file.
    private static let ownCodes: Set<String> = [
        "EACCES", "EPERM", "ENAMETOOLONG", "EXDEV", "e2b-400", "e2b-413",
    ]
    /// Code of an upload that vanished from the stage before it was moved into place.
    private static let clearedCode = "stage-cleared"

    private var target: String { envd.path(edit.path.text) }
    private var subject: E2BFailure.Subject { .file(edit.path) }

    /// Does it.
    ///
    /// While a stage is being revoked, a request may make its directory anew for a moment, and
    /// others find it missing in between; the next round meets the plain file.
    ///
    /// - Returns: What of somebody else's it was written over.
    func make() async throws(SandboxError) -> Drift? {
        for _ in 0..<Self.clearedRoundsMax {
            do throws(SandboxError) {
                switch edit.change {
                case .put(let content, let isExecutable):
                    return try await put(content, isExecutable)
                case .delete: return try await delete()
                }
            } catch {
                guard error.code == Self.clearedCode else { throw error }
            }
        }
        throw cleared()
    }

    // MARK: Put

    private func put(
        _ content: Content, _ isExecutable: Bool
    ) async throws(SandboxError) -> Drift? {
        if let inTheWay = try await parents.obstacle(of: edit.path) { throw failure(inTheWay) }
        let gathered = try await gathered(content)
        let staged = gathered ?? stage.unused()
        do throws(SandboxError) {
            // A refused upload leaves what had been written of it.
            if gathered == nil { try await upload(content, to: staged) }
            if isExecutable { try await makeExecutable(staged.path) }
            try await verify()
            let drift = try await drift { () async throws(SandboxError) in
                try await envd.stat(target)
            }
            try await place(staged)
            return drift
        } catch {
            if error.code != SandboxError.revokedCode { await envd.discard(staged.path) }
            throw error
        }
    }

    /// What of somebody else's stands there; thrown when it is to stay.
    ///
    /// A look that fails is none when the file is written over all the same. Otherwise what may be
    /// this file's fault alone is this try's failure, not that of the whole sandbox.
    private func drift(
        of look: () async throws(SandboxError) -> E2BEntry?
    ) async throws(SandboxError) -> Drift? {
        let policy = envd.configuration.drift
        guard policy.looks, edit.looksForDrift, drifts.keepsMetadata else { return nil }
        let found: Drift?
        do throws(SandboxError) {
            guard let entry = try await look() else { return nil }
            found = try await envd.drift(of: entry, at: target, edit.path)
        } catch {
            guard policy == .keep else { return nil }
            guard error.failureClass == .target, Self.ownCodes.contains(error.code) else {
                throw error
            }
            throw SandboxError(.attempt, code: error.code, error.message)
        }
        if let found, policy == .keep {
            throw .drifted(edit.path, found, in: "sandbox '\(envd.place.sandbox)' of E2B")
        }
        return found
    }

    /// Uploads a file of a refill together with others, unless each is to tell of its own content.
    ///
    /// - Returns: Where it lies; nil when it is to be uploaded by itself.
    private func gathered(_ content: Content) async throws(SandboxError) -> E2BStage.Staged? {
        guard edit.isRefresh, !envd.configuration.drift.looks else { return nil }
        switch await bulk.upload(content, for: edit.path, into: stage) {
        case .written(let staged): return staged
        case .alone: return nil
        case .not(.success(let reply)): throw envd.failure(reply, "write", subject)
        case .not(.failure(let loss)):
            throw E2BFailure.error(loss, "write", subject, of: envd.place.sandbox)
        case .failed(let error): throw error
        }
    }

    private func upload(
        _ content: Content, to staged: E2BStage.Staged
    ) async throws(SandboxError) {
        let body = content.withBytes { ByteBuffer(bytes: $0) }
        let metadata = [
            ("syncd-sequence", "\(edit.sequence)"), ("syncd-version", "\(edit.version)"),
            (E2BStage.writeKey, staged.token),
            (E2BDrift.key, E2BDrift.word(of: content, at: edit.path)),
        ]
        switch try await envd.upload(body, to: staged.path, metadata: metadata) {
        case .success(let reply):
            if reply.isSuccess { return drifts.note(reply) }
            if reply.status == 400 || reply.status == 500 { try await stage.check() }
            if E2BFailure.isMissingFolder(reply) { throw cleared() }
            throw envd.failure(reply, "write", subject)
        case .failure(let loss):
            // Another attempt uploads under another name: nothing mixes with this one.
            throw E2BFailure.error(loss, "write", subject, of: envd.place.sandbox)
        }
    }

    /// envd has no request for modes, so a command sets it.
    private func makeExecutable(_ staged: String) async throws(SandboxError) {
        let name = String(staged.dropFirst(envd.path("").count))
        let start =
            "Could not make '\(edit.path)' executable in sandbox "
            + "'\(envd.place.sandbox)' of E2B: chmod "
        switch try await envd.run("chmod", ["755", name]) {
        case .exited(0): return
        case .exited(let code):
            try await stage.check()
            throw SandboxError(
                .file, code: "chmod-failed",
                "\(start)ended with \(code). Look whether its template has chmod; then retry.")
        case .notFound:
            try await stage.check()
            throw SandboxError(
                .file, code: "chmod-failed",
                "\(start)was not found. Look whether its template has it; then retry.")
        case .killed:
            throw SandboxError(
                .attempt, code: "chmod-killed",
                "\(start)did not run to its end. Look whether the sandbox has memory left.")
        }
    }

    private func place(_ staged: E2BStage.Staged) async throws(SandboxError) {
        var last: SandboxError?
        for _ in 0..<Self.roundsMax {
            switch try await envd.move(staged.path, to: target) {
            case .done: return
            case .notFound:
                // Either the source is gone, or a sibling's delete took a parent away.
                guard try await envd.stat(staged.path) == nil else { continue }
                try await stage.check()
                throw cleared()
            case .refused(let reply): last = try await explain(reply)
            case .unknown(let error):
                if try await isSettledAsDone(staged) { return }
                throw error
            }
        }
        throw last
            ?? SandboxError(
                .attempt, code: "EBUSY",
                "Could not find a folder that stays for '\(edit.path)' in sandbox "
                    + "'\(envd.place.sandbox)'. Look who removes folders there.")
    }

    private func cleared() -> SandboxError {
        SandboxError(
            .attempt, code: Self.clearedCode,
            "The stage of '\(edit.path)' was cleared away in sandbox "
                + "'\(envd.place.sandbox)'. Leave .syncd to syncd.")
    }

    /// Why a `Move` into place was refused.
    ///
    /// - Returns: The failure to report if another round does not help; thrown if none would.
    private func explain(_ reply: E2BReply) async throws(SandboxError) -> SandboxError {
        try await stage.check()
        parents.forget()
        if try await envd.stat(target)?.isDirectory ?? false {
            // Never `Remove`, which is recursive: `rmdir` fails on what is not empty.
            if case .exited(0) = try await envd.run("rmdir", ["--", edit.path.text]) {
                return envd.failure(reply, "write", subject)
            }
            if try await envd.stat(target)?.isDirectory ?? false { throw failure(.directory) }
        }
        if let inTheWay = try await parents.obstacle(of: edit.path) { throw failure(inTheWay) }
        let error = envd.failure(reply, "write", subject)
        // Two writes that make the same folder at once: one of them is refused. A folder that stood
        // there may have been removed since.
        if E2BFailure.isMissingFolder(reply) || E2BFailure.isTaken(reply) { return error }
        throw error
    }

    /// Waits until a `Move` without an answer can't be executed any more: its source is removed.
    ///
    /// - Returns: Whether it was executed before.
    private func isSettledAsDone(_ staged: E2BStage.Staged) async throws(SandboxError) -> Bool {
        try await settled { () async throws(SandboxError) -> Bool in
            try await envd.remove(staged.path)
            return try await envd.stat(target)?.metadata?[E2BStage.writeKey] == staged.token
        }
    }

    /// Repeats until there are answers, the sandbox is gone, or this incarnation is revoked in it.
    ///
    /// All three end what may be on its way. The worker reports the file as stuck meanwhile.
    private func settled<Answer: Sendable>(
        _ look: () async throws(SandboxError) -> Answer
    ) async throws(SandboxError) -> Answer {
        var wait = envd.configuration.settleWait
        while true {
            do throws(SandboxError) {
                return try await look()
            } catch {
                if error.code == TargetCode.gone { throw error }
                // Not for an hour: nobody else may write the file, and its sandbox is away.
                let asked = min(error.retryAfter ?? .zero, Self.retryAfterMax)
                try await throwIfRevoked(else: error, after: max(wait, asked))
            }
            wait = min(wait * 2, envd.configuration.settleWait * Self.settleWaitFactorMax)
        }
    }

    private func throwIfRevoked(
        else error: SandboxError, after wait: Duration
    ) async throws(SandboxError) {
        do throws(SandboxError) {
            try await stage.check()
        } catch let check {
            if check.code == SandboxError.revokedCode { throw check }
        }
        do {
            try await Task.sleep(for: wait)
        } catch {
            throw SandboxError(
                .attempt, code: "unsettled",
                "The worker ended while a write of '\(edit.path)' was not settled.")
        }
    }

    // MARK: Delete

    private func delete() async throws(SandboxError) -> Drift? {
        if let inTheWay = try await parents.obstacle(of: edit.path) {
            guard case .file = inTheWay else { throw failure(inTheWay) }
            try await stage.check()  // Nothing can stand below a file.
            return nil
        }
        guard let found = try await envd.stat(target), !found.isDirectory else {
            try await stage.check()
            await prune()
            return nil
        }
        try await verify()
        let drift = try await drift { () throws(SandboxError) in found }
        let grave = stage.unused().path
        switch try await envd.move(target, to: grave) {
        case .done(let entry): try await bury(grave, isDirectory: entry.isDirectory)
        case .notFound: try await stage.check()
        case .refused(let reply):
            try await stage.check()
            if E2BFailure.isMissingFolder(reply) { throw cleared() }
            throw envd.failure(reply, "delete", subject)
        case .unknown(let error):
            switch try await buried(in: grave) {
            case .nothing: throw error
            case .file: await envd.discard(grave)
            case .folder: try await bury(grave, isDirectory: true)
            }
        }
        await prune()
        return drift
    }

    /// A directory that somebody put in the place of the file meanwhile is put back.
    private func bury(_ grave: String, isDirectory: Bool) async throws(SandboxError) {
        guard isDirectory else { return await envd.discard(grave) }
        let refused = try await settled { () async throws(SandboxError) -> E2BReply? in
            switch try await envd.move(grave, to: target) {
            // Not found: an earlier one without an answer was executed.
            case .done, .notFound: return nil
            case .refused(let reply): return reply
            case .unknown(let error): throw error
            }
        }
        if let refused { throw envd.failure(refused, "put back", subject) }
    }

    private enum Buried { case nothing, file, folder }

    /// Waits until a `Move` to the grave can't be executed any more: a directory is made of the
    /// grave, and nothing is moved onto a directory.
    ///
    /// - Returns: What it had moved there before.
    private func buried(in grave: String) async throws(SandboxError) -> Buried {
        var hasAsked = false
        return try await settled { () async throws(SandboxError) -> Buried in
            if let found = try await envd.stat(grave) {
                // A link that leads nowhere is there, but no directory can be made of it.
                if !found.isDirectory { return .file }
                // What stands there before we made one came by the `Move`.
                if !hasAsked { return .folder }
            }
            hasAsked = true
            return try await envd.makeDirectory(grave) == .isFile ? .file : .nothing
        }
    }

    /// Removes parents as far as they are empty, by `rmdir`: never what is not empty.
    ///
    /// What can't be removed stays: the file is gone.
    private func prune() async {
        guard let slash = edit.path.text.lastIndex(of: "/") else { return }
        parents.forget()
        do throws(SandboxError) {
            _ = try await envd.run("rmdir", ["-p", "--", String(edit.path.text[..<slash])])
        } catch {
            // Empty folders stay.
        }
    }

    // MARK: Shapes

    private func failure(_ obstacle: E2BParents.Obstacle) -> SandboxError {
        let start = "Could not write '\(edit.path)' in sandbox '\(envd.place.sandbox)' of E2B: "
        switch obstacle {
        case .file(let path):
            return SandboxError(
                .shape, code: "ENOTDIR",
                "\(start)'\(path)' is a file. Delete it by an edit.")
        case .link(let path):
            return SandboxError(
                .file, code: "ELOOP",
                "\(start)'\(path)' is a link, and envd would follow it anywhere. Make it a "
                    + "directory, then retry the edit if it failed.")
        case .directory:
            return SandboxError(
                .shape, code: "EISDIR",
                "\(start)a directory with something in it stands there. Move it away, or delete "
                    + "its files by edits.")
        }
    }
}
