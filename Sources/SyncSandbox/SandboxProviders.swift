package import SyncCore

/// Several providers as one, told apart by the scheme of the target.
package struct SandboxProviders: SandboxProvider {
    private let providers: [any SandboxProvider]

    /// Puts providers together; of two with the same scheme the first one counts.
    package init(_ providers: [any SandboxProvider]) { self.providers = providers }

    /// Schemes of all of them.
    package var schemes: [String] { providers.flatMap(\.schemes) }

    /// The id of the first one that has a local root.
    package func localRootID() async throws(SandboxError) -> String? {
        for provider in providers {
            if let id = try await provider.localRootID() { return id }
        }
        return nil
    }

    /// The writer of a target, by its scheme.
    package func writer(for target: TargetURL) throws(SandboxError) -> any SandboxWriter {
        for provider in providers where provider.schemes.contains(target.scheme) {
            return try provider.writer(for: target)
        }
        let known = schemes.map { "'\($0)'" }.joined(separator: ", ")
        let hint =
            target.scheme == E2BProvider.scheme
            ? "Give the workers an API key of E2B (E2B_API_KEY)"
            : "Start a worker that has"
        throw SandboxError(
            .file, code: "unknown-scheme",
            "This worker has no sandboxes of scheme '\(target.scheme)', only \(known). \(hint), or "
                + "detach '\(target)'.")
    }
}
