package import SyncCore

/// What stands under a path of a sandbox, as a test sees it from outside.
package enum SandboxEntry: Sendable, Equatable {
    case file([UInt8], isExecutable: Bool)
    case directory
    case other

    /// A file that is not executable, for short.
    package static func text(_ text: String) -> SandboxEntry {
        .file(Array(text.utf8), isExecutable: false)
    }
}

/// One sandbox, blank at first, and ways to look at it beside the writer.
package struct SandboxHarness: Sendable {
    /// The sandbox as one more worker process sees it.
    package let open: @Sendable () async throws -> any SandboxWriter
    /// What stands under a path; nil for nothing.
    package let entry: @Sendable (String) async throws -> SandboxEntry?
    /// Makes a directory, parents included.
    package let makeDirectory: @Sendable (String) async throws -> Void
    /// Removes the sandbox with everything in it.
    package let removeAll: @Sendable () async throws -> Void

    /// Describes a harness.
    package init(
        open: @escaping @Sendable () async throws -> any SandboxWriter,
        entry: @escaping @Sendable (String) async throws -> SandboxEntry?,
        makeDirectory: @escaping @Sendable (String) async throws -> Void,
        removeAll: @escaping @Sendable () async throws -> Void
    ) {
        self.open = open
        self.entry = entry
        self.makeDirectory = makeDirectory
        self.removeAll = removeAll
    }
}

/// A clause of the contract that an implementation does not keep.
package struct SandboxComplaint: Error, CustomStringConvertible {
    package let description: String

    /// Wraps a sentence.
    package init(_ description: String) { self.description = description }
}

/// One clause of ``SandboxWriter``'s contract.
package struct SandboxClause: Sendable, CustomStringConvertible {
    /// The clause as a sentence.
    package let sentence: String
    /// Throws when the implementation does not keep it.
    package let check: @Sendable (SandboxHarness) async throws -> Void

    package var description: String { sentence }

    /// Pairs a sentence with its check.
    init(
        _ sentence: String, _ check: @escaping @Sendable (SandboxHarness) async throws -> Void
    ) {
        self.sentence = sentence
        self.check = check
    }
}

