internal import Foundation
internal import NIOCore
package import SyncCore
internal import Synchronization

/// A sandbox of E2B, or one directory in it.
///
/// A put costs two requests, an executable one three, a delete three or four; the folders on the
/// way are looked at once in thirty seconds. What is not kept as in a local sandbox: nothing is
/// fsynced (envd can't), and links on the way to a file are refused.
package final class E2BWriter: SandboxWriter {
    private let envd: E2BEnvd
    private let parents: E2BParents
    private let bulk: E2BBulk
    private let drifts = E2BDrift()
    private let state = Mutex(State())

    private struct State {
        /// Stages entered here and not known to be revoked.
        var entered: Set<StageName> = []
        /// The marker when it was last read or written here.
        var marker: SandboxMarker?
        /// Resumes of the sandbox after which the marker was found to be that one.
        var verified = 0
    }

    private static let trialBytes = 64 << 10

    init(envd: E2BEnvd) {
        self.envd = envd
        parents = E2BParents(envd: envd)
        bulk = E2BBulk(envd: envd)
    }

    /// Files of a refill that wait to be uploaded together.
    package var waitingUploads: Int { bulk.waitingCount }

    // MARK: Marker

    private var markerPath: String { envd.path("\(EditPath.reserved)/marker") }

    /// Reads the marker; does not resume a paused sandbox, whose marker is what it was.
    package func marker() async throws(SandboxError) -> SandboxMarker? {
        if let known = state.withLock({ $0.marker }) {
            do throws(SandboxError) {
                return try await readMarker(sparesPaused: true)
            } catch {
                if error.code == E2BEnvd.pausedCode { return known }
                throw error
            }
        }
        return try await readMarker(sparesPaused: false)
    }

    private func readMarker(sparesPaused: Bool) async throws(SandboxError) -> SandboxMarker? {
        let (marker, resumes) = try await foundMarker(sparesPaused: sparesPaused)
        state.withLock { state in
            state.marker = marker
            state.verified = resumes
        }
        return marker
    }

    /// What the sandbox holds, and how often it had been resumed then.
    private func foundMarker(
        sparesPaused: Bool
    ) async throws(SandboxError) -> (marker: SandboxMarker?, resumes: Int) {
        // Read before: one that is resumed meanwhile is looked at once more.
        let resumes = try await envd.session.pass(extendingLife: false).resumes
        let bytes = try await envd.download(markerPath, sparesPaused: sparesPaused)
        let marker = try bytes.map { bytes throws(SandboxError) in
            try E2BMarker.read(bytes, of: envd.place.sandbox)
        }
        return (marker, resumes)
    }

    /// Writes a small file beside the marker and removes it.
    package func tryWriting() async throws(SandboxError) {
        guard try await envd.stat(envd.path(EditPath.reserved))?.isDirectory ?? false else {
            throw SandboxError(
                .target, code: "sandbox-missing",
                "The files of sandbox '\(envd.place.sandbox)' of E2B were removed. They are "
                    + "written again; its edits wait.")
        }
        let trial = envd.path("\(EditPath.reserved)/trial.\(Self.chance())")
        let body = ByteBuffer(repeating: 0, count: Self.trialBytes)
        do throws(SandboxError) {
            try await upload(body, to: trial, "write a trial file into")
        } catch {
            if error.code != "unreachable" { await envd.discard(trial) }
            throw error
        }
        try await envd.remove(trial)
    }

    /// Writes the marker beside and moves it into place, unless one of the same filling is there.
    package func mark(_ marker: SandboxMarker) async throws(SandboxError) -> SandboxMarker {
        let staged = "\(markerPath).\(Self.chance())"
        let bytes = E2BMarker.bytes(of: marker, in: envd.place.sandbox)
        try await upload(ByteBuffer(bytes: bytes), to: staged, "write the marker of")
        let standing: SandboxMarker?
        do throws(SandboxError) {
            standing = try await readMarker(sparesPaused: false)
        } catch {
            await envd.discard(staged)
            throw error
        }
        if let standing, standing.standsFor(marker, isSynced: true) {
            await envd.discard(staged)
            return standing
        }
        // One that is executed late writes an older marker, and the sandbox is filled once more.
        switch try await envd.move(staged, to: markerPath) {
        case .done:
            state.withLock { $0.marker = marker }
            return marker
        case .unknown(let error): throw error
        case .refused(let reply): throw envd.failure(reply, "write", Self.marker)
        case .notFound:
            throw SandboxError(
                .target, code: "sandbox-missing",
                "The marker of sandbox '\(envd.place.sandbox)' of E2B was removed while it was "
                    + "written. It is written again; its edits wait.")
        }
    }

    private static let marker = E2BFailure.Subject.place("the marker")

    private func upload(
        _ body: ByteBuffer, to path: String, _ action: String
    ) async throws(SandboxError) {
        let place = E2BFailure.Subject.place("'\(EditPath.reserved)'")
        for round in 0...E2BEnvd.foldersRoundsMax {
            switch try await envd.upload(body, to: path) {
            case .success(let reply):
                if reply.isSuccess { return }
                let isLast = round == E2BEnvd.foldersRoundsMax
                guard !isLast, E2BFailure.isMissingFolder(reply) else {
                    throw envd.failure(reply, action, place)
                }
            case .failure(let loss):
                throw E2BFailure.error(loss, action, place, of: envd.place.sandbox)
            }
        }
    }

    private static func chance() -> String {
        Hexadecimal.digits(of: UInt64.random(in: .min ... .max))
    }

    // MARK: Stages

    /// Makes the stage directory, once.
    package func enter(_ stage: StageName) async throws(SandboxError) {
        let own = E2BStage(envd: envd, name: "\(stage)")
        if state.withLock({ $0.entered.contains(stage) }) {
            try await own.check()
            return
        }
        try await own.make()
        state.withLock { _ = $0.entered.insert(stage) }
    }

    /// Puts a plain file in the place of each stage directory.
    ///
    /// In a sandbox that came back blank the stages of the former filling are not to be seen, but
    /// an upload on its way would make them again: those of the same incarnations are revoked, too.
    package func revoke(
        _ stages: [StageName], others: Bool, keeping: StageName
    ) async throws(SandboxError) {
        var names = stages.map { "\($0)" }
        if others {
            names += stages.filter { $0.generation > 1 }.map {
                "\(StageName(incarnation: $0.incarnation, generation: $0.generation - 1))"
            }
            names += try await E2BStage.names(envd)
        }
        var done: Set<String> = ["\(keeping)"]
        for name in names where done.insert(name).inserted {
            try await E2BStage(envd: envd, name: name).revoke()
        }
    }

    /// Stages the edit and moves it into place.
    package func apply(
        _ edit: SandboxEdit, through stage: StageName
    ) async throws(SandboxError) -> Drift? {
        let own = E2BStage(envd: envd, name: "\(stage)")
        guard state.withLock({ $0.entered.contains(stage) }) else { throw own.revoked() }
        let change = E2BChange(
            envd: envd, stage: own, parents: parents, bulk: bulk, drifts: drifts,
            edit: edit,
            verify: { [self] () async throws(SandboxError) in try await verify() })
        return try await change.make()
    }

    /// Reads the marker again after the sandbox was resumed: it may be an older one.
    private func verify() async throws(SandboxError) {
        let resumes = try await envd.session.pass(extendingLife: false).resumes
        let (verified, known) = state.withLock { ($0.verified, $0.marker) }
        guard resumes != verified, let known else { return }
        let found = try await foundMarker(sparesPaused: false)
        if found.marker == known {
            state.withLock { $0.verified = found.resumes }
            return
        }
        // Not noted: the writes beside this one are to be refused, too.
        throw SandboxError(
            .target, code: TargetCode.rolledBack,
            "Sandbox '\(envd.place.sandbox)' of E2B was resumed as another one than it was. It is "
                + "filled again; its edits wait.")
    }
}
