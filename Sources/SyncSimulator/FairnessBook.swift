import SyncCore

/// Who passes whom: no project with a file ready for a worker waits there while the same other
/// project gets two.
///
/// A project counts as waiting as long as the same file of it could go at once, if only the worker
/// took more (``CoordinatorMachine/nextInLine``), after every pass of the coordinator, and as long
/// as no other worker is given one of its files: that one took what all share, a sandbox's
/// credit, a rate, or room to read contents back. Nor does one whose content must be read back
/// count in a pass that begins to read another one; a project whose file begins to be read has had
/// a turn.
struct FairnessBook {
    private struct Line {
        let entry: ReadyEntry
        /// Projects that were given a file since.
        var passers: Set<ProjectName> = []
    }

    private var lines: [Incarnation: [ProjectName: Line]] = [:]

    /// Everything is placed anew: the order of the round may be another one.
    mutating func forget() { lines = [:] }

    /// Follows one pass of the coordinator.
    ///
    /// - Parameters:
    ///   - given: Projects of the files that each worker was given, in order.
    ///   - reading: Projects of the files that began to be read back.
    ///   - waiting: Who is next in line after it.
    /// - Returns: A sentence when somebody was passed twice.
    mutating func follow(
        given: [Incarnation: [ProjectName]], reading: Set<ProjectName>,
        waiting: [Incarnation: [ProjectName: ReadyEntry]]
    ) -> String? {
        if lines.isEmpty, waiting.isEmpty { return nil }
        let served = reading.union(given.values.joined())
        var flaw: String?
        var next: [Incarnation: [ProjectName: Line]] = [:]
        for (incarnation, entries) in waiting {
            for (project, entry) in entries {
                var line = Line(entry: entry)
                if let before = lines[incarnation]?[project], before.entry == entry {
                    line.passers = served.contains(project) ? [] : before.passers
                    for other in given[incarnation] ?? [] where other != project {
                        if !line.passers.insert(other).inserted {
                            flaw =
                                "\(incarnation) was given two files of \(other) while "
                                + "\(entry.sequence) of \(project) could go"
                        }
                    }
                }
                next[incarnation, default: [:]][project] = line
            }
        }
        lines = next
        return flaw
    }
}
