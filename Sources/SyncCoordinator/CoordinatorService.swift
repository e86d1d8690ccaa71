package import Logging
import ServiceLifecycle
package import SyncCore
import SyncTransport
import ZeroMQ

/// A coordinator as a service: recovers from the journal, serves until it is told to stop.
package struct CoordinatorService: Service {
    private let configuration: CoordinatorConfiguration
    private let journal: any Journal
    private let heldSince: ContinuousClock.Instant
    private let epoch: Epoch
    private let logger: Logger
    private let onBound: @Sendable (BoundEndpoints) -> Void

    /// Describes a service.
    ///
    /// - Parameters:
    ///   - journal: Open and held by this process.
    ///   - heldSince: When it was held already: from then on no other coordinator granted a lease.
    ///   - epoch: 64 fresh random bits.
    ///   - onBound: Told once the sockets are bound.
    package init(
        _ configuration: CoordinatorConfiguration, journal: any Journal,
        heldSince: ContinuousClock.Instant = .now, epoch: Epoch, logger: Logger,
        onBound: @escaping @Sendable (BoundEndpoints) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.journal = journal
        self.heldSince = heldSince
        self.epoch = epoch
        self.logger = logger
        self.onBound = onBound
    }

    /// Serves until graceful shutdown; throws when the journal is lost.
    package func run() async throws {
        let clock = ProcessClock(from: heldSince)
        let snapshot = try await journal.snapshot()
        let settings = configuration.settings
        let machine = try CoordinatorMachine(
            settings: settings, snapshot: snapshot, epoch: epoch,
            at: settings.recoveryStart(heldSince: clock.instant(heldSince), at: clock.now))
        tellRecovery(from: snapshot)
        let (commits, commitsIn) = AsyncStream<JournalTransaction>.makeStream()
        let (reads, readsIn) = AsyncStream<Coordinator.ReadJob>.makeStream()
        let (tellings, tellingsIn) = AsyncStream<StatusDesk.Telling>.makeStream()
        let (questions, questionsIn) = AsyncStream<[MarkQuestion]>.makeStream()
        let (halts, haltsIn) = AsyncStream<String>.makeStream()
        let context = try Context()
        let loop = try SocketLoop(name: "coordinator", context: context)
        let statusLoop = try SocketLoop(name: "status", context: context)
        let gauge = StatusGauge()
        let coordinator = Coordinator(
            machine: machine, on: loop, clock: clock,
            outlets: Coordinator.Outlets(
                commits: commitsIn, reads: readsIn, tellings: tellingsIn, halts: haltsIn),
            status: gauge, logger: logger)
        let desk = StatusDesk(
            on: statusLoop, gauge: gauge, clock: clock, questions: questionsIn, logger: logger)
        // Of its own, as it goes on until all is told that the coordinator's loop handed over.
        let teller = Task {
            for await telling in tellings { await desk.tell(telling) }
        }
        func stop() async {
            await loop.stop()
            tellingsIn.finish()
            await teller.value
            await statusLoop.stop()
            end(context)
        }
        do {
            let bound = try await open(coordinator, desk)
            onBound(bound)
            try await serve(
                coordinator, commits: commits, reads: reads, questions: questions, halts: halts)
        } catch {
            await stop()
            throw error
        }
        await stop()
        await journal.close()
    }

    private func open(
        _ coordinator: Coordinator, _ desk: StatusDesk
    ) async throws -> BoundEndpoints {
        let shares = ConnectionShares(of: configuration.connectionsMax)
        let bound = try await coordinator.open(configuration, shares)
        let status = try await desk.open(configuration.status, connectionsMax: shares.status)
        logger.info(
            "listening",
            metadata: [
                "intake": "\(bound.intake)", "workers": "\(bound.workers)", "status": "\(status)",
            ])
        return BoundEndpoints(intake: bound.intake, workers: bound.workers, status: status)
    }

    private func tellRecovery(from snapshot: JournalSnapshot) {
        logger.info(
            "recovered",
            metadata: [
                "pending": .stringConvertible(snapshot.rows.count),
                "sequence": .stringConvertible(snapshot.header.lastSequence.value),
                "event": .stringConvertible(snapshot.header.lastEvent),
                "awaited": .stringConvertible(snapshot.incarnations.count), "epoch": "\(epoch)",
            ])
    }

    private func end(_ context: Context) {
        context.shutdown()
        if !context.terminate(within: .seconds(5)) {
            logger.warning("the messaging library did not end within 5 s; going on without it")
        }
    }

    private func serve(
        _ coordinator: Coordinator, commits: AsyncStream<JournalTransaction>,
        reads: AsyncStream<Coordinator.ReadJob>, questions: AsyncStream<[MarkQuestion]>,
        halts: AsyncStream<String>
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                // One turn at a time: the machine sends the next when this one has come back.
                for await transaction in commits {
                    let start = ContinuousClock.now
                    let error = await commit(transaction)
                    await coordinator.committed(error, after: .now - start)
                }
            }
            group.addTask {
                for await job in reads { await read(job, for: coordinator) }
            }
            group.addTask {
                for await asked in questions { await coordinator.answer(asked) }
            }
            group.addTask {
                for await reason in halts { throw JournalError(.fatal, reason) }
            }
            group.addTask { try await gracefulShutdown() }
            // Whoever is first decides: a shutdown returns, a halt throws.
            defer { group.cancelAll() }
            _ = try await group.next()
        }
    }

    private func commit(_ transaction: JournalTransaction) async -> JournalError? {
        do throws(JournalError) {
            try await journal.commit(transaction)
            return nil
        } catch {
            return error
        }
    }

    private func read(_ job: Coordinator.ReadJob, for coordinator: Coordinator) async {
        switch job {
        case .contents(let sequences):
            var contents: [EditSequence: Content]?
            do throws(JournalError) {
                contents = try await journal.contents(of: sequences)
            } catch {
                logger.error("\(error.message)", metadata: ["code": "\(error.code)"])
            }
            await coordinator.loaded(sequences, contents)
        case .events(let query):
            var segments: [JournalSegment]?
            do throws(JournalError) {
                segments = try await journal.events(from: query.from, bytesMax: 1 << 18)
            } catch {
                logger.error("\(error.message)", metadata: ["code": "\(error.code)"])
            }
            await coordinator.eventsRead(query, segments)
        }
    }
}
