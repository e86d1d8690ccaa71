internal import SyncCore
internal import Testing

extension StoreConformance {
    /// Clauses on zombies and pages.
    static let fenceCases = [
        StoreConformance("an edit that comes again under a new sequence meets its own version") {
            open in
            // After an adoption, from a copy of the journal that still has it waiting.
            let store = try await open()
            let large = Content(Array(repeating: 7, count: 5_000_000))
            _ = try await store.apply([.put(1, .named("a")), .put(2, .named("b"))])
            let made = [
                SequencedEdit.put(3, .named("a"), "mine", expected: 1),
                .put(4, .named("b"), content: large, expected: 1),
            ]
            #expect(try await store.apply(made) == [.applied(Version(2)), .applied(Version(2))])
            let again = [
                SequencedEdit.put(13, .named("a"), "mine", number: 3, expected: 1),
                .put(14, .named("b"), content: large, number: 4, expected: 1),
            ]
            let answers = try await store.apply(again)
            #expect(answers == [.applied(Version(3)), .applied(Version(3))])
            // Who still has it under its former sequence is fenced.
            let late = try await store.apply(made)
            #expect(late == [13, 14].map { .stale(by: EditSequence($0)) })
            // Another content under the same id is another edit.
            #expect(
                try await store.apply([.put(15, .named("a"), "other", number: 3, expected: 1)])
                    == [.conflict(current: Version(3))])
            // Another one with the same condition is refused, as is this one once it is not newest.
            #expect(
                try await store.apply([.put(15, .named("a"), expected: 1)])
                    == [.conflict(current: Version(3))])
            _ = try await store.apply([.put(16, .named("a"))])
            #expect(
                try await store.apply([.put(17, .named("a"), "mine", number: 3, expected: 1)])
                    == [.conflict(current: Version(4))])
        },
        StoreConformance("a zombie's batch changes nothing but what is new in it") { open in
            let zombie = try await open()
            let successor = try await open()
            _ = try await zombie.apply([.put(1, .named("a")), .put(2, .named("b"))])
            _ = try await successor.apply([.put(5, .named("a")), .delete(6, .named("b"))])
            let answers = try await zombie.apply([
                .put(3, .named("a"), "zombie"), .put(4, .named("b"), "zombie"),
                .put(7, .named("c")),
            ])
            #expect(
                answers == [
                    .stale(by: EditSequence(5)), .stale(by: EditSequence(6)),
                    .applied(Version(1)),
                ])
            #expect(try await successor.version(of: .named("a"), nil)?.sequence.value == 5)
            #expect(try await successor.version(of: .named("b"), nil)?.change == .delete)
            #expect(try await successor.history(of: .named("a")).map(\.version.value) == [2, 1])
        },
        StoreConformance("an equal sequence is known whatever it brings, and changes nothing") {
            open in
            let store = try await open()
            _ = try await store.apply([.put(3, .named("a"), "first")])
            #expect(
                try await store.apply([.put(3, .named("a"), "second")]) == [.known(Version(1))])
            #expect(
                try await store.apply([.put(3, .named("a"), expected: 9)]) == [.known(Version(1))])
            #expect(try await store.apply([.delete(3, .named("a"))]) == [.known(Version(1))])
            #expect(
                try await store.version(of: .named("a"), nil)?.change
                    == .put(Content(Array("first".utf8)), isExecutable: false))
        },
        StoreConformance("an old sequence is stale before its condition is looked at") { open in
            let store = try await open()
            _ = try await store.apply([.put(5, .named("a"))])
            #expect(
                try await store.apply([.put(4, .named("a"), expected: 1)])
                    == [.stale(by: EditSequence(5))])
            #expect(
                try await store.apply([.put(4, .named("a"), expected: 7)])
                    == [.stale(by: EditSequence(5))])
        },
        StoreConformance("a tombstone keeps its fence and its version") { open in
            let store = try await open()
            _ = try await store.apply([.put(1, .named("a"))])
            _ = try await store.apply([.delete(8, .named("a"))])
            #expect(try await store.apply([.put(7, .named("a"))]) == [.stale(by: EditSequence(8))])
            #expect(try await store.apply([.delete(8, .named("a"))]) == [.known(Version(2))])
            #expect(try await store.apply([.put(9, .named("a"))]) == [.applied(Version(3))])
        },
        StoreConformance("pages begin after any path, one file at a time too, and end short") {
            open in
            let store = try await open()
            for (sequence, path) in zip(UInt64(1)..., ["a", "c", "c/d", "e"]) {
                _ = try await store.apply([.put(sequence, .named(path))])
            }
            func page(after path: String?, _ count: Int) async throws -> [String] {
                let after = try path.map { try EditPath($0) }
                return try await store.files(of: .demo, after: after, countMax: count)
                    .map(\.path.text)
            }
            #expect(try await page(after: nil, 1) == ["a"])
            #expect(try await page(after: "a", 1) == ["c"])
            #expect(try await page(after: "b", 2) == ["c", "c/d"])
            #expect(try await page(after: "c", 10) == ["c/d", "e"])
            #expect(try await page(after: "e", 10) == [])
            #expect(try await page(after: nil, 4) == ["a", "c", "c/d", "e"])
            #expect(try await store.files(of: .other, after: nil, countMax: 4).isEmpty)
        },
    ]
}
