import SyncCore
import SyncTestKit
import Testing

@testable import SyncWorker

/// What the shell does at a sandbox before the first write there.
@Suite struct PreparationTests {
    private let pool = RecordingProvider.Pool()
    private let url = TargetURL(defaultOf: MachineCluster.project)

    /// - Parameter bootID: The worker's machine.
    private func prepare(
        _ mark: String, bootID: String = "boot", isMarked: Bool = false, isLeased: Bool = true,
        isSynced: Bool = false
    ) async -> Result<TargetFinding, SandboxError> {
        let applier = Applier(
            store: InMemoryStore(), sandboxes: RecordingProvider(pool: pool),
            isLocalSynced: isSynced)
        let target = AssignedTarget(
            url: url, project: MachineCluster.project, generation: 1, isMarked: isMarked,
            revokesOthers: false, debts: [])
        let stage = StageName(
            incarnation: Incarnation(epoch: Epoch(bits: 1), count: 1), generation: 1)
        let preparation = Preparation(target: target, marker: marker(mark, bootID), stage: stage)
        return await applier.prepare(preparation) { isLeased }
    }

    private func marker(_ mark: String, _ bootID: String = "boot") -> SandboxMarker {
        SandboxMarker(
            journal: JournalID(bits: 1), project: MachineCluster.project, generation: 1,
            bootID: bootID, mark: mark)
    }

    @Test func `a sandbox that nobody has marked is marked and entered`() async throws {
        #expect(try await prepare("a").get() == .marked(as: "a"))
        #expect(try await pool.sandbox(url).writer().marker() == marker("a"))
    }

    @Test func `a sandbox is not marked without a lease`() async {
        guard case .failure(let error) = await prepare("a", isLeased: false) else {
            Issue.record("it was marked")
            return
        }
        #expect(error.code == SandboxError.leaseOver.code)
        #expect(pool.sandbox(url).calls == [.marker])
    }

    @Test(arguments: [true, false])
    func `the marker that another worker wrote is told and left`(isMarked: Bool) async throws {
        _ = await prepare("a")
        let finding = try await prepare("b", isMarked: isMarked, isLeased: false).get()
        #expect(finding == .marked(as: "a"))
        #expect(try await pool.sandbox(url).writer().marker() == marker("a"))
    }

    @Test func `a marker of another machine stays where files outlive a boot`() async throws {
        _ = await prepare("a")
        let left = try await prepare("b", bootID: "other", isLeased: false, isSynced: true).get()
        #expect(left == .marked(as: "a"))
        #expect(try await prepare("b", bootID: "other").get() == .marked(as: "b"))
    }

    @Test(arguments: ["", "two words", "li\nnes", String(repeating: "x", count: 65)])
    func `a mark that is no word is none`(mark: String) {
        #expect(marker(mark).mark == SandboxMarker.noMark)
    }
}
