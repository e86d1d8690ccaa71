package import SyncCore

/// Everything that a seed draws before a run: sizes, rates, limits, and the plan of faults.
///
/// The plan is drawn at once, so that a failing run can be cut down by leaving things out.
package struct Scenario: Sendable {
    /// What all later draws start from.
    package let seed: UInt64
    /// Simulated time until faults and input stop.
    package var duration: Nanoseconds
    /// Simulated time that everything may take to come to rest afterwards.
    package var restMax: Nanoseconds = 120 * .second
    /// Worker slots; each is one label.
    package var workerCount: Int
    /// Producers, over all projects.
    package var producerCount: Int
    /// Monitors, over all projects.
    package var monitorCount: Int
    /// Projects.
    package var projectCount: Int
    /// Paths of a project, in the order in which they are preferred.
    package var paths: [String]
    /// Mean time between two messages of one producer.
    package var thinkTime: Nanoseconds
    /// Time after which a producer gives an unanswered edit up.
    package var patience: Nanoseconds = 40 * .second
    /// Whether producers say nothing for so long, now and then, that they are forgotten.
    package var hasLongPauses: Bool
    /// Whether producers leave out as many numbers as they may, so that their window moves on.
    package var leavesNumbersOut: Bool
    /// Whether the first project is flooded now and then, beside the others.
    package var hasFlood = false
    /// Edits in a message, at most.
    package var editsPerMessageMax: Int
    /// Longest content, in bytes.
    package var contentMax: Int
    /// Whether projects have a second, remote target.
    package var hasRemoteTarget: Bool
    /// Whether somebody reports deaths of workers, as `syncd up` does.
    package var hasSupervisor: Bool
    /// Whether an operator retries, discards, hydrates, detaches and attaches.
    package var hasOperator: Bool
    /// How far a clock may drift, in parts per million.
    package var driftMax: Int
    /// Messages that the coordinator reads from the workers' socket in one pass.
    package var messagesPerPassMax: Int
    /// Usual delay of a message, in microseconds.
    package var delayUsual: Int
    /// Longest delay of a message, in microseconds.
    package var delayMax: Int
    /// How often, in a thousand, a message takes up to the longest delay.
    package var slowPerMille: Int
    /// Usual time of a commit, in microseconds.
    package var commitUsual: Int
    /// Longest time of a commit, in microseconds.
    package var commitMax: Int
    /// The coordinator's limits.
    package var settings: CoordinatorSettings
    /// Edits in one transaction of the store.
    package var batchEditsMax: Int
    /// Writes under way at one target of a worker.
    package var writesPerTargetMax = 32
    /// Time for one write of an attempt.
    package var attemptDeadline: Duration
    /// Assignments that a worker wants at once.
    package var capacity: Int
    /// What goes wrong, in the order of time.
    package var faults: [Fault]

    /// Draws the standard mix.
    package init(seed: UInt64) {
        var chance = Chance(seed: seed)
        self.seed = seed
        duration = chance.millis(30_000, 36_000)
        workerCount = chance.between(4, 8)
        producerCount = chance.between(4, 8)
        monitorCount = chance.between(1, 4)
        projectCount = chance.between(1, 3)
        let all = ["a", "a/b", "c", "d/e", "a/b/c", "d", "f", "g/h", "g/i", "d/e/f", "j", "k/l"]
        let isTangled = chance.happens(perMille: 500)
        let count = chance.between(3, all.count)
        paths =
            isTangled
            ? Array(all.prefix(count)) : Array(["c", "f", "j", "g/h", "g/i", "k/l"].prefix(count))
        thinkTime = chance.millis(150, 600)
        editsPerMessageMax = chance.between(1, 5)
        hasLongPauses = chance.happens(perMille: 200)
        leavesNumbersOut = chance.happens(perMille: 200)
        contentMax = chance.pick([16, 64, 300, 3_000]) ?? 64
        hasRemoteTarget = chance.happens(perMille: 300)
        hasSupervisor = chance.happens(perMille: 400)
        hasOperator = chance.happens(perMille: 400)
        driftMax = chance.pick([0, 100, 5_000, Self.driftWild]) ?? 0
        messagesPerPassMax = chance.pick([2, 8, 4_096]) ?? 8
        delayUsual = chance.pick([100, 1_000, 10_000]) ?? 1_000
        delayMax = chance.pick([20_000, 200_000, 400_000]) ?? 20_000
        slowPerMille = chance.pick([0, 20, 100]) ?? 0
        commitUsual = chance.pick([500, 3_000, 15_000]) ?? 3_000
        commitMax = chance.pick([20_000, 100_000, 600_000]) ?? 20_000
        settings = Self.limits(&chance)
        settings.contentBytesMax =
            chance.pick([contentMax * 3 / 4 + 32, 16 << 20, 16 << 20]) ?? 16 << 20
        settings.workerBytesMax = chance.pick([contentMax, 64 << 20, 64 << 20]) ?? 64 << 20
        settings.pendingBytesMax = chance.pick([4 * contentMax, 8 << 30, 8 << 30]) ?? 8 << 30
        settings.inboxBytesMax = chance.pick([2 * contentMax, 96 << 20, 96 << 20]) ?? 96 << 20
        if hasLongPauses {
            // Nothing of a producer may be under way any more when it is forgotten.
            patience = 5 * .second
            settings.producerMemory = .seconds(20)
        }
        batchEditsMax = chance.pick([1, 4, 256]) ?? 4
        capacity = chance.pick([1, 4, 256]) ?? 256
        attemptDeadline = .milliseconds(chance.pick([1_000, 5_000, 30_000]) ?? 30_000)
        faults = []
        faults = Fault.plan(for: self, &chance)
        if projectCount > 1, chance.happens(perMille: 150) { floods(&chance) }
        if chance.happens(perMille: 150) {
            settings.editsPerSecond["local"] = chance.pick([40, 150, 500]) ?? 40
        }
        if chance.happens(perMille: 350) { holdsOff(&chance) }
        writesPerTargetMax = chance.pick([1, 2, 32, 32]) ?? 32
    }

    /// A single edit over another one counts as load.
    private mutating func holdsOff(_ chance: inout Chance) {
        settings.holdOffEditsMin = chance.pick([1, 1, 3]) ?? 1
        settings.holdOffWait = .milliseconds(chance.between(20, 300))
        settings.holdOffWaitMax = .milliseconds(chance.between(300, 2_000))
    }

    private mutating func floods(_ chance: inout Chance) {
        hasFlood = true
        editsPerMessageMax = 5
        settings.inboxEditsMax = 16_384
        settings.inboxBytesMax = 96 << 20
        settings.quietEditsMax = chance.pick([8, 32, 128]) ?? 128
    }

    /// A drift beyond what leases assume: then only the fences must hold.
    private static let driftWild = 400_000

    /// Whether clocks run as leases assume.
    var hasSaneClocks: Bool { driftMax < Self.driftWild }

    private static func limits(_ chance: inout Chance) -> CoordinatorSettings {
        var settings = CoordinatorSettings()
        settings.turnEditsMax = chance.pick([1, 5, 1_000]) ?? 5
        settings.turnBytesMax = chance.pick([100, 1 << 20]) ?? 100
        settings.inboxEditsMax = chance.pick([4, 40, 16_384]) ?? 40
        settings.memoryBytesMax = chance.pick([0, 2_500, 1 << 20]) ?? 2_500
        settings.loadingBytesMax = chance.pick([1, 1_200, 1 << 20]) ?? 1_200
        settings.workerAssignmentsMax = chance.pick([1, 4, 256]) ?? 4
        settings.targetAssignmentsMax = chance.pick([1, 3, 32]) ?? 3
        settings.logEventsMax = chance.pick([30, 300, 1_000_000]) ?? 300
        settings.pendingFilesMax = chance.pick([8, 1_000_000]) ?? 8
        settings.waitersMax = chance.pick([3, 10_000]) ?? 3
        settings.flushFilesMax = chance.pick([5, 4_000_000, 4_000_000]) ?? 5
        settings.producersMax = chance.pick([9, 10_000, 10_000]) ?? 9
        settings.markerInterval = .milliseconds(chance.between(2_000, 15_000))
        settings.probeWait = .milliseconds(chance.between(200, 1_000))
        settings.probeWaitMax = .milliseconds(chance.between(1_000, 5_000))
        settings.retry.waits = [.milliseconds(500), .milliseconds(1_000), .milliseconds(2_000)]
        settings.retry.shapePatience = .seconds(3)
        settings.answerWait = .milliseconds(chance.between(3_000, 10_000))
        settings.refreshWaitMax = .seconds(5)
        return settings
    }

    /// The name of a project.
    func project(_ index: Int) -> ProjectName { Self.name("p\(index + 1)") }

    /// A name that is known to be valid.
    static func name(_ text: String) -> Name {
        guard let name = Name(text) else { preconditionFailure("'\(text)' is no name") }
        return name
    }

    /// A path that is known to be valid.
    static func path(_ text: String) -> EditPath {
        guard let path = try? EditPath(text) else { preconditionFailure("'\(text)' is no path") }
        return path
    }

    /// A target that is known to be valid.
    static func target(_ text: String) -> TargetURL {
        guard let url = TargetURL(text) else { preconditionFailure("'\(text)' is no target") }
        return url
    }
}
