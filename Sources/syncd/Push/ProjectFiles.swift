import SyncCore
import SyncStore
import SyncTransport

/// The files that a project has: those in the store, and those that are on their way there.
struct ProjectFiles {
    let producer: Producer
    let patience: Duration

    /// Their paths.
    func paths(_ options: StoreOptions, _ settings: Settings) async throws -> [EditPath] {
        // Pending ones first: whatever is stored meanwhile is found in the store.
        var paths = Set(try await pending())
        let stored = try await reading(options, settings) { try await Self.stored($0, producer) }
        paths.formUnion(stored)
        return Array(paths)
    }

    private static func stored(
        _ store: any VersionedStore, _ producer: Producer
    ) async throws -> [EditPath] {
        var paths: [EditPath] = []
        var after: EditPath?
        while true {
            let page = try await store.files(
                of: producer.project, after: after, countMax: 1_000)
            paths += page.filter { !$0.isDeleted }.map(\.path)
            if page.count < 1_000 { return paths }
            after = page.last?.path
        }
    }

    private func pending() async throws -> [EditPath] {
        var paths: [EditPath] = []
        var after: EditPath?
        while true {
            let reply = try await producer.ask(
                .snapshot(project: producer.project, prefix: "", after: after, countMax: 1_000),
                patience: patience)
            guard case .snapshot(let files, _, _, let next) = reply else {
                throw Trouble("The coordinator gave an answer that does not fit a snapshot.")
            }
            paths += files.map(\.path)
            guard let next else { return paths }
            after = next
        }
    }
}
