package import SyncCore
internal import Synchronization

/// A store without a disk: keeps to the contract, and can be told to fail.
package final class InMemoryStore: VersionedStore {
    private struct File {
        var listing: StoredFile
        var versions: [StoredVersion]
    }

    private struct State {
        var journal: JournalID?
        var formerJournals: [JournalID] = []
        var highest = EditSequence.none
        var files: [FileKey: File] = [:]
        var failures: [StoreError] = []
        var applyCount = 0
    }

    private let id: String
    private let versionsKept: Int
    private let contentBytesMax: Int
    private let state = Mutex(State())

    /// Makes an empty store.
    package init(
        id: UInt64 = 0x5707E, versionsKept: Int = 10, contentBytesMax: Int = 64 << 20
    ) {
        self.id = Hexadecimal.digits(of: id)
        self.versionsKept = versionsKept
        self.contentBytesMax = contentBytesMax
    }

    /// Has the next calls of ``apply(_:)`` fail, one error each; nothing of them takes effect.
    package func failApplies(with errors: [StoreError]) {
        state.withLock { $0.failures = errors }
    }

    /// How often ``apply(_:)`` was called.
    package var applyCount: Int { state.withLock { $0.applyCount } }

    package func identity() async throws(StoreError) -> StoreIdentity {
        state.withLock { identity($0) }
    }

    private func identity(_ state: State) -> StoreIdentity {
        StoreIdentity(
            id: id, journal: state.journal, highestSequence: state.highest,
            formerJournals: state.formerJournals)
    }

    package func bind(to journal: JournalID, isAdopted: Bool) async throws(StoreError) {
        let isBound = state.withLock { state in
            if state.journal == nil || isAdopted {
                state.formerJournals = identity(state).formerJournals(after: journal)
                state.journal = journal
            }
            return state.journal == journal
        }
        guard isBound else {
            throw StoreError(.foreign, "The store in memory belongs to another journal.")
        }
    }

    package func apply(_ edits: [SequencedEdit]) async throws(StoreError) -> [Applied] {
        let result: Result<[Applied], StoreError> = state.withLock { state in
            state.applyCount += 1
            if !state.failures.isEmpty { return .failure(state.failures.removeFirst()) }
            return .success(edits.map { apply($0, to: &state) })
        }
        return try result.get()
    }

    private func apply(_ edit: SequencedEdit, to state: inout State) -> Applied {
        guard edit.change.byteCount <= contentBytesMax else {
            return .refused(reason: "The content is larger than \(contentBytesMax) bytes.")
        }
        let file = state.files[edit.file]
        let current = file?.listing.version ?? .none
        if let last = file?.listing.sequence {
            if last == edit.sequence { return .known(current) }
            if last > edit.sequence { return .stale(by: last) }
        }
        if let expected = edit.expectedVersion, expected != current,
            file?.versions.last?.id != edit.id || file?.versions.last?.change != edit.change
        {
            return .conflict(current: current)
        }
        let listing = StoredFile(
            path: edit.file.path, version: current.next, sequence: edit.sequence,
            isDeleted: edit.change.isDelete, isExecutable: edit.change.isExecutable,
            byteCount: edit.change.byteCount, digest: edit.contentDigest)
        let version = StoredVersion(
            path: edit.file.path, version: current.next, sequence: edit.sequence, id: edit.id,
            acceptedAt: edit.acceptedAt, change: edit.change)
        let versions = ((file?.versions ?? []) + [version]).suffix(versionsKept)
        state.files[edit.file] = File(listing: listing, versions: Array(versions))
        state.highest = max(state.highest, edit.sequence)
        return .applied(current.next)
    }

    package func version(
        of file: FileKey, _ version: Version?
    ) async throws(StoreError) -> StoredVersion? {
        state.withLock { state in
            let versions = state.files[file]?.versions
            guard let version else { return versions?.last }
            return versions?.first { $0.version == version }
        }
    }

    package func history(of file: FileKey) async throws(StoreError) -> [StoredVersion] {
        state.withLock { state in
            (state.files[file]?.versions ?? []).reversed().map(\.withoutContent)
        }
    }

    package func files(
        of project: ProjectName, after path: EditPath?, countMax: Int
    ) async throws(StoreError) -> [StoredFile] {
        state.withLock { state in
            let listings = state.files.lazy.filter { $0.key.project == project }
                .map(\.value.listing).filter { file in path.map { $0 < file.path } ?? true }
            return Array(listings.sorted { $0.path < $1.path }.prefix(min(countMax, 10_000)))
        }
    }
}

extension SequencedEdit {
    fileprivate var contentDigest: UInt64 {
        switch change {
        case .put(let content, _): content.digest
        case .delete: 0
        }
    }
}

extension StoredVersion {
    fileprivate var withoutContent: StoredVersion {
        guard case .put(_, let isExecutable) = change else { return self }
        return StoredVersion(
            path: path, version: version, sequence: sequence, id: id, acceptedAt: acceptedAt,
            change: .put(.empty, isExecutable: isExecutable))
    }
}
