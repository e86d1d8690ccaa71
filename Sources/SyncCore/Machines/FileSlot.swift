/// Where a file stands, for the dispatcher.
package enum FilePhase: UInt8, Sendable {
    /// Nothing to do.
    case rest
    /// Queued for its owner.
    case ready
    /// Waits for a related path that goes first.
    case blocked
    /// Waits for its next try.
    case delayed
    /// Waits because it was handed over a moment ago and is edited faster than that.
    case heldOff
    /// Waits for a target that is away.
    case parked
    /// Its content is being read back.
    case loading
    /// With a worker.
    case inHand
    /// In the failed list.
    case failed
    /// Nothing is left to be done, because targets were detached: its end is being staged.
    case ending
}

/// What went wrong so far with a file's newest edit.
struct Trouble: Sendable {
    /// Attempts that count.
    var attempts = 0
    /// Not before this.
    var dueAt: Instant?
    /// Since when something of another shape is in the way.
    var shapeSince: Instant?
    /// Last failure.
    var cause: Failure?
    /// The version that the store gave it.
    var stored: Version?
    /// Where it is visible already.
    var visible: [TargetURL] = []
    /// Where it failed for good.
    var failedIn: [TargetURL] = []
    /// Workers that died with it in hand.
    var deaths = 0
    /// Whether the event `parked` was told.
    var isParkedTold = false
    /// Whether the last try to write it again into a refilled sandbox failed.
    var isRefreshFailing = false
    /// Whether it was told, or stands in the failed list, that it can't be written again there.
    var isRefreshTold = false

    /// Whether nothing more is tried at a target: it is visible there, or failed for good.
    func isDone(at target: TargetURL) -> Bool {
        visible.contains(target) || failedIn.contains(target)
    }
}

/// A ``Trouble`` on the heap: most files have none.
indirect enum TroubleBox: Sendable {
    case none
    case some(Trouble)

    var value: Trouble {
        switch self {
        case .none: Trouble()
        case .some(let trouble): trouble
        }
    }

    mutating func change(_ body: (inout Trouble) -> Void) {
        var trouble = value
        body(&trouble)
        self = .some(trouble)
    }
}

/// All that the coordinator knows of one file that is not at rest.
///
///     rest ──accept──▶ ready ──dispatch──▶ inHand ──outcome──▶ rest
///                      ready ◀─▶ blocked, loading      │
///                      ready ◀── delayed, parked ◀─────┤
///                      ready ◀── heldOff ◀─────────────┤
///                                     failed ◀─────────┘
///
/// A newer edit replaces `row` in every phase; in `inHand` the older edit stays as `row.open`.
struct FileSlot: Sendable {
    let key: FileKey
    /// The newest edit: waiting, failed, or itself in hand.
    var row: JournalRow?
    /// Its content, unless it was spilled.
    var content: Content?
    /// Bytes that were read back, or are being read, and have not left the memory.
    var readBackBytes = 0
    /// Where the store's newest version is to be written again, and which sequence it has.
    var refresh: [TargetURL] = []
    var refreshSequence = EditSequence.none
    var trouble = TroubleBox.none
    // In this order the last four share three words.
    /// The assignment on the way.
    var inHand: AssignmentID?
    var phase = FilePhase.rest
    /// Changed by the turn on its way to disk: not dispatched until that has come back.
    var isStaged = false
    /// Raised whenever the slot is queued anew; older entries in queues are void.
    var stamp: UInt32 = 0

    init(key: FileKey) { self.key = key }

    /// Whether anything is left to do, the failed list included.
    var isPending: Bool { row != nil || inHand != nil || !refresh.isEmpty }

    /// Where it is to be written again, and was tried in vain: it holds up no other file.
    var failingRefresh: [TargetURL] { trouble.value.isRefreshFailing ? refresh : [] }

    /// Whether an edit waits for a worker; else only a refresh may.
    var isEditWaiting: Bool { row != nil && row?.failure == nil }

    /// By what its turn in the queue is decided: what can't be written again is behind all edits.
    var queueSequence: EditSequence {
        if !isEditWaiting, trouble.value.isRefreshFailing { return .last }
        return row?.sequence ?? refreshSequence
    }

    /// Parked, failed, or not to be written again: waiting would not help.
    var isHopeless: Bool {
        if phase == .parked || phase == .failed { return true }
        if row == nil { return phase == .delayed && trouble.value.isRefreshTold }
        return row?.failure != nil && inHand == nil
    }

    /// Bytes of content on disk.
    var byteCount: Int { row?.byteCount ?? 0 }
}

/// The slots of all files not at rest; an index stays a file's own while it is pending.
struct FileTable: Sendable {
    private(set) var slots: [FileSlot] = []
    private var indexes: [FileKey: FileIndex] = [:]
    private var free: [FileIndex] = []

    /// Files with a slot.
    var count: Int { indexes.count }

    /// The slot of an index.
    subscript(index: FileIndex) -> FileSlot {
        get { slots[index] }
        _modify { yield &slots[index] }
    }

    /// A file's index, if it has a slot.
    func index(of key: FileKey) -> FileIndex? { indexes[key] }

    /// A file's index; makes a slot at rest when it has none.
    mutating func claim(_ key: FileKey) -> FileIndex {
        if let index = indexes[key] { return index }
        let index: FileIndex
        if let reused = free.popLast() {
            index = reused
            let stamp = slots[index].stamp
            slots[index] = FileSlot(key: key)
            slots[index].stamp = stamp &+ 1
        } else {
            index = slots.count
            slots.append(FileSlot(key: key))
        }
        indexes[key] = index
        return index
    }

    /// Gives the slot of a file at rest back.
    mutating func release(_ index: FileIndex) {
        precondition(!slots[index].isPending, "a pending file was released")
        indexes[slots[index].key] = nil
        slots[index].stamp &+= 1
        slots[index].content = nil
        slots[index].trouble = .none
        slots[index].phase = .rest
        free.append(index)
    }
}
