import ArgumentParser
import Foundation
import SyncCore
import SyncTransport
import ZeroMQ

/// `syncd push`: edits from files, a tree, standard input or a git history.
struct PushCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Pushes files, a tree, standard input or a git history.",
        discussion: """
            EXAMPLES
              syncd push --project demo --root site            the tree below site/
              syncd push --project demo --root site index.html   one file of it
              syncd push --project demo --root site --delete old.css   its removal
              syncd push --project demo --root site --mirror --exclude node_modules --wait   the \
            tree, and the removal of what it no longer has
              echo hello | syncd push --project demo --stdin notes/hello.txt
              syncd push --project demo --git . --first-parent --wait   a repository's history
              syncd push --project demo --git . HEAD~20..HEAD   a part of it

            What can't be an edit (symbolic links, submodules, invalid names, what can't be read, two \
            names that Unicode normalisation makes one, the data of 'syncd up') is counted and listed, \
            and does not fail the push unless it was named itself. A file over the coordinator's \
            content-mib is listed likewise, but fails the push, too; all others are pushed.

            EXIT CODES
              0 every edit was accepted, and with --wait is visible · 1 with --wait: some are not, listed \
            with their causes · 2 some edits were refused, a file was too large, or one that was named \
            can't be pushed · 64 wrong usage · 69 no answer · 130 interrupted
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var intake: IntakeOptions

    @Option(help: "Project that the edits belong to (SYNCD_PROJECT).")
    var project: String?

    @Option(help: "Directory that paths are relative to (the current one).")
    var root: String?

    @Option(help: "Replay this repository's history; the argument is a revision or range.")
    var git: String?

    @Flag(help: "With --git: follow only the first parent of merges.")
    var firstParent = false

    @Option(help: "Push standard input as the content of this path.")
    var stdin: String?

    @Flag(help: "With --stdin: the file is executable.")
    var executable = false

    @Flag(help: "Push named files that do not exist as deletes; for folders see --mirror.")
    var delete = false

    @Flag(help: "Delete what the project has and the tree no longer has; needs --store.")
    var mirror = false

    @Option(help: "Leave out what matches, as node_modules, '*.log' or build/; may be repeated.")
    var exclude: [String] = []

    @Option(help: "Sandbox to attach to the project, as local:NAME; may be repeated.")
    var target: [String] = []

    @Flag(help: "Wait until every edit is visible.")
    var wait = false

    @Option(help: "With --wait: give up after so many seconds.")
    var timeout: Int = 600

    @Option(help: "Give up when the coordinator is silent for so many seconds.")
    var silence: Int = 30

    @Option(help: "Name of the producer, for people (syncd).")
    var name: String = "syncd"

    @Flag(help: "Print the result as one JSON object.")
    var json = false

    @OptionGroup var store: StoreOptions

    @Argument(help: "Paths below --root; or, with --git, a revision or range.")
    var paths: [String] = []

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try projectName(
                settings.required("project", project, for: "The project"))
            let targets = try targetURLs(target, min: 0, called: "target")
            try validateChoice()
            let endpoint = try intake.endpoint(settings)
            let summary = try await CommandLink.with(endpoint, project: project, name: name) {
                try await push(over: $0, targets: targets, settings)
            }
            try tell(summary)
        }
    }

    private func push(
        over producer: Producer, targets: [TargetURL], _ settings: Settings
    ) async throws -> PushSummary {
        let books = PushBooks(producer)
        let silenceMax = Duration.seconds(silence)
        let (doesWait, patience) = (wait, Duration.seconds(timeout))
        let standard = try SettingCatalog.clientContentBytesMax(settings)
        let run = PushRun(
            producer: producer, books: books, targets: targets, filter: PathFilter(exclude),
            silenceMax: silenceMax)
        async let kept: Void = books.keep(producer.updates)
        let isInterrupted = try await Interruption.watch {
            let limit = try await PushRun.contentBytesMax(
                producer, standard: standard, silenceMax: silenceMax)
            try await run.push(try await source(producer, settings, silenceMax, limit))
            guard doesWait else { return }
            let waiting = PushWait(
                producer: producer, newest: await books.newest, patience: patience,
                silenceMax: silenceMax)
            await books.waited(try await waiting.wait())
        }
        await producer.loop.stop()
        await kept
        var summary = await books.summary
        summary.interrupted = isInterrupted
        return summary
    }

    private var treeRoot: String { root ?? FileManager.default.currentDirectoryPath }

    private func validateChoice() throws {
        if git != nil, stdin != nil || paths.count > 1 {
            throw Trouble("--git takes at most one revision or range.", code: .usage)
        }
        if mirror, git != nil || stdin != nil || delete {
            throw Trouble("--mirror goes with a tree only: --root DIR [PATH …].", code: .usage)
        }
        if delete, paths.isEmpty {
            throw Trouble("--delete needs the paths that are gone.", code: .usage)
        }
        if let stdin { _ = try editPath(stdin) }
        if git == nil, stdin == nil {
            try TreeSource(root: treeRoot, paths: paths, contentBytesMax: 0).check()
        }
        guard silence > 0, timeout > 0 else {
            throw Trouble("--silence and --timeout are seconds, 1 at least.", code: .usage)
        }
    }

    private func source(
        _ producer: Producer, _ settings: Settings, _ silenceMax: Duration, _ limit: Int
    ) async throws -> StepStream {
        if let git {
            return GitHistorySource(
                repository: git, range: paths.first ?? "", isFirstParent: firstParent,
                contentBytesMax: limit
            ).steps()
        }
        if let stdin {
            let path = try editPath(stdin)
            let isExecutable = executable
            return StepStream { yield in
                // One byte more than allowed tells that there is more; the rest is not read.
                let data = try FileHandle.standardInput.read(upToCount: limit + 1) ?? Data()
                guard data.count <= limit else {
                    throw Trouble(
                        "Standard input has more than the \(limit) bytes that a file may have.",
                        code: .refused)
                }
                _ = yield(
                    .edit(path, .put(Content([UInt8](data)), isExecutable: isExecutable)))
            }
        }
        var tree = TreeSource(
            root: treeRoot, paths: paths, contentBytesMax: limit, deletesMissing: delete)
        tree.filter = PathFilter(exclude)
        if mirror {
            let files = ProjectFiles(producer: producer, patience: silenceMax)
            tree.mirrored = try await files.paths(store, settings)
        }
        return tree.steps()
    }

    private func tell(_ summary: PushSummary) throws {
        if json {
            try Terminal.say(json: summary)
        } else {
            for line in summary.lines { Terminal.say(line) }
        }
        if summary.interrupted { throw ExitCode(130) }
        for cause in summary.failures { Terminal.complain(cause.sentence) }
        if let flaw = summary.flaw { throw Trouble(flaw, code: .refused) }
        guard let count = summary.failed, count > 0 else { return }
        throw Trouble(
            "\(count) files of this push are not visible; see 'syncd queue --project "
                + "\(summary.project)'.")
    }
}

/// `syncd flush`: the barrier.
struct FlushCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flush",
        abstract: "Waits until everything pushed so far is visible in the sandboxes.",
        discussion: """
            What an agent calls before it runs the tests. Files that can't become visible now (failed, \
            or waiting for a sandbox that is away) are listed at once, with exit code 3.

            EXAMPLE
              syncd flush --project demo --prefix src --timeout 60

            EXIT CODES
              0 everything is visible · 69 no answer · 3 some can't become visible now (one line each on \
            standard error: path, state, cause), or not within --timeout · 64 wrong usage
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var intake: IntakeOptions

    @Option(help: "Project (SYNCD_PROJECT).")
    var project: String?

    @Option(help: "Only this path and what is below it.")
    var prefix: String = ""

    @Option(help: "Give up after so many seconds.")
    var timeout: Double = 60

    @Flag(help: "Print the result as one JSON object.")
    var json = false

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try projectName(
                settings.required("project", project, for: "The project"))
            let barrier = Barrier(
                project: project, prefix: prefix, patience: .milliseconds(Int(timeout * 1_000)))
            let outcome = try await CommandLink.with(
                try intake.endpoint(settings), project: project
            ) { try await barrier.wait($0) }
            if json { try Terminal.say(json: outcome) }
            if outcome.visible {
                if !json { Terminal.say("everything is visible") }
                return
            }
            if outcome.timedOut {
                throw Trouble(
                    "Not everything is visible after \(barrier.patience); see 'syncd queue "
                        + "--project \(project)' for what is left.", code: .notVisible)
            }
            for cause in outcome.causes { Terminal.complain(cause.sentence) }
            throw Trouble(
                "\(outcome.count ?? 0) files can't become visible now.", code: .notVisible)
        }
    }
}
