import Foundation

/// The repository's files, read from the folder that holds Package.swift.
enum SourceTree {
    /// Folder that holds Package.swift.
    static let root: URL = {
        var place = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { place.deleteLastPathComponent() }
        return place
    }()

    /// Folders that hold what is built or recorded, not what is written.
    private static func isProduct(_ name: String) -> Bool {
        name == ".git" || name.hasPrefix(".build") || name == "__pycache__"
            || name == "Package.resolved" || name == ".swiftpm" || name == ".venv"
    }

    /// Every file that is written by hand, in order of paths.
    static let files: [SourceFile] = {
        var found: [SourceFile] = []
        func walk(_ folder: URL, _ prefix: String) {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
            for name in names.sorted() where !isProduct(name) {
                let place = folder.appendingPathComponent(name)
                var isFolder: ObjCBool = false
                guard FileManager.default.fileExists(atPath: place.path, isDirectory: &isFolder)
                else { continue }
                if isFolder.boolValue {
                    walk(place, prefix + name + "/")
                } else if let data = FileManager.default.contents(atPath: place.path),
                    let text = String(bytes: data, encoding: .utf8)
                {
                    found.append(SourceFile(path: prefix + name, text: text))
                }
            }
        }
        walk(root, "")
        return found
    }()

    /// Swift files below a folder.
    static func swift(below prefix: String) -> [SourceFile] {
        files.filter { $0.path.hasPrefix(prefix) && $0.path.hasSuffix(".swift") }
    }

    /// Names of the folders directly below one.
    static func folders(below prefix: String) -> [String] {
        let names = files.compactMap { file -> String? in
            guard file.path.hasPrefix(prefix) else { return nil }
            let parts = file.path.dropFirst(prefix.count).split(separator: "/")
            return parts.count > 1 ? String(parts[0]) : nil
        }
        return Set(names).sorted()
    }

    /// The articles and the README.
    static var documents: [SourceFile] { files.filter { $0.path.hasSuffix(".md") } }

    /// One file by its path.
    static func file(_ path: String) -> SourceFile? { files.first { $0.path == path } }
}

/// One file.
struct SourceFile: Sendable, CustomStringConvertible {
    /// From the root.
    let path: String
    let text: String
    /// Lines, without their ends.
    let lines: [String]
    /// The same lines with comments and the insides of string literals blanked.
    let code: [String]

    init(path: String, text: String) {
        self.path = path
        self.text = text
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        code =
            path.hasSuffix(".swift")
            ? String(decoding: BlankedCode.of(Array(text.utf8)), as: UTF8.self)
                .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            : []
    }

    /// What a failed expectation shows.
    var description: String { path }

    /// The target that the file belongs to.
    var target: String {
        let parts = path.split(separator: "/")
        return parts.count > 2 ? String(parts[1]) : ""
    }

    /// Where a line is, as a compiler would say it.
    func place(_ index: Int) -> String { "\(path):\(index + 1)" }

    /// Places whose code holds a word as a whole.
    func places(of word: String) -> [String] {
        code.indices.filter { code[$0].holds(word: word) }.map(place)
    }
}

extension String {
    /// Whether a word occurs that is not a part of a longer one.
    func holds(word: String) -> Bool {
        func isPart(_ byte: UInt8?) -> Bool {
            guard let byte else { return false }
            return byte == UInt8(ascii: "_") || (48...57 ~= byte) || (65...90 ~= byte)
                || (97...122 ~= byte) || byte >= 128
        }
        let own = Array(utf8)
        let wanted = Array(word.utf8)
        guard let first = wanted.first, own.count >= wanted.count else { return false }
        for start in 0...(own.count - wanted.count) where own[start] == first {
            guard own[start..<start + wanted.count].elementsEqual(wanted) else { continue }
            let before = start == 0 ? nil : own[start - 1]
            let end = start + wanted.count
            let after = end == own.count ? nil : own[end]
            let isOpenBefore = isPart(first) && isPart(before)
            let isOpenAfter = isPart(wanted.last) && isPart(after)
            if !isOpenBefore && !isOpenAfter { return true }
        }
        return false
    }
}
