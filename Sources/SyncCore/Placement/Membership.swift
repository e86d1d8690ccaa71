/// A worker's life as the coordinator sees it.
package enum MemberState: String, Sendable {
    /// Gets work.
    case live
    /// Gets nothing new.
    case draining
    /// Its lease has run out: no work, its files move on after the margin or proof of death.
    case expelled
    /// A newer process bears its label.
    case replaced
    /// Known from the journal, not yet heard in this epoch.
    case awaited
}

/// One incarnation that may still act.
struct Member: Sendable {
    /// What it has in hand of one project.
    struct Share: Sendable {
        private(set) var count = 0
        private(set) var bytes = 0

        mutating func add(_ hold: Hold) {
            count += 1
            bytes += hold.byteCount
        }

        mutating func remove(_ hold: Hold) {
            count -= 1
            bytes -= hold.byteCount
        }
    }

    let record: IncarnationRecord
    var state: MemberState
    var route: WorkerRoute?
    var registration: UInt64 = 0
    /// Count of the first incarnation of its process that is known: of two processes with one label
    /// the newer one has the higher.
    var origin: UInt64
    var capacity = 0
    /// Assignments in hand.
    var holds: Set<AssignmentID> = []
    var byteCount = 0
    /// The one assignment in hand whose edit was in hand when another worker died.
    var suspect: AssignmentID?
    /// Credit used, per project.
    var projects: [ProjectName: Share] = [:]
    /// Targets that it was given work for: there it owes a revocation if it ends badly.
    var touched: Set<TargetURL> = []
    /// When its files may move on (set when it is expelled or replaced).
    var handOnAt: Instant?

    /// Whether its end, or that of its connection, is staged: what it were given now would be lost.
    var isEnding = false

    var isAssignable: Bool { state == .live && route != nil && !isEnding }

    init(record: IncarnationRecord, state: MemberState) {
        self.record = record
        self.state = state
        origin = record.incarnation.count
    }
}

/// Joined, expelled, gone: who the workers are.
///
///     (awaited) ──register──▶ live ──drain──▶ draining ──leave──▶ gone
///                             live, draining ──lease ends──▶ expelled ──margin, proof──▶ gone
///                             live, draining ──label taken──▶ replaced ──lease, proof──▶ gone
struct Membership: Sendable {
    private(set) var members: [Incarnation: Member] = [:]
    /// The incarnation that bears a label now.
    private(set) var bearer: [WorkerLabel: Incarnation] = [:]

    subscript(incarnation: Incarnation) -> Member? {
        get { members[incarnation] }
        _modify { yield &members[incarnation] }
    }

    /// Adds a member that bears its label from now on.
    mutating func add(_ member: Member) {
        members[member.record.incarnation] = member
        bearer[member.record.label] = member.record.incarnation
    }

    /// Removes a member.
    mutating func remove(_ incarnation: Incarnation) -> Member? {
        guard let member = members.removeValue(forKey: incarnation) else { return nil }
        if bearer[member.record.label] == incarnation { bearer[member.record.label] = nil }
        return member
    }

    /// The member of a process.
    func member(ofLife life: UInt64) -> Incarnation? {
        members.first { $0.value.record.life == life }?.key
    }

    /// Whether a newer process than this one bears its label.
    func isReplaced(_ registration: Registration) -> Bool {
        guard let previous = registration.previous, let incarnation = bearer[registration.label],
            let member = members[incarnation], member.record.life != registration.life
        else { return false }
        return member.origin > previous.count
    }

    /// When files of members that ended may move on.
    var handOns: some Sequence<Instant> { members.values.lazy.compactMap(\.handOnAt) }

    /// Whoever may be given work, by label.
    var assignable: [WorkerLabel: Incarnation] {
        bearer.filter { members[$0.value]?.isAssignable ?? false }
    }
}
