package import Foundation

/// Runs a command to its end.
package enum CommandRun {
    /// Runs a command that asks nothing.
    ///
    /// - Parameters:
    ///   - environment: Its variables; nil: this process's.
    ///   - folder: Where it runs; nil: here.
    /// - Returns: Its exit code, and what it printed, errors included.
    package static func outcome(
        of executable: URL, _ arguments: [String], environment: [String: String]? = nil,
        in folder: URL? = nil
    ) throws -> (code: Int32, output: String) {
        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        process.environment = environment ?? ProcessInfo.processInfo.environment
        process.currentDirectoryURL = folder
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    /// Runs a command that is found along `PATH`.
    package static func outcome(
        of words: [String], environment: [String: String]? = nil, in folder: URL? = nil
    ) throws -> (code: Int32, output: String) {
        try outcome(
            of: URL(fileURLWithPath: "/usr/bin/env"), words, environment: environment, in: folder)
    }
}