/// The suite that runs over every ``SandboxWriter``; each clause wants a blank sandbox of its own.
package enum SandboxConformance {
    /// All clauses.
    package static let clauses = puts + shapes + deletes + markers + stages + zombies + crowds

    /// The stage of one incarnation of a test.
    package static func stage(_ count: UInt64, generation: UInt64 = 1) -> StageName {
        StageName(
            incarnation: Incarnation(epoch: Epoch(bits: 7), count: count), generation: generation)
    }

    /// A put of a text.
    package static func put(
        _ path: String, _ text: String, isExecutable: Bool = false, sequence: UInt64 = 1,
        isRefresh: Bool = false
    ) throws -> SandboxEdit {
        SandboxEdit(
            path: try EditPath(path),
            change: .put(Content(Array(text.utf8)), isExecutable: isExecutable),
            sequence: EditSequence(sequence), version: Version(sequence), isRefresh: isRefresh)
    }

    /// A delete.
    package static func delete(_ path: String, sequence: UInt64 = 2) throws -> SandboxEdit {
        SandboxEdit(
            path: try EditPath(path), change: .delete, sequence: EditSequence(sequence),
            version: Version(sequence))
    }

    /// Throws unless this stands under the path.
    static func expect(
        _ path: String, _ expected: SandboxEntry?, _ harness: SandboxHarness
    ) async throws {
        let found = try await harness.entry(path)
        guard found == expected else {
            throw SandboxComplaint(
                "'\(path)' is \(String(describing: found)), not \(String(describing: expected))")
        }
    }

    /// Throws unless the call fails with this class.
    static func expectFailure(
        _ failureClass: FailureClass, code: String? = nil, _ call: () async throws -> Void
    ) async throws {
        do {
            try await call()
        } catch let error as SandboxError {
            guard error.failureClass == failureClass, code == nil || error.code == code else {
                throw SandboxComplaint(
                    "failed as \(error.failureClass) \(error.code), not \(failureClass) "
                        + "\(code ?? ""): \(error.message)")
            }
            return
        }
        throw SandboxComplaint("did not fail as \(failureClass) \(code ?? "")")
    }

    /// A writer that has entered stage 1.
    static func entered(_ harness: SandboxHarness) async throws -> any SandboxWriter {
        let writer = try await harness.open()
        try await writer.enter(stage(1))
        return writer
    }

    private static let puts: [SandboxClause] = [
        SandboxClause("a put writes content and bit, and makes missing parents") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a", "1"), through: stage(1))
            try await writer.apply(put("d/e/f", "2", isExecutable: true), through: stage(1))
            try await writer.apply(put("d/e/empty", ""), through: stage(1))
            try await expect("a", .text("1"), harness)
            try await expect("d/e/f", .file(Array("2".utf8), isExecutable: true), harness)
            try await expect("d/e/empty", .text(""), harness)
        },
        SandboxClause("a put replaces content and bit") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a", "long", isExecutable: true), through: stage(1))
            try await writer.apply(put("a", "s"), through: stage(1))
            try await expect("a", .text("s"), harness)
        },
        SandboxClause("an equal or older sequence is written again") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a", "7", sequence: 7), through: stage(1))
            try await writer.apply(put("a", "7 again", sequence: 7), through: stage(1))
            try await expect("a", .text("7 again"), harness)
            try await writer.apply(put("a", "5", sequence: 5), through: stage(1))
            try await expect("a", .text("5"), harness)
        },
        SandboxClause("long names and names beyond ASCII are written") { harness in
            let writer = try await entered(harness)
            let long = String(repeating: "n", count: EditPath.segmentBytesMax)
            let deep = Array(repeating: "d", count: EditPath.bytesMax / 2).joined(separator: "/")
            for path in [long, "\(long)/\(long)", deep, "ü/日本 語.txt", "-rf", "a'\"\\b"] {
                let path = path == long ? "x\(long.dropFirst())" : path
                try await writer.apply(put(path, path), through: stage(1))
                try await expect(path, .text(path), harness)
            }
        },
        SandboxClause("several puts at once all land") { harness in
            let writer = try await entered(harness)
            try await withThrowingTaskGroup { group in
                for index in 0..<64 {
                    group.addTask {
                        try await writer.apply(
                            put("d\(index % 5)/f\(index)", "\(index)"), through: stage(1))
                    }
                }
                try await group.waitForAll()
            }
            for index in 0..<64 {
                try await expect("d\(index % 5)/f\(index)", .text("\(index)"), harness)
            }
        },
    ]

    private static let shapes: [SandboxClause] = [
        SandboxClause("a put removes an empty directory in its way") { harness in
            let writer = try await entered(harness)
            try await harness.makeDirectory("d/a")
            try await writer.apply(put("d/a", "1"), through: stage(1))
            try await expect("d/a", .text("1"), harness)
        },
        SandboxClause("a put onto a directory with something in it is a shape failure") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a/b", "1"), through: stage(1))
            try await expectFailure(.shape) {
                try await writer.apply(put("a", "2"), through: stage(1))
            }
            try await expect("a/b", .text("1"), harness)
        },
        SandboxClause("a put below a file is a shape failure") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a", "1"), through: stage(1))
            for path in ["a/b", "a/b/c"] {
                try await expectFailure(.shape) {
                    try await writer.apply(put(path, "2"), through: stage(1))
                }
            }
            try await expect("a", .text("1"), harness)
        },
        SandboxClause("a file becomes a directory and a file again") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a", "1"), through: stage(1))
            try await writer.apply(delete("a"), through: stage(1))
            try await writer.apply(put("a/b/c", "2"), through: stage(1))
            try await writer.apply(delete("a/b/c"), through: stage(1))
            try await writer.apply(put("a", "3"), through: stage(1))
            try await expect("a", .text("3"), harness)
        },
    ]

    private static let deletes: [SandboxClause] = [
        SandboxClause("a delete removes the file and the parents that it left empty") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a/keep", "1"), through: stage(1))
            try await writer.apply(put("a/b/c/f", "2"), through: stage(1))
            try await writer.apply(delete("a/b/c/f"), through: stage(1))
            try await expect("a/b", nil, harness)
            try await expect("a/keep", .text("1"), harness)
        },
        SandboxClause("a delete is done where nothing stands, and can be repeated") { harness in
            let writer = try await entered(harness)
            try await writer.apply(delete("a/b"), through: stage(1))
            try await writer.apply(put("a", "1"), through: stage(1))
            try await writer.apply(delete("a"), through: stage(1))
            try await writer.apply(delete("a"), through: stage(1))
            try await expect("a", nil, harness)
        },
        SandboxClause("a delete never removes a directory") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a/b", "1"), through: stage(1))
            try await harness.makeDirectory("empty")
            try await writer.apply(delete("a"), through: stage(1))
            try await writer.apply(delete("empty"), through: stage(1))
            try await expect("a/b", .text("1"), harness)
            try await expect("empty", .directory, harness)
        },
        SandboxClause("a delete below a file is done and leaves the file") { harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a", "1"), through: stage(1))
            try await writer.apply(delete("a/b/c"), through: stage(1))
            try await expect("a", .text("1"), harness)
        },
    ]

    private static let markers: [SandboxClause] = [
        SandboxClause("a sandbox has no marker until it is marked, and then the last one") {
            harness in
            let writer = try await harness.open()
            guard let name = ProjectName("p1") else { throw SandboxComplaint("no name") }
            guard try await writer.marker() == nil else { throw SandboxComplaint("not blank") }
            for generation in [1, 2] as [UInt64] {
                let marker = SandboxMarker(
                    journal: JournalID(bits: .max), project: name, generation: generation,
                    bootID: "b\"oot", mark: "000000000000e001-1/\(generation)")
                guard try await writer.mark(marker) == marker,
                    try await harness.open().marker() == marker
                else { throw SandboxComplaint("another marker was read than was written") }
                // One of the same filling stays, whoever comes late.
                let late = SandboxMarker(
                    journal: marker.journal, project: name, generation: generation,
                    bootID: marker.bootID, mark: "late")
                guard try await harness.open().mark(late) == marker,
                    try await writer.marker() == marker
                else { throw SandboxComplaint("a marker of the same filling was replaced") }
            }
            try await writer.enter(stage(1))
            try await writer.apply(put("a/b", "1"), through: stage(1))
            try await writer.apply(delete("a/b"), through: stage(1))
            guard try await writer.marker()?.generation == 2 else {
                throw SandboxComplaint("an edit took the marker away")
            }
        },
        SandboxClause("a trial leaves nothing behind, and a sandbox that is gone fails it") {
            harness in
            let writer = try await entered(harness)
            try await writer.apply(put("a", "1"), through: stage(1))
            try await writer.tryWriting()
            try await harness.open().tryWriting()
            try await expect("a", .text("1"), harness)
            try await harness.removeAll()
            try await expectFailure(.target) { try await writer.tryWriting() }
            guard try await writer.marker() == nil else {
                throw SandboxComplaint("a trial made a sandbox")
            }
        },
        SandboxClause("a sandbox that was removed is blank, and can be marked and entered") {
            harness in
            let writer = try await entered(harness)
            guard let name = ProjectName("p1") else { throw SandboxComplaint("no name") }
            let marker = SandboxMarker(
                journal: JournalID(bits: 1), project: name, generation: 1, bootID: "b")
            try await writer.mark(marker)
            try await harness.removeAll()
            guard try await writer.marker() == nil else { throw SandboxComplaint("not blank") }
            let next = stage(1, generation: 2)
            try await writer.revoke([], others: true, keeping: next)
            try await writer.enter(next)
            try await writer.apply(put("a", "1"), through: next)
            try await writer.mark(marker)
            try await expect("a", .text("1"), harness)
            guard try await writer.marker() == marker else { throw SandboxComplaint("no marker") }
        },
    ]
}
