/// Codes of target failures that mean "fill it again" rather than "it is away".
package enum TargetCode {
    /// No marker although one was written.
    package static let blank = "blank"
    /// Another generation's marker.
    package static let rolledBack = "rolled-back"
    /// The machine was restarted and files are not fsynced.
    package static let rebooted = "rebooted"
    /// It belongs to another project or journal.
    package static let taken = "taken"
    /// The sandbox's service says that it does not exist.
    package static let gone = "gone"
    /// A write there did not come back within its deadline.
    package static let stuck = "stuck"

    /// Whether the coordinator answers with a new generation.
    package static func isRefill(_ code: String) -> Bool {
        code == blank || code == rolledBack || code == rebooted
    }
}
