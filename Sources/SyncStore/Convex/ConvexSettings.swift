/// How a Convex deployment is used.
package struct ConvexSettings: Sendable {
    /// How many requests run at once unless told otherwise: what the smallest plan allows.
    package static let requestsMaxDefault = 16

    /// Which deployment.
    package let url: ConvexURL
    /// Opens the functions of the store.
    let key: ConvexKey
    /// How many requests run at once at most; fewer while the deployment turns some away.
    package var requestsMax = Self.requestsMaxDefault
    /// Time for one request, its answer included.
    package var answerWait: Duration = .seconds(8)
    /// Time for one call of the store, in which its requests are repeated.
    ///
    /// Below a worker's attempt deadline (30 s), so that its files are given back with the reason.
    package var patience: Duration = .seconds(20)
    /// Wait before the first repetition; doubles from one to the next.
    package var repeatWait: Duration = .milliseconds(100)
    /// Longest wait between two repetitions.
    package var repeatWaitMax: Duration = .seconds(2)
    /// Files that one request lists; an answer has at most 8,192 elements.
    package var pageMax = 4_000

    /// Describes a deployment.
    package init(_ url: ConvexURL, key: ConvexKey) {
        self.url = url
        self.key = key
    }
}
