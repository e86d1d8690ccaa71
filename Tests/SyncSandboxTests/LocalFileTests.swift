internal import Foundation
internal import Glibc
internal import SyncCore
internal import SyncSandbox
internal import SyncTestKit
internal import Testing

/// Files, links and folders of local directories.
struct LocalFileTests {
    private let stage = SandboxConformance.stage(1)

    private func put(_ path: String, _ text: String) throws -> SandboxEdit {
        try SandboxConformance.put(path, text)
    }

    private func delete(_ path: String) throws -> SandboxEdit {
        try SandboxConformance.delete(path)
    }

    @Test func `readers see the old file or the new one, with its bit, never a mixture`()
        async throws
    {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        let letters = Array("ABCDEFGH".utf8)
        func edit(_ count: Int) throws -> SandboxEdit {
            let letter = letters[count % letters.count]
            let bytes = [UInt8](repeating: letter, count: 20_000 + Int(letter))
            return SandboxEdit(
                path: try EditPath("d/f"),
                change: .put(Content(bytes), isExecutable: letter % 2 == 0),
                sequence: EditSequence(UInt64(count + 1)), version: Version(UInt64(count + 1)))
        }
        try await writer.apply(edit(0), through: stage)
        let isOver = Flag()
        let reader = DispatchQueue(label: "reader")
        async let torn = withCheckedContinuation { continuation in
            reader.async {
                var (torn, seen) = (0, Set<UInt8>())
                repeat {
                    let letter = Self.letter(of: sandbox.path + "/d/f")
                    if let letter { seen.insert(letter) } else { torn += 1 }
                } while !isOver.isSet
                continuation.resume(returning: (torn, seen.count))
            }
        }
        defer { isOver.set() }
        for count in 1...1_000 { try await writer.apply(edit(count), through: stage) }
        isOver.set()
        let (tornCount, seenCount) = await torn
        #expect(tornCount == 0)
        #expect(seenCount > 1)
    }

    /// The letter that a file consists of; nil when it is torn or its bit is another's.
    private static func letter(of path: String) -> UInt8? {
        let file = open(path, O_RDONLY)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        var bytes = [UInt8](repeating: 0, count: 30_000)
        guard fstat(file, &status) == 0 else { return nil }
        let count = read(file, &bytes, bytes.count)
        guard count > 0, count == 20_000 + Int(bytes[0]),
            bytes[..<count].allSatisfy({ $0 == bytes[0] }),
            (status.st_mode & S_IXUSR != 0) == (bytes[0] % 2 == 0)
        else { return nil }
        return bytes[0]
    }

