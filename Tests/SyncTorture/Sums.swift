import Foundation
import Histogram

/// What was done and what was measured.
final class Sums {
    /// Latencies in microseconds, three digits exact.
    struct Latencies {
        private var histogram = Histogram<UInt64>(
            highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)

        /// Upper ends of the bars, in milliseconds.
        private static let bars: [Double] = [
            50, 100, 150, 200, 300, 500, 1_000, 2_000, 2_500, 3_000, 3_250, 3_500, 4_000, 5_000,
            10_000,
        ]
        private var milliseconds: [Double] = []

        mutating func record(_ duration: Duration) {
            let microseconds = duration / .microseconds(1)
            milliseconds.append(microseconds / 1_000)
            _ = histogram.record(UInt64(min(max(microseconds, 0), 599_000_000)))
        }

        /// The value, in milliseconds, that so many percent do not exceed.
        func value(at percentile: Double) -> Double {
            Double(histogram.valueAtPercentile(percentile)) / 1_000
        }

        /// Percentiles in one line, and a bar for each span that has some.
        var lines: [String] {
            let shown = [50, 90, 99, 100].map {
                String(format: "p%.0f %.0f ms", Double($0), value(at: Double($0)))
            }
            var lines = ["\(milliseconds.count) measured, \(shown.joined(separator: ", "))"]
            var low = 0.0
            for high in Self.bars + [.infinity] {
                let count = milliseconds.count { $0 > low && $0 <= high }
                if count > 0 {
                    let span =
                        high == .infinity
                        ? String(format: "over %6.0f ms  ", low)
                        : String(format: "%5.0f – %5.0f ms", low, high)
                    lines.append(
                        "  \(span) \(String(repeating: "▇", count: min(count, 60))) \(count)")
                }
                low = high
            }
            return lines
        }
    }

    private var counts: [String: Int] = [:]
    private var latencies: [String: Latencies] = [:]
    /// Promises about latencies: a percentile and its limit in milliseconds.
    private var targets: [String: (percentile: Double, most: Double)] = [:]
    private(set) var flaws: [String] = []

    /// Counts something.
    func count(_ what: String, _ number: Int = 1) { counts[what, default: 0] += number }

    /// Everything whose name begins so.
    func total(_ prefix: String) -> Int {
        counts.reduce(0) { $1.key.hasPrefix(prefix) ? $0 + $1.value : $0 }
    }

    /// Writes down a latency, and what is promised of its kind.
    func record(
        _ what: String, _ latency: Duration, target: (percentile: Double, most: Double)? = nil
    ) {
        latencies[what, default: Latencies()].record(latency)
        if let target { targets[what] = target }
    }

    /// Writes down what is wrong.
    func complain(_ more: [String]) { flaws += more }

    /// Latencies that are above what is promised.
    var missed: [String] {
        targets.compactMap { what, target in
            guard let value = latencies[what]?.value(at: target.percentile), value > target.most
            else { return nil }
            return String(
                format: "%@: p%.0f is %.0f ms, promised are %.0f", what, target.percentile, value,
                target.most)
        }.sorted()
    }

    /// Everything, for people.
    var text: String {
        var lines: [String] = []
        for prefix in ["kills", "pauses past the lease", "partitions"] {
            lines.append("\(prefix) in all: \(total(prefix))")
        }
        lines += counts.sorted { $0.key < $1.key }.map { "  \($0.key): \($0.value)" }
        for (what, latencies) in latencies.sorted(by: { $0.key < $1.key }) {
            lines.append("\(what): \(latencies.lines[0])")
            lines += latencies.lines.dropFirst()
        }
        lines += missed.map { "MISSED: \($0)" }
        if flaws.isEmpty {
            lines.append("nothing lost, nothing out of order, nothing twice")
        } else {
            lines.append("\(flaws.count) FLAWS")
            lines += flaws.prefix(50).map { "  \($0)" }
        }
        return lines.joined(separator: "\n")
    }
}
