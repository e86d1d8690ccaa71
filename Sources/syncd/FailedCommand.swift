import ArgumentParser
import Foundation
import SyncCore
import SyncTransport

/// `syncd failed`: what could not be written, and what is to become of it.
struct FailedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "failed",
        abstract: "Lists edits that failed; retries or discards them.",
        discussion: """
            An edit that failed is kept, with its content, until it is retried, discarded, or replaced \
            by a newer edit of its file. Mend the cause first, then retry. To retry or discard needs \
            --project (SYNCD_PROJECT) or --all.

            EXAMPLES
              syncd failed list --project demo
              syncd failed retry --project demo --prefix src
              syncd failed discard --project demo --prefix tmp --max 10
              syncd failed retry --all

            EXIT CODES
              0 done · 64 wrong usage, or neither a project nor --all · 69 no answer
            """,
        subcommands: [FailedList.self, FailedRetry.self, FailedDiscard.self],
        defaultSubcommand: FailedList.self)
}

/// Options that choose entries of the failed list.
struct FailedChoice: ParsableArguments {
    @OptionGroup var scope: ProjectScope

    @Option(help: "Only this path and what is below it.")
    var prefix: String = ""

    @Option(help: "At most so many entries, 1 to 1000000.")
    var max: Int = 1_000

    @Flag(help: "Print JSON: one object an entry, or one for what was done.")
    var json = false

    func validate() throws {
        guard 1...1_000_000 ~= max else { throw ValidationError("--max is 1 to 1000000.") }
    }

    /// Goes through the chosen entries, a page at a time; that there are none because nobody
    /// knows the project is told.
    ///
    /// - Returns: Whether more are left than were asked for.
    func pages(
        of project: ProjectName?, _ producer: Producer,
        _ body: ([FailedEntry]) async throws -> Void
    ) async throws -> Bool {
        var query = FailedQuery(project: project, prefix: prefix)
        var left = max
        while true {
            query.countMax = min(left, 100)
            let reply = try await producer.ask(.failed(query), patience: .seconds(10))
            switch reply {
            case .failed(let entries, let next):
                if !entries.isEmpty { try await body(entries) }
                left -= entries.count
                guard let next else {
                    if left == max, let project,
                        try await !CommandLink.knows(project, producer)
                    {
                        Terminal.complain(unknown(project))
                    }
                    return false
                }
                guard left > 0 else { return true }
                query.after = next
            case .rejected(let rejection): throw Trouble(rejection.sentence)
            case .edits, .end, .queue, .flushed, .blocked, .events, .gap, .snapshot, .ordered,
                .project, .done:
                throw Trouble("The coordinator gave an answer that does not fit.")
            }
        }
    }
}

/// `syncd failed list`.
struct FailedList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists edits that failed: which file, which edit, why, since when.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var intake: IntakeOptions
    @OptionGroup var choice: FailedChoice

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try choice.scope.name(settings)
            let isMore = try await CommandLink.with(try intake.endpoint(settings)) { producer in
                try await choice.pages(of: project, producer) { entries in
                    for entry in entries { tell(entry) }
                }
            }
            if isMore, !choice.json { Terminal.say("… and more; see --max and --prefix") }
        }
    }

    private func tell(_ entry: FailedEntry) {
        if choice.json {
            Terminal.say(String(decoding: JSONBody.failed(entry), as: UTF8.self))
            return
        }
        let since = Date(
            timeIntervalSince1970: Double(entry.failure.failedAt.milliseconds) / 1_000)
        let attempts =
            entry.failure.attempts == 1 ? "1 attempt" : "\(entry.failure.attempts) attempts"
        Terminal.say(
            "\(entry.file.project)  \(entry.file.path)  sequence \(entry.sequence)  \(attempts)  "
                + "\(since.formatted(.iso8601))  \(entry.failure.code): \(entry.failure.reason)")
    }
}

/// `syncd failed retry`.
struct FailedRetry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry",
        abstract: "Tries failed edits again, from attempt 1; mend the cause first.")

    @OptionGroup var common: CommonOptions
    @OptionGroup var intake: IntakeOptions
    @OptionGroup var choice: FailedChoice
    @OptionGroup var decision: FailedDecision

    func run() async throws {
        try await reporting {
            try await decision.carryOut(.retry, common, intake, choice)
        }
    }
}

