import Foundation

/// Runs git; blocking, so only on a source's thread.
final class GitProcess {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let errors = Pipe()
    private var buffer: [UInt8] = []
    private var offset = 0

    /// Starts `git -C REPO …`.
    init(_ repository: String, _ arguments: [String]) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["git", "-C", repository] + arguments
        process.standardInput = input
        process.standardOutput = output
        process.standardError = errors
        do {
            try process.run()
        } catch {
            throw Trouble("git can't be started (\(error.localizedDescription)); install git.")
        }
    }

    /// Sends a line.
    func send(_ line: String) throws {
        do {
            try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
        } catch {
            throw Trouble("git ended early: \(message)")
        }
    }

    /// Reads up to and without the next byte of that value; nil at the end.
    func read(until end: UInt8) -> [UInt8]? {
        while true {
            if let place = buffer[offset...].firstIndex(of: end) {
                defer { offset = place + 1 }
                return Array(buffer[offset..<place])
            }
            guard fill() else {
                guard offset < buffer.count else { return nil }
                defer { offset = buffer.count }
                return Array(buffer[offset...])
            }
        }
    }

    /// Reads exactly so many bytes; nil when git ended before.
    func read(count: Int) -> [UInt8]? {
        while buffer.count - offset < count { guard fill() else { return nil } }
        defer { offset += count }
        return Array(buffer[offset..<offset + count])
    }

    /// Waits for the end.
    ///
    /// - Throws: git's own words when it failed.
    func finish(_ purpose: String) throws {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Trouble("git could not \(purpose): \(message)", code: .usage)
        }
    }

    private func fill() -> Bool {
        let data = output.fileHandleForReading.availableData
        if data.isEmpty { return false }
        if offset > 1 << 20 {
            buffer.removeFirst(offset)
            offset = 0
        }
        buffer.append(contentsOf: data)
        return true
    }

    private var message: String {
        let data = errors.fileHandleForReading.availableData
        let text = String(decoding: data, as: UTF8.self)
        let lines = text.split(separator: "\n").map(String.init)
        return lines.isEmpty ? "it gave no reason." : lines.joined(separator: " ")
    }
}
