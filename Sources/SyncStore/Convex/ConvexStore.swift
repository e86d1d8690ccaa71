package import SyncCore

/// The store in a Convex deployment, by the functions of `deploy/convex`.
///
/// Each edit is a mutation, which is a transaction of its own, fenced by the sequence in the file's
/// row. Edits of different files share no row, so they never conflict.
package final class ConvexStore: VersionedStore {
    /// Format of what the deployed functions keep and answer.
    private static let format: UInt64 = 2
    /// How many files one listing may have.
    private static let filesMax = 10_000

    let client: ConvexClient
    let settings: ConvexSettings
    let versionsKept: Int

    /// Opens nothing yet.
    init(unopened settings: ConvexSettings, versionsKept: Int) {
        self.settings = settings
        self.versionsKept = max(1, versionsKept)
        client = ConvexClient(settings)
    }

    /// Opens a store; gives a new one its identity.
    ///
    /// - Parameters:
    ///   - settings: Which deployment, and how it is used.
    ///   - versionsKept: How many versions of a file are kept, at least 1.
    ///   - idIfNew: Identity of a store that is new: 64 random bits.
    package convenience init(
        _ settings: ConvexSettings, versionsKept: Int = SQLiteStore.versionsKeptDefault,
        idIfNew: UInt64 = .random(in: 1 ... .max)
    ) async throws(StoreError) {
        self.init(unopened: settings, versionsKept: versionsKept)
        try await open { () async throws(StoreError) in
            guard try await found() == nil else { return }
            let id = ["store": Hexadecimal.digits(of: idIfNew)]
            let _: Bool? = try await run("make the store") {
                deadline async throws(ConvexFailure) in
                try await client.mutate("identify", id, until: deadline)
            }
        }
    }

    /// Opens a store that exists to read it, beside the processes that write it.
    package convenience init(readingOnly settings: ConvexSettings) async throws(StoreError) {
        self.init(unopened: settings, versionsKept: SQLiteStore.versionsKeptDefault)
        try await open { () async throws(StoreError) in
            if try await found() == nil { throw missing }
        }
    }

    /// Reads who the store is.
    package func identity() async throws(StoreError) -> StoreIdentity {
        guard let identity = try await found() else { throw missing }
        return identity
    }

    /// Makes the store belong to a journal.
    package func bind(to journal: JournalID, isAdopted: Bool) async throws(StoreError) {
        // Who can't read it must not write it: this is what a worker calls first.
        _ = try await identity()
        let binding = Binding(journal: journal.description, isAdopted: isAdopted)
        let owner: String = try await run("bind the store to a journal") {
            deadline async throws(ConvexFailure) in
            try await client.mutate("bind", binding, until: deadline)
        }
        guard owner == journal.description else {
            throw StoreError(
                .foreign,
                "The store at \(settings.url) belongs to journal \(ConvexFailure.word(owner)), not "
                    + "to \(journal). Name the right store, or start the coordinator with --adopt.")
        }
    }

    /// Reads the kept versions of a file, newest first.
    package func history(of file: FileKey) async throws(StoreError) -> [StoredVersion] {
        let question = ["project": file.project.text, "path": file.path.text]
        let lines: [VersionLine] = try await run("read a history") {
            deadline async throws(ConvexFailure) in
            try await client.query("history", question, until: deadline)
        }
        var versions: [StoredVersion] = []
        for line in lines { versions.append(try stored(line, of: file.path, content: .empty)) }
        return versions
    }

    /// Reads a page of a project's files, in byte order of paths.
    package func files(
        of project: ProjectName, after path: EditPath?, countMax: Int
    ) async throws(StoreError) -> [StoredFile] {
        let wanted = min(max(countMax, 1), Self.filesMax)
        var files: [StoredFile] = []
        while files.count < wanted {
            let page = Page(
                project: project.text, after: (files.last?.path ?? path)?.text ?? "",
                countMax: min(settings.pageMax, wanted - files.count))
            let lines: [FileLine] = try await run("list files") {
                deadline async throws(ConvexFailure) in
                try await client.query("listFiles", page, until: deadline)
            }
            for line in lines { files.append(try listed(line)) }
            if lines.count < page.countMax { break }
        }
        return files
    }

    /// Ends the connections; no call afterwards.
    package func close() async { await client.close() }
}

