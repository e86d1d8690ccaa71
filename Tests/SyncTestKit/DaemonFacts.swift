import Foundation
package import Testing

/// What an operator could see of a cluster's processes.
extension DaemonCluster {
    /// Which memory of a process is meant: what it has now, or the most that it had so far.
    package enum Memory: String { case resident = "VmRSS:", peak = "VmHWM:" }

    /// Memory of the coordinator, in bytes.
    package func coordinatorMemory(_ kind: Memory = .resident) throws -> Int {
        guard let pid = coordinator?.pid else { throw KitError("there is no coordinator") }
        let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        for line in status.split(separator: "\n") where line.hasPrefix(kind.rawValue) {
            let digits = line.filter(\.isNumber)
            if let kibibytes = Int(digits) { return kibibytes << 10 }
        }
        throw KitError("/proc/\(pid)/status has no \(kind.rawValue)")
    }

    /// Expects that the coordinator has less memory than so many bytes.
    ///
    /// Not under AddressSanitizer, which keeps what was given back (`deploy/sanitize` says so).
    package func expectMemory(
        _ kind: Memory = .resident, below limit: Int,
        at location: SourceLocation = #_sourceLocation
    ) throws {
        let own = try coordinatorMemory(kind)
        if ProcessInfo.processInfo.environment["SYNCD_TEST_KEEPS_MEMORY"] != nil { return }
        #expect(own < limit, sourceLocation: location)
    }

    /// Lines that the coordinator has logged.
    package func coordinatorLog() throws -> [String] {
        guard let log = coordinator?.log else { throw KitError("there is no coordinator") }
        return try String(contentsOf: log, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    /// Waits until the coordinator has logged a line that holds all these texts.
    package func logLine(with texts: [String]) async throws -> String {
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            let found = try coordinatorLog().first { line in texts.allSatisfy(line.contains) }
            if let found { return found }
            _ = try await queue()
        }
        throw KitError("no line of the log has \(texts)")
    }
}
