import Foundation
import SyncCore
import SyncTestKit

/// The processes that are tortured, and what lies between them.
///
/// Driven from one task.
final class Rack {
    /// How the processes are run.
    enum Kind: String {
        /// Workers by themselves: in networks of their own, or behind a proxy.
        case separate = "separate processes"
        /// Likewise, with a store in PostgreSQL and sandboxes of a double of E2B.
        case hosted = "PostgreSQL and E2B"
        /// Children of one process.
        case supervised = "syncd up"

        /// Whether nobody stands above the processes.
        var isSeparate: Bool { self != .supervised }
    }

    /// A process that ended although nobody ended it.
    struct OwnEnd {
        let name: String
        let status: Int32
        let isCrash: Bool
        let log: String

        /// A crash, or a configuration that can't work.
        var isFlaw: Bool { isCrash || status == 78 }
        /// To be counted.
        var words: String { "ended by themselves: \(name.prefix(6)), status \(status)" }
        /// With what it said last.
        var text: String { "\(name) ended with \(status): \(log)" }
    }

    static let labels = ["worker-1", "worker-2", "worker-3", "worker-4"]
    /// Limits that let a round come to rest soon; leases are what they are by default.
    private static let sets = [
        "shape-wait-ms=300", "shape-patience-ms=2000", "probe-wait-ms=200",
        "probe-wait-max-ms=1000", "marker-interval-ms=2000", "versions=1000",
    ]
    private static let port = 7_462

    let kind: Kind
    let cluster: DaemonCluster
    let links: Links?
    let hosting: Hosting?
    /// Small disks of journal, store and sandboxes.
    let disks: [(name: String, disk: TestDisk)]
    /// Between the last worker and the coordinator.
    let workerProxy: FaultyProxy?
    /// Between some producers and the coordinator.
    let intakeProxy: FaultyProxy
    /// Workers beside which another one of their label was started: they were stopped, or drain.
    ///
    /// One of each label is to stay; the others end by themselves.
    var doubles: [(label: String, child: DaemonCluster.Child)] = []

    /// Starts everything below a folder.
    init(_ kind: Kind, in folder: URL, links: Links?, hosting: Hosting? = nil) throws {
        self.kind = kind
        self.hosting = hosting
        self.links = kind == .separate ? links : nil
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let flags = ["--retry-ms", "200,400,800"] + Self.sets.flatMap { ["--set", $0] }
        switch kind {
        case .separate, .hosted:
            let bound = "tcp://\(self.links == nil ? "127.0.0.1" : "0.0.0.0"):\(Self.port)"
            let reached = "tcp://127.0.0.1:\(Self.port)"
            // Of what is hosted only the journal lies here.
            let names = kind == .hosted ? [] : ["journal", "store", "sandboxes"]
            disks = try names.map { name in
                let place = folder.appendingPathComponent(name).path
                return (name, try TestDisk.inMemory(byteCount: 96 << 20, at: place))
            }
            let paths = Dictionary(uniqueKeysWithValues: disks.map { ($0.name, $0.disk.path) })
            var places = DaemonCluster.Places(
                journal: paths["journal"], store: paths["store"], sandboxes: paths["sandboxes"])
            places.storeURL = hosting?.storeURL
            places.workers = (bound, reached)
            cluster = try DaemonCluster(
                folder: folder, places: places, coordinatorFlags: flags + ["--insecure"],
                workerFlags: Self.sets.flatMap { ["--set", $0] } + ["--insecure"])
            workerProxy = try FaultyProxy(to: reached) { _ in nil }
            intakeProxy = try FaultyProxy(to: cluster.intake) { _ in nil }
            try cluster.startCoordinator()
            for label in Self.labels { try start(label) }
        case .supervised:
            disks = []
            workerProxy = nil
            cluster = try DaemonCluster(folder: folder)
            intakeProxy = try FaultyProxy(to: cluster.intake) { _ in nil }
            try startUp()
        }
    }

