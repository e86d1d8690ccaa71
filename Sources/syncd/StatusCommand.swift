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
            Events that the channel loses (a slow reader, a restart) are fetched from the coordinator's \
            log; where the log begins later, a gap is told.

            EXAMPLES
              syncd status --project demo
              syncd status --from 1 --json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var intake: IntakeOptions

    @Option(help: "The coordinator's status endpoint (SYNCD_STATUS).")
    var status: String?

    @Option(help: "Only this project.")
    var project: String?

    @Option(help: "Only this path and what is below it.")
    var prefix: String = ""

    @Option(help: "Begin with this event instead of the next one.")
    var from: UInt64?

    @Option(help: .hidden) var until: UInt64?

    @Flag(help: "Print one JSON object a line.")
    var json = false

    func run() async throws {
        try await reporting {
            let settings = try await common.settings()
            let project = try project.map { try projectName($0) }
            let follower = Follower(
                status: settings.text("status", status) ?? "tcp://127.0.0.1:7463",
                intake: intake.endpoint(settings), project: project, prefix: prefix, from: from,
                until: until, isJSON: json)
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
struct Follower: Service {
    let status: String
    let intake: String
    let project: ProjectName?
    let prefix: String
    let from: UInt64?
    let until: UInt64?
    let isJSON: Bool

    func run() async throws {
        try await CommandLink.with(intake) { producer in
            let ear = StatusEar(on: producer.loop)
            // Numbers are dense over everything: whoever must miss nothing hears everything.
            try await ear.open(status, prefix: "edit/")
            try await cancelWhenGracefulShutdown {
                try await follow(ear, producer)
            }
        }
    }

    private func follow(_ ear: StatusEar, _ producer: Producer) async throws {
        var next = from
        for await notice in ear.notices {
            switch notice {
            case .mark(_, let number, _):
                // Only what comes after the mark is sure to be heard; the log has the rest.
                guard let wanted = next else {
                    next = number + 1
                    continue
                }
                if wanted <= number { next = try await catchUp(from: wanted, producer) }
            case .event(let event):
                guard let wanted = next, event.number >= wanted else { continue }
                if event.number > wanted {
                    next = try await catchUp(from: wanted, producer)
                } else {
                    try tell(event)
                    next = event.number + 1
                }
            case .worker: continue
            }
            if let until, let next, next > until { return }
        }
    }

    /// Prints what the log has from a number on; returns the first number not printed.
    private func catchUp(from start: UInt64, _ producer: Producer) async throws -> UInt64 {
        var next = start
        while true {
            let reply = try await producer.ask(
                .replay(from: next, project: nil, countMax: 1_000), patience: .seconds(30))
            switch reply {
            case .events(let events, let after, let last):
                for event in events { try tell(event) }
                next = max(after, next)
                if next > last { return next }
            case .gap(let first, _):
                let line =
                    isJSON
                    ? "{\"from\":\(next),\"to\":\(first - 1),\"type\":\"gap\"}"
                    : "gap: events \(next) to \(first - 1) are no longer in the log"
                Terminal.say(line)
                next = first
            case .rejected(let rejection) where rejection.code == .busy:
                try await Task.sleep(for: rejection.retryAfter ?? .milliseconds(200))
            case .rejected, .edits, .end, .queue, .flushed, .blocked, .snapshot, .done:
                throw Trouble("The coordinator gave an answer that does not fit.")
            }
        }
    }

    private func tell(_ event: StatusEvent) throws {
        if let project, event.project != project { return }
        if !prefix.isEmpty, let path = event.path, !path.isCovered(by: prefix) { return }
        if isJSON {
            Terminal.say(String(decoding: JSONBody.event(event), as: UTF8.self))
            return
        }
        let time = Date(timeIntervalSince1970: Double(event.time.milliseconds) / 1_000)
        var line = "\(event.number)  \(time.formatted(.iso8601))  \(event.kind.word)  "
        line += event.path.map { "\(event.project)/\($0)" } ?? event.project.text
        if let target = event.target { line += "  \(target)" }
        if event.sequence != .none { line += "  sequence \(event.sequence)" }
        if event.version != .none { line += "  version \(event.version)" }
        if event.by != .none { line += "  by \(event.by)" }
        if event.delayMilliseconds > 0 { line += "  again in \(event.delayMilliseconds) ms" }
        if !event.code.isEmpty { line += "  \(event.code): \(event.reason)" }
        Terminal.say(line)
    }
}

/// Hears the status channel.
actor StatusEar: SocketLoopClient {
    nonisolated let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    /// What arrives, in order; the oldest are lost when the reader is slow (the log has them).
    nonisolated let notices: AsyncStream<StatusSubscriber.Notice>
    private let noticesIn: AsyncStream<StatusSubscriber.Notice>.Continuation
    private var subscriber: StatusSubscriber?

    init(on loop: SocketLoop) {
        self.loop = loop
        (notices, noticesIn) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(100_000))
    }

    /// Subscribes; the coordinator may start later.
    func open(_ endpoint: String, prefix: String) throws {
        let subscriber = try StatusSubscriber(endpoint, on: loop)
        try subscriber.subscribe(prefix)
        self.subscriber = subscriber
        loop.attach(self)
    }

    nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { ear in
            let heard = ear.subscriber?.receive(countMax: 1_024) ?? []
            for notice in heard { ear.noticesIn.yield(notice) }
            return heard.count == 1_024 ? now : nil
        }
    }

    nonisolated func loopWillStop() {
        assumeIsolated {
            $0.subscriber?.close()
            $0.subscriber = nil
            $0.noticesIn.finish()
        }
    }
}
