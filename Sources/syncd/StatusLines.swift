import Foundation
import SyncCore
import SyncTransport

/// What `syncd status` prints: lines for people, or JSON objects, one a line.
struct StatusLines: Sendable {
    private struct Gap: Codable {
        var type = "gap"
        var from: UInt64
        var to: UInt64
    }

    private struct Rewound: Codable {
        var type = "rewound"
        var to: UInt64
    }

    private struct Connection: Codable {
        var type: String
        var endpoint: String
    }

    let isJSON: Bool

    /// Prints an event.
    func tell(_ event: StatusEvent) {
        if isJSON {
            Terminal.say(String(decoding: JSONBody.event(event), as: UTF8.self))
        } else {
            Terminal.say(Self.line(event))
        }
    }

    /// Prints that events are lost.
    func tell(gap: ClosedRange<UInt64>) {
        if isJSON {
            say(Gap(from: gap.lowerBound, to: gap.upperBound))
        } else {
            Terminal.say(
                "gap: events \(gap.lowerBound) to \(gap.upperBound) are no longer in the log; "
                    + "'syncd queue' shows how things stand")
        }
    }

    /// Prints that the coordinator counts anew.
    func tell(rewoundTo number: UInt64) {
        if isJSON {
            say(Rewound(to: number))
        } else {
            Terminal.say(
                "the coordinator counts from event \(number) again: it has another journal; "
                    + "what was told before may not be true there")
        }
    }

    /// Prints that the connection was made or lost.
    func tell(connectionIsUp isUp: Bool, to endpoint: String) {
        if isJSON {
            say(Connection(type: isUp ? "connected" : "disconnected", endpoint: endpoint))
        } else if isUp {
            Terminal.complain("connected to \(endpoint)")
        } else {
            Terminal.complain(
                "the connection to \(endpoint) is lost; it is made again by itself, and what "
                    + "happens meanwhile is told then")
        }
    }

    /// Says that no coordinator is there yet.
    func waiting(for endpoint: String) {
        Terminal.complain(
            "no coordinator answers at \(endpoint) yet; waiting for one (--status or SYNCD_STATUS "
                + "names its endpoint)")
    }

    private func say(_ body: some Encodable) {
        // A body of plain values can always be encoded.
        try? Terminal.say(json: body)
    }

    /// Time, what, where, numbers, cause, and what is done about it.
    static func line(_ event: StatusEvent) -> String {
        let time = Date(timeIntervalSince1970: Double(event.time.milliseconds) / 1_000)
        let kind = event.kind.word.padding(toLength: 10, withPad: " ", startingAt: 0)
        var parts = ["\(event.number)", time.formatted(.iso8601), kind]
        parts.append(event.path.map { "\(event.project)/\($0)" } ?? event.project.text)
        if let target = event.target { parts.append(target.text) }
        if event.version != .none { parts.append("version \(event.version)") }
        if event.sequence != .none { parts.append("edit \(event.sequence)") }
        if event.by != .none { parts.append("by edit \(event.by)") }
        if event.attempts > 0 { parts.append("attempt \(event.attempts)") }
        if !event.code.isEmpty { parts.append("\(event.code): \(event.reason)") }
        if let remedy = remedy(event) { parts.append("→ \(remedy)") }
        return parts.joined(separator: "  ")
    }

    /// What is being done, or what a person can do.
    private static func remedy(_ event: StatusEvent) -> String? {
        switch event.kind {
        case .retrying:
            let seconds = Double(event.delayMilliseconds) / 1_000
            return "tried again in \(seconds.formatted(.number.precision(.fractionLength(1)))) s"
        case .parked: return "waits until the sandbox answers; newer edits replace it meanwhile"
        case .failed:
            if event.code == "conflict" { return "read the version and push again" }
            return "kept; after the repair: syncd failed retry --project \(event.project)"
        case .away: return "probed until it answers; its files wait"
        case .back: return "its files go on"
        case .refreshing: return "every file is written again"
        case .detached: return "syncd project attaches it again"
        case .drifted:
            let key = event.target?.scheme == "e2b" ? "e2b-drift" : "drift"
            return "what it was is lost; --set \(key)=keep would keep it"
        case .accepted, .stored, .synced, .superseded, .discarded, .retried, .attached,
            .refreshed:
            return nil
        }
    }
}
