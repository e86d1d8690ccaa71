package import SyncCore
internal import Testing

/// The store's contract as tests that run over any implementation.
///
/// See ``JournalConformance`` for how a test target runs them. The store keeps the last 3 versions.
package struct StoreConformance: Sendable, CustomTestStringConvertible {
    /// Opens the store at one place, keeping 3 versions.
    ///
    /// The first call finds nothing there, later ones what the earlier left; several may be open.
    package typealias Opening = @Sendable () async throws -> any VersionedStore

    /// How many versions the stores under test keep.
    package static let versionsKept = 3

    /// What is promised.
    package let sentence: String
    /// Throws or records an issue when the promise is broken.
    package let check: @Sendable (Opening) async throws -> Void

    package var testDescription: String { sentence }

    init(_ sentence: String, check: @escaping @Sendable (Opening) async throws -> Void) {
        self.sentence = sentence
        self.check = check
    }

    /// Every promise; each wants a place of its own.
    package static let cases = applyCases + fenceCases + readingCases + bindingCases

    /// Runs every promise.
    ///
    /// - Parameter makeOpening: Called once for each promise; what it gives opens a fresh place.
    package static func exercise(makeOpening: () async throws -> Opening) async throws {
        for promise in cases { try await promise.check(try await makeOpening()) }
    }
}

