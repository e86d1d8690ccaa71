import Foundation
import SyncSimulator

/// Sums and medians over seeds.
struct Sums: Encodable {
    /// A seed that broke a promise.
    struct Failure: Encodable {
        let seed: UInt64
        let promise: String
        let sentence: String
        let atMilliseconds: UInt64

        init(seed: UInt64, _ violation: Violation) {
            self.seed = seed
            promise = violation.promise.rawValue
            sentence = violation.sentence
            atMilliseconds = violation.at / Nanoseconds.millisecond
        }

        var line: String { "seed \(seed): \(promise) at \(atMilliseconds) ms: \(sentence)" }
    }

    let firstSeed: UInt64
    var seeds = 0
    var steps = 0
    var edits = 0
    var faults: [String: Int] = [:]
    var simulatedSeconds = 0.0
    var realSeconds = 0.0
    var failures: [Failure] = []
    private var stepRates: [Double] = []
    private var editRates: [Double] = []
    private var faultRates: [Double] = []
    private var rests: [Double] = []
    private var fewestFaults = Int.max
    private var shortest = Double.infinity

    init(firstSeed: UInt64) { self.firstSeed = firstSeed }

    private enum CodingKeys: String, CodingKey {
        case firstSeed, seeds, steps, edits, faults, simulatedSeconds, realSeconds, failures
    }

    mutating func add(_ result: SeedResult) {
        let tally = result.tally
        seeds += 1
        if let failure = result.failure { failures.append(failure) }
        steps += tally.steps
        edits += tally.edits
        for (kind, count) in tally.faults { faults[kind.rawValue, default: 0] += count }
        let simulated = Double(tally.simulated) / 1e9
        let real = result.took / .seconds(1)
        fewestFaults = min(fewestFaults, tally.faultCount)
        shortest = min(shortest, simulated)
        simulatedSeconds += simulated
        realSeconds += real
        stepRates.append(Double(tally.steps) / max(real, 1e-9))
        let stormy = max(simulated - Double(tally.restedAfter) / 1e9, 1e-9)
        editRates.append(Double(tally.edits) / stormy)
        faultRates.append(Double(tally.faultCount) / stormy)
        rests.append(Double(tally.restedAfter) / 1e9)
    }

    private func median(_ values: [Double]) -> Double {
        values.isEmpty ? 0 : values.sorted()[values.count / 2]
    }

    private func number(_ value: Double) -> String { String(format: "%.2f", value) }

    var text: String {
        var lines = [
            "seeds \(firstSeed)...\(firstSeed + UInt64(max(seeds - 1, 0))): \(seeds) run, "
                + "\(failures.count) broke a promise",
            "simulated \(number(simulatedSeconds)) s in \(number(realSeconds)) s; "
                + "\(steps) steps, \(edits) edits, \(faults.values.reduce(0, +)) faults",
            "medians: \(Int(median(stepRates))) steps/s; per simulated second "
                + "\(number(median(editRates))) edits and \(number(median(faultRates))) faults; "
                + "to rest \(number(median(rests))) s, at most \(number(rests.max() ?? 0)) s",
        ]
        if seeds > 0 {
            lines.append("in each seed at least \(number(shortest)) s and \(fewestFaults) faults")
        }
        let kinds = faults.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        lines.append("faults: " + kinds.joined(separator: ", "))
        return lines.joined(separator: "\n")
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
