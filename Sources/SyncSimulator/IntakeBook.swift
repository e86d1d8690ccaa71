import SyncCore

/// Who passes whom on the way to disk: a project that pushes little waits for no flood.
///
/// Followed are messages of few edits from projects that had no other one unanswered. Of every
/// other project no more edits may be accepted before such a message is answered than one turn in
/// the round of the inbox gives: what was on its way to disk when the message came, or staged to
/// follow it, apart.
struct IntakeBook {
    /// Edits of another project that may go first: a quantum of the smallest ones, and the part
    /// that goes over it.
    static let passersMax = 48
    /// Edits in a message that is followed; more may not fit in one turn of the round.
    private static let editsMax = 8

    private struct Line {
        let project: ProjectName
        /// Whether edits were staged ahead when it came: theirs is the next turn.
        var isBehind: Bool
        /// Whether what was staged when it came has come back.
        var isNext = false
        var passers: [ProjectName: Int] = [:]
    }

    private var lines: [UInt64: Line] = [:]
    private var unanswered: [ProjectName: Set<UInt64>] = [:]

    /// A message reaches the coordinator's machine, which may have staged edits ahead.
    mutating func arrive(
        _ request: UInt64, of project: ProjectName, editCount: Int, isAhead: Bool
    ) {
        if unanswered[project] == nil, editCount <= Self.editsMax {
            lines[request] = Line(project: project, isBehind: isAhead)
        }
        unanswered[project, default: []].insert(request)
    }

    /// A turn goes to disk: whatever is answered from now on came out of the inbox beside, or
    /// after, all that waits.
    mutating func turnBegins() {
        for (request, line) in lines {
            if line.isBehind {
                lines[request]?.isBehind = false
            } else {
                lines[request]?.isNext = true
            }
        }
    }

    /// A message is answered; a sentence when too many edits of its project passed a quiet one.
    mutating func answer(_ request: UInt64, of project: ProjectName, accepted: Int) -> String? {
        lines[request] = nil
        unanswered[project]?.remove(request)
        if unanswered[project]?.isEmpty ?? false { unanswered[project] = nil }
        var flaw: String?
        for (waiting, line) in lines where line.isNext && line.project != project {
            let passed = (line.passers[project] ?? 0) + accepted
            lines[waiting]?.passers[project] = passed
            if passed > Self.passersMax {
                flaw =
                    "\(passed) edits of \(project) were taken while one message of "
                    + "\(line.project) waited"
            }
        }
        return flaw
    }

    /// The coordinator is gone, and what waited there.
    mutating func forget() {
        lines = [:]
        unanswered = [:]
    }
}
