import ArgumentParser
import Foundation
import SyncCore
import SyncTransport

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
              echo hello | syncd push --project demo --stdin notes/hello.txt
              syncd push --project demo --git . --first-parent --wait   a repository's history
              syncd push --project demo --git . HEAD~20..HEAD   a part of it

            What can't be an edit (symbolic links, submodules, invalid names, files over 16 MiB, two \
            names that Unicode normalisation makes one) is counted and listed, and does not fail the \
            push. Exit code 2: some edits were refused; 3: with --wait, not everything is visible.
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

    @Flag(help: "Push named paths that do not exist as deletes.")
    var delete = false

    @Option(help: "Sandbox to attach to the project, as local:NAME; may be repeated.")
    var target: [String] = []

    @Flag(help: "Wait until everything of the project is visible.")
    var wait = false

    @Option(help: "With --wait: give up after so many seconds.")
    var timeout: Int = 600

    @Option(help: "Name of the producer, for people (syncd).")
    var name: String = "syncd"

    @Flag(help: "Print the result as one JSON object.")
    var json = false

    @Argument(help: "Paths below --root; or, with --git, a revision or range.")
    var paths: [String] = []

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try projectName(
                settings.required("project", project, for: "The project"))
            let targets = try target.map { text in
                guard let url = TargetURL(text) else {
                    throw Trouble(
                        "'\(text)' is no target: write SCHEME:NAME with a scheme of "
                            + "\(TargetURL.schemes.joined(separator: ", ")).", code: .usage)
                }
                return url
            }
            let steps = try source()
            let endpoint = intake.endpoint(settings)
            var summary = try await CommandLink.with(endpoint, project: project, name: name) {
                try await PushRun(producer: $0, targets: targets).push(steps)
            }
            var outcome: Barrier.Outcome?
            if wait {
                let barrier = Barrier(project: project, prefix: "", patience: .seconds(timeout))
                outcome = try await CommandLink.with(endpoint, project: project) {
                    try await barrier.wait($0)
                }
                summary.visible = outcome?.visible
            }
            try tell(summary, outcome)
        }
    }

    private func source() throws -> StepStream {
        let limit = WireLimits().contentBytesMax
        if let git {
            guard paths.count <= 1, stdin == nil else {
                throw Trouble("--git takes at most one revision or range.", code: .usage)
            }
            return GitHistorySource(
                repository: git, range: paths.first ?? "", isFirstParent: firstParent,
                contentBytesMax: limit
            ).steps()
        }
        if let stdin {
            let path = try editPath(stdin)
            let isExecutable = executable
            return StepStream { yield in
                let data = FileHandle.standardInput.readDataToEndOfFile()
                _ = yield(
                    .edit(path, .put(Content([UInt8](data)), isExecutable: isExecutable)))
            }
        }
        let root = root ?? FileManager.default.currentDirectoryPath
        return TreeSource(
            root: root, paths: paths, contentBytesMax: limit, deletesMissing: delete
        ).steps()
    }

    private func tell(_ summary: PushRun.Summary, _ outcome: Barrier.Outcome?) throws {
        if json {
            try Terminal.say(json: summary)
        } else {
            var line = "\(summary.pushed) edits pushed to \(summary.project)"
            if summary.commits > 0 { line += " from \(summary.commits) commits" }
            line += ": \(summary.accepted) accepted"
            if summary.dropped > 0 { line += ", \(summary.dropped) replaced by newer ones unsent" }
            if summary.refused > 0 { line += ", \(summary.refused) refused" }
            if summary.unknown > 0 { line += ", \(summary.unknown) without an answer" }
            if summary.visible == true { line += "; all visible" }
            Terminal.say(line)
            for line in summary.skipped.lines + summary.refusals { Terminal.say(line) }
        }
        if let outcome, !outcome.visible {
            for cause in outcome.causes.prefix(10) {
                Terminal.complain("\(cause.path) is \(cause.state): \(cause.code): \(cause.reason)")
            }
            throw Trouble(
                "\(outcome.count) files can't become visible now.", code: .notVisible)
        }
        if !summary.isComplete {
            throw Trouble("Not every edit was accepted.", code: .refused)
        }
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
                intake.endpoint(settings), project: project
            ) { try await barrier.wait($0) }
            if json { try Terminal.say(json: outcome) }
            if outcome.visible {
                if !json { Terminal.say("everything is visible") }
                return
            }
            for cause in outcome.causes {
                Terminal.complain("\(cause.path) is \(cause.state): \(cause.code): \(cause.reason)")
            }
            throw Trouble(
                "\(outcome.count) files can't become visible now.", code: .notVisible)
        }
    }
}
