import SyncTestKit
import Testing

@testable import SyncCore

@Suite("file table")
struct FileTableTests {
    /// Swift's own, and two that give many files the same.
    private static let hashes: [@Sendable (FileKey) -> Int] = [
        \.hashValue, { _ in 7 }, { $0.path.text.utf8.count },
    ]

    @Test("files whose hashes are equal are told apart", arguments: 0..<3)
    func collisions(_ hash: Int) {
        var table = FileTable(hash: Self.hashes[hash])
        let files = (0..<3_000).map { FileKey.named("f\($0)") }
        let indexes = files.map { table.claim($0) }
        #expect(Set(indexes).count == files.count)
        #expect(table.count == files.count)
        for (file, index) in zip(files, indexes) {
            #expect(table.index(of: file) == index)
            #expect(table[index].key == file)
        }
        #expect(table.index(of: .named("another")) == nil)
    }

    @Test("a slot that is given back is used again, and nobody else's is lost", arguments: 0..<3)
    func release(_ hash: Int) {
        var table = FileTable(hash: Self.hashes[hash])
        var generator = SeededGenerator(seed: 17)
        var model: [FileKey: FileIndex] = [:]
        var highest: FileIndex = 0
        for _ in 0..<6_000 {
            let file = FileKey.named("f\(UInt64.random(in: 0..<200, using: &generator))")
            if let index = model.removeValue(forKey: file) {
                let stamp = table[index].stamp
                table.release(index)
                #expect(table[index].stamp != stamp)
                #expect(table.index(of: file) == nil)
            } else {
                let index = table.claim(file)
                #expect(!model.values.contains(index))
                #expect(table[index].phase == .rest)
                #expect(!table[index].isPending)
                highest = max(highest, index)
                model[file] = index
            }
            #expect(table.count == model.count)
        }
        #expect(highest < 200)
        for (file, index) in model { #expect(table.index(of: file) == index) }
    }

    @Test("a slot is small, as there may be a million of them")
    func size() {
        // Names and contents lie elsewhere.
        #expect(MemoryLayout<FileSlot>.stride <= 160)
        #expect(MemoryLayout<ReadyEntry>.stride == 16)
    }
}
