/// Cuts a failing scenario down: fewer faults, fewer actors, shorter, while it still fails.
package enum Shrinker {
    /// Runs at most.
    private static let runsMax = 300

    /// The smallest scenario found that breaks the same promise.
    package static func shrink(
        _ scenario: Scenario, unchecked: Set<Violation.Promise> = []
    ) -> Scenario {
        var best = scenario
        var runs = 0
        var promise: Violation.Promise?
        func fails(_ candidate: Scenario) -> Bool {
            runs += 1
            guard runs < runsMax,
                let violation = SimulatedCluster(candidate, unchecked: unchecked).run(),
                promise == nil || promise == violation.promise
            else { return false }
            promise = violation.promise
            best = candidate
            // What comes after the violation changes nothing.
            if violation.at < candidate.duration {
                best.faults.removeAll { $0.at > violation.at }
            }
            return true
        }
        guard fails(scenario) else { return scenario }
        var isSmaller = true
        while isSmaller, runs < runsMax {
            isSmaller = false
            for candidate in smaller(than: best) where fails(candidate) {
                isSmaller = true
                break
            }
        }
        return best
    }

    /// Scenarios with something left out, the biggest cuts first.
    private static func smaller(than scenario: Scenario) -> [Scenario] {
        var candidates: [Scenario] = []
        var half = (scenario.faults.count + 1) / 2
        while half >= 1 {
            for start in stride(from: 0, to: scenario.faults.count, by: half) {
                var candidate = scenario
                let end = min(start + half, scenario.faults.count)
                candidate.faults.removeSubrange(start..<end)
                candidates.append(candidate)
            }
            half = half == 1 ? 0 : (half + 1) / 2
        }
        let counts: [WritableKeyPath<Scenario, Int>] = [
            \.producerCount, \.monitorCount, \.workerCount, \.projectCount, \.editsPerMessageMax,
        ]
        for path in counts where scenario[keyPath: path] > 1 {
            for value in Set([scenario[keyPath: path] / 2, scenario[keyPath: path] - 1]).sorted() {
                var candidate = scenario
                candidate[keyPath: path] = value
                candidates.append(candidate)
            }
        }
        if scenario.duration > 2 * .second {
            var candidate = scenario
            candidate.duration = scenario.duration * 2 / 3
            candidates.append(candidate)
        }
        return candidates
    }
}
