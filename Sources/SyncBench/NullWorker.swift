import ArgumentParser
import Foundation
import Glibc
import Logging
import SyncCore
import SyncSandbox
import SyncStore
import SyncWorker

/// A worker as `syncd worker` is one, whose store and sandboxes do nothing with an edit.
///
/// What it costs is what syncd itself costs. Registration, lease and the sandbox's marker are real.
struct NullWorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "null-worker", abstract: "A worker that stores and writes nothing.",
        shouldDisplay: false)

    @Option var coordinator: String
    @Option var store: String
    @Option var localRoot: String
    @Option var id: String

    func run() async throws {
        let local = LocalDirectoryProvider(root: localRoot)
        let settings = WorkerSettings(
            label: try Pool.name(id), life: .random(in: .min ... .max), bootID: "bench",
            localRootID: try await local.localRootID(), schemes: local.schemes)
        let service = WorkerService(
            WorkerConfiguration(coordinator: coordinator, settings: settings),
            store: NullStore(real: try await SQLiteStore(file: store)),
            sandboxes: NullSandboxes(real: local),
            logger: Logger(label: "null-worker") { _ in SwiftLogNoOpLogHandler() })
        // It ends with the parent.
        Thread.detachNewThread {
            while readLine() != nil {}
            Glibc.exit(0)
        }
        try await service.run()
    }
}

/// Says of every edit at once that it is stored.
private struct NullStore: VersionedStore {
    /// Has the identity; no edit gets there.
    let real: SQLiteStore

    func identity() async throws(StoreError) -> StoreIdentity { try await real.identity() }

    func bind(to journal: JournalID, isAdopted: Bool) async throws(StoreError) {
        try await real.bind(to: journal, isAdopted: isAdopted)
    }

    func apply(_ edits: [SequencedEdit]) async throws(StoreError) -> [Applied] {
        edits.map { .applied(Version($0.sequence.value)) }
    }

    func version(
        of file: FileKey, _ version: Version?
    ) async throws(StoreError) -> StoredVersion? {
        try await real.version(of: file, version)
    }

    func history(of file: FileKey) async throws(StoreError) -> [StoredVersion] {
        try await real.history(of: file)
    }

    func files(
        of project: ProjectName, after path: EditPath?, countMax: Int
    ) async throws(StoreError) -> [StoredFile] {
        try await real.files(of: project, after: path, countMax: countMax)
    }
}

/// Sandboxes that are marked and entered, and take no file.
private struct NullSandboxes: SandboxProvider {
    let real: LocalDirectoryProvider

    var schemes: [String] { real.schemes }

    func localRootID() async throws(SandboxError) -> String? { try await real.localRootID() }

    func writer(for target: TargetURL) throws(SandboxError) -> any SandboxWriter {
        NullWriter(real: try real.writer(for: target))
    }
}

/// Says of every edit at once that it is visible.
private struct NullWriter: SandboxWriter {
    let real: any SandboxWriter

    func marker() async throws(SandboxError) -> SandboxMarker? { try await real.marker() }

    func tryWriting() async throws(SandboxError) { try await real.tryWriting() }

    func mark(_ marker: SandboxMarker) async throws(SandboxError) -> SandboxMarker {
        try await real.mark(marker)
    }

    func enter(_ stage: StageName) async throws(SandboxError) { try await real.enter(stage) }

    func revoke(
        _ stages: [StageName], others: Bool, keeping: StageName
    ) async throws(SandboxError) {
        try await real.revoke(stages, others: others, keeping: keeping)
    }

    func apply(
        _ edit: SandboxEdit, through stage: StageName
    ) async throws(SandboxError) -> Drift? { nil }

    func apply(
        _ edits: [SandboxEdit], through stage: StageName,
        isLeased: @escaping @Sendable () -> Bool,
        landed: @escaping @Sendable (Int, Result<Drift?, SandboxError>) -> Void
    ) async {
        for place in edits.indices { landed(place, .success(nil)) }
    }
}
