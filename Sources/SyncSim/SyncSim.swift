import ArgumentParser
import Foundation
import SyncSimulator

/// Plays the machines through disasters by the thousand.
@main
struct SyncSim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "SyncSim",
        abstract: "Runs the coordinator's and the worker's machines in a simulated cluster.",
        discussion: """
            Each seed is one run: it draws sizes, rates, limits and faults, and is the same every \
            time. The exit code is 1 when a promise was broken.

              SyncSim --seed 1 --runs 1000
              SyncSim --seed 4711 --trace
            """)

    @Option(help: "First seed; without it one is drawn and printed.")
    var seed: UInt64?

    @Option(help: "How many seeds to run, counting up.")
    var runs = 1

    @Option(help: "Stop after so many minutes of real time.")
    var minutes: Double?

    @Option(help: "Shorten each storm to so many simulated seconds.")
    var seconds: UInt64?

    @Option(help: "Simulated seconds that everything may take to come to rest afterwards.")
    var rest: UInt64 = 120

    @Flag(help: "Print what happened in the last run.")
    var trace = false

    @Flag(help: "Cut failing runs down before they are printed.")
    var shrink = false

    @Flag(help: "Go on after a failing seed.")
    var keepGoing = false

    @Option(help: "Leave a promise unchecked (order, flush, rest …).")
    var without: [Violation.Promise] = []

    @Flag(help: "Print the sums as JSON.")
    var json = false

    mutating func validate() throws {
        guard runs >= 1 else { throw ValidationError("--runs must be at least 1.") }
    }

    mutating func run() throws {
        try Determinism.require()
        let first = seed ?? UInt64.random(in: 1...1_000_000_000)
        let started = ContinuousClock.now
        var sums = Sums(firstSeed: first)
        for number in 0..<UInt64(runs) {
            if let minutes, ContinuousClock.now - started > .seconds(minutes * 60) { break }
            let cluster = SimulatedCluster(
                scenario(first + number), isTraced: trace, unchecked: Set(without))
            let began = ContinuousClock.now
            let violation = cluster.run()
            sums.add(cluster.tally, took: ContinuousClock.now - began)
            if trace { cluster.trace.forEach { print($0) } }
            guard let violation else { continue }
            sums.failures.append(Sums.Failure(seed: first + number, violation))
            if !json {
                print(sums.failures[sums.failures.count - 1].line)
                fflush(nil)
            }
            if shrink { printShrunk(scenario(first + number)) }
            if !keepGoing { break }
        }
        print(json ? try sums.json() : sums.text)
        if !sums.failures.isEmpty { throw ExitCode(1) }
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
