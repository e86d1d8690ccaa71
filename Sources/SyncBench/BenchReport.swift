import Foundation

/// One figure of one pair.
struct Figure: Sendable {
    let name: String
    let unit: String
    let value: Double
    /// The limit measured beside it.
    var limit: Double?
    /// What it must keep to, by the median of the pairs.
    var target = Target()
}

/// What a figure must keep to; nil where nothing is asked.
struct Target: Codable, Sendable {
    /// The figure itself must not be above this.
    var valueMax: Double?
    /// The figure over its limit must not be below this.
    var ratioMin: Double?
    /// The figure over its limit must not be above this.
    var ratioMax: Double?

    /// Each thing asked, in words, and whether it is met.
    func verdicts(value: Double, ratio: Double?) -> [(text: String, isMet: Bool)] {
        var verdicts: [(text: String, isMet: Bool)] = []
        if let valueMax { verdicts.append(("target ≤ \(valueMax)", value <= valueMax)) }
        // A limit that could not be measured is a target that was not met.
        if let ratioMin {
            verdicts.append(("target ratio ≥ \(ratioMin)", ratio.map { $0 >= ratioMin } ?? false))
        }
        if let ratioMax {
            verdicts.append(("target ratio ≤ \(ratioMax)", ratio.map { $0 <= ratioMax } ?? false))
        }
        return verdicts
    }
}

/// What a process used during a measurement.
struct ProcessFigures: Sendable {
    let name: String
    let cpuSeconds: Double
    let peakMebibytes: Double
}

/// One measurement and the limits beside it.
struct Pair: Sendable {
    var figures: [Figure] = []
    var processes: [ProcessFigures] = []

    /// Adds another part of the same pair.
    mutating func merge(_ other: Pair) {
        figures += other.figures
        processes += other.processes
    }

    mutating func add(
        _ name: String, _ value: Double, _ unit: String, limit: Double? = nil,
        valueMax: Double? = nil, ratioMin: Double? = nil, ratioMax: Double? = nil
    ) {
        figures.append(
            Figure(
                name: name, unit: unit, value: value, limit: limit,
                target: Target(valueMax: valueMax, ratioMin: ratioMin, ratioMax: ratioMax)))
    }
}

/// Median, least and greatest of some values.
struct Spread: Codable, Sendable {
    let median: Double
    let min: Double
    let max: Double

    init(_ values: [Double]) {
        let sorted = values.sorted()
        min = sorted.first ?? 0
        max = sorted.last ?? 0
        let middle = sorted.count / 2
        median =
            sorted.isEmpty
            ? 0
            : sorted.count % 2 == 1
                ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

/// All pairs of a workload, summed up.
struct WorkloadReport: Codable, Sendable {
    struct FigureReport: Codable, Sendable {
        let name: String
        let unit: String
        let value: Spread
        let limit: Spread?
        /// Value over limit, pair by pair.
        let ratio: Spread?
        let target: Target

        /// Each thing asked of the medians, and whether it is met.
        var verdicts: [(text: String, isMet: Bool)] {
            target.verdicts(value: value.median, ratio: ratio?.median)
        }
    }

    struct ProcessReport: Codable, Sendable {
        let name: String
        let cpuSeconds: Spread
        let peakMebibytes: Spread
    }

    let workload: String
    let setup: String
    let pairs: Int
    /// Pairs that were thrown away, because the machine changed its speed while they ran.
    let discarded: Int
    /// Pairs that were kept although it did: enough had been thrown away.
    let unsteady: Int
    let figures: [FigureReport]
    let processes: [ProcessReport]

    init(of workload: any Workload, pairs: [Pair], discarded: Int, unsteady: Int) {
        self.workload = workload.name
        setup = workload.setup
        self.pairs = pairs.count
        self.discarded = discarded
        self.unsteady = unsteady
        figures = (pairs.first?.figures ?? []).map { first in
            let own = pairs.flatMap(\.figures).filter { $0.name == first.name }
            let limited = own.filter { $0.limit.map { $0 > 0 } ?? false }
            return FigureReport(
                name: first.name, unit: first.unit, value: Spread(own.map(\.value)),
                limit: limited.isEmpty ? nil : Spread(limited.compactMap(\.limit)),
                ratio: limited.isEmpty
                    ? nil : Spread(limited.map { $0.value / ($0.limit ?? $0.value) }),
                target: first.target)
        }
        let names = (pairs.first?.processes ?? []).map(\.name)
        processes = names.map { name in
            let own = pairs.flatMap(\.processes).filter { $0.name == name }
            return ProcessReport(
                name: name, cpuSeconds: Spread(own.map(\.cpuSeconds)),
                peakMebibytes: Spread(own.map(\.peakMebibytes)))
        }
    }

    /// Whether every figure that has a target meets it.
    var isWithinTargets: Bool {
        figures.allSatisfy { figure in figure.verdicts.allSatisfy { $0.isMet } }
    }

    /// For people.
    var text: String {
        var lines = [
            "",
            "\(workload): \(setup); medians of \(pairs) (least – greatest); pairs thrown away: "
                + "\(discarded), kept though unsteady: \(unsteady)",
        ]
        for figure in figures {
            var line = "  \(padded(figure.name, 30)) \(shown(figure.value)) \(figure.unit)"
            if let limit = figure.limit, let ratio = figure.ratio {
                line += "; limit \(shown(limit)) \(figure.unit), ratio \(shown(ratio))"
            }
            for verdict in figure.verdicts {
                line += "; \(verdict.text): \(verdict.isMet ? "met" : "MISSED")"
            }
            lines.append(line)
        }
        for process in processes {
            lines.append(
                "  \(padded(process.name, 30)) \(shown(process.cpuSeconds)) s of CPU, peak "
                    + "\(shown(process.peakMebibytes)) MiB")
        }
        return lines.joined(separator: "\n")
    }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(width - text.count, 0))
    }

    private func shown(_ spread: Spread) -> String {
        "\(shown(spread.median)) (\(shown(spread.min)) – \(shown(spread.max)))"
    }

    private func shown(_ value: Double) -> String {
        String(format: abs(value) >= 100 ? "%.0f" : abs(value) >= 1 ? "%.2f" : "%.4f", value)
    }
}

/// Where reports and progress go.
enum BenchOutput {
    static func write(_ text: String) {
        FileHandle.standardOutput.write(Data((text + "\n").utf8))
    }

    static func write(json reports: [WorkloadReport]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        write(String(decoding: try encoder.encode(reports), as: UTF8.self))
    }

    /// A line about what is being done, on standard error.
    static func progress(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }
}
