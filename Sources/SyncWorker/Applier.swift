import SyncCore
import Synchronization

/// Until when writes may start: set on the loop's thread, asked right before each write.
final class LeaseClock: Sendable {
    private struct Lease {
        var incarnation: Incarnation?
        var until = Instant(nanoseconds: 0)
    }

    private let lease = Mutex(Lease())

    /// Sets the deadline, and whose it is.
    func set(_ deadline: Instant, of incarnation: Incarnation?) {
        lease.withLock { $0 = Lease(incarnation: incarnation, until: deadline) }
    }

    /// Whether the lease of an incarnation still runs: what a former one has left to do is not made
    /// under the lease of the present one.
    func isValid(for incarnation: Incarnation, at now: Instant) -> Bool {
        lease.withLock { $0.incarnation == incarnation && now < $0.until }
    }
}

/// Carries out what the machine has decided: the store, then sandboxes, in order per path.
struct Applier: Sendable {
    let store: any VersionedStore
    let sandboxes: any SandboxProvider
    let isLocalSynced: Bool

    func apply(_ batch: [Assignment]) async -> Result<[Applied], StoreError> {
        let edits = batch.compactMap { assignment -> SequencedEdit? in
            guard case .edit(let edit) = assignment.task else { return nil }
            return edit
        }
        do throws(StoreError) {
            return .success(try await store.apply(edits))
        } catch {
            return .failure(error)
        }
    }

    func read(_ file: FileKey) async -> Result<StoredVersion?, StoreError> {
        do throws(StoreError) {
            return .success(try await store.version(of: file, nil))
        } catch {
            return .failure(error)
        }
    }

    func list(_ question: FilesQuestion) async -> Result<[StoredFile], StoreError> {
        do throws(StoreError) {
            return .success(
                try await store.files(
                    of: question.project, after: question.after, countMax: question.countMax))
        } catch {
            return .failure(error)
        }
    }

    func bind(_ journal: JournalID, isAdopted: Bool) async -> StoreError? {
        do throws(StoreError) {
            try await store.bind(to: journal, isAdopted: isAdopted)
            return nil
        } catch {
            return error
        }
    }

    /// Reads the marker, writes it when none was written yet, pays the debts, enters the stage.
    ///
    /// Debts are paid before the stage is entered, so that a worker that dies in between has not
    /// written next to a zombie.
    ///
    /// - Parameter isLeased: Asked right before the marker is written: no stage fences that.
    func prepare(
        _ preparation: Preparation, isLeased: () -> Bool
    ) async -> Result<TargetFinding, SandboxError> {
        let target = preparation.target
        do throws(SandboxError) {
            let writer = try sandboxes.writer(for: target.url)
            let marker = try await writer.marker()
            let wanted = preparation.marker
            if let finding = try await finding(marker, for: target, wanted: wanted) {
                return .success(finding)
            }
            let isSynced = isSynced(target.url)
            var standing = marker
            if !target.isMarked, !(marker?.standsFor(wanted, isSynced: isSynced) ?? false) {
                guard isLeased() else { throw .leaseOver }
                standing = try await writer.mark(wanted)
            }
            if !target.debts.isEmpty || target.revokesOthers {
                let stages = target.debts.map {
                    StageName(incarnation: $0, generation: target.generation)
                }
                try await writer.revoke(
                    stages, others: target.revokesOthers, keeping: preparation.stage)
            }
            try await writer.enter(preparation.stage)
            return .success(.marked(as: standing?.mark))
        } catch {
            return .failure(error)
        }
    }

    /// Whether a target answers, and whether it is the one that was filled.
    func probe(
        _ target: AssignedTarget, wanted: SandboxMarker
    ) async -> Result<TargetFinding, SandboxError> {
        do throws(SandboxError) {
            let writer = try sandboxes.writer(for: target.url)
            let marker = try await writer.marker()
            if let finding = try await finding(marker, for: target, wanted: wanted) {
                return .success(finding)
            }
            if target.isTriedByWriting, target.isMarked { try await writer.tryWriting() }
            return .success(.well(as: marker?.mark(in: wanted)))
        } catch {
            return .failure(error)
        }
    }

    /// What is wrong with a sandbox, by its marker; the store is asked only about a strange one.
    private func finding(
        _ marker: SandboxMarker?, for target: AssignedTarget, wanted: SandboxMarker
    ) async throws(SandboxError) -> TargetFinding? {
        var former: [JournalID] = []
        if let marker, marker.journal != wanted.journal {
            do throws(StoreError) {
                former = try await store.identity().formerJournals
            } catch {
                throw SandboxError(.store, code: error.code.rawValue, error.message)
            }
        }
        return target.finding(
            marker, wanted: wanted, former: former,
            isSynced: isSynced(target.url))
    }

    private func isSynced(_ target: TargetURL) -> Bool {
        isLocalSynced || target.scheme != "local"
    }

    /// Carries out writes into one sandbox; returns when all have landed.
    func write(
        _ writes: SandboxWrites, isLeased: @escaping @Sendable () -> Bool,
        landed: @escaping @Sendable (Int, Result<Drift?, SandboxError>) -> Void
    ) async {
        let writer: any SandboxWriter
        do throws(SandboxError) {
            writer = try sandboxes.writer(for: writes.target)
        } catch {
            for place in writes.edits.indices { landed(place, .failure(error)) }
            return
        }
        await writer.apply(
            writes.edits, through: writes.stage, isLeased: isLeased, landed: landed)
    }
}
