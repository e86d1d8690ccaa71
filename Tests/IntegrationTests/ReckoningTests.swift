import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import Testing

@testable import SyncTorture

/// What the torture holds against the books must be able to find something.
struct ReckoningTests {
    private static let path = MachineCluster.path("a")
    private static let producer = MachineCluster.producer()

    /// A folder with a store and a sandbox, and the reckoning of two edits of one file.
    private final class Scene {
        let folder = "/tmp/reckoning-\(String(UInt32.random(in: .min ... .max), radix: 36))"
        var reckoning = Reckoning()
        let places: [SandboxWatch.Place]
        var storeFile: String { folder + "/store.db" }

        init() throws {
            let project = MachineCluster.project
            places = [SandboxWatch.Place(project: project, folder: folder + "/p1")]
            try FileManager.default.createDirectory(
                atPath: folder + "/p1", withIntermediateDirectories: true)
            reckoning.take(
                [1: MachineCluster.put("a", "0 1\n"), 2: MachineCluster.put("a", "0 2\n")],
                of: ReckoningTests.producer, project)
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        func sandbox(holds text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/p1/a"))
        }

        func see(_ sights: [SandboxWatch.Sight]) -> [String] {
            reckoning.check(
                sights.map {
                    SandboxWatch.Observation(
                        place: 0, path: ReckoningTests.path, sight: $0, at: .now)
                }, of: places, [0: ReckoningTests.producer])
            return reckoning.takeFlaws()
        }
    }

    private static func event(
        _ number: UInt64, _ kind: EventKind, _ sequence: UInt64, version: UInt64 = 0
    ) -> StatusEvent {
        StatusEvent(
            kind, project: MachineCluster.project, path: path, sequence: EditSequence(sequence),
            id: EditID(producer: producer, number: sequence), version: Version(version),
            number: number, projectNumber: number)
    }

    /// Two edits, each accepted and synced.
    private static let story = [
        event(1, .accepted, 1), event(2, .synced, 1, version: 1), event(3, .accepted, 2),
        event(4, .synced, 2, version: 2),
    ]

    private static func stored(_ scene: Scene, _ numbers: [UInt64]) async throws {
        let store = try await SQLiteStore(file: scene.storeFile)
        try await store.bind(to: JournalID(bits: 1), isAdopted: false)
        for number in numbers {
            _ = try await store.apply([
                SequencedEdit(
                    sequence: EditSequence(number),
                    file: FileKey(project: MachineCluster.project, path: path),
                    change: MachineCluster.put("a", "0 \(number)\n").change, expectedVersion: nil,
                    id: EditID(producer: producer, number: number),
                    acceptedAt: Timestamp(milliseconds: 0))
            ])
        }
        await store.close()
    }

    @Test func `a file that goes back is found, one that goes on is not`() throws {
        let scene = try Scene()
        scene.reckoning.follow(Self.story)
        #expect(scene.see([.absent, .edit(author: 0, number: 1)]) == [])
        #expect(scene.see([.edit(author: 0, number: 1), .edit(author: 0, number: 2)]) == [])
        #expect(scene.see([.edit(author: 0, number: 1)]).first?.contains("back to 1") == true)
    }

    @Test func `a file that comes again after it was deleted is found`() throws {
        let scene = try Scene()
        scene.reckoning.follow(Self.story)
        let seen = scene.see([.edit(author: 0, number: 2), .absent, .edit(author: 0, number: 2)])
        #expect(seen.first?.contains("after it was deleted") == true)
    }

    @Test func `bytes and edits that nobody had accepted are found`() throws {
        let scene = try Scene()
        scene.reckoning.follow(Self.story)
        #expect(scene.see([.foreign]).count == 1)
        #expect(scene.see([.edit(author: 0, number: 3)]).count == 1)
        #expect(scene.see([.edit(author: 7, number: 1)]).count == 1)
    }

    @Test func `an acceptance that the log does not have is found, and one given up`() throws {
        let scene = try Scene()
        scene.reckoning.follow(Array(Self.story.prefix(2)))
        let told = [1: EditSequence(1), 2: EditSequence(2)] as [UInt64: EditSequence]
        scene.reckoning.check(Self.producer, accepted: told, refused: [:], unknown: [])
        #expect(scene.reckoning.takeFlaws().count == 1)
        scene.reckoning.check(Self.producer, accepted: [:], refused: [:], unknown: [2])
        #expect(scene.reckoning.takeFlaws().count == 1)
    }

    @Test func `a hole in the numbers, a second end and a missing one are found`() throws {
        for wrong in [
            [Self.story[0], Self.event(3, .synced, 1, version: 1)],
            [Self.story[0], Self.story[1], Self.event(3, .synced, 1, version: 1)],
            [Self.story[0]],
        ] {
            let scene = try Scene()
            scene.reckoning.follow(wrong)
            #expect(!scene.reckoning.takeFlaws().isEmpty)
        }
    }

    @Test func `at rest, store and sandbox are compared with the newest edit`() async throws {
        let scene = try Scene()
        scene.reckoning.follow(Self.story)
        try await Self.stored(scene, [1, 2])
        try scene.sandbox(holds: "0 2\n")
        try await scene.reckoning.checkEnd(scene.places, storeURL: "sqlite:\(scene.storeFile)")
        #expect(scene.reckoning.takeFlaws() == [])
        try scene.sandbox(holds: "0 1\n")
        try await scene.reckoning.checkEnd(scene.places, storeURL: "sqlite:\(scene.storeFile)")
        #expect(scene.reckoning.takeFlaws().count == 1)
    }

    @Test func `a version that is missing is found`() async throws {
        let scene = try Scene()
        scene.reckoning.follow(Self.story)
        try await Self.stored(scene, [1])
        try scene.sandbox(holds: "0 2\n")
        try await scene.reckoning.checkEnd(scene.places, storeURL: "sqlite:\(scene.storeFile)")
        #expect(!scene.reckoning.takeFlaws().isEmpty)
    }
}
