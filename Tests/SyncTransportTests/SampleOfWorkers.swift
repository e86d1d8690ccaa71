import SyncCore
import SyncTestKit
import SyncTransport

extension Sample {
    mutating func incarnation() -> Incarnation {
        Incarnation(epoch: Epoch(bits: bits()), count: number())
    }

    mutating func stamp() -> WorkerStamp {
        WorkerStamp(
            epoch: Epoch(bits: bits()), incarnation: incarnation(), registration: number())
    }

    mutating func assignmentID() -> AssignmentID {
        AssignmentID(epoch: Epoch(bits: bits()), serial: number())
    }

    mutating func failure() -> Failure {
        Failure(
            one(of: FailureClass.allCases), code: one(of: ["EIO", "http-502"]),
            message: sentence(), retryAfter: maybe { $0.milliseconds() })
    }

    mutating func storeResult() -> StoreResult {
        switch index(6) {
        case 0: .stored(Version(number()))
        case 1: .stale(by: EditSequence(number()))
        case 2: .conflict(current: Version(number()))
        case 3: .refused(reason: sentence())
        case 4: .failed(failure())
        default: .returned(failure())
        }
    }

    mutating func finding() -> TargetFinding {
        switch index(10) {
        case 0: .marked(as: maybe { $0.sentence() })
        case 1: .revoked(many(3) { $0.incarnation() })
        case 2: .othersRevoked
        case 3: .settled(path())
        case 4: .blank
        case 5: .rolledBack
        case 6: .rebooted
        case 7: .taken(by: sentence())
        case 8: .well(as: maybe { $0.sentence() })
        default: .failed(failure())
        }
    }

    mutating func numberedReport() -> NumberedReport {
        if flag() {
            let report = TargetReport(url: target(), generation: number(), finding: finding())
            return NumberedReport(number: number(), report: .target(report))
        }
        var targets: [TargetURL: TargetResult] = [:]
        for _ in 0..<index(4) {
            let results: [TargetResult] = [.visible, .stuck, .failed(failure())]
            targets[target()] = one(of: results)
        }
        var drifts: [TargetURL: Drift] = [:]
        for (url, result) in targets where result == .visible && flag() {
            drifts[url] = one(of: Drift.allCases)
        }
        let outcome = Outcome(
            assignment: assignmentID(), store: storeResult(), targets: targets, drifts: drifts)
        return NumberedReport(number: number(), report: .outcome(outcome))
    }

    mutating func held() -> Registration.Held {
        Registration.Held(
            assignment: assignmentID(), file: FileKey(project: name(), path: path()),
            sequence: EditSequence(number()), targets: many(2) { $0.target() },
            isRefresh: flag())
    }

    mutating func registration() -> Registration {
        Registration(
            label: name(), life: bits(), bootID: sentence(),
            store: StoreIdentity(
                id: sentence(), journal: maybe { JournalID(bits: $0.bits()) },
                highestSequence: EditSequence(number())),
            localRootID: maybe { $0.sentence() },
            schemes: many(2) { $0.one(of: ["local", "e2b"]) },
            capacity: index(1_000), previous: maybe { $0.incarnation() }, registration: number(),
            held: many(3) { $0.held() }, stuck: many(2) { $0.held() },
            reports: many(3) { $0.numberedReport() }, clock: Instant(nanoseconds: bits()))
    }

    mutating func message(_ verb: Wire.FromWorker) -> WorkerMessage {
        switch verb {
        case .register: .register(registration())
        case .heartbeat: .heartbeat(stamp(), clock: Instant(nanoseconds: bits()))
        case .reports: .reports(stamp(), many(4) { $0.numberedReport() })
        case .drain: .drain(stamp())
        case .leave: .leave(stamp())
        case .files:
            .files(
                stamp(), question(),
                many(4) { ListedFile(path: $0.path(), sequence: EditSequence($0.number())) },
                isLast: flag())
        case .filesFailed: .filesFailed(stamp(), question(), failure())
        }
    }

    mutating func assignedTarget() -> AssignedTarget {
        var target = AssignedTarget(
            url: target(), project: name(), generation: number(), isMarked: flag(),
            revokesOthers: flag(), debts: many(2) { $0.incarnation() })
        target.isTriedByWriting = flag()
        target.isBeingFilled = flag()
        return target
    }

    mutating func assignment() -> Assignment {
        let file = FileKey(project: name(), path: path())
        let task: Assignment.Task =
            index(3) == 0
            ? .refresh(file, EditSequence(number()))
            : .edit(
                SequencedEdit(
                    sequence: EditSequence(number()), file: file, change: change(),
                    expectedVersion: maybe { Version($0.number()) }, id: editID(),
                    acceptedAt: Timestamp(milliseconds: number())))
        return Assignment(
            id: assignmentID(), attempt: 1 + index(4), task: task,
            targets: many(3) { $0.assignedTarget() })
    }

    mutating func message(_ verb: Wire.ToWorker) -> CoordinatorMessage {
        switch verb {
        case .welcome:
            .welcome(
                Welcome(
                    stamp: stamp(), journal: JournalID(bits: bits()), isAdopted: flag(),
                    lease: milliseconds(), clock: Instant(nanoseconds: bits()), isKept: flag()))
        case .refused: .refused(code: "store-differs", sentence: sentence())
        case .replaced: .replaced(sentence: sentence())
        case .registerAgain: .registerAgain(Epoch(bits: bits()))
        case .grant:
            .grant(stamp(), lease: milliseconds(), clock: Instant(nanoseconds: bits()))
        case .assign: .assign(stamp(), many(4) { $0.assignment() })
        case .acknowledge: .acknowledge(stamp(), many(5) { $0.number() })
        case .probe: .probe(stamp(), assignedTarget())
        case .list: .list(stamp(), question())
        case .left: .left(stamp())
        }
    }

    private mutating func question() -> FilesQuestion {
        FilesQuestion(
            number: number(), project: name(), after: maybe { $0.path() }, countMax: index(2_000))
    }
}
