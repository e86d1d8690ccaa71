import ArgumentParser
import Foundation
import Glibc
import SyncCore
import SyncTransport
import ZeroMQ

/// Makes and ends what goes on beside the healthy project.
actor Disturbance {
    private let neighbour: Neighbour
    private let pool: Pool
    private var flood: BenchProcess?
    private var pushing: Task<Void, any Error>?
    private var eventsBefore: UInt64 = 0
    private var stopped: pid_t?
    private var mount: FrozenMount?

    init(_ neighbour: Neighbour, _ pool: Pool) {
        self.neighbour = neighbour
        self.pool = pool
    }

    /// Begins and returns when it is under way.
    func begin() async throws {
        switch neighbour {
        case .flood: try await beginFlood()
        case .failing: try await beginFailing()
        case .hanging: try await beginHanging()
        case .stopped: break  // Under load: see `replaced`.
        }
    }

    /// Ends it and cleans up; repeats do nothing.
    func end() async {
        pushing?.cancel()
        await flood?.end()
        flood = nil
        mount?.remove()
        mount = nil
        // A worker that was not killed must not stay stopped.
        if let stopped { kill(stopped, SIGCONT) }
        stopped = nil
    }

    /// Figures that show that it went on during the measurement.
    func evidence() async throws -> [(String, Double, String)] {
        switch neighbour {
        case .flood: [("events of the flood", Double(try await events("flood") - eventsBefore), "")]
        case .failing:
            [("events of the failing", Double(try await events("failing") - eventsBefore), "")]
        case .hanging:
            [("files that hang", Double(try await pending("hanging")), "")]
        case .stopped: []
        }
    }

    private func report(_ project: String) async throws -> QueueReport.Project? {
        try await pool.queue().projects.first { $0.name.text == project }
    }

    private func events(_ project: String) async throws -> UInt64 {
        try await report(project)?.eventNumber ?? 0
    }

    private func pending(_ project: String) async throws -> Int {
        try await report(project)?.counts.pending ?? 0
    }

    // MARK: Flood

    private func beginFlood() async throws {
        flood = try BenchProcess(
            "flood", program: "SyncBench", ["flood", "--intake", pool.folder.intake], log: "",
            watchesParent: false)
        try await waitUntil("the flood was accepted") { try await self.events("flood") > 2_000 }
        eventsBefore = try await events("flood")
    }

    // MARK: Failing

    /// Half of the files lie behind a link out of the sandbox and fail at once; where the others
    /// are to be, directories that are not empty stand in the way, and they are tried every second.
    private func beginFailing() async throws {
        let pusher = try await pool.pusher("failing")
        try await pusher.push(
            Pusher.Run(count: 1, batch: 1, window: 1) { _ in
                BenchEdits.put("well", place: 0, bytes: 64)
            })
        try await pool.flush("failing")
        let sandbox = pool.folder.sandboxes + "/failing"
        let manager = FileManager.default
        try manager.createSymbolicLink(
            atPath: sandbox + "/out", withDestinationPath: pool.folder.path)
        for number in 0..<100 {
            let folder = "\(sandbox)/full\(number)"
            try manager.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data().write(to: URL(fileURLWithPath: folder + "/foreign"))
        }
        keepPushing(pusher) { number in
            number % 2 == 0 ? "out/f\(number % 200)" : "full\(number / 2 % 100)"
        }
        try await waitUntil("files failed") { try await self.pending("failing") > 50 }
        eventsBefore = try await events("failing")
    }

    private func keepPushing(_ pusher: Pusher, path: @escaping @Sendable (Int) -> String) {
        pushing = Task {
            var number = 0
            while !Task.isCancelled {
                try await Task.sleep(for: .milliseconds(20))
                await pusher.send(BenchEdits.put(path(number), place: number, bytes: 2_048))
                number += 1
            }
        }
    }

    // MARK: Hanging

    private func beginHanging() async throws {
        let mount = try FrozenMount(
            image: pool.folder.path + "/hanging.img", at: pool.folder.sandboxes + "/hanging")
        self.mount = mount
        let pusher = try await pool.pusher("hanging")
        try await pusher.push(
            Pusher.Run(count: 10, batch: 10, window: 10) {
                BenchEdits.put("well\($0)", place: $0, bytes: 64)
            })
        try await pool.flush("hanging")
        try mount.freeze()
        keepPushing(pusher) { "f\($0 % 200)" }
        try await waitUntil("writes hang") { try await self.pending("hanging") > 100 }
    }

    // MARK: Stopped

    /// When a worker was stopped, when it had ended, when another one had its label for a second.
    struct Replacement: Sendable {
        let stoppedAt: ContinuousClock.Instant
        let endedAt: ContinuousClock.Instant
        let settledAt: ContinuousClock.Instant
    }

    /// Stops a worker, waits until `up` has killed it and another one bears its label.
    func replaced() async throws -> Replacement {
        // Into the middle of the load.
        try await Task.sleep(for: .seconds(1))
        let victim = try await stopInTransaction()
        let stoppedAt = ContinuousClock.now
        try await waitUntil("the stopped worker was killed") {
            await !self.pool.processes.contains { $0.pid == victim.pid }
        }
        let endedAt = ContinuousClock.now
        stopped = nil
        try await waitUntil("the stopped worker was replaced") {
            await self.pool.processes.contains {
                $0.name == victim.name && $0.pid != victim.pid
            }
        }
        try await Task.sleep(for: .seconds(1))
        return Replacement(stoppedAt: stoppedAt, endedAt: endedAt, settledAt: .now)
    }

    /// Stops a worker that has its turn at the store, so that its transaction stays open.
    private func stopInTransaction() async throws -> (name: String, pid: pid_t) {
        let turn = TurnHolder(of: pool.folder.store)
        let workers = await pool.processes.filter { $0.name.hasPrefix("worker-") }
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            guard let holder = turn.pid, let victim = workers.first(where: { $0.pid == holder })
            else { continue }
            kill(victim.pid, SIGSTOP)
            stopped = victim.pid
            // It may have left the room between the look and the signal.
            if turn.pid == victim.pid { return victim }
            kill(victim.pid, SIGCONT)
            stopped = nil
        }
        throw BenchError("no worker was met in a transaction of the store within a minute")
    }

    private func waitUntil(
        _ what: String, _ condition: () async throws -> Bool
    ) async throws {
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(5))
        }
        throw BenchError("it was waited two minutes until \(what)")
    }
}

