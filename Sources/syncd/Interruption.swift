import UnixSignals

/// Ends a body in order when a person or a supervisor asks for it.
enum Interruption {
    /// Runs a body; SIGINT and SIGTERM cancel it.
    ///
    /// - Returns: Whether it was interrupted.
    static func watch(_ body: @escaping @Sendable () async throws -> Void) async throws -> Bool {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
            group.addTask {
                for await _ in signals { return true }
                return false
            }
            group.addTask {
                try await body()
                return false
            }
            let isInterrupted = try await group.next() ?? false
            group.cancelAll()
            return isInterrupted
        }
    }
}
