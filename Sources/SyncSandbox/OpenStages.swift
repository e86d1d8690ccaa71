internal import SyncCore
internal import Synchronization

/// Stage directories that are open, over all sandboxes of a worker; the least used is closed first.
final class OpenStages: Sendable {
    /// A stage of a sandbox.
    struct Key: Hashable, Sendable {
        /// Which sandbox.
        let sandbox: Name
        /// Which stage of it.
        let stage: StageName
    }

    private struct State {
        var stages: [Key: (stage: StageDirectory, usedAt: UInt64)] = [:]
        var uses: UInt64 = 0
    }

    private let state = Mutex(State())
    private let countMax: Int

    /// Makes an empty table.
    ///
    /// - Parameter countMax: How many are kept open; each has two descriptors.
    init(countMax: Int) { self.countMax = countMax }

    /// An open stage; nil when it must be opened.
    func stage(_ key: Key) -> StageDirectory? {
        state.withLock { state in
            guard let stage = state.stages[key]?.stage else { return nil }
            state.uses += 1
            state.stages[key]?.usedAt = state.uses
            return stage
        }
    }

    /// Keeps a stage open; calls that still use the one that goes hold it themselves.
    func keep(_ stage: StageDirectory, as key: Key) {
        state.withLock { state in
            state.uses += 1
            state.stages[key] = (stage, state.uses)
            guard state.stages.count > countMax,
                let oldest = state.stages.min(by: { $0.value.usedAt < $1.value.usedAt })?.key
            else { return }
            state.stages[oldest] = nil
        }
    }

    /// Lets a stage go that was revoked.
    func drop(_ key: Key) { state.withLock { $0.stages[key] = nil } }
}
