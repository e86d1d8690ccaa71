internal import SyncCore
internal import Synchronization

/// Remembers which files changed since a listener last looked: each once, however often it changed.
final class StateListener: Sendable {
    private struct Dirty: Sendable {
        var paths: [EditPath] = []
        var known: Set<EditPath> = []
    }

    private let prefix: String
    private let dirty = Mutex(Dirty())
    private let signal: AsyncStream<Void>
    private let signalIn: AsyncStream<Void>.Continuation

    init(prefix: String) {
        self.prefix = prefix
        (signal, signalIn) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Notes a change.
    ///
    /// - Returns: Whether anybody still listens.
    @discardableResult
    func changed(_ path: EditPath) -> Bool {
        guard path.isCovered(by: prefix) else { return true }
        dirty.withLock { dirty in
            if dirty.known.insert(path).inserted { dirty.paths.append(path) }
        }
        if case .terminated = signalIn.yield() { return false }
        return true
    }

    /// Nothing comes any more.
    func finish() { signalIn.finish() }

    /// Waits for changes and takes them, in the order of the first change; nil at the end.
    func next(
        _ signals: inout AsyncStream<Void>.Iterator, isolation: isolated (any Actor)?
    ) async -> [EditPath]? {
        while true {
            let paths = dirty.withLock { dirty -> [EditPath] in
                defer { dirty = Dirty() }
                return dirty.paths
            }
            if !paths.isEmpty { return paths }
            guard await signals.next(isolation: isolation) != nil else { return nil }
        }
    }

    /// Wakes ``next(_:isolation:)``.
    var signals: AsyncStream<Void>.Iterator { signal.makeAsyncIterator() }
}
