import ArgumentParser
import Dispatch
import Foundation
import SyncSimulator
import Synchronization

/// Plays the machines through disasters by the thousand.
@main
struct SyncSim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "SyncSim",
        abstract: "Runs the coordinator's and the worker's machines in a simulated cluster.",
        discussion: """
            Each seed is one run: it draws sizes, rates, limits and faults, and is the same every \
            time. The exit code is 1 when a promise was broken.

              SyncSim --seed 1 --runs 1000 --jobs 2
              SyncSim --seed 4711 --trace
            """)

    @Option(help: "First seed; without it one is drawn and printed.")
    var seed: UInt64?

    @Option(help: "How many seeds to run, counting up.")
    var runs = 1

    @Option(help: "How many seeds to run at the same time, each on one thread.")
    var jobs = 1

    @Option(help: "Stop after so many minutes of real time.")
    var minutes: Double?

    @Option(help: "Shorten each storm to so many simulated seconds.")
    var seconds: UInt64?

    @Option(help: "Simulated seconds that everything may take to come to rest afterwards.")
    var rest: UInt64 = 120

    @Flag(help: "Print what happened in the last run.")
    var trace = false

    @Flag(help: "Cut failing runs down and print them.")
    var shrink = false

    @Flag(help: "Go on after a failing seed.")
    var keepGoing = false

    @Option(help: "Leave a promise unchecked (order, flush, rest …).")
    var without: [Violation.Promise] = []

    @Flag(help: "Print the sums as JSON.")
    var json = false

    mutating func validate() throws {
        guard runs >= 1 else { throw ValidationError("--runs must be at least 1.") }
        if let seed, seed.addingReportingOverflow(UInt64(runs - 1)).overflow {
            throw ValidationError("--seed and --runs go past the largest seed, \(UInt64.max).")
        }
        guard jobs >= 1 else { throw ValidationError("--jobs must be at least 1.") }
    }

    func run() throws {
        try Determinism.require()
        let first = seed ?? UInt64.random(in: 1...1_000_000_000)
        let end = minutes.map { ContinuousClock.now + .seconds($0 * 60) }
        let queue = Mutex(SeedQueue(first: first, count: runs))
        let showsProgress = runs > 1 && isatty(STDERR_FILENO) == 1
        DispatchQueue.concurrentPerform(iterations: jobs) { _ in
            while let seed = queue.withLock({ $0.next() }) {
                let result = play(seed)
                let isOver = end.map { ContinuousClock.now > $0 } ?? false
                queue.withLock { queue in
                    queue.sums.add(result)
                    if isOver || (result.failure != nil && !keepGoing) { queue.stop() }
                    tell(result, of: seed)
                    if showsProgress { showProgress(queue.sums) }
                }
            }
        }
        if showsProgress { FileHandle.standardError.write(Data("\n".utf8)) }
        let sums = queue.withLock { $0.sums }
        print(json ? try sums.json() : sums.text)
        if !sums.failures.isEmpty { throw ExitCode(1) }
    }

    private func play(_ seed: UInt64) -> SeedResult {
        let cluster = SimulatedCluster(
            scenario(seed), isTraced: trace, unchecked: Set(without))
        let began = ContinuousClock.now
        let violation = cluster.run()
        return SeedResult(
            tally: cluster.tally, took: ContinuousClock.now - began,
            failure: violation.map { Sums.Failure(seed: seed, $0) }, trace: cluster.trace)
    }

    private func tell(_ result: SeedResult, of seed: UInt64) {
        if trace { result.trace.forEach { print($0) } }
        guard let failure = result.failure else { return }
        if !json { print(failure.line) }
        if shrink { printShrunk(scenario(seed)) }
        fflush(nil)
    }

    private func showProgress(_ sums: Sums) {
        let line = "\r\(sums.seeds) of \(runs) seeds, \(sums.failures.count) broke a promise"
        FileHandle.standardError.write(Data(line.utf8))
    }

    private func scenario(_ seed: UInt64) -> Scenario {
        var scenario = Scenario(seed: seed)
        scenario.restMax = rest * .second
        if let seconds { scenario.duration = min(scenario.duration, seconds * .second) }
        return scenario
    }

    private func printShrunk(_ scenario: Scenario) {
        let small = Shrinker.shrink(scenario, unchecked: Set(without))
        let cluster = SimulatedCluster(small, isTraced: true, unchecked: Set(without))
        cluster.run()
        print(
            "seed \(scenario.seed), cut down (SyncSim --seed \(scenario.seed) --shrink) to "
                + "\(small.workerCount) workers, \(small.producerCount) producers, "
                + "\(small.monitorCount) monitors, \(small.duration / .millisecond) ms, faults: "
                + small.faults.map(\.description).joined(separator: ", "))
        cluster.trace.suffix(150).forEach { print($0) }
    }
}

extension Violation.Promise: ExpressibleByArgument {}

/// Makes hashing the same in every process.
enum Determinism {
    /// The variable that Swift's standard library looks at.
    private static let variable = "SWIFT_DETERMINISTIC_HASHING"

    /// Starts the process again with equal hashing, unless it has it: the order in which a
    /// dictionary is walked through would differ from run to run.
    static func require() throws {
        if ProcessInfo.processInfo.environment[variable] == "1" { return }
        setenv(variable, "1", 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", arguments)
        throw ValidationError("The process can't be started again (errno \(errno)).")
    }
}
