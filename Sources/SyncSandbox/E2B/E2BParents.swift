internal import SyncCore
internal import Synchronization

/// Whether the folders on the way to a file are folders.
///
/// envd follows links, as root, anywhere, so a link on the way is refused. Each folder is looked at
/// once in a while, not before each write: a program that puts a link there in between is the
/// sandbox's own.
final class E2BParents: Sendable {
    /// What stands in the way of a file.
    enum Obstacle: Sendable {
        case file(String)
        case link(String)
        case directory
    }

    private let envd: E2BEnvd
    private let seen = Mutex<[String: ContinuousClock.Instant]>([:])

    private static let memory: Duration = .seconds(30)
    private static let foldersMax = 10_000

    init(envd: E2BEnvd) { self.envd = envd }

    /// The first thing on the way that is no directory; nil when there is none.
    func obstacle(of path: EditPath) async throws(SandboxError) -> Obstacle? {
        let now = ContinuousClock.now
        for folder in path.ancestors {
            let isFresh = seen.withLock { $0[folder].map { now < $0 + Self.memory } ?? false }
            if isFresh { continue }
            guard let found = try await envd.stat(envd.path(folder)) else { return nil }
            if found.isLink { return .link(folder) }
            guard found.isDirectory else { return .file(folder) }
            seen.withLock { seen in
                if seen.count >= Self.foldersMax { seen = [:] }
                seen[folder] = now
            }
        }
        return nil
    }

    /// Looks at every folder again: something was refused, or was taken away.
    func forget() { seen.withLock { $0 = [:] } }
}
