/// Which targets answer, which are away and when they are probed again.
///
///     well ──failed──▶ away ──probe──▶ away (longer wait)
///                      away ──answered──▶ well
///
/// A target's state is the coordinator's: one worker probes it, with backoff, and no attempt of any
/// file is burnt meanwhile (trace B1). A target that is not on the board is well.
package struct TargetBoard: Sendable {
    /// A target that does not answer.
    package struct Absence: Sendable {
        /// Why.
        package var cause: Failure
        /// Since when.
        package let since: Instant
        /// When to probe next.
        package var probeAt: Instant
        /// The wait before that probe; doubles up to the longest.
        package var wait: Duration
        /// Who probes at the moment.
        package var prober: Incarnation?
    }

    private var absences: [TargetURL: Absence] = [:]
    private let waitFirst: Duration
    private let waitMax: Duration

    /// A board on which every target is well.
    package init(waitFirst: Duration, waitMax: Duration) {
        self.waitFirst = waitFirst
        self.waitMax = waitMax
    }

    /// Whether a target answers, as far as is known.
    package func isWell(_ target: TargetURL) -> Bool { absences[target] == nil }

    /// What is known of a target that is away.
    package func absence(of target: TargetURL) -> Absence? { absences[target] }

    /// Notes a failure of the whole target.
    ///
    /// - Returns: Whether it was well until now.
    package mutating func fail(_ target: TargetURL, cause: Failure, at now: Instant) -> Bool {
        if var absence = absences[target] {
            absence.cause = cause
            if absence.prober != nil {
                absence.prober = nil
                absence.wait = min(absence.wait + absence.wait, waitMax)
                absence.probeAt = now + max(absence.wait, cause.retryAfter ?? .zero)
            }
            absences[target] = absence
            return false
        }
        absences[target] = Absence(
            cause: cause, since: now, probeAt: now + max(waitFirst, cause.retryAfter ?? .zero),
            wait: waitFirst)
        return true
    }

    /// Notes that a target answers; returns whether it was away.
    package mutating func answer(_ target: TargetURL) -> Bool {
        absences.removeValue(forKey: target) != nil
    }

    /// Targets to be probed now, in order.
    package func due(at now: Instant) -> [TargetURL] {
        absences.filter { $0.value.prober == nil && $0.value.probeAt <= now }.keys.sorted()
    }

    /// Notes who probes.
    package mutating func probing(_ target: TargetURL, by incarnation: Incarnation) {
        absences[target]?.prober = incarnation
    }

    /// Forgets a prober that ended; the target is probed again at once.
    package mutating func forget(prober incarnation: Incarnation) {
        for target in absences.keys where absences[target]?.prober == incarnation {
            absences[target]?.prober = nil
        }
    }

    /// Nobody can probe at the moment: asks again later.
    package mutating func postpone(_ target: TargetURL, to later: Instant) {
        absences[target]?.probeAt = later
    }

    /// Forgets a detached target.
    package mutating func remove(_ target: TargetURL) { absences[target] = nil }

    /// When the next probe is due; nil when none is.
    package var nextDeadline: Instant? {
        absences.values.filter { $0.prober == nil }.map(\.probeAt).min()
    }
}
