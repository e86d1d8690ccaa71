import DequeModule
import HeapModule

/// Place of a file in the machine's table.
package typealias FileIndex = UInt32

/// A file that is ready to go, at one moment of its life.
package struct ReadyEntry: Comparable, Sendable {
    /// The edit's sequence, or none for one that has had its turn: lower goes first.
    package let sequence: EditSequence
    /// Which file.
    package let index: FileIndex
    /// The slot's stamp when it was queued: an entry with an older one is void.
    package let stamp: UInt32

    /// Describes an entry.
    package init(sequence: EditSequence, index: FileIndex, stamp: UInt32) {
        self.sequence = sequence
        self.index = index
        self.stamp = stamp
    }

    /// The order that queues and pages follow.
    package static func < (left: ReadyEntry, right: ReadyEntry) -> Bool {
        (left.sequence.value, left.index) < (right.sequence.value, right.index)
    }
}

/// Ready files: round robin over projects, by sequence within a project.
package struct ReadyQueue: Sendable {
    private var heaps: [ProjectName: Heap<ReadyEntry>] = [:]
    private var round: Deque<ProjectName> = []

    /// An empty queue.
    package init() {}

    /// Whether nothing waits.
    package var isEmpty: Bool { round.isEmpty }

    /// Entries, void ones included.
    package var count: Int { heaps.values.reduce(0) { $0 + $1.count } }

    /// Entries of one project, void ones included.
    package func count(of project: ProjectName) -> Int { heaps[project]?.count ?? 0 }

    /// The lowest entry of each project, void ones included.
    package var first: [ProjectName: ReadyEntry] { heaps.compactMapValues(\.min) }

    /// Adds an entry.
    package mutating func push(_ entry: ReadyEntry, project: ProjectName) {
        if heaps[project] == nil { round.append(project) }
        heaps[project, default: Heap()].insert(entry)
    }

    /// Takes the next entry whose project may go, and turns the round.
    ///
    /// Who must wait keeps its place: one that waits for what another project does not need, or
    /// that another one has just taken, would be passed by all others each time.
    ///
    /// - Parameters:
    ///   - judge: What the question is put to; lent, since a closure that holds it copies it.
    ///   - isAdmitted: Asked once per project and call, with its lowest entry.
    package mutating func pop<Judge>(
        by judge: inout Judge, where isAdmitted: (inout Judge, ProjectName, ReadyEntry) -> Admission
    ) -> (project: ProjectName, entry: ReadyEntry)? {
        var asked = round.count
        var waiting: [ProjectName] = []
        defer { for project in waiting.reversed() { round.prepend(project) } }
        while asked > 0, let project = round.popFirst() {
            asked -= 1
            guard let entry = heaps[project]?.min else {
                heaps[project] = nil
                continue
            }
            switch isAdmitted(&judge, project, entry) {
            case .void:
                removeLowest(of: project)
                if heaps[project] != nil { round.prepend(project) }
                asked += heaps[project] == nil ? 0 : 1
            case .wait: waiting.append(project)
            case .go:
                removeLowest(of: project)
                if heaps[project] != nil { round.append(project) }
                return (project, entry)
            }
        }
        return nil
    }

    /// Puts a project in front of the round again: what was taken out last could not go after all.
    package mutating func giveTurnBack(to project: ProjectName) {
        guard let place = round.lastIndex(of: project) else { return }
        round.remove(at: place)
        round.prepend(project)
    }

    /// Takes everything out.
    package mutating func removeAll() -> [(project: ProjectName, entry: ReadyEntry)] {
        defer {
            heaps = [:]
            round = []
        }
        return heaps.flatMap { project, heap in heap.unordered.map { (project, $0) } }
    }

    /// What is to become of a project's lowest entry.
    package enum Admission: Sendable {
        /// It goes.
        case go
        /// The project has used up its share for now.
        case wait
        /// The entry is out of date: drop it and ask again.
        case void
    }

    private mutating func removeLowest(of project: ProjectName) {
        _ = heaps[project]?.popMin()
        if heaps[project]?.isEmpty ?? true { heaps[project] = nil }
    }
}

/// Who begins when several take turns.
package enum TurnOrder {
    /// Place of the one that begins: each as often as the others, also when only every second, or
    /// every n-th, turn counts, so counting up would not do.
    ///
    /// - Parameters:
    ///   - count: How many take turns; at least 1.
    ///   - turn: Counted up.
    package static func first(of count: Int, turn: UInt64) -> Int {
        Int(StableHash.avalanche(turn) % UInt64(count))
    }
}
