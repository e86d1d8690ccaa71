/// One life of a process that can be stopped, and dies.
class SimulatedProcess {
    var isAlive = true
    var isPaused = false
    /// What its threads were about to do when it was stopped.
    var deferred: [() -> Void] = []
    var wakesAt: Nanoseconds?

    /// As a trace names it.
    var name: String { "" }

    /// Its loop goes round once.
    func pass(in cluster: SimulatedCluster) {}
}

extension SimulatedCluster {
    /// Stops a process (SIGSTOP); it goes on after a while.
    func pause(_ process: SimulatedProcess, for span: Nanoseconds) {
        guard process.isAlive, !process.isPaused else { return }
        note("\(process.name) is stopped")
        process.isPaused = true
        plan(after: span) { $0.resume(process) }
    }

    private func resume(_ process: SimulatedProcess) {
        guard process.isAlive, process.isPaused else { return }
        note("\(process.name) goes on")
        process.isPaused = false
        let deferred = process.deferred
        process.deferred = []
        // Threads that were in the middle of a write race with the one that reads the socket.
        for action in deferred { later(process, after: chance.micros(0, 3_000), action) }
        process.wakesAt = nil
        wake(process, after: chance.micros(0, 2_000))
    }

    /// Plans what a process does after a while: never when it died, later when it is stopped.
    func later(
        _ process: SimulatedProcess, after delay: Nanoseconds, _ action: @escaping () -> Void
    ) {
        plan(after: delay) { _ in
            guard process.isAlive else { return }
            if process.isPaused {
                process.deferred.append(action)
            } else {
                action()
            }
        }
    }

    /// Lets a process's loop go round, once for all that wish so before it does.
    func wake(_ process: SimulatedProcess, after delay: Nanoseconds) {
        guard process.isAlive, !process.isPaused else { return }
        let at = agenda.now + delay
        if let planned = process.wakesAt, planned <= at { return }
        process.wakesAt = at
        plan(at: at) { cluster in
            guard process.isAlive, !process.isPaused, process.wakesAt == at else { return }
            process.wakesAt = nil
            process.pass(in: cluster)
        }
    }
}
