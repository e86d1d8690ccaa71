import Foundation

/// One figure of one pair.
struct Figure: Sendable {
    let name: String
    let unit: String
    let value: Double
    /// The limit measured beside it.
    var limit: Double?
    /// The figure itself must not be above this, by the median of the pairs.
    var valueMax: Double?
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
        valueMax: Double? = nil
    ) {
        figures.append(
            Figure(name: name, unit: unit, value: value, limit: limit, valueMax: valueMax))
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
        let valueMax: Double?
    }

    struct ProcessReport: Codable, Sendable {
        let name: String
        let cpuSeconds: Spread
        let peakMebibytes: Spread
    }

    let workload: String
    let setup: String
    let pairs: Int
    let figures: [FigureReport]
    let processes: [ProcessReport]

    init(of workload: any Workload, pairs: [Pair]) {
        self.workload = workload.name
        setup = workload.setup
        self.pairs = pairs.count
        figures = (pairs.first?.figures ?? []).map { first in
            let own = pairs.flatMap(\.figures).filter { $0.name == first.name }
            let limited = own.filter { $0.limit.map { $0 > 0 } ?? false }
            return FigureReport(
                name: first.name, unit: first.unit, value: Spread(own.map(\.value)),
                limit: limited.isEmpty ? nil : Spread(limited.compactMap(\.limit)),
                ratio: limited.isEmpty
                    ? nil : Spread(limited.map { $0.value / ($0.limit ?? $0.value) }),
                valueMax: first.valueMax)
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
        figures.allSatisfy { $0.value.median <= $0.valueMax ?? .infinity }
    }

    /// For people.
    var text: String {
        var lines = ["", "\(workload): \(setup); medians of \(pairs) (least – greatest)"]
        for figure in figures {
            var line = "  \(padded(figure.name, 30)) \(shown(figure.value)) \(figure.unit)"
            if let limit = figure.limit, let ratio = figure.ratio {
                line += "; limit \(shown(limit)) \(figure.unit), ratio \(shown(ratio))"
            }
            if let most = figure.valueMax {
                let isMet = figure.value.median <= most
                line += isMet ? "; target ≤ \(most): met" : "; target ≤ \(most): MISSED"
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
        String(format: abs(value) >= 100 ? "%.0f" : "%.2f", value)
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
