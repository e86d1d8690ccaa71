import ArgumentParser
import Foundation
import SyncCore
import SyncTransport

/// `syncd project`: the sandboxes of a project.
struct ProjectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "project",
        abstract: "Shows, attaches and detaches the sandboxes of a project.",
        discussion: """
            An edit is written into every sandbox that is attached to its project. A sandbox belongs to \
            one project. One that is detached gets nothing any more, what waited only for it ends, and \
            an edit that names it is refused, until it is attached again: then all files are written \
            into it.

            EXAMPLES
              syncd project show --project demo
              syncd project attach --project demo --target local:preview
              syncd project detach --project demo --target local:preview --json

            EXIT CODES
              0 done · 1 refused · 64 wrong usage · 69 no answer
            """,
        subcommands: [Show.self, Attach.self, Detach.self], defaultSubcommand: Show.self)

    /// What the three have in common.
    struct Options: ParsableArguments {
        @OptionGroup var common: CommonOptions
        @OptionGroup var intake: IntakeOptions

        @Option(help: "Project (SYNCD_PROJECT).")
        var project: String?

        @Flag(help: "Print one JSON object.")
        var json = false

        /// Asks, and prints the project as it is then.
        ///
        /// - Parameter isFollowed: Whether the caller tells what comes of it, so that for a person
        ///   the answer is enough.
        func ask(_ action: ProjectAction, isFollowed: Bool = false) async throws {
            let settings = try await common.settings()
            let project = try projectName(
                settings.required("project", project, for: "The project"))
            let (line, sentence) = try await CommandLink.with(
                try intake.endpoint(settings), project: project
            ) { try await ProjectQuestion.ask(action, $0) }
            if json {
                let body = JSONBody.project(line, sentence: sentence)
                Terminal.say(String(decoding: body, as: UTF8.self))
                return
            }
            if !sentence.isEmpty { Terminal.say(sentence) }
            if isFollowed { return }
            Terminal.say(
                "\(line.name): \(line.counts.pending) files not at rest, event \(line.eventNumber)")
            for target in line.targets { Terminal.say(QueueText.line(target)) }
        }
    }

    /// `syncd project show`.
    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows the sandboxes of a project and how they are.")

        @OptionGroup var options: Options

        func run() async throws { try await reporting { try await options.ask(.show) } }
    }

    /// `syncd project attach`.
    struct Attach: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes all files into a sandbox, and every edit from now on.")

        @OptionGroup var options: Options

        @Option(help: "Sandbox, such as local:NAME; may be given several times.")
        var target: [String] = []

        func run() async throws {
            try await reporting { try await options.ask(.attach(try targetURLs(target, min: 1))) }
        }
    }

    /// `syncd project detach`.
    struct Detach: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes nothing into a sandbox any more; its files stay as they are.")

        @OptionGroup var options: Options

        @Option(help: "Sandbox, such as local:NAME; may be given several times.")
        var target: [String] = []

        func run() async throws {
            try await reporting { try await options.ask(.detach(try targetURLs(target, min: 1))) }
        }
    }
}

