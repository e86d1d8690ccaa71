/// Which targets answer, which are away and when they are probed again.
///
///     well ──failed──▶ away ──probe──▶ away (longer wait)
///                      away ──answered──▶ well
///                      away ──too long, gone──▶ detached (forgotten here)
///
/// A target's state is the coordinator's: one worker probes it, with backoff, and no attempt of any
/// file is burnt meanwhile (trace B1). A target that is not on the board is well. A prober that
/// does not answer in time is replaced.
package struct TargetBoard: Sendable {
    /// A target that does not answer.
    package struct Absence: Sendable {
        /// Why.
        package var cause: Failure
        /// Since when.
        package let since: Instant
        /// How long it was away before the coordinator's restart.
        package var before: Duration = .zero
        /// Since when it is *gone*, by every failure since; nil when it is merely away.
        package var goneSince: Instant?
        /// When to probe next.
        package var probeAt: Instant
        /// The wait before that probe; doubles up to the longest.
        package var wait: Duration
        /// Who probes at the moment.
        package var prober: Incarnation?
        /// Until when the prober may answer.
        package var probeUntil: Instant?
        /// Who did not answer in time.
        package var silent: Set<Incarnation> = []
        /// Whether its end has been asked for.
        package var isEnding = false
    }

    /// A target that was away a moment ago.
    private struct Return: Sendable {
        let at: Instant
        /// The wait before the probe that it answered.
        let wait: Duration
    }

    private var absences: [TargetURL: Absence] = [:]
    /// Targets that answer again, until they have done so for longer than they were waited for.
    private var returns: [TargetURL: Return] = [:]
    private var holds: [TargetURL: Instant] = [:]
    private let waitFirst: Duration
    private let waitMax: Duration

    /// A board on which every target is well.
    package init(waitFirst: Duration, waitMax: Duration) {
        self.waitFirst = waitFirst
        self.waitMax = waitMax
    }

    /// Whether a target answers, as far as is known.
    package func isWell(_ target: TargetURL) -> Bool { absences[target] == nil }

    /// Whether every target answers.
    package var isAllWell: Bool { absences.isEmpty }

    /// What is known of a target that is away.
    package func absence(of target: TargetURL) -> Absence? { absences[target] }

    /// Until when a target that answers asked not to be written to; nil when it did not.
    package func heldUntil(_ target: TargetURL) -> Instant? { holds[target] }

    /// Notes the wait that a target asked for.
    package mutating func hold(_ target: TargetURL, until later: Instant) {
        holds[target] = max(holds[target] ?? later, later)
    }

    /// Targets that are away, in order.
    package var away: [TargetURL] { absences.keys.sorted() }

    /// Notes a failure of the whole target.
    ///
    /// - Returns: Whether it was well until now.
    @discardableResult
    package mutating func fail(_ target: TargetURL, cause: Failure, at now: Instant) -> Bool {
        let isGone = cause.code == TargetCode.gone
        if var absence = absences[target] {
            absence.cause = cause
            absence.goneSince = isGone ? absence.goneSince ?? now : nil
            if absence.prober != nil {
                absence.prober = nil
                absence.silent = []
                absence.wait = min(absence.wait + absence.wait, waitMax)
                absence.probeAt = now + max(absence.wait, cause.retryAfter ?? .zero)
            } else if let wish = cause.retryAfter {
                absence.probeAt = max(absence.probeAt, now + wish)
            }
            absences[target] = absence
            return false
        }
        // One that answers probes and then fails again does not swing at the first wait's pace.
        var wait = waitFirst
        if let last = returns.removeValue(forKey: target), now < last.at + last.wait + last.wait {
            wait = min(last.wait + last.wait, waitMax)
        }
        absences[target] = Absence(
            cause: cause, since: now, goneSince: isGone ? now : nil,
            probeAt: now + max(wait, cause.retryAfter ?? .zero), wait: wait)
        return true
    }

    /// Notes a target that was away in the coordinator's former life; it is probed at once.
    package mutating func restore(_ target: TargetURL, cause: Failure, at now: Instant) {
        absences[target] = Absence(cause: cause, since: now, probeAt: now, wait: waitFirst)
    }

    /// Notes how long a target was away before the coordinator's restart.
    package mutating func backdate(_ target: TargetURL, by before: Duration) {
        absences[target]?.before = before
    }

    /// Notes that a target answers; returns whether it was away.
    package mutating func answer(_ target: TargetURL, at now: Instant) -> Bool {
        guard let absence = absences.removeValue(forKey: target) else { return false }
        returns[target] = Return(at: now, wait: absence.wait)
        return true
    }

    /// Targets to be probed now, in order; probers whose time is over are taken off.
    package mutating func due(at now: Instant) -> [TargetURL] {
        for (target, absence) in absences {
            guard let prober = absence.prober, let until = absence.probeUntil, until <= now else {
                continue
            }
            absences[target]?.silent.insert(prober)
            absences[target]?.prober = nil
        }
        if absences.isEmpty { return [] }
        return absences.filter { $0.value.prober == nil && $0.value.probeAt <= now }.keys.sorted()
    }

    /// Notes who probes, and until when it may answer.
    package mutating func probing(
        _ target: TargetURL, by incarnation: Incarnation, until: Instant
    ) {
        absences[target]?.prober = incarnation
        absences[target]?.probeUntil = until
    }

    /// Notes that a target's end has been asked for.
    package mutating func ending(_ target: TargetURL) { absences[target]?.isEnding = true }

    /// Forgets a prober that ended, or whose connection did; the target is probed again at once.
    package mutating func forget(prober incarnation: Incarnation) {
        for target in absences.keys {
            absences[target]?.silent.remove(incarnation)
            if absences[target]?.prober == incarnation { absences[target]?.prober = nil }
        }
    }

    /// Nobody can probe at the moment: asks again later.
    package mutating func postpone(_ target: TargetURL, to later: Instant) {
        absences[target]?.probeAt = later
    }

    /// Forgets a detached target.
    package mutating func remove(_ target: TargetURL) {
        absences[target] = nil
        returns[target] = nil
        holds[target] = nil
    }

    /// A target that is away is probed at once: what held it up is over.
    package mutating func probeNow(_ target: TargetURL, at now: Instant) {
        guard let probeAt = absences[target]?.probeAt else { return }
        absences[target]?.probeAt = min(probeAt, now)
    }

    /// When the next probe is due; nil when none is.
    package var nextDeadline: Instant? {
        absences.values.lazy.compactMap { $0.prober == nil ? $0.probeAt : $0.probeUntil }.min()
    }
}