extension StoreConformance {
    private static let applyCases = [
        StoreConformance("versions of a file count 1, 2, 3, deletes included") { open in
            let store = try await open()
            #expect(try await store.apply([.put(1, .named("a"))]) == [.applied(Version(1))])
            #expect(try await store.apply([.delete(4, .named("a"))]) == [.applied(Version(2))])
            #expect(try await store.apply([.put(9, .named("a"))]) == [.applied(Version(3))])
            #expect(try await store.history(of: .named("a")).map(\.version.value) == [3, 2, 1])
        },
        StoreConformance("a delete of a file that was never written is an edit like any other") {
            open in
            let store = try await open()
            #expect(try await store.apply([.delete(1, .named("a"))]) == [.applied(Version(1))])
            #expect(try await store.version(of: .named("a"), nil)?.change == .delete)
            let file = try #require(try await store.files(of: .demo, after: nil, countMax: 9).first)
            #expect(file.isDeleted && file.byteCount == 0 && file.digest == 0)
        },
        StoreConformance("a batch is answered item by item, in its order") { open in
            let store = try await open()
            _ = try await store.apply([.put(5, .named("b")), .put(6, .named("c"))])
            let answers = try await store.apply([
                .put(10, .named("a")), .put(5, .named("b")), .put(4, .named("c")),
                .put(11, .named("d"), expected: 2),
            ])
            #expect(
                answers == [
                    .applied(Version(1)), .known(Version(1)), .stale(by: EditSequence(6)),
                    .conflict(current: .none),
                ])
            #expect(try await store.apply([]) == [])
        },
        StoreConformance("repeating a batch changes nothing and tells the versions again") { open in
            let store = try await open()
            let batch = [
                SequencedEdit.put(1, .named("a")), .put(2, .named("b")), .delete(3, .named("c")),
            ]
            _ = try await store.apply(batch)
            let history = try await store.history(of: .named("a"))
            #expect(try await store.apply(batch) == Array(repeating: .known(Version(1)), count: 3))
            let other = try await open()
            #expect(try await other.apply(batch) == Array(repeating: .known(Version(1)), count: 3))
            #expect(try await store.history(of: .named("a")) == history)
        },
        StoreConformance("an older edit never overwrites a newer one") { open in
            let store = try await open()
            _ = try await store.apply([.put(7, .named("a"), "new")])
            #expect(
                try await store.apply([.put(6, .named("a"), "old")]) == [
                    .stale(by: EditSequence(7))
                ])
            #expect(
                try await store.apply([.delete(1, .named("a"))]) == [.stale(by: EditSequence(7))])
            #expect(
                try await store.version(of: .named("a"), nil)?.change
                    == .put(Content(Array("new".utf8)), isExecutable: false))
        },
        StoreConformance("a redelivered conditional edit does not meet its own version") { open in
            let store = try await open()
            _ = try await store.apply([.put(1, .named("a"))])
            let edit = SequencedEdit.put(2, .named("a"), expected: 1)
            #expect(try await store.apply([edit]) == [.applied(Version(2))])
            #expect(try await store.apply([edit]) == [.known(Version(2))])
        },
        StoreConformance("a condition that is not met changes nothing") { open in
            let store = try await open()
            #expect(
                try await store.apply([.put(1, .named("a"), expected: 1)]) == [
                    .conflict(current: .none)
                ])
            #expect(try await store.files(of: .demo, after: nil, countMax: 9).isEmpty)
            #expect(
                try await store.apply([.put(2, .named("a"), expected: 0)]) == [.applied(Version(1))]
            )
            #expect(
                try await store.apply([.put(3, .named("a"), expected: 0)])
                    == [.conflict(current: Version(1))])
            // Refused edits leave no fence: one with a sequence between is still newer.
            #expect(try await store.identity().highestSequence == EditSequence(2))
            #expect(
                try await store.apply([.put(3, .named("a"), expected: 1)]) == [.applied(Version(2))]
            )
        },
        StoreConformance("the condition of a deleted file is its tombstone's version") { open in
            let store = try await open()
            _ = try await store.apply([.put(1, .named("a"))])
            _ = try await store.apply([.delete(2, .named("a"))])
            #expect(
                try await store.apply([.put(3, .named("a"), expected: 0)])
                    == [.conflict(current: Version(2))])
            #expect(
                try await store.apply([.put(4, .named("a"), expected: 2)]) == [.applied(Version(3))]
            )
        },
        StoreConformance("calls from many tasks at once leave dense versions") { open in
            let store = try await open()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in UInt64(0)..<8 {
                    group.addTask {
                        for number in UInt64(0)..<20 {
                            let sequence = task * 20 + number + 1
                            _ = try await store.apply([.put(sequence, .named("own-\(task)"))])
                            _ = try await store.version(of: .named("own-\(task)"), nil)
                        }
                    }
                }
                try await group.waitForAll()
            }
            for task in 0..<8 {
                #expect(
                    try await store.history(of: .named("own-\(task)")).map(\.version.value) == [
                        20, 19, 18,
                    ])
            }
            #expect(try await store.identity().highestSequence == EditSequence(160))
        },
    ]

    private static let bindingCases = [
        StoreConformance("a store keeps its id, and belongs to nobody at first") { open in
            let store = try await open()
            let identity = try await store.identity()
            #expect(Hexadecimal.isSixteenDigits(identity.id.utf8))
            #expect(identity.journal == nil)
            #expect(identity.highestSequence == .none)
            let other = try await open()
            #expect(try await other.identity() == identity)
        },
        StoreConformance("a store belongs to one journal until it is adopted") { open in
            let store = try await open()
            let (mine, other) = (JournalID(bits: 1), JournalID(bits: .max))
            try await store.bind(to: mine, isAdopted: false)
            try await store.bind(to: mine, isAdopted: false)
            let error = await #expect(throws: StoreError.self) {
                try await store.bind(to: other, isAdopted: false)
            }
            #expect(error?.code == .foreign)
            #expect(try await store.identity().journal == mine)
            #expect(try await store.identity().formerJournals == [])
            try await store.bind(to: other, isAdopted: true)
            try await store.bind(to: other, isAdopted: true)
            #expect(try await store.identity().journal == other)
            #expect(try await store.identity().formerJournals == [mine])
            try await store.bind(to: mine, isAdopted: true)
            #expect(try await store.identity().formerJournals == [other])
        },
        StoreConformance("the highest sequence counts what was applied, over all files") { open in
            let store = try await open()
            _ = try await store.apply([.put(8, .named("a")), .put(3, .named("b"))])
            #expect(try await store.identity().highestSequence == EditSequence(8))
            _ = try await store.apply([.put(5, .named("c"))])
            #expect(try await store.identity().highestSequence == EditSequence(8))
        },
    ]
}
