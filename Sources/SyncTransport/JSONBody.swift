package import SyncCore

/// The protocol's JSON bodies, for commands with `--json`.
package enum JSONBody {
    /// The pool, as `QUEUE` answers it.
    package static func queue(_ report: QueueReport) -> [UInt8] {
        Body.data(Body.Queue(report))
    }

    /// An entry of the failed list, as `FAILED` answers it.
    package static func failed(_ entry: FailedEntry) -> [UInt8] {
        Body.data(Body.FailedEntry(entry))
    }

    /// A project, as `PROJECT` answers it.
    package static func project(_ project: QueueReport.Project, sentence: String) -> [UInt8] {
        Body.data(
            Body.Queue.Project(project, sentence: sentence.isEmpty ? nil : sentence))
    }

    /// One file, as `QUEUE` answers it.
    package static func file(_ status: FileStatus) -> [UInt8] { Body.data(Body.File(status)) }

    /// An event, as the status channel carries it.
    package static func event(_ event: StatusEvent) -> [UInt8] { Body.data(Body.Event(event)) }
}
