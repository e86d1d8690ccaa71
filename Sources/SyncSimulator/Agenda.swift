import HeapModule

/// What is to happen when, on one thread: earlier first, then in the order of planning.
struct Agenda {
    private struct Entry: Comparable {
        let at: Nanoseconds
        let serial: UInt64
        let action: () -> Void

        static func == (left: Entry, right: Entry) -> Bool { left.serial == right.serial }
        static func < (left: Entry, right: Entry) -> Bool {
            (left.at, left.serial) < (right.at, right.serial)
        }
    }

    private var heap = Heap<Entry>()
    private var serial: UInt64 = 0
    /// Simulated time.
    private(set) var now: Nanoseconds = 0

    /// Plans an action.
    mutating func plan(at moment: Nanoseconds, _ action: @escaping () -> Void) {
        serial += 1
        heap.insert(Entry(at: Swift.max(moment, now), serial: serial, action: action))
    }

    /// Moves time to the next action and takes it; nil when nothing is due up to `end`.
    mutating func next(until end: Nanoseconds) -> (() -> Void)? {
        guard let entry = heap.min, entry.at <= end else {
            now = Swift.max(now, end)
            return nil
        }
        heap.removeMin()
        now = entry.at
        return entry.action
    }

    /// Forgets everything planned.
    mutating func clear() { heap = Heap() }
}
