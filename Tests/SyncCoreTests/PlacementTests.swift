import SyncCore
import SyncTestKit
import Testing

@Suite struct PlacementTests {
    /// The two of the specification, and one long enough for its four lanes (README of the `xxhash`
    /// package of Python).
    @Test(
        arguments: [
            ("", 0xEF46_DB37_51D8_E999), ("abc", 0x44BC_2CF5_AD77_0999),
            ("Nobody inspects the spammish repetition", 0xFBCE_A83C_8A37_8BF1),
        ] as [(String, UInt64)])
    func `the stable hash gives the published values`(text: String, hash: UInt64) {
        #expect(StableHash.hash(text) == hash)
    }

    @Test func `nobody owns a file where there is no worker, and the only worker owns all`() throws
    {
        #expect(RendezvousHash([]).owner(of: Self.file(0)) == nil)
        let only = try Self.labels(1)
        #expect(RendezvousHash(only).owner(of: Self.file(0)) == only[0])
    }

    @Test func `the order in which workers are named decides nothing`() throws {
        let labels = try Self.labels(30)
        let (one, other) = (RendezvousHash(labels), RendezvousHash(labels.reversed()))
        for place in 0..<1_000 {
            #expect(one.owner(of: Self.file(place)) == other.owner(of: Self.file(place)))
        }
    }

    /// Deviations of a fair draw: 2,000 files a worker vary by 45.
    @Test(arguments: [2, 3, 16, 50])
    func `files are spread evenly, whatever the workers are called`(count: Int) throws {
        for prefix in ["w", "worker-", "10.0.0."] {
            let labels = try Self.labels(count, prefix)
            let owners = Self.owners(RendezvousHash(labels), files: 2_000 * count)
            var counts: [WorkerLabel: Int] = [:]
            for owner in owners { counts[owner, default: 0] += 1 }
            for label in labels { #expect(abs(counts[label, default: 0] - 2_000) < 5 * 45) }
        }
    }

    @Test func `a join moves files to the new worker only, and a leave those of the old one`()
        throws
    {
        let labels = try Self.labels(20)
        let before = Self.owners(RendezvousHash(labels.dropLast()), files: 20_000)
        let after = Self.owners(RendezvousHash(labels), files: 20_000)
        let moved = zip(before, after).filter { $0 != $1 }
        #expect(moved.allSatisfy { $0.1 == labels[19] })
        // A twentieth is its share; a fair draw varies by 31.
        #expect(abs(moved.count - 1_000) < 5 * 31)
    }

    private static func owners(_ table: RendezvousHash, files: Int) -> [WorkerLabel] {
        (0..<files).compactMap { table.owner(of: file($0)) }
    }

    private static func labels(_ count: Int, _ prefix: String = "w") throws -> [WorkerLabel] {
        try (1...count).map { try #require(WorkerLabel("\(prefix)\($0)")) }
    }

    private static func file(_ place: Int) -> FileKey {
        FileKey(
            project: MachineCluster.project,
            path: MachineCluster.path("src/m\(place % 7)/f\(place).ts"))
    }
}
