package import SyncCore
package import SyncTransport

/// What a worker process needs to know; read from flags, environment and file by `syncd`.
package struct WorkerConfiguration: Sendable {
    /// The coordinator's endpoint for workers.
    package var coordinator: String
    /// Who the worker is, limits and times.
    package var settings: WorkerSettings
    /// Limits of messages.
    package var limits: WireLimits
    /// Whether local files are fsynced; else a sandbox is doubted after the machine was restarted.
    package var isLocalSynced: Bool
    /// How long a drain may take before the process ends like a crash.
    package var drainPatience: Duration

    /// Describes a worker.
    package init(
        coordinator: String = "tcp://127.0.0.1:7462", settings: WorkerSettings,
        limits: WireLimits = WireLimits(), isLocalSynced: Bool = false,
        drainPatience: Duration = .seconds(30)
    ) {
        self.coordinator = coordinator
        self.settings = settings
        self.limits = limits
        self.isLocalSynced = isLocalSynced
        self.drainPatience = drainPatience
    }
}
