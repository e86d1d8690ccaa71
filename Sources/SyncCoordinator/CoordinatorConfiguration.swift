package import SyncCore
package import SyncTransport

/// What a coordinator process needs to know; read from flags, environment and file by `syncd`.
package struct CoordinatorConfiguration: Sendable {
    /// Where producers and operators connect.
    package var intake: String
    /// Where workers connect.
    package var workers: String
    /// Where monitors subscribe.
    package var status: String
    /// Limits and times.
    package var settings: CoordinatorSettings
    /// Limits of messages.
    package var limits: WireLimits
    /// Most connections, over the three sockets.
    package var connectionsMax = ConnectionShares.countMaxDefault

    /// The design's endpoints and limits.
    package init(
        intake: String = "tcp://127.0.0.1:7461", workers: String = "tcp://127.0.0.1:7462",
        status: String = "tcp://127.0.0.1:7463",
        settings: CoordinatorSettings = CoordinatorSettings(), limits: WireLimits = WireLimits()
    ) {
        self.intake = intake
        self.workers = workers
        self.status = status
        self.settings = settings
        self.limits = limits
    }
}
