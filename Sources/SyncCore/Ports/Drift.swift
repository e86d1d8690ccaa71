/// What somebody else had done to a file of a sandbox since syncd wrote it last.
package enum Drift: String, Sendable, CaseIterable {
    /// The file that syncd wrote has other content.
    case changed
    /// Something stands there that syncd did not write: a new file, one that was put in the place
    /// of syncd's, or a link.
    case foreign

    /// What was found, after the name of the file.
    package var finding: String {
        switch self {
        case .changed: "was changed by somebody else"
        case .foreign: "was put there by somebody else"
        }
    }
}

/// What becomes of a file that somebody else has changed in a sandbox when its next edit comes.
package enum DriftPolicy: String, Sendable, CaseIterable {
    /// Nobody looks: the edit is written over it.
    case overwrite
    /// The edit is written over it, and an event tells.
    case report
    /// It stays, and the edit fails; its content is kept in the failed list.
    case keep

    /// Whether somebody looks.
    package var looks: Bool { self != .overwrite }
}
