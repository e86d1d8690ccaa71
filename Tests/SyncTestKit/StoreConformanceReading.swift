package import SyncCore
internal import Testing

extension StoreConformance {
    static let readingCases = [
        StoreConformance("what is read is what was applied") { open in
            let store = try await open()
            let edit = SequencedEdit(
                sequence: EditSequence(countMax), file: .named("tool"),
                change: .put(Content([0, 255, 0]), isExecutable: true), expectedVersion: nil,
                id: EditID(producer: SequencedEdit.producer, number: .max),
                acceptedAt: Timestamp(milliseconds: 1_700_000_000_321))
            _ = try await store.apply([edit])
            let other = try await open()
            let version = try #require(try await other.version(of: .named("tool"), nil))
            #expect(
                version
                    == StoredVersion(
                        path: edit.file.path, version: Version(1), sequence: edit.sequence,
                        id: edit.id, acceptedAt: edit.acceptedAt, change: edit.change))
            let file = StoredFile(
                path: edit.file.path, version: Version(1), sequence: edit.sequence,
                isDeleted: false, isExecutable: true, byteCount: 3,
                digest: Content([0, 255, 0]).digest)
            #expect(try await other.files(of: .demo, after: nil, countMax: 10) == [file])
        },
        StoreConformance("the last versions are kept, older ones go") { open in
            let store = try await open()
            for sequence in UInt64(1)...5 {
                _ = try await store.apply([.put(sequence, .named("a"))])
            }
            #expect(try await store.history(of: .named("a")).map(\.version.value) == [5, 4, 3])
            #expect(try await store.version(of: .named("a"), Version(2)) == nil)
            #expect(
                try await store.version(of: .named("a"), Version(3))?.change
                    == .put(Content(Array("3".utf8)), isExecutable: false))
            #expect(try await store.version(of: .named("a"), Version(6)) == nil)
            #expect(try await store.version(of: .named("b"), nil) == nil)
            #expect(try await store.history(of: .named("b")).isEmpty)
        },
        StoreConformance("a history names versions newest first and carries no content") { open in
            let store = try await open()
            _ = try await store.apply([.put(1, .named("a"))])
            _ = try await store.apply([.delete(2, .named("a"))])
            let history = try await store.history(of: .named("a"))
            #expect(history.map(\.change) == [.delete, .put(.empty, isExecutable: false)])
            #expect(history.map(\.sequence.value) == [2, 1])
        },
        StoreConformance("a listing comes page by page in byte order, tombstones included") {
            open in
            let store = try await open()
            // "ﬀ" sorts after "z" and before the emoji by bytes; Swift's own order differs.
            let paths = ["B", "a", "a/b", "a-b", "z", "é", "ﬀ", "👩‍👩‍👧"]
            let edits = zip(UInt64(1)..., paths).map { SequencedEdit.put($0, .named($1)) }
            _ = try await store.apply(edits.reversed())
            _ = try await store.apply([.delete(100, .named("z"))])
            _ = try await store.apply([.put(101, .named("other", in: .other))])
            var found: [StoredFile] = []
            while true {
                let page = try await store.files(of: .demo, after: found.last?.path, countMax: 3)
                found += page
                if page.count < 3 { break }
            }
            let sorted = paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            #expect(found.map(\.path.text) == sorted)
            #expect(found.filter(\.isDeleted).map(\.path.text) == ["z"])
        },
        StoreConformance("paths in any script are told apart") { open in
            let store = try await open()
            let files = try JournalSamples.oddPaths.map {
                FileKey(project: .demo, path: try EditPath($0))
            }
            for (sequence, file) in zip(UInt64(1)..., files) {
                #expect(try await store.apply([.put(sequence, file)]) == [.applied(Version(1))])
            }
            for (sequence, file) in zip(UInt64(1)..., files) {
                #expect(try await store.version(of: file, nil)?.sequence.value == sequence)
            }
        },
        StoreConformance("content comes back byte for byte: NULs, none, 16 MiB") { open in
            let store = try await open()
            let contents = [
                Content([0, 1, 0, 255, 0]), Content.empty,
                Content((0..<(16 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }),
            ]
            for (sequence, content) in zip(UInt64(1)..., contents) {
                let edit = SequencedEdit.put(sequence, .named("a"), content: content)
                #expect(try await store.apply([edit]) == [.applied(Version(sequence))])
            }
            for (version, content) in zip(UInt64(1)..., contents) {
                let change = try await store.version(of: .named("a"), Version(version))?.change
                #expect(change == .put(content, isExecutable: false), "version \(version)")
            }
        },
    ]
}

extension SequencedEdit {
    /// Who pushes in the store's suite.
    package static let producer = ProducerID(name: .demo, life: .max)

    /// A put whose content and number are its sequence, unless told otherwise.
    package static func put(
        _ sequence: UInt64, _ file: FileKey, _ text: String? = nil, content: Content? = nil,
        number: UInt64? = nil, expected: UInt64? = nil
    ) -> SequencedEdit {
        let content = content ?? Content(Array((text ?? "\(sequence)").utf8))
        return SequencedEdit(
            sequence: EditSequence(sequence), file: file,
            change: .put(content, isExecutable: false), expectedVersion: expected.map(Version.init),
            id: EditID(producer: producer, number: number ?? sequence),
            acceptedAt: Timestamp(milliseconds: sequence))
    }

    /// A delete.
    package static func delete(_ sequence: UInt64, _ file: FileKey) -> SequencedEdit {
        SequencedEdit(
            sequence: EditSequence(sequence), file: file, change: .delete, expectedVersion: nil,
            id: EditID(producer: producer, number: sequence),
            acceptedAt: Timestamp(milliseconds: sequence))
    }
}

extension Name {
    /// The suites' project.
    package static let demo: Name = {
        guard let name = Name("demo") else { preconditionFailure("'demo' is a name") }
        return name
    }()

    /// Another project than ``demo``.
    package static let other: Name = {
        guard let name = Name("other") else { preconditionFailure("'other' is a name") }
        return name
    }()
}

extension FileKey {
    /// A file of a project; traps on names that are not valid.
    package static func named(_ path: String, in project: Name = .demo) -> FileKey {
        guard let path = try? EditPath(path) else { preconditionFailure("no path: \(path)") }
        return FileKey(project: project, path: path)
    }
}
