import Foundation
import SyncCore

/// One file as the checkers compare it.
package struct TreeFile: Equatable, Sendable {
    package let bytes: [UInt8]
    package let isExecutable: Bool

    package init(bytes: [UInt8], isExecutable: Bool) {
        self.bytes = bytes
        self.isExecutable = isExecutable
    }
}

/// Trees of files, read and compared.
package enum DirectoryTree {
    /// Every regular file below a folder, `.syncd` left out.
    package static func read(at folder: String) throws -> [String: TreeFile] {
        var found: [String: TreeFile] = [:]
        guard let walker = FileManager.default.enumerator(atPath: folder) else { return [:] }
        while let path = walker.nextObject() as? String {
            if path == ".syncd" {
                walker.skipDescendants()
                continue
            }
            var status = stat()
            guard lstat(folder + "/" + path, &status) == 0, status.st_mode & S_IFMT == S_IFREG
            else { continue }
            guard let data = FileManager.default.contents(atPath: folder + "/" + path) else {
                throw KitError("\(path) can't be read")
            }
            found[path] = TreeFile(
                bytes: [UInt8](data), isExecutable: status.st_mode & S_IXUSR != 0)
        }
        return found
    }

    /// What differs, in words; empty when the trees are equal.
    package static func differences(
        expected: [String: TreeFile], actual: [String: TreeFile]
    ) -> [String] {
        var words: [String] = []
        for (path, file) in expected {
            guard let other = actual[path] else {
                words.append("\(path) is missing")
                continue
            }
            if other.bytes != file.bytes { words.append("\(path) has another content") }
            if other.isExecutable != file.isExecutable { words.append("\(path) has another bit") }
        }
        for path in actual.keys where expected[path] == nil { words.append("\(path) is too much") }
        return words.sorted()
    }
}
