import SyncCore
import SyncTestKit
import Testing

@testable import SyncWorker

/// What the shell does at a sandbox before the first write there.
@Suite struct PreparationTests {
    private let pool = RecordingProvider.Pool()
    private let target = AssignedTarget(
        url: TargetURL(defaultOf: MachineCluster.project), project: MachineCluster.project,
        generation: 1, isMarked: false, revokesOthers: false, debts: [])
    private let marker = SandboxMarker(
        journal: JournalID(bits: 1), project: MachineCluster.project, generation: 1, bootID: "boot")

    private func prepare(
        refusal: () -> SandboxError?
    ) async -> Result<TargetFinding, SandboxError> {
        let applier = Applier(
            store: InMemoryStore(), sandboxes: RecordingProvider(pool: pool), isLocalSynced: false)
        let stage = StageName(
            incarnation: Incarnation(epoch: Epoch(bits: 1), count: 1), generation: 1)
        let preparation = Preparation(
            target: target, marker: marker, stage: stage,
            marksUntil: Instant(nanoseconds: 1_000))
        return await applier.prepare(preparation, refusal: refusal)
    }

    @Test func `a sandbox that nobody has marked is marked and entered`() async throws {
        #expect(try await prepare { nil }.get() == .marked)
        #expect(try await pool.sandbox(target.url).writer().marker() == marker)
    }

    @Test(arguments: [SandboxError.givenUp, .leaseOver])
    func `a sandbox is not marked by a worker that may not`(refusal: SandboxError) async {
        guard case .failure(let error) = await prepare(refusal: { refusal }) else {
            Issue.record("it was marked")
            return
        }
        #expect(error.code == refusal.code)
        #expect(pool.sandbox(target.url).calls == [.marker])
    }

    @Test func `what another worker has marked is made ready without being asked`() async throws {
        _ = await prepare { nil }
        #expect(try await prepare { .givenUp }.get() == .marked)
    }
}