/// `syncd hydrate`: fills sandboxes again.
struct HydrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hydrate",
        abstract: "Writes all files of a project into its sandboxes again.",
        discussion: """
            For a sandbox whose files were changed by somebody else. Deletes are made again as well; \
            files that syncd never knew stay. Pending edits go first, each file is written by its owner.

            EXAMPLES
              syncd hydrate --project demo --wait
              syncd hydrate --project demo --target local:preview

            EXIT CODES
              0 done · 1 refused · 3 not everything is written (with --wait) · 64 wrong usage · 69 no answer
            """)

    @OptionGroup var options: ProjectCommand.Options

    @Option(help: "Only this sandbox; may be given several times.")
    var target: [String] = []

    @Flag(help: "Wait until all files are written.")
    var wait = false

    @Option(help: "With --wait: give up after so many seconds.")
    var timeout: Double = 600

    func run() async throws {
        try await reporting {
            let targets = try targetURLs(target, min: 0)
            try await options.ask(.hydrate(targets), isFollowed: wait)
            if wait { try await waitForRefill(of: targets) }
        }
    }

    private static let pause: Duration = .milliseconds(200)

    private func waitForRefill(of targets: [TargetURL]) async throws {
        let settings = try await options.common.settings()
        let project = try projectName(
            settings.required("project", options.project, for: "The project"))
        let end = ContinuousClock.now + .milliseconds(Int(timeout * 1_000))
        try await CommandLink.with(try options.intake.endpoint(settings), project: project) {
            producer in
            var bar = ProgressBar("hydrate")
            defer { bar.finish() }
            while true {
                let line = try await ProjectQuestion.ask(.show, producer).line
                let open = line.targets.filter {
                    (targets.isEmpty || targets.contains($0.url)) && $0.state != "detached"
                        && $0.state != "well"
                }
                if open.isEmpty { break }
                let refills = open.compactMap(\.refill)
                let written = refills.reduce(0) { $0 + $1.written }
                let waiting = refills.reduce(0) { $0 + $1.waiting }
                let isListed = refills.count == open.count && refills.allSatisfy(\.isListed)
                bar.draw(
                    done: written, total: isListed ? written + waiting : nil,
                    note: isListed ? "files" : "files, more are listed")
                let words = open.map { QueueText.line($0) }.joined(separator: "; ")
                if open.contains(where: { $0.state == "away" }) {
                    throw Trouble(
                        "A sandbox is away; it is filled when it is back: \(words)",
                        code: .notVisible)
                }
                // Before all is listed, a file may still have the cause of a former filling.
                if !isListed {
                    try await Task.sleep(for: Self.pause)
                } else if let cause = try await Self.hopeless(producer) {
                    throw Trouble(
                        "Not all files can be written: \(cause.path): \(cause.code): "
                            + "\(cause.reason) See 'syncd queue'.",
                        code: .notVisible)
                }
                if ContinuousClock.now > end {
                    throw Trouble("Not all files are written yet: \(words)", code: .notVisible)
                }
            }
        }
        if !options.json { Terminal.say("all files are written") }
    }

    /// A file of which the coordinator says that waiting does not help, other than those in the
    /// failed list; nil when a while has passed without one.
    private static func hopeless(_ producer: Producer) async throws -> FileStatus? {
        let reply: ClientReply
        do {
            reply = try await producer.ask(
                .flush(project: producer.project, prefix: ""), patience: .seconds(1))
        } catch is Producer.Silence {
            return nil
        }
        if case .blocked(let causes, _) = reply,
            let cause = causes.first(where: { $0.state == "retrying" })
        {
            return cause
        }
        try await Task.sleep(for: pause)
        return nil
    }
}

/// Asks the coordinator about a project.
enum ProjectQuestion {
    /// Asks once; a refusal is a failure of the command.
    static func ask(
        _ action: ProjectAction, _ producer: Producer
    ) async throws -> (line: QueueReport.Project, sentence: String) {
        let reply = try await producer.ask(
            .project(producer.project, action), patience: .seconds(30))
        switch reply {
        case .project(let line, let sentence): return (line, sentence)
        case .rejected(let rejection): throw Trouble(rejection.sentence)
        case .edits, .end, .queue, .flushed, .blocked, .events, .gap, .snapshot, .failed,
            .ordered, .done:
            throw Trouble("The coordinator gave an answer that does not fit.")
        }
    }
}

/// Sandboxes on the command line.
///
/// - Parameter noun: What the command calls one.
func targetURLs(
    _ texts: [String], min: Int, called noun: String = "sandbox"
) throws -> [TargetURL] {
    guard texts.count >= min else {
        throw Trouble("Name a sandbox with --target, such as local:NAME.", code: .usage)
    }
    return try texts.map { text in
        guard let target = TargetURL(text) else {
            throw Trouble(
                "'\(text)' is no \(noun): write SCHEME:NAME with a scheme of "
                    + "\(TargetURL.schemes.joined(separator: ", ")) and a name of 1 to "
                    + "\(Name.bytesMax) of A-Z a-z 0-9 _ - and '.'.", code: .usage)
        }
        return target
    }
}
