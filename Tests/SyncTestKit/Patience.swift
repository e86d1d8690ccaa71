internal import Foundation
package import Testing

/// How long a test waits for what must come, before it says that it hangs.
///
/// Never a measure: machines are noisy. `SYNCD_TEST_PATIENCE` stretches every wait by a factor, for
/// builds with a sanitizer, which are many times slower.
package enum Patience {
    /// By how much waits are stretched; 1 unless the environment says more.
    package static let factor: Int = {
        let text = ProcessInfo.processInfo.environment["SYNCD_TEST_PATIENCE"]
        return max(1, text.flatMap { Int($0) } ?? 1)
    }()

    /// A wait, stretched.
    package static func stretched(_ wait: Duration) -> Duration { wait * factor }

    /// Asks until a condition holds.
    ///
    /// - Throws: ``KitError`` that names what was waited for, when the patience is over.
    package static func until(
        _ what: String, within wait: Duration = .seconds(120),
        _ condition: () async throws -> Bool
    ) async throws {
        try await value(what, within: wait) { try await condition() ? () : nil }
    }

    /// Asks until there is an answer.
    ///
    /// - Throws: ``KitError`` that names what was waited for, when the patience is over.
    package static func value<Value>(
        _ what: String, within wait: Duration = .seconds(120),
        _ look: () async throws -> Value?
    ) async throws -> Value {
        let end = ContinuousClock.now + stretched(wait)
        while true {
            if let value = try await look() { return value }
            guard ContinuousClock.now < end else {
                throw KitError("waited \(stretched(wait)) in vain until \(what)")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}

extension TimeLimitTrait.Duration {
    /// After how long a test is said to hang; no measure of speed, which is the machine's affair.
    package static var patience: Self { .minutes(15 * Patience.factor) }
}