    @Test(arguments: [true, false])
    func `a link that leads out is refused, and nothing is touched there`(
        isAbsolute: Bool
    ) async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        let outside = sandbox.root + "/outside"
        try FileManager.default.createDirectory(
            atPath: outside, withIntermediateDirectories: false)
        try "secret".write(toFile: outside + "/f", atomically: false, encoding: .utf8)
        try sandbox.link("out", to: isAbsolute ? outside : "../outside")
        for edit in [
            try put("out/f", "1"), try put("out/new", "1"), try put("out/d/new", "1"),
            try delete("out/f"),
        ] {
            let error = try await failure { try await writer.apply(edit, through: stage) }
            #expect(error.failureClass == .file)
            #expect(error.code == "EXDEV")
            #expect(error.message.contains("'\(edit.path)'"))
        }
        #expect(try sandbox.names("outside") == ["f"])
        #expect(try sandbox.staged(stage).isEmpty)
    }

    @Test func `a link in the place of the file is replaced or removed, not followed`() async throws
    {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try await writer.apply(put("a", "1"), through: stage)
        try sandbox.link("b", to: sandbox.path + "/a")
        try sandbox.link("c", to: "a")
        try sandbox.link("dangling", to: "nowhere")
        try await writer.apply(put("b", "2"), through: stage)
        try await writer.apply(delete("c"), through: stage)
        try await writer.apply(delete("dangling"), through: stage)
        #expect(try sandbox.entry("a") == .text("1"))
        #expect(try sandbox.entry("b") == .text("2"))
        #expect(try sandbox.names("p1") == [".syncd", "a", "b"])
    }

    @Test func `a folder may be a link that stays inside; a dangling one is a shape`() async throws
    {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try await writer.apply(put("d/real/f", "1"), through: stage)
        try sandbox.link("d/alias", to: "../d/real")
        try sandbox.link("broken", to: "nowhere")
        try await writer.apply(put("d/alias/g", "2"), through: stage)
        try await writer.apply(put("d/alias/more/h", "3"), through: stage)
        #expect(try sandbox.entry("d/real/g") == .text("2"))
        #expect(try sandbox.entry("d/real/more/h") == .text("3"))
        let broken = try put("broken/f", "1")
        let error = try await failure { try await writer.apply(broken, through: stage) }
        #expect(error.failureClass == .shape)
        try await writer.apply(delete("broken/f"), through: stage)
        try sandbox.link("loop", to: "loop")
        let looping = try put("loop/f", "1")
        let loop = try await failure { try await writer.apply(looping, through: stage) }
        #expect(loop.code == "ELOOP")
        #expect(loop.failureClass == .file)
    }

    @Test func `a link swapped in during the writes lets nothing out`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        let outside = sandbox.root + "/outside"
        try FileManager.default.createDirectory(
            atPath: outside, withIntermediateDirectories: false)
        let isOver = Flag()
        let folder = sandbox.path + "/d"
        let swapper = DispatchQueue(label: "swapper")
        async let swaps: Int = withCheckedContinuation { continuation in
            swapper.async {
                var swaps = 0
                repeat {
                    rename(folder, sandbox.path + "/aside\(swaps)")
                    if symlink(outside, folder) == 0 { swaps += 1 }
                    unlink(folder)
                    mkdir(folder, 0o755)
                } while !isOver.isSet
                continuation.resume(returning: swaps)
            }
        }
        defer { isOver.set() }
        var (landed, refused) = (0, 0)
        for count in 0..<3_000 {
            do {
                let edit = count % 3 == 2 ? try delete("d/e/f") : try put("d/e/f", "\(count)")
                try await writer.apply(edit, through: stage)
                landed += 1
            } catch let error as SandboxError {
                #expect([.file, .shape].contains(error.failureClass), "\(error.message)")
                refused += 1
            }
        }
        isOver.set()
        #expect(await swaps > 0)
        #expect(landed > 0)
        #expect(try sandbox.names("outside").isEmpty)
        #expect(try sandbox.staged(stage).isEmpty)
    }

    @Test func `a directory swapped in for the file is never removed`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try sandbox.makeDirectory("aside/keep")
        let isOver = Flag()
        let (file, aside) = (sandbox.path + "/x", sandbox.path + "/aside")
        let swapper = DispatchQueue(label: "swapper")
        async let swaps: Int = withCheckedContinuation { continuation in
            swapper.async {
                var swaps = 0
                repeat {
                    unlink(file)
                    if rename(aside, file) == 0 && rename(file, aside) == 0 { swaps += 1 }
                    close(open(file, O_WRONLY | O_CREAT, 0o644))
                } while !isOver.isSet
                continuation.resume(returning: swaps)
            }
        }
        defer { isOver.set() }
        for _ in 0..<3_000 { try await writer.apply(delete("x"), through: stage) }
        isOver.set()
        #expect(await swaps > 0)
        #expect(try sandbox.entry("aside/keep") == .directory)
        #expect(try sandbox.staged(stage).isEmpty)
    }

    @Test func `siblings that come and go at once never miss their folder`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let first = try await sandbox.entered()
        let second = try sandbox.writer()
        let other = SandboxConformance.stage(2)
        try await second.enter(other)
        try await withThrowingTaskGroup { group in
            for (name, writer, stage) in [
                ("a", first, stage), ("b", second, other), ("c", first, stage),
            ] {
                group.addTask {
                    for count in 0..<1_000 {
                        let path = "d/e/\(name)"
                        try await writer.apply(put(path, "\(count)"), through: stage)
                        guard try sandbox.entry(path) == .text("\(count)") else {
                            throw SandboxComplaint("'\(path)' is not what was written")
                        }
                        try await writer.apply(delete(path), through: stage)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try sandbox.names("p1") == [".syncd"])
    }

    @Test func `empty folders are removed up to the root, and neither it nor ours`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try await writer.apply(put("a/b/c", "1"), through: stage)
        try FileManager.default.removeItem(atPath: sandbox.path + "/a/b/c")
        try await writer.apply(delete("a/b/c"), through: stage)
        #expect(try sandbox.names("p1") == [".syncd"])
        #expect(try sandbox.staged(stage).isEmpty)
    }

    @Test func `a delete leaves what is neither file nor link, a put replaces it`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        mkfifo(sandbox.path + "/pipe", 0o644)
        try await writer.apply(delete("pipe"), through: stage)
        #expect(try sandbox.entry("pipe") == .other)
        try await writer.apply(put("pipe", "1"), through: stage)
        #expect(try sandbox.entry("pipe") == .text("1"))
    }

    @Test func `two names of one file are deleted one by one`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try await writer.apply(put("a", "1"), through: stage)
        link(sandbox.path + "/a", sandbox.path + "/b")
        try await writer.apply(delete("a"), through: stage)
        #expect(try sandbox.entry("b") == .text("1"))
        try await writer.apply(delete("b"), through: stage)
        #expect(try sandbox.entry("b") == nil)
    }

    @Test func `descriptors do not leak, whatever the calls end with`() async throws {
        let sandbox = try LocalSandbox()
        defer { sandbox.remove() }
        let writer = try await sandbox.entered()
        try sandbox.link("out", to: "/")
        try await writer.apply(put("full/f", "1"), through: stage)
        func round() async throws {
            try await writer.enter(stage)
            _ = try await writer.marker()
            try await writer.apply(put("a/b/c", "1"), through: stage)
            try await writer.apply(delete("a/b/c"), through: stage)
            for path in ["full", "full/f/g", "out/f"] {
                let edit = try put(path, "2")
                _ = try await failure { try await writer.apply(edit, through: stage) }
            }
            let gone = SandboxConformance.stage(3)
            try await writer.revoke([gone], others: false, keeping: stage)
            _ = try await failure { try await writer.enter(gone) }
        }
        try await round()
        let before = try sandbox.descriptorCount()
        for _ in 0..<200 { try await round() }
        #expect(try sandbox.descriptorCount() == before)
        #expect(before == 2)
    }
}
