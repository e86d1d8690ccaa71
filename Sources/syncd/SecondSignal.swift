import Foundation
import ServiceLifecycle
import UnixSignals

/// Runs services; the first SIGTERM or SIGINT asks them to end in order, the second one does not
/// wait any longer.
///
/// The group must trap no signals itself: with two handlers for one signal, the slower of them may
/// find two signals as one.
///
/// - Parameter crash: Called at the second signal, whatever the services are doing.
func serve(
    _ services: ServiceGroup, atSecondSignal crash: @escaping @Sendable () -> Void
) async throws {
    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
            var count = 0
            for await _ in signals {
                count += 1
                if count == 1 { await services.triggerGracefulShutdown() }
                if count == 2 { crash() }
            }
        }
        defer { group.cancelAll() }
        try await services.run()
    }
}

/// Ends this process at once, like a crash: everything that was promised is durable.
@Sendable func endLikeACrash() {
    Terminal.complain("Stopped by a second signal before everything was drained; nothing is lost.")
    _exit(Trouble.Code.failed.rawValue)
}
