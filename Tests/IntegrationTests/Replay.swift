import Foundation
import SyncCore
import SyncStore
import SyncTestKit
import SyncTransport
import Testing

@testable import syncd

/// Pushes a repository's history and checks sandbox, store and log against git.
struct Replay {
    let cluster: DaemonCluster
    let repository: GitFixture
    let project: String

    /// Replays everything; compares every so many commits, and at the end.
    ///
    /// - Parameter meanwhile: Called after each commit's edits are submitted.
    func run(every: Int?, meanwhile: (Int) async throws -> Void = { _ in }) async throws {
        let producer = try await cluster.producer(project)
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        defer { keeping.cancel() }
        let steps = GitHistorySource(
            repository: repository.folder, range: "", isFirstParent: true,
            contentBytesMax: 16 << 20
        ).steps()
        var count = 0
        var last = ""
        for try await step in steps {
            switch step {
            case .edit(let path, let change):
                let edit = Edit(path: path, change: change)
                await book.pushed(await producer.submit(edit), edit)
                count += 1
            case .skipped: continue
            case .commitEnd(let hash, let index, _):
                last = hash
                try await meanwhile(index)
                guard let every, index % every == 0 else { continue }
                await book.reach(count)
                try await compare(with: hash)
            }
        }
        await book.reach(count)
        #expect(await book.refused.values.allSatisfy { $0.code == .overtaken })
        #expect(await book.unknown.isEmpty)
        try await compare(with: last)
        try await checkLog()
    }

    /// The sandbox equals the commit, and so does the store.
    private func compare(with commit: String) async throws {
        try await cluster.flush(project)
        let expected = try repository.tree(of: commit)
        let sandbox = try DirectoryTree.read(at: cluster.sandboxes + "/" + project)
        #expect(DirectoryTree.differences(expected: expected, actual: sandbox) == [])
        let store = try await SQLiteStore(readingOnly: cluster.storeFile)
        var stored: [String: TreeFile] = [:]
        var after: EditPath?
        while true {
            let page = try await store.files(
                of: MachineCluster.name(project), after: after, countMax: 1_000)
            for file in page where !file.isDeleted {
                let key = FileKey(project: MachineCluster.name(project), path: file.path)
                let newest = try await store.version(of: key, nil)
                stored[file.path.text] = TreeFile(
                    bytes: newest?.change.content?.bytes ?? [], isExecutable: file.isExecutable)
            }
            if page.count < 1_000 { break }
            after = page.last?.path
        }
        await store.close()
        #expect(DirectoryTree.differences(expected: expected, actual: stored) == [])
    }

    /// Every accepted edit has one end, chains end in a synced edit, versions count `synced`.
    private func checkLog() async throws {
        let events = try await cluster.events().filter { $0.project.text == project }
        var ends: [EditSequence: [StatusEvent]] = [:]
        var paths: [EditSequence: EditPath] = [:]
        for event in events {
            if event.kind == .accepted { paths[event.sequence] = event.path }
            if event.kind.isEnd { ends[event.sequence, default: []].append(event) }
        }
        #expect(paths.keys.allSatisfy { ends[$0]?.count == 1 })
        var synced: [EditPath: UInt64] = [:]
        for event in events where event.kind == .synced {
            if let path = event.path { synced[path, default: 0] += 1 }
        }
        for start in paths.keys {
            var sequence = start
            while let end = ends[sequence]?.first, end.kind == .superseded { sequence = end.by }
            #expect(ends[sequence]?.first?.kind == .synced)
            #expect(paths[sequence] == paths[start])
        }
        let store = try await SQLiteStore(readingOnly: cluster.storeFile)
        for (path, count) in synced {
            let key = FileKey(project: MachineCluster.name(project), path: path)
            let history = try await store.history(of: key).map(\.version.value)
            #expect(history.first == count)
            let oldest = count > 10 ? count - 9 : 1
            #expect(history == Array((oldest...count).reversed()))
        }
        await store.close()
    }
}
