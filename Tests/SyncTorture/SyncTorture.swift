import ArgumentParser
import Foundation
import SyncTestKit
import Synchronization

/// `SyncTorture`: real processes through disasters, checked from the producers' own books.
@main
struct SyncTorture: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "SyncTorture",
        abstract: "Kills, stops, cuts off and fills up real processes, and checks every promise.",
        discussion: """
            Runs in namespaces of its own for processes, mounts and networks, so that nothing is \
            left behind whatever ends it. Needs root, and ip, iptables, nsenter, setpriv and unshare.

            EXAMPLES
              deploy/torture 30
              deploy/torture 5 --seed 4711
              deploy/torture 10 --hosted
            """)

    @Option(help: "How long, in seconds.")
    var seconds = 1_800

    @Option(help: "Draws the same harms again; how processes meet them differs each time.")
    var seed: UInt64?

    @Option(help: "Folder for everything; it must be empty or missing.")
    var folder: String

    @Option(help: "Length of a round of harm, in seconds.")
    var round = 18

    @Option(help: "Rounds with one cluster.")
    var rounds = 3

    @Option(help: "Measured hand-offs with one cluster.")
    var handOffs = 10

    @Option(help: "Files that wait when the coordinator's recovery is measured; 0: not measured.")
    var dirty = 100_000

    @Flag(help: "Harm PostgreSQL, and sandboxes of a double of E2B, too.")
    var hosted = false

    @Flag(help: .hidden) var inside = false

    func run() async throws {
        if !inside { try enterNamespaces() }
        Interrupted.watch()
        let seed = seed ?? .random(in: 1...999_999)
        tell("seed \(seed), \(seconds) s, syncd from \(try DaemonCluster.binary.path)")
        let sums = Sums()
        let start = ContinuousClock.now
        do {
            try await torture(seed, sums)
        } catch {
            sums.complain(["\(error)"])
        }
        let elapsed = (ContinuousClock.now - start) / .seconds(60)
        print(String(format: "seed %llu, %.1f minutes", seed, elapsed))
        print(sums.text)
        if !sums.flaws.isEmpty {
            tell("what is left of the last cluster lies in \(folder)")
            throw ExitCode(1)
        }
        if !sums.missed.isEmpty { throw ExitCode(2) }
        if Interrupted.isSet { throw ExitCode(130) }
    }

    /// Becomes the same program in namespaces of its own, whose end ends everything in them.
    private func enterNamespaces() throws {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let words =
            [
                "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid",
                "--kill-child", "--mount-proc",
                // The first process of a namespace reaps what others leave behind; a shell does.
                // Names of networks go to /run. Foundation can't start processes without loopback.
                "bash", "-c",
                #"mount -t tmpfs tmpfs /run && ip link set lo up && "$@"; exit $?"#, "torture", own,
            ] + CommandLine.arguments.dropFirst() + ["--inside"]
        var pointers = words.map { strdup($0) } + [nil]
        execvp("setpriv", &pointers)
        throw ValidationError("setpriv can't be run: \(String(cString: strerror(errno)))")
    }

    private func torture(_ seed: UInt64, _ sums: Sums) async throws {
        var random = SeededGenerator(seed: seed)
        let place = URL(fileURLWithPath: folder)
        let end = ContinuousClock.now + .seconds(seconds)
        let links = try Links(count: 3)
        if dirty > 0 {
            tell("recovery with \(dirty) files that wait")
            try await RecoveryTime(fileCount: dirty, restarts: 3)
                .measure(in: place.appendingPathComponent("r"), sums)
        }
        var number = 0
        while number < 2 || ContinuousClock.now < end {
            if Interrupted.isSet { return }
            let kind = hosted ? Rack.Kind.hosted : number % 2 == 0 ? .separate : .supervised
            number += 1
            let piece = try await Piece.start(
                kind, in: place.appendingPathComponent("c\(number)"), links: links, sums: sums,
                seed: random.next())
            do {
                try await run(piece, number, until: end)
                try await piece.end()
            } catch {
                sums.complain(["piece \(number), \(kind.rawValue): \(error)"])
                await piece.stop()
            }
            if !sums.flaws.isEmpty { return }
        }
    }

    private func run(
        _ piece: Piece, _ number: Int, until end: ContinuousClock.Instant
    ) async throws {
        let sums = piece.sums
        for turn in 1...rounds {
            if Interrupted.isSet { return }
            if turn > 1, ContinuousClock.now > end { break }
            let length = piece.rack.kind.isSeparate ? round : round * 2 / 3
            try await piece.round(.seconds(length))
            let left = max(0, (end - ContinuousClock.now) / .seconds(60))
            tell(
                "piece \(number), \(piece.rack.kind.rawValue), round \(turn): "
                    + "\(sums.total("kills")) kills, \(sums.total("pauses")) pauses, "
                    + "\(sums.total("partitions")) partitions, "
                    + "\(sums.total("edits accepted")) edits so far, \(sums.flaws.count) flaws, "
                    + String(format: "%.1f minutes left", left))
            if !sums.flaws.isEmpty { return }
        }
        for turn in 0..<handOffs where !Interrupted.isSet {
            try await piece.handOff(turn, isPause: turn % 5 == 4)
        }
        tell("piece \(number): \(handOffs) hand-offs")
    }

    private func tell(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }
}

/// Whether somebody asked for the end.
enum Interrupted {
    private static let flag = Atomic(false)

    static var isSet: Bool { flag.load(ordering: .relaxed) }

    /// Takes signals, so that the sums are told.
    static func watch() {
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { _ in Interrupted.flag.store(true, ordering: .relaxed) }
        }
    }
}
