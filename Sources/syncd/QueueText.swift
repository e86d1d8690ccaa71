import Foundation
import SyncCore

/// Sandboxes and files of the pool, as lines for a person.
enum QueueText {
    /// A time of the coordinator's wall clock.
    static func time(_ time: Timestamp) -> String {
        Date(timeIntervalSince1970: Double(time.milliseconds) / 1_000).formatted(.iso8601)
    }

    /// One sandbox.
    static func line(_ target: QueueReport.Target) -> String {
        var line = "\(target.url)  \(target.state)"
        if let since = target.since { line += " since \(time(since))" }
        if let since = target.inSyncSince { line += "  in sync since \(time(since))" }
        if target.waiting > 0 { line += "  \(target.waiting) files to be written" }
        if let refill = target.refill {
            line += "  \(refill.written) written again"
            line += refill.isListed ? ", \(refill.waiting) to go" : ", more are listed"
        }
        if !target.reason.isEmpty { line += "  \(target.reason)" }
        if target.state == "away" {
            line += target.probeMilliseconds.map { "  next probe in \($0) ms" } ?? "  probed now"
        }
        return line
    }

    /// One file: what is where, then the cause.
    static func lines(_ file: FileStatus) -> [String] {
        var line = "\(file.state)  \(file.path)"
        if file.sequence == .none {
            line += "  to be written again"
        } else {
            line += "  accepted \(time(file.acceptedAt)) (sequence \(file.sequence))"
        }
        line += file.stored.map { "  stored as version \($0)" } ?? ""
        if !file.visible.isEmpty { line += "  visible in \(list(file.visible))" }
        if !file.missing.isEmpty { line += "  not in \(list(file.missing))" }
        if let worker = file.worker { line += "  with \(worker)" }
        if let open = file.open { line += "  sequence \(open) still in hand" }
        if file.attempts > 0 { line += "  attempts \(file.attempts)" }
        if let due = file.dueMilliseconds { line += "  again in \(due) ms" }
        return file.code.isEmpty ? [line] : [line, "    \(file.code): \(file.reason)"]
    }

    private static func list(_ targets: [TargetURL]) -> String {
        targets.map(\.text).joined(separator: ", ")
    }
}
