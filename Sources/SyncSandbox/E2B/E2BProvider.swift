package import SyncCore
internal import Synchronization

/// Opens sandboxes of E2B: `e2b:ID`, or `e2b:ID.DIRECTORY` for a folder in the user's home.
package final class E2BProvider: SandboxProvider {
    /// The scheme of E2B's sandboxes.
    package static let scheme = "e2b"

    private let configuration: E2BConfiguration
    private let client: E2BClient
    private let state = Mutex(State())

    private struct State {
        var writers: [TargetURL: E2BWriter] = [:]
        /// One for each sandbox, whatever its directories.
        var sessions: [String: E2BSession] = [:]
    }

    /// Opens nothing yet; ``close()`` must be called at the end.
    package init(_ configuration: E2BConfiguration) {
        self.configuration = configuration
        client = E2BClient(configuration)
    }

    /// Closes all connections.
    package func close() async { await client.close() }

    /// Only E2B's.
    package var schemes: [String] { [Self.scheme] }

    /// It has no local root.
    package func localRootID() async throws(SandboxError) -> String? { nil }

    /// The one writer of a sandbox, or of a directory in it.
    package func writer(for target: TargetURL) throws(SandboxError) -> any SandboxWriter {
        guard target.scheme == Self.scheme else {
            throw SandboxError(
                .file, code: "unknown-scheme",
                "E2B has no sandboxes of scheme '\(target.scheme)'. Detach '\(target)'.")
        }
        if let writer = state.withLock({ $0.writers[target] }) { return writer }
        let place = try E2BPlace(target)
        return state.withLock { state in
            if let writer = state.writers[target] { return writer }
            let session =
                state.sessions[place.sandbox]
                ?? E2BSession(
                    sandbox: place.sandbox, configuration: configuration, client: client)
            state.sessions[place.sandbox] = session
            let writer = E2BWriter(
                envd: E2BEnvd(
                    place: place, session: session, client: client, configuration: configuration))
            state.writers[target] = writer
            return writer
        }
    }
}
