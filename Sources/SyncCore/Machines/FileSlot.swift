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
struct Trouble: Sendable, Beginning {
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

/// Where the store's newest version of a file is to be written again.
struct Refresh: Sendable, Beginning {
    /// The targets.
    var targets: [TargetURL] = []
    /// Which sequence the store's newest version has.
    var sequence = EditSequence.none
}

/// A value that begins without anything.
protocol Beginning { init() }

/// A value on the heap: few files have one, and one that has none takes a word.
indirect enum Rare<Value: Sendable & Beginning>: Sendable {
    case none
    case some(Value)

    var value: Value {
        switch self {
        case .none: Value()
        case .some(let value): value
        }
    }

    mutating func change(_ body: (inout Value) -> Void) {
        var value = value
        body(&value)
        self = .some(value)
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
///
/// There may be a million of them: what few files have is kept apart (``Rare``), and the members
/// stand in an order that leaves no gaps.
struct FileSlot: Sendable {
    let key: FileKey
    /// The content of `row`, unless it was spilled.
    var content: Content?
    private var rewriting = Rare<Refresh>.none
    var trouble = Rare<Trouble>.none
    /// The assignment on the way.
    var inHand: AssignmentID?
    var phase = FilePhase.rest
    /// Changed by the turn on its way to disk: not dispatched until that has come back.
    var isStaged = false
    /// Whether the content of this very `row` was read back, or is being read, and has not left the
    /// memory: it is forgotten before another row takes this one's place.
    var isReadBack = false
    /// Raised whenever the slot is queued anew; older entries in queues are void.
    var stamp: UInt32 = 0
    /// The newest edit: waiting, failed, or itself in hand.
    var row: JournaledEdit?

    init(key: FileKey) { self.key = key }

    /// Where the store's newest version is to be written again.
    var refresh: [TargetURL] {
        get { if case .some(let refresh) = rewriting { refresh.targets } else { [] } }
        set {
            // A file that has none, and gets none, pays nothing.
            if case .none = rewriting, newValue.isEmpty { return }
            rewriting.change { $0.targets = newValue }
        }
    }

    /// Which sequence that version has.
    var refreshSequence: EditSequence {
        get { if case .some(let refresh) = rewriting { refresh.sequence } else { .none } }
        set { rewriting.change { $0.sequence = newValue } }
    }

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
