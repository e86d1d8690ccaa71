internal import Foundation

/// Runs one of the system's own tools; a test that needs it must be allowed to.
package enum SystemTool {
    /// Runs a tool to its end.
    ///
    /// - Returns: What it printed.
    /// - Throws: ``KitError`` with what it printed, when it failed.
    @discardableResult
    package static func run(_ name: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [name] + arguments
        // Where administrators' commands lie is not in everybody's path.
        process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(
            decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw KitError("\(name) \(arguments.joined(separator: " ")) failed: \(text)")
        }
        return text
    }
}
