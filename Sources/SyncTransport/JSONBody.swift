package import SyncCore

/// The protocol's JSON bodies, for commands with `--json`.
package enum JSONBody {
    /// The pool, as `QUEUE` answers it.
    package static func queue(_ report: QueueReport) -> [UInt8] {
        Body.data(Body.Queue(report))
    }

    /// An event, as the status channel carries it.
    package static func event(_ event: StatusEvent) -> [UInt8] { Body.data(Body.Event(event)) }
}