    /// Ends everything; the folder stays when somebody wants to look at it.
    func stop(keeping: Bool) async {
        for (_, child) in doubles { child.crash() }
        if keeping {
            for pid in cluster.pids { kill(pid, SIGKILL) }
            // Disks in memory go with this program.
            for (name, disk) in disks {
                let copy = cluster.folder.appendingPathComponent("\(name)-kept")
                _ = try? SystemTool.run("cp", ["-a", disk.path, copy.path])
            }
            for place in hosting?.places ?? [] {
                _ = try? SystemTool.run("cp", ["-a", place, cluster.folder.path + "/"])
            }
        }
        intakeProxy.stop()
        workerProxy?.stop()
        if !keeping { await cluster.stop() }
        for (_, disk) in disks { disk.remove() }
        await hosting?.stop()
        // With disks in it the folder could not go before.
        if !keeping { try? FileManager.default.removeItem(at: cluster.folder) }
    }

    // MARK: Processes

    /// Starts a worker of its own.
    func start(_ label: String) throws {
        guard let place = Self.labels.firstIndex(of: label) else { return }
        if let links, place < links.count {
            try cluster.startWorker(
                label, endpoint: links.endpoint(place, port: Self.port),
                launcher: links.launcher(place))
        } else {
            try cluster.startWorker(
                label, environment: hosting?.environment ?? [:], endpoint: workerProxy?.endpoint)
        }
    }

    /// Starts `syncd up`.
    func startUp() throws {
        let flags = ["--retry-ms", "200,400,800"] + Self.sets.flatMap { ["--set", $0] }
        try cluster.startUp(workers: Self.labels.count, flags: flags)
    }

    /// The process that bears a label now.
    func pid(of label: String) -> pid_t? {
        switch kind {
        case .separate, .hosted:
            cluster.workers[label].flatMap { $0.process.isRunning ? $0.pid : nil }
        case .supervised:
            cluster.children("worker").first { $0.value(of: "--id") == label }?.pid
        }
    }

    /// The coordinator's process.
    func coordinatorPid() -> pid_t? {
        switch kind {
        case .separate, .hosted: cluster.coordinator.flatMap { $0.process.isRunning ? $0.pid : nil }
        case .supervised: cluster.children("coordinator").first?.pid
        }
    }

    /// Kills a worker.
    func crash(_ label: String) {
        switch kind {
        case .separate, .hosted: cluster.crashWorker(label)
        case .supervised: if let pid = pid(of: label) { kill(pid, SIGKILL) }
        }
    }

    /// Kills the coordinator.
    func crashCoordinator() {
        switch kind {
        case .separate, .hosted: cluster.crashCoordinator()
        case .supervised: if let pid = coordinatorPid() { kill(pid, SIGKILL) }
        }
    }

    /// Kills every process.
    func crashAll() {
        let pids = cluster.pids
        for pid in pids { kill(pid, SIGKILL) }
        for label in Self.labels { cluster.crashWorker(label) }
        cluster.crashCoordinator()
        cluster.supervisor?.crash()
    }

    /// Processes of this program's own children that ended although nobody ended them; each is told
    /// once.
    func takeOwnEnds() -> [OwnEnd] {
        var ends: [OwnEnd] = []
        for (label, child) in cluster.workers where !child.process.isRunning {
            ends.append(Self.end(label, child))
            cluster.crashWorker(label)
        }
        if let child = cluster.coordinator, !child.process.isRunning {
            ends.append(Self.end("coordinator", child))
            cluster.crashCoordinator()
        }
        return ends
    }

    /// Starts again, at once, what ended by itself.
    func restart(_ sums: Sums) throws {
        for end in takeOwnEnds() {
            sums.count(end.words)
            if end.isFlaw { sums.complain([end.text]) }
            if end.name == "coordinator" {
                try cluster.startCoordinator()
            } else {
                try start(end.name)
            }
        }
    }

    private static func end(_ name: String, _ child: DaemonCluster.Child) -> OwnEnd {
        OwnEnd(
            name: name, status: child.process.terminationStatus,
            isCrash: child.process.terminationReason == .uncaughtSignal,
            log: child.text.split(separator: "\n").suffix(5).joined(separator: "\n"))
    }
}
