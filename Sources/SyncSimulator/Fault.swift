/// One thing that goes wrong at one moment.
package struct Fault: Sendable, CustomStringConvertible {
    /// What goes wrong.
    package enum Kind: String, Sendable, CaseIterable {
        case killWorker, pauseWorker, drainWorker, doubleWorker
        case killCoordinator, pauseCoordinator, killAll, powerCut
        case cutWorker, stallWorkerUp, stallWorkerDown, stallWorkerBoth
        case cutClient, stallClientUp, stallClientDown
        case failCommit, fillDisk, failSync, slowDisk, restoreJournal
        case storeAway, storeSlow, storeForgetful
        case targetAway, targetSlow, targetHangs, targetFlaky, targetForgetful, targetRefuses
        case targetFull, changeFile
        case wipeTarget, rollBackTarget
        case restartProducer, cutMonitor, jumpClock
    }

    /// What.
    package let kind: Kind
    /// When.
    package let at: Nanoseconds
    /// How long, for what lasts.
    package let lasts: Nanoseconds
    /// Which worker, client or target: taken modulo their number.
    package let index: Int

    /// As text, for traces.
    package var description: String {
        "\(kind) \(index) for \(lasts / .millisecond) ms"
    }

    /// Draws the plan of a scenario: some kinds are favoured in each.
    static func plan(for scenario: Scenario, _ chance: inout Chance) -> [Fault] {
        let count = chance.between(3, 4 + Int(scenario.duration / .second) / 2)
        let favoured = (0..<4).compactMap { _ in chance.pick(Kind.allCases) }
        var faults: [Fault] = []
        for _ in 0..<count {
            let kinds = chance.happens(perMille: 500) ? favoured : Kind.allCases
            guard let kind = chance.pick(kinds) else { continue }
            let latest = Int(scenario.duration / .millisecond) * 9 / 10
            faults.append(
                Fault(
                    kind: kind, at: chance.millis(200, latest), lasts: kind.span(&chance),
                    index: chance.between(0, 999)))
        }
        return faults.sorted { $0.at < $1.at }
    }
}

extension Fault.Kind {
    /// How long it lasts.
    func span(_ chance: inout Chance) -> Nanoseconds {
        switch self {
        case .killWorker, .killCoordinator, .killAll, .powerCut:
            chance.happens(perMille: 500) ? chance.millis(20, 400) : chance.millis(400, 6_000)
        case .restoreJournal: chance.millis(100, 8_000)
        case .drainWorker, .doubleWorker: chance.millis(100, 2_000)
        case .pauseWorker, .pauseCoordinator:
            chance.happens(perMille: 400) ? chance.millis(50, 2_000) : chance.millis(2_000, 9_000)
        case .cutWorker, .cutClient, .cutMonitor: chance.millis(0, 4_000)
        case .stallWorkerUp, .stallWorkerDown, .stallWorkerBoth, .stallClientUp, .stallClientDown:
            chance.millis(100, 6_000)
        case .failCommit, .failSync: 0
        case .fillDisk, .slowDisk: chance.millis(100, 3_000)
        case .storeAway, .storeSlow, .storeForgetful: chance.millis(100, 5_000)
        case .targetAway, .targetSlow, .targetHangs, .targetFlaky, .targetForgetful, .targetRefuses,
            .targetFull, .changeFile:
            chance.millis(200, 6_000)
        case .jumpClock: chance.millis(10, 5_000)
        case .wipeTarget, .rollBackTarget, .restartProducer: 0
        }
    }
}
