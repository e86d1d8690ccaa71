import ArgumentParser
import Foundation
import SyncCore
import SyncStore

/// Opens the store for reading and closes it again.
func reading<R: Sendable>(
    _ options: StoreOptions, _ settings: Settings, _ body: (any OpenStore) async throws -> R
) async throws -> R {
    let url = try storeURL(settings.required("store", options.store, for: "The store"))
    let store = try await url.openForReading(try ConvexAccess.storeSettings(url, settings))
    do {
        let result = try await body(store)
        await store.close()
        return result
    } catch {
        await store.close()
        throw error
    }
}

/// `syncd get`: one version's content.
struct GetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get",
        abstract: "Writes a file's content, as the store has it, to standard output.",
        discussion: """
            EXAMPLE
              syncd get --store sqlite:/var/lib/syncd/store.db --project demo index.html --version 3
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var store: StoreOptions
    @Option(help: "Project (SYNCD_PROJECT).") var project: String?
    @Option(help: "Version (the newest).") var version: UInt64?
    @Argument(help: "Path in the project.") var path: String

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try projectName(
                settings.required("project", project, for: "The project"))
            let file = FileKey(project: project, path: try editPath(path))
            let found = try await reading(store, settings) {
                try await $0.version(of: file, version.map { Version($0) })
            }
            guard let found else {
                throw Trouble(
                    version.map { "Version \($0) of \(file) is not kept; see 'syncd history'." }
                        ?? "\(file) was never stored.")
            }
            guard case .put(let content, _) = found.change else {
                throw Trouble("\(file) is deleted as of version \(found.version).")
            }
            Terminal.write(bytes: content.bytes, to: STDOUT_FILENO)
        }
    }
}

/// `syncd history`: the kept versions of a file.
struct HistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "Lists the kept versions of a file, newest first.",
        discussion: """
            EXAMPLE
              syncd history --store sqlite:/var/lib/syncd/store.db --project demo index.html
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var store: StoreOptions
    @Option(help: "Project (SYNCD_PROJECT).") var project: String?
    @Flag(help: "Print one JSON object a line.") var json = false
    @Argument(help: "Path in the project.") var path: String

    private struct Line: Codable {
        var version: UInt64
        var sequence: UInt64
        var producer: String
        var number: UInt64
        var acceptedAt: UInt64
        var deleted: Bool
        var executable: Bool
    }

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try projectName(
                settings.required("project", project, for: "The project"))
            let file = FileKey(project: project, path: try editPath(path))
            let versions = try await reading(store, settings) { try await $0.history(of: file) }
            if versions.isEmpty { throw Trouble("\(file) was never stored.") }
            for version in versions {
                let time = Date(
                    timeIntervalSince1970: Double(version.acceptedAt.milliseconds) / 1_000)
                if json {
                    try Terminal.say(
                        json: Line(
                            version: version.version.value, sequence: version.sequence.value,
                            producer: version.id.producer.text, number: version.id.number,
                            acceptedAt: version.acceptedAt.milliseconds,
                            deleted: version.change.isDelete,
                            executable: version.change.isExecutable))
                } else {
                    let kind =
                        version.change.isDelete
                        ? "deleted" : version.change.isExecutable ? "put, executable" : "put"
                    Terminal.say(
                        "\(version.version)  \(time.formatted(.iso8601))  \(kind)  "
                            + "sequence \(version.sequence)  by \(version.id)")
                }
            }
        }
    }
}

/// `syncd ls`: the files of a project.
struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls",
        abstract: "Lists a project's files, as the store has them.",
        discussion: """
            EXAMPLE
              syncd ls --store sqlite:/var/lib/syncd/store.db --project demo --json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var store: StoreOptions
    @Option(help: "Project (SYNCD_PROJECT).") var project: String?
    @Flag(help: "Print one JSON object a line.") var json = false
    @Flag(help: "List deleted files too.") var deleted = false

    private struct Line: Codable {
        var path: String
        var version: UInt64
        var sequence: UInt64
        var bytes: Int
        var executable: Bool
        var deleted: Bool
    }

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try projectName(
                settings.required("project", project, for: "The project"))
            try await reading(store, settings) { store in
                var after: EditPath?
                while true {
                    let page = try await store.files(of: project, after: after, countMax: 1_000)
                    if after == nil, page.isEmpty {
                        Terminal.complain("the store has nothing of project \(project)")
                    }
                    for file in page where deleted || !file.isDeleted { try tell(file) }
                    if page.count < 1_000 { return }
                    after = page.last?.path
                }
            }
        }
    }

    private func tell(_ file: StoredFile) throws {
        if json {
            try Terminal.say(
                json: Line(
                    path: file.path.text, version: file.version.value,
                    sequence: file.sequence.value, bytes: file.byteCount,
                    executable: file.isExecutable, deleted: file.isDeleted))
            return
        }
        let kind = file.isDeleted ? "deleted" : file.isExecutable ? "x" : "-"
        Terminal.say("\(kind)  v\(file.version)  \(file.byteCount)  \(file.path)")
    }
}
