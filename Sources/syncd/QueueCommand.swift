import ArgumentParser
import Foundation
import SyncCore
import SyncTransport

/// `syncd queue`: the pool now.
struct QueueCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue",
        abstract: "Shows what waits, what is in hand, what failed, and who the workers are.",
        discussion: """
            With --project it shows each sandbox (since when it holds everything, or since when and why \
            not, and when it is probed next) and each file that is not at rest: what is accepted, which \
            version is stored, where it is visible and where not, which attempt comes when, and why.

            EXAMPLES
              syncd queue
              syncd queue --project demo
              syncd queue --project demo src/App.tsx --json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var intake: IntakeOptions

    @Argument(help: "With --project: this file, or what lies below this folder.")
    var path: String?

    @OptionGroup var scope: ProjectScope

    @Option(help: "With --project: only this path and what is below it.")
    var prefix: String = ""

    @Option(help: "With --project: at most so many files, 1 to 1000.")
    var max: Int = 100

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try scope.name(settings)
            if path != nil, project == nil {
                throw Trouble("A path needs a project; give --project.", code: .usage)
            }
            let prefix = try path.map { try editPath($0).text } ?? prefix
            let reply = try await CommandLink.with(try intake.endpoint(settings)) { producer in
                try await producer.ask(
                    .queue(project: project, prefix: prefix, after: "", countMax: max),
                    patience: .seconds(10))
            }
            guard case .queue(let report) = reply else {
                throw Trouble("The coordinator gave an answer that does not fit.")
            }
            if json {
                let body = JSONBody.queue(report)
                Terminal.say(String(decoding: body, as: UTF8.self))
            } else {
                tell(report, of: project)
            }
            if let project, report.projects.isEmpty { Terminal.complain(unknown(project)) }
        }
    }

    private func tell(_ report: QueueReport, of project: ProjectName?) {
        Terminal.say(
            "sequence \(report.sequence), event \(report.eventNumber), "
                + "\(report.counts.pending) files not at rest, \(report.pendingBytes) bytes"
                + (report.isRecovering ? ", waiting for the workers of the former life" : ""))
        if let own = report.connections {
            Terminal.say(
                "connections: \(own.intake) of clients, \(own.workers) of workers, "
                    + "\(own.status) of monitors"
                    + (own.refused > 0 ? "; \(own.refused) turned away" : ""))
        }
        Terminal.say("")
        Terminal.say(row(["WORKER", "STATE", "IN HAND", "INCARNATION"]))
        for worker in report.workers {
            Terminal.say(
                row([
                    worker.label.text, worker.state, String(worker.inHand),
                    worker.incarnation.description,
                ]))
        }
        Terminal.say("")
        Terminal.say(
            row(["PROJECT", "WAITING", "IN HAND", "RETRYING", "PARKED", "FAILED", "SANDBOXES"]))
        for project in report.projects {
            let counts = project.counts
            let targets = project.targets.map {
                $0.state == "well" ? $0.url.text : "\($0.url) (\($0.state))"
            }
            Terminal.say(
                row([
                    project.name.text, String(counts.waiting + counts.blocked + counts.refreshing),
                    String(counts.inHand), String(counts.retrying), String(counts.parked),
                    String(counts.failed), targets.joined(separator: " "),
                ]))
        }
        guard project != nil, let project = report.projects.first else { return }
        Terminal.say("")
        for target in project.targets { Terminal.say(QueueText.line(target)) }
        Terminal.say("")
        for file in report.files {
            for line in QueueText.lines(file) { Terminal.say(line) }
        }
        if report.files.isEmpty {
            Terminal.say("nothing \(path.map { "at or below \($0) " } ?? "")waits or failed")
        }
        if report.next != nil { Terminal.say("… and more; see --max and --prefix") }
    }

    private func row(_ cells: [String]) -> String {
        cells.enumerated().map { place, cell in
            place == cells.count - 1
                ? cell
                : cell.padding(toLength: Swift.max(cell.count + 2, 12), withPad: " ", startingAt: 0)
        }.joined()
    }
}
