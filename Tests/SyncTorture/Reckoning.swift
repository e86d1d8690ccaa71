import Foundation
import SyncCore
import SyncSimulator
import SyncStore
import SyncTestKit
import SyncTransport

/// Holds what happened against what the producers know, whenever everything is at rest.
struct Reckoning {
    /// What a sandbox's file held when it was last looked at.
    private struct Held {
        var sequence: EditSequence
        /// It went away since.
        var isGone = false
    }

    private struct Spot: Hashable {
        let place: Int
        let path: EditPath
    }

    private(set) var ledger = Ledger()
    private var books = Books()
    private var held: [Spot: Held] = [:]
    private var flaws: [String] = []
    private var readEvents = 0
    private var versions: [EditSequence: Version] = [:]

    /// Edits that are accepted, in all.
    var acceptedCount: Int { ledger.entries.count }

    /// How many ended so.
    func count(_ end: EventKind) -> Int { ledger.entries.values.count { $0.end == end } }

    /// Words of the failures.
    var failures: [String] { ledger.entries.values.filter { $0.end == .failed }.map(\.code) }

    /// Takes what was found wrong since the last call.
    mutating func takeFlaws() -> [String] {
        defer { flaws = [] }
        return flaws + ledger.takeFlaws()
    }

    // MARK: Books

    /// Takes over what a producer has pushed.
    mutating func take(_ edits: [UInt64: Edit], of producer: ProducerID, _ project: ProjectName) {
        for (number, edit) in edits {
            books.open(EditID(producer: producer, number: number), project: project, edit: edit)
        }
    }

    /// Follows the log from where it was left; the books must know its edits.
    mutating func follow(_ events: [StatusEvent]) {
        for event in events.dropFirst(readEvents) {
            ledger.follow(event, books: books)
            if event.kind == .synced || event.kind == .stored {
                versions[event.sequence] = event.version
            }
        }
        readEvents = events.count
        for (sequence, entry) in ledger.entries where entry.end == nil {
            flaws.append("\(sequence) of \(entry.file) has no end")
        }
    }

    /// Asks whether the log has what a producer was told.
    mutating func check(
        _ producer: ProducerID, accepted: [UInt64: EditSequence], refused: [UInt64: Rejection],
        unknown: Set<UInt64>
    ) {
        for (number, sequence) in accepted {
            let id = EditID(producer: producer, number: number)
            if ledger.sequences[id] != sequence {
                flaws.append("\(id) was ACCEPTED as \(sequence), which the log does not have")
            }
        }
        for (number, refusal) in refused {
            if refusal.code != .overtaken {
                flaws.append("number \(number) of \(producer) was refused: \(refusal.code)")
            }
            if ledger.sequences[EditID(producer: producer, number: number)] != nil {
                flaws.append("number \(number) of \(producer) was refused, but is accepted")
            }
        }
        for number in unknown {
            flaws.append("\(producer) gave up number \(number) without an answer")
        }
    }

    // MARK: Order

    /// Holds what was seen in the sandboxes against the order of sequences: it never goes back.
    mutating func check(
        _ observations: [SandboxWatch.Observation], of places: [SandboxWatch.Place],
        _ producers: [Int: ProducerID]
    ) {
        for seen in observations {
            let spot = Spot(place: seen.place, path: seen.path)
            let name = "\(places[seen.place].folder.split(separator: "/").last ?? "")/\(seen.path)"
            switch seen.sight {
            case .absent: held[spot]?.isGone = true
            case .foreign: flaws.append("\(name) held bytes that nobody pushed")
            case .edit(let author, let number):
                guard let producer = producers[author],
                    let sequence = ledger.sequences[EditID(producer: producer, number: number)],
                    ledger.entries[sequence]?.file.path == seen.path
                else {
                    flaws.append(
                        "\(name) held number \(number) of author \(author), never accepted for it")
                    continue
                }
                if let before = held[spot] {
                    if sequence < before.sequence {
                        flaws.append("\(name) went from \(before.sequence) back to \(sequence)")
                    } else if before.isGone, sequence == before.sequence {
                        flaws.append("\(name) held \(sequence) again after it was deleted")
                    }
                }
                held[spot] = Held(sequence: max(sequence, held[spot]?.sequence ?? .none))
            }
        }
    }

    // MARK: End state

