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
            EXAMPLES
              syncd queue
              syncd queue --project demo --json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var intake: IntakeOptions

    @Option(help: "Only this project, with its files.")
    var project: String?

    @Option(help: "With --project: only this path and what is below it.")
    var prefix: String = ""

    @Option(help: "With --project: at most so many files, 1 to 1000.")
    var max: Int = 100

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try project.map { try projectName($0) }
            let reply = try await CommandLink.with(intake.endpoint(settings)) { producer in
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
                tell(report)
            }
        }
    }

    private func tell(_ report: QueueReport) {
        Terminal.say(
            "sequence \(report.sequence), event \(report.eventNumber), "
                + "\(report.counts.pending) files not at rest, \(report.pendingBytes) bytes"
                + (report.isRecovering ? ", waiting for the workers of the former life" : ""))
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
        Terminal.say(row(["PROJECT", "WAITING", "IN HAND", "RETRYING", "PARKED", "FAILED", "SANDBOXES"]))
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
        if report.files.isEmpty { return }
        Terminal.say("")
        for file in report.files {
            let cause = file.code.isEmpty ? "" : "  \(file.code): \(file.reason)"
            Terminal.say("\(file.state)  \(file.path)  sequence \(file.sequence)\(cause)")
        }
        if report.next != nil { Terminal.say("… and more; see --max and --prefix") }
    }

    private func row(_ cells: [String]) -> String {
        cells.enumerated().map { place, cell in
            place == cells.count - 1
                ? cell : cell.padding(toLength: Swift.max(cell.count + 2, 12), withPad: " ", startingAt: 0)
        }.joined()
    }
}
