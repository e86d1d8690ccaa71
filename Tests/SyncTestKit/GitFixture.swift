package import Foundation
import SyncCore

/// A repository made from a seed by `git fast-import`, and the trees of any repository's commits.
///
/// It has renames, files that become folders and back, deletes, executable bits, binary and empty
/// files, deep and Unicode paths, and a symbolic link.
package struct GitFixture {
    package let folder: String

    /// Opens a repository that is there.
    package init(existing folder: String) { self.folder = folder }

    /// Makes a repository.
    package init(at folder: String, seed: UInt64, commits: Int, files: Int) throws {
        self.folder = folder
        _ = try Self.git(nil, ["init", "-q", "--bare", folder])
        var script = Script(seed: seed, fileCount: files)
        for number in 1...commits { script.commit(number) }
        _ = try Self.git(folder, ["fast-import", "--quiet"], input: script.data)
        _ = try Self.git(folder, ["symbolic-ref", "HEAD", "refs/heads/main"])
    }

    /// Commits of the first-parent line, oldest first.
    package func commits() throws -> [String] {
        let output = try Self.git(folder, ["rev-list", "--reverse", "--first-parent", "HEAD"])
        return String(decoding: output, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// Regular files of a commit that can be edits, under NFC paths; read without syncd's own code.
    package func tree(of commit: String) throws -> [String: TreeFile] {
        let listing = try Self.git(folder, ["ls-tree", "-r", "-z", commit])
        var wanted: [(path: String, id: String, isExecutable: Bool)] = []
        for line in listing.split(separator: 0) {
            let text = String(decoding: line, as: UTF8.self)
            let halves = text.split(separator: "\t", maxSplits: 1)
            let fields = halves[0].split(separator: " ")
            guard fields[0].hasPrefix("100") else { continue }
            wanted.append(
                (
                    String(halves[1]).precomposedStringWithCanonicalMapping, String(fields[2]),
                    fields[0] == "100755"
                ))
        }
        let ids = wanted.map(\.id).joined(separator: "\n") + "\n"
        let blobs = try Self.git(folder, ["cat-file", "--batch"], input: Data(ids.utf8))
        var tree: [String: TreeFile] = [:]
        var place = blobs.startIndex
        for file in wanted {
            guard let end = blobs[place...].firstIndex(of: UInt8(ascii: "\n")),
                let size = String(decoding: blobs[place..<end], as: UTF8.self)
                    .split(separator: " ").last.flatMap({ Int($0) })
            else { throw KitError("git cat-file said something unknown") }
            let start = end + 1
            tree[file.path] = TreeFile(
                bytes: [UInt8](blobs[start..<start + size]), isExecutable: file.isExecutable)
            place = start + size + 1
        }
        return tree
    }

    /// Runs git; its output.
    package static func git(
        _ folder: String?, _ arguments: [String], input: Data = Data()
    ) throws -> Data {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["git"] + (folder.map { ["-C", $0] } ?? []) + arguments
        let output = Pipe()
        process.standardOutput = output
        let source = FileManager.default.temporaryDirectory
            .appendingPathComponent("git-input-\(UInt64.random(in: .min ... .max))")
        try input.write(to: source)
        defer { try? FileManager.default.removeItem(at: source) }
        process.standardInput = try FileHandle(forReadingFrom: source)
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw KitError("git \(arguments.joined(separator: " ")) failed")
        }
        return data
    }
}

/// The stream for `git fast-import`.
private struct Script {
    private(set) var data = Data()
    private var random: SeededGenerator
    private let fileCount: Int
    private var living: [String] = []
    private var isLiving: Set<String> = []
    private var made = 0

    init(seed: UInt64, fileCount: Int) {
        random = SeededGenerator(seed: seed)
        self.fileCount = fileCount
    }

    mutating func commit(_ number: Int) {
        line("commit refs/heads/main")
        line("committer Fixture <fixture@example.org> \(1_700_000_000 + number) +0000")
        line("data 1\n.")
        for _ in 0..<Int.random(in: 1...8, using: &random) { change() }
        switch number % 10 {
        case 3: put("shape", executable: false)
        case 6:
            remove("shape")
            put("shape/below/leaf", executable: false)
        case 9:
            remove("shape/below/leaf")
        case 0: line("M 120000 inline link-\(number)\ndata 5\nshape")
        default: break
        }
    }

    private mutating func change() {
        let kind = Int.random(in: 0..<10, using: &random)
        guard kind > 2 || made >= fileCount, !living.isEmpty || made >= fileCount else {
            made += 1
            put(freshPath(), executable: made % 7 == 0)
            return
        }
        guard let path = living.randomElement(using: &random) else { return }
        switch kind {
        case 3: remove(path)
        case 4:
            let other = freshPath()
            line("R \(path) \(other)")
            forget(path)
            note(other)
        default: put(path, executable: Bool.random(using: &random))
        }
    }

    private mutating func freshPath() -> String {
        let number = Int.random(in: 0..<1_000_000, using: &random)
        switch number % 5 {
        case 0: return "src/modul-\(number % 13)/datei-\(number).txt"
        case 1: return "dee" + String(repeating: "p/longer-folder-name", count: 12) + "/\(number)"
        case 2: return "unicode/u\u{308}ber-\(number)"
        case 3: return "emoji/\u{1F680}-\(number).bin"
        default: return "top-\(number)"
        }
    }

    private mutating func put(_ path: String, executable: Bool) {
        let size = [0, 1, 40, 400, 4_000].randomElement(using: &random) ?? 0
        let bytes = (0..<size).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        line("M \(executable ? "100755" : "100644") inline \(path)")
        line("data \(size)")
        data.append(contentsOf: bytes)
        line("")
        note(path)
    }

    private mutating func remove(_ path: String) {
        line("D \(path)")
        forget(path)
    }

    private mutating func note(_ path: String) {
        if !path.hasPrefix("shape"), isLiving.insert(path).inserted { living.append(path) }
    }

    private mutating func forget(_ path: String) {
        if isLiving.remove(path) != nil { living.removeAll { $0 == path } }
    }

    private mutating func line(_ text: String) { data.append(contentsOf: (text + "\n").utf8) }
}
