package import ZeroMQ

/// A loop that lives as long as a test's body.
package enum TestLoop {
    /// Makes a context and a loop, and ends both whatever the body does.
    package static func with(
        _ name: String, _ body: (SocketLoop) async throws -> Void
    ) async throws {
        let context = try Context()
        let loop = try SocketLoop(name: name, context: context)
        do {
            try await body(loop)
        } catch {
            await end(loop, context)
            throw error
        }
        await end(loop, context)
    }

    private static func end(_ loop: SocketLoop, _ context: Context) async {
        await loop.stop()
        context.shutdown()
        _ = context.terminate(within: .seconds(5))
    }
}