/// `syncd failed discard`.
struct FailedDiscard: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "discard",
        abstract: "Gives failed edits up: nothing of them is written any more.",
        discussion: """
            A version that the store has already stays there: 'syncd get' shows it, and whatever fills \
            the sandbox again writes it. Push what the file held before to be rid of it.
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var intake: IntakeOptions
    @OptionGroup var choice: FailedChoice
    @OptionGroup var decision: FailedDecision

    @Flag(help: "On a terminal: really discard.")
    var yes = false

    func run() async throws {
        try await reporting {
            if isatty(STDIN_FILENO) == 1, !yes {
                throw Trouble(
                    "What is discarded is never tried again; look at it with 'syncd failed list', "
                        + "then give --yes.", code: .usage)
            }
            try await decision.carryOut(.discard, common, intake, choice)
        }
    }
}

/// Who decides, and how fast it is carried out.
struct FailedDecision: ParsableArguments {
    @Option(help: "Who decides; told in the events (the user's name).")
    var by: String?

    @Option(help: "At most so many entries a second, 1 to 10000.")
    var perSecond: Int = 500

    func validate() throws {
        guard 1...10_000 ~= perSecond else { throw ValidationError("--per-second is 1 to 10000.") }
    }

    /// What was done, as `--json` prints it.
    private struct Report: Codable {
        var action: String
        var by: String
        var done = 0
        var newer = 0
        var gone = 0
        var more = false
    }

    func carryOut(
        _ action: FailedAction, _ common: CommonOptions, _ intake: IntakeOptions,
        _ choice: FailedChoice
    ) async throws {
        let settings = try await common.settings()
        let project = try choice.scope.name(settings)
        guard project != nil || choice.scope.all else {
            throw Trouble(
                "Whose failed edits? Name the project by --project (SYNCD_PROJECT), or say --all.",
                code: .usage)
        }
        let person = try person()
        var report = Report(action: action.rawValue.lowercased(), by: person.text)
        (report.done, report.newer, report.gone, report.more) = try await CommandLink.with(
            try intake.endpoint(settings)
        ) { producer in
            var counts: [FailedResult: Int] = [:]
            let isMore = try await choice.pages(of: project, producer) { entries in
                let results = try await order(action, entries, by: person, producer)
                for result in results { counts[result, default: 0] += 1 }
                // Paced, so that many entries at once do not crowd out what people edit now.
                try await Task.sleep(for: .seconds(1) * entries.count / perSecond)
            }
            return (counts[.done] ?? 0, counts[.newer] ?? 0, counts[.gone] ?? 0, isMore)
        }
        if choice.json { return try Terminal.say(json: report) }
        let word = action == .retry ? "retried" : "discarded"
        let edits = report.done == 1 ? "1 failed edit" : "\(report.done) failed edits"
        var line = "\(edits) \(word) by \(person)"
        if report.newer > 0 { line += "; \(report.newer) were replaced by a newer edit meanwhile" }
        if report.gone > 0 { line += "; \(report.gone) were not in the list any more" }
        if report.more { line += "; more are left, see --max" }
        Terminal.say(line)
    }

    private func person() throws -> Name {
        guard let by else {
            guard let user = Name(NSUserName()) else {
                throw Trouble("The user has no plain name; say who decides by --by.", code: .usage)
            }
            return user
        }
        guard let name = Name(by) else {
            throw Trouble(
                "'\(by)' is no name; give --by of A-Z a-z 0-9 _ - and '.'.", code: .usage)
        }
        return name
    }

    /// Orders one page, a message for each of its projects.
    private func order(
        _ action: FailedAction, _ entries: [FailedEntry], by person: Name, _ producer: Producer
    ) async throws -> [FailedResult] {
        var results: [FailedResult] = []
        for (project, own) in Dictionary(grouping: entries, by: \.file.project) {
            let order = FailedOrder(
                action: action, project: project, by: person,
                items: own.map { FailedOrder.Item(path: $0.file.path, sequence: $0.sequence) })
            results += try await send(order, producer)
        }
        return results
    }

    private func send(
        _ order: FailedOrder, _ producer: Producer
    ) async throws -> [FailedResult] {
        while true {
            let reply = try await producer.ask(.order(order), patience: .seconds(30))
            switch reply {
            case .ordered(let results): return results
            case .rejected(let rejection) where rejection.code == .busy:
                try await Task.sleep(for: rejection.retryAfter ?? .milliseconds(200))
            case .rejected(let rejection): throw Trouble(rejection.sentence)
            case .edits, .end, .queue, .flushed, .blocked, .events, .gap, .snapshot, .failed,
                .project, .done:
                throw Trouble("The coordinator gave an answer that does not fit.")
            }
        }
    }
}
