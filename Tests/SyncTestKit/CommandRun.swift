package import Foundation

/// Runs a command to its end.
package enum CommandRun {
    /// Runs a command that asks nothing.
    ///
    /// It is waited for on a thread of its own: what it waits for may need this task's.
    ///
    /// - Parameters:
    ///   - environment: Its variables; nil: this process's.
    ///   - folder: Where it runs; nil: here.
    /// - Returns: Its exit code, and what it printed, errors included.
    package static func outcome(
        of executable: URL, _ arguments: [String], environment: [String: String]? = nil,
        in folder: URL? = nil
    ) async throws -> (code: Int32, output: String) {
        try await withCheckedThrowingContinuation { done in
            DispatchQueue.global().async {
                done.resume(
                    with: Result {
                        try awaited(
                            executable, arguments, environment: environment, in: folder)
                    })
            }
        }
    }

    /// Runs a command that is found along `PATH`.
    package static func outcome(
        of words: [String], environment: [String: String]? = nil, in folder: URL? = nil
    ) async throws -> (code: Int32, output: String) {
        try await outcome(of: env, words, environment: environment, in: folder)
    }

    /// As ``outcome(of:environment:in:)``, for a short one; the calling thread waits.
    package static func outcomeAtOnce(
        of words: [String], environment: [String: String]? = nil, in folder: URL? = nil
    ) throws -> (code: Int32, output: String) {
        try awaited(env, words, environment: environment, in: folder)
    }

    private static let env = URL(fileURLWithPath: "/usr/bin/env")

    private static func awaited(
        _ executable: URL, _ arguments: [String], environment: [String: String]?, in folder: URL?
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
}