// MARK: Calls

extension ConvexStore {
    /// When a call of the store that begins now is given up.
    var deadline: ContinuousClock.Instant { .now + settings.patience }

    /// Calls a function; a failure becomes a sentence that says what could not be done, and where.
    func run<Value: Sendable>(
        _ task: String,
        _ call: (ContinuousClock.Instant) async throws(ConvexFailure) -> Value
    ) async throws(StoreError) -> Value {
        do {
            return try await call(deadline)
        } catch {
            throw storeError(error, task)
        }
    }

    /// The failure of a call as the store tells it.
    func storeError(_ failure: ConvexFailure, _ task: String) -> StoreError {
        let start = "Could not \(task) at \(settings.url): "
        let remedy = "Deploy the functions of this build (deploy/convex) there."
        let reason =
            switch failure {
            case .busy(let sentence), .lost(let sentence), .closed(let sentence): sentence
            case .refused(let code): "the function refuses it (\(code)). \(remedy)"
            case .threw: "the function failed. Look at the deployment's logs. \(remedy)"
            }
        return StoreError(.unavailable, start + reason)
    }

    /// What was read back makes no sense.
    func nonsense(_ what: String) -> StoreError {
        StoreError(
            .corrupt,
            "The store at \(settings.url) holds \(what) that makes no sense. Look who else writes "
                + "to the tables whose names begin with 'syncd'.")
    }

    private func open(
        _ body: () async throws(StoreError) -> Void
    ) async throws(StoreError) {
        do {
            try await body()
        } catch {
            await client.close()
            throw error
        }
    }

    private var missing: StoreError {
        StoreError(
            .unavailable,
            "There is no store at \(settings.url). Name the deployment that the workers use; the "
                + "first worker makes the store.")
    }

    /// Who the store is; nil before it was made.
    private func found() async throws(StoreError) -> StoreIdentity? {
        let identity: Identity? = try await run("read the identity of the store") {
            deadline async throws(ConvexFailure) in
            try await client.query("identity", [String: String](), until: deadline)
        }
        guard let identity else { return nil }
        guard identity.format.value == Self.format else {
            throw StoreError(
                .unavailable,
                "The functions at \(settings.url) have format \(identity.format.value), and this "
                    + "syncd has \(Self.format). Deploy the functions of the newer one and run it.")
        }
        guard Hexadecimal.isSixteenDigits(identity.store.utf8) else { throw nonsense("an id") }
        var journals: [JournalID] = []
        for text in identity.formerJournals + [identity.journal].compactMap(\.self) {
            guard let journal = JournalID(text) else { throw nonsense("a journal's id") }
            journals.append(journal)
        }
        let journal = identity.journal == nil ? nil : journals.popLast()
        return StoreIdentity(
            id: identity.store, journal: journal,
            highestSequence: EditSequence(identity.highestSequence.value), formerJournals: journals)
    }
}

private struct Identity: Decodable, Sendable {
    let format: ConvexValues.Count
    let store: String
    let journal: String?
    let formerJournals: [String]
    let highestSequence: ConvexValues.Count
}

private struct Binding: Encodable, Sendable {
    let journal: String
    let isAdopted: Bool
}

private struct Page: Encodable, Sendable {
    let project: String
    let after: String
    let countMax: Int
}

private struct FileLine: Decodable, Sendable {
    let path: String
    let version: ConvexValues.Count
    let sequence: ConvexValues.Count
    let isDelete: Bool
    let isExecutable: Bool
    let byteCount: ConvexValues.Count
    let digest: ConvexValues.Bits
}

extension ConvexStore {
    private func listed(_ line: FileLine) throws(StoreError) -> StoredFile {
        guard let path = try? EditPath(line.path),
            let byteCount = Int(exactly: line.byteCount.value)
        else { throw nonsense("a path or a size") }
        return StoredFile(
            path: path, version: Version(line.version.value),
            sequence: EditSequence(line.sequence.value), isDeleted: line.isDelete,
            isExecutable: line.isExecutable, byteCount: byteCount, digest: line.digest.value)
    }
}