/// Reading the markers of targets that are well: one worker each, now and then.
struct MarkerChecks: Sendable {
    struct Check: Sendable {
        var dueAt: Instant
        /// Who was asked and has not answered.
        var prober: Incarnation?
        var silent: Set<Incarnation> = []
        /// When the target last gave a sign of life.
        var answeredAt: Instant?
    }

    private var checks: [TargetURL: Check] = [:]

    /// Begins to look after a target.
    mutating func watch(_ target: TargetURL, from: Instant) {
        if checks[target] == nil { checks[target] = Check(dueAt: from) }
    }

    /// Every marker is to be read now.
    mutating func hurry(at now: Instant) {
        for target in checks.keys { checks[target]?.dueAt = now }
    }

    /// Forgets a target.
    mutating func remove(_ target: TargetURL) { checks[target] = nil }

    /// Targets whose marker is to be read now; whoever has not answered the last time is avoided.
    mutating func due(at now: Instant, every interval: Duration) -> [TargetURL] {
        guard let next = nextDeadline, next <= now else { return [] }
        let due = checks.filter { $0.value.dueAt <= now }.keys.sorted()
        for target in due {
            checks[target]?.dueAt = now + interval
            if let prober = checks[target]?.prober { checks[target]?.silent.insert(prober) }
            checks[target]?.prober = nil
        }
        return due
    }

    func silent(at target: TargetURL) -> Set<Incarnation> { checks[target]?.silent ?? [] }

    mutating func asked(_ target: TargetURL, of incarnation: Incarnation) {
        checks[target]?.prober = incarnation
    }

    /// A worker told something of a target.
    mutating func answered(_ target: TargetURL, isWell: Bool, at now: Instant) {
        checks[target]?.prober = nil
        checks[target]?.silent = []
        if isWell { checks[target]?.answeredAt = now }
    }

    /// A worker ended, or its connection did.
    mutating func forget(prober incarnation: Incarnation) {
        for target in checks.keys {
            checks[target]?.silent.remove(incarnation)
            if checks[target]?.prober == incarnation { checks[target]?.prober = nil }
        }
    }

    /// Whether another target of the scheme gave a sign of life since then.
    func isAnswering(since: Instant, besides target: TargetURL) -> Bool {
        checks.contains {
            $0.key != target && $0.key.scheme == target.scheme
                && $0.value.answeredAt.map { $0 >= since } ?? false
        }
    }

    var nextDeadline: Instant? { checks.values.lazy.map(\.dueAt).min() }
}