/// Tells which process has its turn at a store, by the kernel's table of locks.
struct TurnHolder {
    private let inode: String

    /// Looks at the lock file that the writers of a store take turns with.
    init(of store: String) {
        let attributes = try? FileManager.default.attributesOfItem(atPath: store + ".room")
        inode = (attributes?[.systemFileNumber] as? NSNumber)?.stringValue ?? "none"
    }

    /// The process now; nil when nobody writes.
    var pid: pid_t? {
        let locks = (try? String(contentsOfFile: "/proc/locks", encoding: .utf8)) ?? ""
        // 1: FLOCK  ADVISORY  WRITE 4711 fd:01:8388 0 EOF
        for line in locks.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "FLOCK", words[5].hasSuffix(":" + inode) else {
                continue
            }
            return pid_t(words[4])
        }
        return nil
    }
}

/// A file system in a loop file that can be frozen, so that every write into it hangs.
final class FrozenMount: Sendable {
    private let place: String

    init(image: String, at place: String) throws {
        self.place = place
        try FileManager.default.createDirectory(
            atPath: place, withIntermediateDirectories: true)
        try Self.run(["truncate", "-s", "64M", image])
        try Self.run(["mkfs.ext4", "-q", "-F", image])
        try Self.run(["mount", "-o", "loop", image, place])
        Interruption.note(place) { [self] in remove() }
    }

    func freeze() throws { try Self.run(["fsfreeze", "--freeze", place]) }

    /// Lets the writes through and takes the file system away.
    func remove() {
        Interruption.forget(place)
        do {
            try Self.run(["fsfreeze", "--unfreeze", place])
        } catch {
            BenchOutput.progress("\(error)")
        }
        do {
            // Lazily: a worker that lives on may have its directory open.
            try Self.run(["umount", "--lazy", place])
        } catch {
            BenchOutput.progress("\(error)")
        }
    }

    private static func run(_ words: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.standardError
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw BenchError(
                "'\(words.joined(separator: " "))' failed; a sandbox that hangs needs root, "
                    + "e2fsprogs and util-linux.")
        }
    }
}

/// The flood: a process with sockets of its own that pushes 100,000 files, again and again.
struct FloodCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "flood", abstract: "Pushes as fast as it goes.", shouldDisplay: false)

    @Option var intake: String
    @Option var files = 100_000
    @Option var bytes = 2_048

    func run() async throws {
        let loop = try SocketLoop(name: "flood", context: try Context())
        let pusher = Pusher(intake, project: try Pool.name("flood"), on: loop)
        try await pusher.open()
        ParentWatch.begin()
        let (files, bytes) = (files, bytes)
        while true {
            try await pusher.push(
                Pusher.Run(count: files, batch: 256, window: 4_000) {
                    BenchEdits.put(BenchEdits.distinctPath($0), place: $0, bytes: bytes)
                })
        }
    }
}
