/// Runs one of the system's own tools; a test that needs it must be allowed to.
package enum SystemTool {
    /// Runs a tool to its end.
    ///
    /// - Returns: What it printed.
    /// - Throws: ``KitError`` with what it printed, when it failed.
    @discardableResult
    package static func run(_ name: String, _ arguments: [String]) throws -> String {
        let (code, text) = try CommandRun.outcomeAtOnce(
            of: [name] + arguments,
            // Where administrators' commands lie is not in everybody's path.
            environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"])
        guard code == 0 else {
            throw KitError("\(name) \(arguments.joined(separator: " ")) failed: \(text)")
        }
        return text
    }
}
