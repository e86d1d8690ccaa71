/// When an attempt that failed is made again.
///
/// 3 retries, so 4 attempts, after 1, 2 and 4 s: the queue that syncd replaces waited so. Jitter is
/// the caller's and only lengthens.
package struct RetrySchedule: Sendable, Equatable {
    /// Waits before the second, third … attempt; as many retries as there are waits.
    package var waits: [Duration]
    /// How often a *shape* error is tried again, without burning an attempt.
    package var shapeWait: Duration
    /// For how long a *shape* error burns no attempt.
    package var shapePatience: Duration
    /// Wait after the store did not answer or a worker gave the file back; no attempt is burnt.
    package var blamelessWait: Duration

    /// Describes a schedule; the defaults are the design's.
    package init(
        waits: [Duration] = [.seconds(1), .seconds(2), .seconds(4)],
        shapeWait: Duration = .seconds(1), shapePatience: Duration = .seconds(60),
        blamelessWait: Duration = .seconds(1)
    ) {
        self.waits = waits
        self.shapeWait = shapeWait
        self.shapePatience = shapePatience
        self.blamelessWait = blamelessWait
    }

    /// Wait after this many attempts were burnt; nil when that was the last one.
    package func wait(after attempts: Int) -> Duration? {
        attempts >= 1 && attempts <= waits.count ? waits[attempts - 1] : nil
    }
}
