/// Files that wait a while after each hand-over, because their project edits them faster than turns
/// are written.
///
/// What a worker writes of a file that is edited a thousand times a second is old when it is
/// written, and takes disk and processors from whoever accepts the next edit. So a project whose
/// turns are full of edits that replace one another has each file handed over once in a while only.
/// The while grows fourfold each time it has passed, and ends for all files of the project a moment
/// after the last such turn:
///
///     no load ──full turn──▶ wait ──full turns──▶ longer wait ──no full turn──▶ no load
///
/// What counts is the load of the project itself, not an idle owner: handed over whenever its owner
/// is idle, a file that never rests is synced as often as that can.
struct HoldOffs: Sendable {
    private struct Load: Sendable {
        var wait: Duration
        var growsAt: Instant
        var endsAt: Instant
        /// When files were handed over last, under this load.
        var handedOver: [EditPath: Instant] = [:]
        /// Files that have waited under this load.
        var held: Set<FileIndex> = []
    }

    /// Turns that are further apart are no load.
    static let memory: Duration = .milliseconds(100)

    private var loads: [ProjectName: Load] = [:]

    /// Whether no project is under load.
    var isEmpty: Bool { loads.isEmpty }

    /// Notes a turn that was full of edits that replaced others.
    ///
    /// - Parameters:
    ///   - first: How long files wait at first.
    ///   - most: How long at most.
    mutating func load(_ project: ProjectName, at now: Instant, first: Duration, most: Duration) {
        guard var load = loads.removeValue(forKey: project) else {
            let wait = min(first, most)
            loads[project] = Load(wait: wait, growsAt: now + wait, endsAt: now + Self.memory)
            return
        }
        load.endsAt = now + Self.memory
        if now >= load.growsAt {
            load.wait = min(load.wait * 4, most)
            load.growsAt = now + load.wait
            let wait = load.wait
            load.handedOver = load.handedOver.filter { now < $0.value + wait }
        }
        loads[project] = load
    }

    /// Notes that a file is handed over.
    mutating func handOver(_ file: FileKey, at now: Instant) {
        loads[file.project]?.handedOver[file.path] = now
    }

    /// Until when a file waits; nil when it does not.
    func heldUntil(_ file: FileKey) -> Instant? {
        guard let load = loads[file.project], let last = load.handedOver[file.path] else {
            return nil
        }
        return last + load.wait
    }

    /// Notes that a file waits.
    mutating func hold(_ index: FileIndex, of project: ProjectName) {
        loads[project]?.held.insert(index)
    }

    /// Ends the loads that are over; returns, in order, the files that may wait because of them.
    mutating func end(at now: Instant) -> [FileIndex] {
        var held: [FileIndex] = []
        for (project, load) in loads where load.endsAt <= now {
            held += load.held
            loads[project] = nil
        }
        return held.sorted()
    }

    /// When the first load is over.
    var nextEnd: Instant? { loads.values.lazy.map(\.endsAt).min() }
}
