import SyncCore
import SyncTestKit
import SyncTransport

/// Draws messages of every kind: the same ones for the same seed.
struct Sample {
    var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    mutating func index(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    mutating func flag() -> Bool { Bool.random(using: &random) }

    mutating func one<T>(of choices: [T]) -> T { choices[index(choices.count)] }

    mutating func many<T>(_ countMax: Int, _ draw: (inout Sample) -> T) -> [T] {
        var drawn: [T] = []
        for _ in 0..<index(countMax + 1) { drawn.append(draw(&self)) }
        return drawn
    }

    mutating func maybe<T>(_ draw: (inout Sample) -> T) -> T? { flag() ? draw(&self) : nil }

    mutating func bits() -> UInt64 { random.next() }

    /// 0 and the largest one come often.
    mutating func number() -> UInt64 {
        switch index(4) {
        case 0: one(of: [0, 1, countMax])
        case 1: UInt64(index(1_000))
        default: bits() & countMax
        }
    }

    mutating func name() -> Name {
        let text = one(of: ["p1", "-", "_a.b-c", "A0"]) + String(index(100))
        return MachineCluster.name(text)
    }

    mutating func path() -> EditPath {
        MachineCluster.path(
            one(of: [
                "a", "src/App.tsx", "d/é/ü.txt", "日本/語", "with space/'\"\\", "…/🙂", ".hidden/x",
            ]) + String(index(1_000)))
    }

    /// Anything that a person may write, on one line.
    mutating func sentence() -> String {
        one(of: [
            "disk full", "it's \"quoted\" \\ slashed", "größer als 5 %", "a/b <c>", "🙂", "x=1;y=2",
        ])
    }

    mutating func producer() -> ProducerID { ProducerID(name: name(), life: bits()) }

    mutating func editID() -> EditID { EditID(producer: producer(), number: number()) }

    mutating func target() -> TargetURL {
        guard let url = TargetURL("\(one(of: TargetURL.schemes)):\(name())") else {
            preconditionFailure("a target of a known scheme and a valid name")
        }
        return url
    }

    mutating func content() -> Content {
        var bytes: [UInt8] = []
        for _ in 0..<index(40) { bytes.append(UInt8.random(in: 0...255, using: &random)) }
        return Content(bytes)
    }

    mutating func change() -> FileChange {
        index(4) == 0 ? .delete : .put(content(), isExecutable: flag())
    }

    mutating func edit() -> Edit {
        Edit(
            path: path(), change: change(), targets: many(3) { $0.target() },
            expectedVersion: maybe { Version($0.number()) }, wantsEnd: flag())
    }

    mutating func milliseconds() -> Duration { .milliseconds(index(100_000)) }

    mutating func rejection() -> Rejection {
        Rejection(
            one(of: RejectionCode.allCases), sentence(), retryAfter: maybe { $0.milliseconds() },
            by: maybe { EditSequence($0.number()) })
    }

    mutating func end() -> EditEnd {
        switch index(4) {
        case 0: EditEnd(kind: .synced, value: number())
        case 1: EditEnd(kind: .superseded, value: number())
        case 2: EditEnd(kind: .failed, value: 0, code: one(of: ["EACCES", "conflict"]))
        default: EditEnd(kind: .discarded, value: 0)
        }
    }

    mutating func answer() -> EditAnswer {
        let result: Result<Acceptance, Rejection> =
            flag()
            ? .success(Acceptance(sequence: EditSequence(number()), end: maybe { $0.end() }))
            : .failure(rejection())
        return EditAnswer(number: number(), result: result)
    }

    mutating func file() -> FileStatus {
        FileStatus(
            path: path(), state: one(of: ["waiting", "parked", "failed"]),
            sequence: EditSequence(number()), open: maybe { EditSequence($0.number()) },
            attempts: index(5), worker: maybe { $0.name() }, dueMilliseconds: maybe { $0.number() },
            code: flag() ? "" : "EIO", reason: flag() ? "" : sentence(),
            acceptedAt: Timestamp(milliseconds: number()))
    }

    mutating func event() -> StatusEvent {
        StatusEvent(
            one(of: EventKind.allCases), project: name(), path: maybe { $0.path() },
            sequence: EditSequence(number()), id: maybe { $0.editID() },
            version: Version(number()), by: EditSequence(number()), attempts: index(5),
            delayMilliseconds: number(), target: maybe { $0.target() }, code: flag() ? "" : "EIO",
            reason: flag() ? "" : sentence(), time: Timestamp(milliseconds: number()),
            number: number(), projectNumber: number())
    }

    mutating func counts() -> QueueReport.Counts {
        var counts = QueueReport.Counts()
        counts.waiting = index(1_000)
        counts.blocked = index(1_000)
        counts.retrying = index(1_000)
        counts.parked = index(1_000)
        counts.inHand = index(1_000)
        counts.failed = index(1_000)
        counts.refreshing = index(1_000)
        return counts
    }

    mutating func report() -> QueueReport {
        var report = QueueReport(
            epoch: Epoch(bits: bits()), sequence: EditSequence(number()), eventNumber: number(),
            isRecovering: flag(), counts: counts(), pendingBytes: index(1 << 40),
            memoryBytes: index(1 << 30),
            projects: many(3) { sample in
                QueueReport.Project(
                    name: sample.name(), counts: sample.counts(), eventNumber: sample.number(),
                    targets: sample.many(3) { sample in
                        QueueReport.Target(
                            url: sample.target(), state: sample.one(of: ["well", "away"]),
                            reason: sample.flag() ? "" : sample.sentence())
                    })
            },
            workers: many(3) { sample in
                QueueReport.Worker(
                    label: sample.name(), incarnation: sample.incarnation(), state: "live",
                    inHand: sample.index(300))
            },
            files: many(3) { $0.file() }, next: maybe { $0.path().text })
        report.contentBytesMax = maybe { $0.index(1 << 30) }
        report.connections = maybe { sample in
            QueueReport.Connections(
                intake: sample.index(4_096), workers: sample.index(300),
                status: sample.index(300), refused: sample.index(1_000))
        }
        return report
    }

    // MARK: Clients

    mutating func request(_ verb: Wire.Request) -> ClientRequest {
        switch verb {
        case .edit:
            let items = (0...index(4)).map { _ in
                EditItem(number: number(), edit: .success(edit()))
            }
            return .edits(project: name(), producer: producer(), items)
        case .wait: return .wait(project: name(), editID())
        case .queue:
            return .queue(
                project: maybe { $0.name() }, prefix: flag() ? "" : path().text,
                after: flag() ? "" : path().text, countMax: index(2_000))
        case .flush: return .flush(project: name(), prefix: flag() ? "" : path().text)
        case .replay:
            return .replay(
                from: number(), project: maybe { $0.name() }, countMax: index(2_000))
        case .snapshot:
            return .snapshot(
                project: name(), prefix: flag() ? "" : path().text, after: maybe { $0.path() },
                countMax: index(2_000))
        case .failed:
            return .failed(
                FailedQuery(
                    project: maybe { $0.name() }, prefix: flag() ? "" : path().text,
                    after: flag() ? "" : "\(name())/\(path())", countMax: 1 + index(1_000)))
        case .retry: return .order(order(.retry))
        case .discard: return .order(order(.discard))
        case .project:
            return .project(
                name(),
                one(of: [.show, .attach([target()]), .detach([target()]), .hydrate([])]))
        case .died: return .died(life: bits(), isKilled: flag())
        }
    }

    mutating func reply(_ verb: Wire.Reply) -> ClientReply {
        switch verb {
        case .answer: .edits(many(4) { $0.answer() })
        case .end: .end(editID(), sequence: EditSequence(number()), end())
        case .queue: .queue(report())
        case .flushed: .flushed(through: EditSequence(number()))
        case .blocked: .blocked(many(3) { $0.file() }, count: index(1_000))
        case .events: .events(many(4) { $0.event() }, next: number(), last: number())
        case .gap: .gap(first: number(), last: number())
        case .snapshot:
            .snapshot(
                many(3) { $0.file() }, number: number(), projectNumber: number(),
                next: maybe { $0.path() })
        case .failed: .failed(many(3) { $0.failedEntry() }, next: maybe { $0.path().text })
        case .ordered: .ordered(many(4) { $0.one(of: FailedResult.allCases) })
        case .project:
            .project(
                QueueReport.Project(
                    name: name(), counts: counts(), eventNumber: number(),
                    targets: many(3) { sample in
                        QueueReport.Target(
                            url: sample.target(), state: "well", reason: sample.sentence())
                    }), sentence: sentence())
        case .done: .done
        case .rejected: .rejected(rejection())
        }
    }

    private mutating func order(_ action: FailedAction) -> FailedOrder {
        FailedOrder(
            action: action, project: name(), by: name(),
            items: (0...index(4)).map { _ in
                FailedOrder.Item(path: path(), sequence: EditSequence(number()))
            })
    }

    private mutating func failedEntry() -> FailedEntry {
        FailedEntry(
            file: FileKey(project: name(), path: path()), sequence: EditSequence(number()),
            id: editID(), isDelete: flag(), byteCount: index(1_000),
            acceptedAt: Timestamp(milliseconds: number()),
            failure: FailureRecord(
                code: "EIO", reason: sentence(), attempts: 1 + index(4),
                failedAt: Timestamp(milliseconds: number())))
    }
}
