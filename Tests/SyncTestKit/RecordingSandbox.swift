package import SyncCore
internal import Synchronization

/// A sandbox in memory that keeps the contract, remembers its calls and fails on demand.
///
/// One object is the sandbox; each ``writer()`` is one process that reaches it.
package final class RecordingSandbox: Sendable {
    /// A call as it was made, whatever came of it.
    package enum Call: Sendable, Equatable {
        case marker
        case tryWriting
        case mark(SandboxMarker)
        case enter(StageName)
        case revoke([StageName], others: Bool, keeping: StageName)
        case apply(EditPath, FileChange, EditSequence, StageName)
    }

    private enum Node {
        case file([UInt8], isExecutable: Bool)
        case directory
    }

    private struct State {
        var nodes: [String: Node] = [:]
        var marker: SandboxMarker?
        /// True: standing; false: revoked.
        var stages: [StageName: Bool] = [:]
        var calls: [Call] = []
        var failure: (@Sendable (Call) -> SandboxError?)?
        var isHeld = false
        var held: [CheckedContinuation<Void, Never>] = []
        var arrivals: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    /// A blank sandbox.
    package init() {}

    /// The sandbox as one more process sees it.
    package func writer() -> any SandboxWriter { RecordingWriter(sandbox: self) }

    /// Calls made so far, over all processes.
    package var calls: [Call] { state.withLock { $0.calls } }

    /// Paths of all files.
    package var paths: [String] {
        state.withLock { state in
            state.nodes.compactMap { path, node in
                if case .file = node { path } else { nil }
            }.sorted()
        }
    }

    /// What stands under a path.
    package func entry(_ path: String) -> SandboxEntry? {
        state.withLock { state in
            switch state.nodes[path] {
            case .file(let bytes, let isExecutable): .file(bytes, isExecutable: isExecutable)
            case .directory: .directory
            case nil: nil
            }
        }
    }

    /// Makes a directory and its parents.
    package func makeDirectory(_ path: String) {
        state.withLock { state in
            for parent in Self.parents(of: path) + [path] { state.nodes[parent] = .directory }
        }
    }

    /// Removes everything: the sandbox is blank.
    package func removeAll() {
        state.withLock { state in
            state.nodes = [:]
            state.marker = nil
            state.stages = [:]
        }
    }

    /// From now on asks before every call whether it fails; nil: none does.
    package func fail(_ failure: (@Sendable (Call) -> SandboxError?)?) {
        state.withLock { $0.failure = failure }
    }

    /// From now on ``SandboxWriter/apply(_:through:)`` waits, before it has any effect.
    package func hold() { state.withLock { $0.isHeld = true } }

    /// Lets the held calls go on, and the next ones pass.
    package func release() {
        let held = state.withLock { state in
            state.isHeld = false
            defer { state.held = [] }
            return state.held
        }
        for continuation in held { continuation.resume() }
    }

    /// Waits until so many calls are held.
    package func holds(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.held.count >= count { return true }
                state.arrivals.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }

    /// Whether anything of the sandbox is there.
    fileprivate var exists: Bool {
        state.withLock { !$0.stages.isEmpty || $0.marker != nil || !$0.nodes.isEmpty }
    }

    /// Notes a call, and throws what the test wants it to end with.
    fileprivate func note(_ call: Call) throws(SandboxError) {
        let failure = state.withLock { state in
            state.calls.append(call)
            return state.failure
        }
        if let error = failure?(call) { throw error }
    }

    /// Waits while the sandbox holds its calls.
    fileprivate func pass() async {
        await withCheckedContinuation { continuation in
            let ready: [CheckedContinuation<Void, Never>] = state.withLock { state in
                guard state.isHeld else { return [continuation] }
                state.held.append(continuation)
                let count = state.held.count
                let ready = state.arrivals.filter { $0.count <= count }.map(\.continuation)
                state.arrivals.removeAll { $0.count <= count }
                return ready
            }
            for continuation in ready { continuation.resume() }
        }
    }

    fileprivate func readMarker() -> SandboxMarker? { state.withLock { $0.marker } }

    fileprivate func write(_ marker: SandboxMarker) -> SandboxMarker {
        state.withLock { state in
            if let standing = state.marker, standing.standsFor(marker, isSynced: false) {
                return standing
            }
            state.marker = marker
            return marker
        }
    }

    fileprivate func enter(_ stage: StageName) throws(SandboxError) {
        let stands = state.withLock { state in
            if state.stages[stage] == nil { state.stages[stage] = true }
            return state.stages[stage] == true
        }
        if !stands { throw Self.revoked(stage) }
    }

    fileprivate func revoke(_ stages: [StageName], others: Bool, keeping: StageName) {
        state.withLock { state in
            for stage in stages { state.stages[stage] = false }
            if others {
                for stage in state.stages.keys where stage != keeping {
                    state.stages[stage] = false
                }
            }
        }
    }

    fileprivate func change(
        _ edit: SandboxEdit, through stage: StageName
    ) throws(SandboxError) {
        let failure: SandboxError? = state.withLock { state in
            guard state.stages[stage] == true else { return Self.revoked(stage) }
            switch edit.change {
            case .put(let content, let isExecutable):
                return Self.put(
                    .file(content.bytes, isExecutable: isExecutable), edit.path.text, &state)
            case .delete:
                Self.delete(edit.path.text, &state)
                return nil
            }
        }
        if let failure { throw failure }
    }

    private static func put(
        _ file: Node, _ path: String, _ state: inout State
    ) -> SandboxError? {
        let parents = parents(of: path)
        for parent in parents {
            if case .file = state.nodes[parent] { return shape("ENOTDIR", path) }
        }
        if case .directory = state.nodes[path],
            state.nodes.keys.contains(where: { $0.hasPrefix(path + "/") })
        {
            return shape("EISDIR", path)
        }
        for parent in parents { state.nodes[parent] = .directory }
        state.nodes[path] = file
        return nil
    }

    private static func delete(_ path: String, _ state: inout State) {
        if case .directory = state.nodes[path] { return }
        state.nodes[path] = nil
        for parent in parents(of: path).reversed() {
            if case .file = state.nodes[parent] { return }
            if state.nodes.keys.contains(where: { $0.hasPrefix(parent + "/") }) { return }
            state.nodes[parent] = nil
        }
    }

    /// Folders above a path, from the root down.
    private static func parents(of path: String) -> [String] {
        let segments = path.split(separator: "/")
        return segments.indices.dropFirst().map { segments[..<$0].joined(separator: "/") }
    }

    private static func shape(_ code: String, _ path: String) -> SandboxError {
        SandboxError(.shape, code: code, "Could not write '\(path)': \(code).")
    }

    private static func revoked(_ stage: StageName) -> SandboxError {
        SandboxError(.worker, code: SandboxError.revokedCode, "Stage '\(stage)' was revoked.")
    }
}

/// One process's view of a ``RecordingSandbox``.
private final class RecordingWriter: SandboxWriter {
    let sandbox: RecordingSandbox
    /// Stages that this process has made; another one's can't be written through.
    let entered = Mutex<Set<StageName>>([])

    init(sandbox: RecordingSandbox) { self.sandbox = sandbox }

    func marker() async throws(SandboxError) -> SandboxMarker? {
        try sandbox.note(.marker)
        return sandbox.readMarker()
    }

    func tryWriting() async throws(SandboxError) {
        try sandbox.note(.tryWriting)
        guard sandbox.exists else {
            throw SandboxError(.target, code: "sandbox-missing", "There is no sandbox here.")
        }
    }

    func mark(_ marker: SandboxMarker) async throws(SandboxError) -> SandboxMarker {
        try sandbox.note(.mark(marker))
        return sandbox.write(marker)
    }

    func enter(_ stage: StageName) async throws(SandboxError) {
        try sandbox.note(.enter(stage))
        try sandbox.enter(stage)
        entered.withLock { _ = $0.insert(stage) }
    }

    func revoke(
        _ stages: [StageName], others: Bool, keeping: StageName
    ) async throws(SandboxError) {
        try sandbox.note(.revoke(stages, others: others, keeping: keeping))
        sandbox.revoke(stages, others: others, keeping: keeping)
    }

    func apply(
        _ edit: SandboxEdit, through stage: StageName
    ) async throws(SandboxError) -> Drift? {
        try sandbox.note(.apply(edit.path, edit.change, edit.sequence, stage))
        await sandbox.pass()
        guard entered.withLock({ $0.contains(stage) }) else {
            throw SandboxError(.worker, code: SandboxError.revokedCode, "Not entered: '\(stage)'.")
        }
        try sandbox.change(edit, through: stage)
        return nil
    }
}

/// A provider of sandboxes in memory, made on first use; one provider is one process.
package final class RecordingProvider: SandboxProvider {
    /// The sandboxes of a pool, shared by its providers.
    package final class Pool: Sendable {
        private let sandboxes = Mutex<[TargetURL: RecordingSandbox]>([:])

        /// A pool without sandboxes.
        package init() {}

        /// The sandbox of a target.
        package func sandbox(_ target: TargetURL) -> RecordingSandbox {
            sandboxes.withLock { sandboxes in
                let sandbox = sandboxes[target] ?? RecordingSandbox()
                sandboxes[target] = sandbox
                return sandbox
            }
        }
    }

    package let schemes: [String]
    private let rootID: String?
    private let pool: Pool
    private let writers = Mutex<[TargetURL: any SandboxWriter]>([:])

    /// One process's access to a pool.
    package init(pool: Pool, schemes: [String] = ["local"], rootID: String? = "0000000000000001") {
        self.pool = pool
        self.schemes = schemes
        self.rootID = rootID
    }

    package func localRootID() async throws(SandboxError) -> String? { rootID }

    package func writer(for target: TargetURL) throws(SandboxError) -> any SandboxWriter {
        guard schemes.contains(target.scheme) else {
            throw SandboxError(.file, code: "unknown-scheme", "No scheme '\(target.scheme)' here.")
        }
        return writers.withLock { writers in
            let writer = writers[target] ?? pool.sandbox(target).writer()
            writers[target] = writer
            return writer
        }
    }
}