    /// Every file is as its newest accepted edit says, in the store and in every sandbox.
    mutating func checkEnd(_ places: [SandboxWatch.Place], storeURL: String) async throws {
        let store = try await StoreURL(storeURL).openForReading()
        var expected = [[String: TreeFile]](repeating: [:], count: places.count)
        var excused: Set<FileKey> = []
        for (file, sequence) in ledger.winners() {
            guard let entry = ledger.entries[sequence], let line = books.lines[entry.id] else {
                continue
            }
            try await checkHistory(of: file, in: store)
            switch entry.end {
            case .failed:
                excused.insert(file)
                continue
            case .synced: break
            case nil, .accepted, .retrying, .parked, .stored, .superseded, .discarded, .retried,
                .attached, .detached, .away, .back, .refreshing, .refreshed, .drifted:
                let end = entry.end.map(\.word) ?? "nothing"
                flaws.append("the newest edit of \(file), \(sequence), ended as \(end)")
            }
            let stored = try await store.version(of: file, nil)
            if stored?.sequence != sequence || stored?.change != line.edit.change {
                let held = stored.map { "\($0.sequence)" } ?? "nothing"
                flaws.append("the store holds \(file) of \(held), not \(sequence)")
            }
            guard case .put(let content, let isExecutable) = line.edit.change else { continue }
            for (place, sandbox) in places.enumerated() where sandbox.project == file.project {
                expected[place][file.path.text] = TreeFile(
                    bytes: content.bytes, isExecutable: isExecutable)
            }
        }
        await store.close()
        for (place, sandbox) in places.enumerated() {
            let actual = try DirectoryTree.read(at: sandbox.folder).filter { path, _ in
                !excused.contains(
                    FileKey(project: sandbox.project, path: MachineCluster.path(path)))
            }
            let differences = DirectoryTree.differences(
                expected: expected[place], actual: actual)
            flaws += differences.map { "at rest, \(sandbox.folder): \($0)" }
        }
    }

    /// Versions are dense, each another edit, later ones of higher sequences; what was told of a
    /// version is what the store has.
    private mutating func checkHistory(of file: FileKey, in store: any VersionedStore) async throws
    {
        let history = try await store.history(of: file)
        guard let newest = history.first else { return }
        if history.map(\.version.value) != Array((1...newest.version.value).reversed()) {
            flaws.append("versions of \(file) have a gap")
        }
        if Set(history.map(\.id)).count != history.count {
            flaws.append("an edit of \(file) was stored twice")
        }
        for (later, earlier) in zip(history, history.dropFirst())
        where later.sequence <= earlier.sequence {
            flaws.append(
                "\(file): version \(later.version) has a lower sequence than the one before")
        }
        for version in history {
            if ledger.entries[version.sequence]?.id != version.id {
                flaws.append("version \(version.version) of \(file) was never accepted")
            }
            if let told = versions[version.sequence], told != version.version {
                flaws.append("\(file): \(version.sequence) was told as version \(told)")
            }
        }
        let stored = Set(history.map(\.sequence))
        for (sequence, entry) in ledger.entries
        where entry.file == file && entry.end == .synced && !stored.contains(sequence) {
            flaws.append("\(sequence) of \(file) ended synced, but is no version")
        }
    }

    // MARK: Monitor

    /// A fresh snapshot says the same as the monitor that has followed from the beginning.
    mutating func check(
        _ tape: EventTape, against producer: Producer, _ project: ProjectName
    ) async throws {
        var board = StatusBoard()
        board.beginSnapshot()
        var after: EditPath?
        while true {
            let reply = try await producer.ask(
                .snapshot(project: project, prefix: "", after: after, countMax: 1_000),
                patience: .seconds(60))
            guard case .snapshot(let files, let number, _, let next) = reply else {
                throw KitError("no snapshot: \(reply)")
            }
            _ = board.take(page: files, number: number, next: next)
            guard let next else { break }
            after = next
        }
        func words(_ views: [FileView]) -> [String] {
            views.map { "\($0.path) \($0.sequence) \($0.hasFailed) \($0.isSyncing)" }.sorted()
        }
        let followed = words(await tape.restless(project))
        if followed != words(board.restless) {
            flaws.append(
                "\(project): followed \(followed), a snapshot says \(words(board.restless))")
        }
        flaws += await tape.takeFlaws()
    }
}
