package import Foundation

/// What `/proc` tells of processes that a test started.
package enum ProcessTable {
    /// One process.
    package struct Entry: Sendable {
        package let pid: pid_t
        package let arguments: [String]

        /// The subcommand of `syncd` that it runs.
        package var command: String { arguments.count > 1 ? arguments[1] : "" }

        /// The value after a flag.
        package func value(of flag: String) -> String? {
            guard let place = arguments.firstIndex(of: flag), place + 1 < arguments.count else {
                return nil
            }
            return arguments[place + 1]
        }
    }

    /// Living children of a process.
    package static func children(of parent: pid_t) -> [Entry] { entries { $0 == parent } }

    /// Everything that lives.
    package static func all() -> [Entry] { entries { _ in true } }

    private static func entries(_ isWanted: (pid_t) -> Bool) -> [Entry] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { name -> Entry? in
            guard let pid = pid_t(name), let fields = stat("/proc/\(name)/stat"),
                isWanted(fields.parent), fields.state != "Z"
            else { return nil }
            return Entry(pid: pid, arguments: arguments(of: pid))
        }.sorted { $0.pid < $1.pid }
    }

    /// Whether a process is there and no zombie.
    package static func isAlive(_ pid: pid_t) -> Bool {
        guard let fields = stat("/proc/\(pid)/stat") else { return false }
        return fields.state != "Z" && fields.state != "X"
    }

    /// Whether every thread of a process is stopped: none is inside a system call any more.
    package static func isStopped(_ pid: pid_t) -> Bool {
        let folder = "/proc/\(pid)/task"
        guard let threads = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
            return false
        }
        return threads.allSatisfy { stat("\(folder)/\($0)/stat")?.state == "T" }
    }

    /// How many descriptors a process has open.
    package static func descriptorCount(of pid: pid_t) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
    }

    private static func arguments(of pid: pid_t) -> [String] {
        let bytes = read("/proc/\(pid)/cmdline") ?? []
        return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func stat(_ file: String) -> (state: Character, parent: pid_t)? {
        guard let bytes = read(file) else { return nil }
        // The name in parentheses may hold anything, so what follows the last one is read.
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 1, let state = fields[0].first, let parent = pid_t(fields[1]) else {
            return nil
        }
        return (state, parent)
    }

    /// Files of `/proc` say that they are empty, so they are read to the end.
    private static func read(_ file: String) -> [UInt8]? {
        guard let handle = FileHandle(forReadingAtPath: file) else { return nil }
        defer { try? handle.close() }
        return (try? handle.readToEnd()).map { [UInt8]($0) }
    }
}
