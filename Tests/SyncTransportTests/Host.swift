import SyncCore
import SyncTestKit
import SyncTransport
import ZeroMQ

/// Owns the coordinator's two sockets for clients, and answers every request with DONE.
actor Host: SocketLoopClient {
    nonisolated let loop: SocketLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    nonisolated let intake: String
    nonisolated let status: String

    private var sockets: (intake: IntakeEndpoint, status: StatusPublisher)?
    private var now = Instant(nanoseconds: 1_000_000_000)
    private var routes: [ClientRoute] = []
    private var waiting: [CheckedContinuation<ClientRoute, Never>] = []

    init(on loop: SocketLoop) {
        self.loop = loop
        let id = String(UInt64.random(in: .min ... .max), radix: 36)
        intake = "ipc://@syncd-test-\(id)-i"
        status = "ipc://@syncd-test-\(id)-s"
    }

    func open() throws {
        sockets = (
            try IntakeEndpoint(intake, on: loop, limits: WireLimits()),
            try StatusPublisher(status, on: loop)
        )
        loop.attach(self)
    }

    nonisolated func pass(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        assumeIsolated { $0.turn() }
        return nil
    }

    nonisolated func loopWillStop() {
        assumeIsolated { host in
            host.sockets?.intake.close()
            host.sockets?.status.close()
            host.sockets = nil
        }
    }

    private func turn() {
        guard let sockets else { return }
        for (route, _) in sockets.intake.receive(countMax: 64, bytesMax: 1 << 20).requests {
            routes.append(route)
            for one in waiting { one.resume(returning: route) }
            waiting = []
            sockets.intake.reply(.done, to: route)
        }
        for question in sockets.status.turn(at: now) {
            let number: UInt64 = question.project?.text == "p1" ? 5 : 0
            sockets.status.mark(question, number: 9, projectNumber: number)
        }
    }

    var droppedCount: Int { sockets?.intake.droppedCount ?? 0 }

    func notices() -> [EndpointNotice] { sockets?.intake.takeNotices() ?? [] }

    func firstRoute() async throws -> ClientRoute {
        if let first = routes.first { return first }
        return await withCheckedContinuation { waiting.append($0) }
    }

    func reply(_ reply: ClientReply, to route: ClientRoute) {
        sockets?.intake.reply(reply, to: route)
    }

    func advance(by duration: Duration) {
        now = now + duration
        loop.wake()
    }

    func publish(_ paths: [String]) {
        sockets?.status.publish(
            paths.map {
                StatusEvent(
                    .accepted, project: MachineCluster.project, path: MachineCluster.path($0))
            })
    }
}
