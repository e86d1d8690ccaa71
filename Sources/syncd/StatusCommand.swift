import ArgumentParser
import Foundation
import Logging
import ServiceLifecycle
import SyncCore
import SyncTransport
import UnixSignals
import ZeroMQ

/// `syncd status`: follows the status channel, one line an event.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Follows what happens, one line an event, without losing any.",
        discussion: """
            Events that the channel loses (a slow reader, a broken connection, a restart) are fetched \
            from the coordinator's log; where the log begins later, a gap is told. The connection is \
            made again by itself; standard error says when it is lost and when it is back.

            EXAMPLES
              syncd status --project demo               what happens from now on
              syncd status --project demo --prefix src  in one folder
              syncd status --from 1 --json              everything since the first event, for programs
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var intake: IntakeOptions

    @Option(help: "The coordinator's status endpoint (SYNCD_STATUS).")
    var status: String?

    @OptionGroup var scope: ProjectScope

    @Option(help: "With --project: only this path and what is below it.")
    var prefix: String = ""

    @Option(help: "Begin with this event instead of the next one.")
    var from: UInt64?

    @Option(help: .hidden) var until: UInt64?

    @Flag(help: "Print one JSON object a line.")
    var json = false

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try scope.name(settings)
            guard prefix.isEmpty || project != nil else {
                throw Trouble("--prefix needs --project: paths belong to a project.", code: .usage)
            }
            let follower = StatusService(
                status: try settings.endpoint("status", status) ?? "tcp://127.0.0.1:7463",
                intake: try intake.endpoint(settings), project: project, prefix: prefix, from: from,
                until: until, lines: StatusLines(isJSON: json))
            try await ServiceGroup(
                configuration: .init(
                    services: [
                        .init(
                            service: follower,
                            successTerminationBehavior: .gracefullyShutdownGroup,
                            failureTerminationBehavior: .gracefullyShutdownGroup)
                    ],
                    gracefulShutdownSignals: [.sigterm, .sigint],
                    logger: Logger(label: "status") { _ in SwiftLogNoOpLogHandler() })
            ).run()
        }
    }
}

/// Prints events in the order of their numbers, each once.
struct StatusService: Service {
    /// After this time without a coordinator it is said that there is none yet.
    private static let patience: Duration = .seconds(3)

    let status: String
    let intake: String
    let project: ProjectName?
    let prefix: String
    let from: UInt64?
    let until: UInt64?
    let lines: StatusLines

    func run() async throws {
        try await CommandLink.with(intake) { producer in
            // Numbers are dense over everything and within a project, never within a folder:
            // whoever must miss nothing hears the project and filters itself (trace A14).
            let scope = project.map { EventCursor.Scope.project($0) } ?? .all
            let ear = StatusEar(status, prefix: scope.prefix, on: producer.loop)
            let notices = await ear.listen()
            try await ear.open()
            let cursor = EventCursor(scope, from: from)
            try await cancelWhenGracefulShutdown {
                async let _: Void = sayIfAlone(ear)
                try await follow(EventFollower(cursor, notices: notices, producer: producer))
            }
        }
    }

    /// Says that no coordinator is there, once, so that nobody waits before an empty screen.
    private func sayIfAlone(_ ear: StatusEar) async {
        do {
            try await Task.sleep(for: Self.patience)
        } catch {
            return
        }
        if await !ear.hasBeenUp { lines.waiting(for: status) }
    }

    private func follow(_ events: EventFollower) async throws {
        var follower = events
        while let item = try await follower.next() {
            switch item {
            case .event(let event):
                if event.path?.isCovered(by: prefix) ?? true { lines.tell(event) }
                if let until, event.number >= until { return }
            case .gap(let numbers): lines.tell(gap: numbers)
            case .rewound(let number): lines.tell(rewoundTo: number)
            case .connection(let isUp): lines.tell(connectionIsUp: isUp, to: status)
            }
            if let until, let last = follower.last, last >= until { return }
        }
    }
}
