import SyncCore

/// A death or a stop that waits for the worst moment: the coordinator's while a turn is on its way
/// to disk, a worker's between the look at its lease and the rename.
struct Doom {
    /// How long the process is down, or stopped.
    let lasts: Nanoseconds
    /// Whether only a turn will do that changes targets or incarnations.
    var isChoosy = false
    /// Whether the process is stopped and goes on, instead of being killed.
    var isPause = false
}

extension SimulatedCluster {
    /// The coordinator is to die with the next turn that is on its way to disk.
    func doomCoordinator(_ fault: Fault) {
        doom = Doom(lasts: fault.lasts, isChoosy: fault.index % 4 == 0)
    }

    /// A turn is on its way to disk: this may be the moment.
    func meetDoom(of process: CoordinatorProcess, _ turn: JournalTransaction, time: Nanoseconds) {
        guard let doom, isStormy else { return }
        let isRare =
            !turn.incarnationsAdded.isEmpty || !turn.incarnationsEnded.isEmpty
            || turn.projects.contains { disk.projects[$0.name]?.targets != $0.targets }
        guard isRare || !doom.isChoosy else { return }
        self.doom = nil
        // Shortly after the transaction is on disk its process may not know of it yet.
        plan(after: chance.micros(0, Int(time / 1_000) + 500)) { cluster in
            if process.isAlive { cluster.killCoordinator(downFor: doom.lasts) }
        }
    }

    /// An assignment is on the way: this may be the moment to drain.
    func meetDrain(of process: WorkerProcess, _ message: CoordinatorMessage) {
        guard process.drainsWhenGiven, case .assign = message else { return }
        process.drainsWhenGiven = false
        drain(process)
    }

    /// A grant is on the way: this may be the moment to stop, with edits before a slow store.
    ///
    /// It is read when the lease that it gives is long over, and the files are somebody else's
    /// (trace A6).
    func meetPause(of process: WorkerProcess, _ message: CoordinatorMessage) {
        guard let span = process.pausesWhenGranted, process.storing > 0,
            process.machine.jobCount > process.storing, isStormy,
            case .grant = message
        else { return }
        process.pausesWhenGranted = nil
        pause(process, for: span)
    }

    /// An assignment is on the way: this may be the moment for the line to break.
    func meetCut(of process: WorkerProcess, _ message: CoordinatorMessage) {
        guard let span = process.cutsWhenGiven, case .assign = message else { return }
        process.cutsWhenGiven = nil
        process.link.cutUntil = agenda.now + span
        breakLink(process.link, isLate: true)
    }

    /// What a worker hears comes late, then what it says: old grants reach one that was expelled,
    /// with work before a slow store.
    func makeGrantsStale(of process: WorkerProcess, for span: Nanoseconds) {
        store.slowUntil = agenda.now + span + 4 * .second
        plan(after: .second) { cluster in
            let until = cluster.agenda.now + span + 3 * .second
            process.link.connection?.down.stalledUntil = until
            cluster.plan(after: .second) { cluster in
                process.link.connection?.up.stalledUntil = until + 2 * .second
            }
        }
    }

    /// A worker is told to take nothing new and to leave.
    func drain(_ process: WorkerProcess) {
        note("\(process.name) drains")
        process.machine.drain()
        wake(process, after: 0)
    }

    /// A write has begun: this may be the moment.
    func meetDoom(of process: WorkerProcess) {
        guard let doom = process.doom, isStormy else { return }
        process.doom = nil
        if doom.isPause {
            pause(process, for: doom.lasts)
        } else {
            endWorker(process, "is killed", restartsAfter: doom.lasts)
        }
    }
}
