import SyncCore
import SyncTestKit
import Testing

/// Pages of paths that come and go, against the simplest way to make them.
@Suite struct OrderedPathsTests {
    private static let words = ["a", "a-b", "a/b", "a/c", "ab", "b", "b/a/c", "é", "z"]

    private static func page(
        _ paths: Set<EditPath>, under prefix: String, after start: EditPath?, countMax: Int
    ) -> [EditPath] {
        let found = paths.filter { path in
            path.isCovered(by: prefix) && (start.map { $0 < path } ?? true)
        }
        return Array(found.sorted().prefix(countMax))
    }

    @Test(arguments: 1...20)
    func `every page is what sorting everything gives`(seed: UInt64) {
        var chance = SeededGenerator(seed: seed)
        var plain: Set<EditPath> = []
        var ordered = OrderedPaths()
        let all =
            Self.words.flatMap { first in
                Self.words.map { MachineCluster.path("\(first)/\($0)/f") }
            } + Self.words.map { MachineCluster.path($0) }
        for _ in 0..<600 {
            let path = all[Int.random(in: 0..<all.count, using: &chance)]
            if plain.insert(path).inserted {
                ordered.insert(path)
            } else {
                plain.remove(path)
                ordered.remove(path)
            }
            #expect(ordered.count == plain.count)
            guard Int.random(in: 0..<4, using: &chance) == 0 else { continue }
            let prefix =
                ["", "a", "a/b", "a-b/", "b/a", "none"].randomElement(using: &chance) ?? ""
            let start = Bool.random(using: &chance) ? all.randomElement(using: &chance) : nil
            let count = Int.random(in: 0...8, using: &chance)
            let page = ordered.page(under: prefix, after: start, countMax: count)
            #expect(
                page == Self.page(plain, under: prefix, after: start, countMax: count),
                "seed \(seed), under '\(prefix)' after \(String(describing: start))")
        }
    }
}
