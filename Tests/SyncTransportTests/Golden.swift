import SyncCore
import SyncTestKit
import SyncTransport

/// The messages behind the article's golden frames.
enum Golden {
    private static let project = MachineCluster.project
    private static let app = MachineCluster.path("src/App.tsx")
    private static let old = MachineCluster.path("old.txt")
    private static let producer = ProducerID(
        name: MachineCluster.name("editor"), life: 0x0123_4567_89ab_cdef)
    private static let worker = MachineCluster.name("w0")
    private static let target = TargetURL(defaultOf: project)
    private static let epoch = Epoch(bits: 0xe1)
    private static let incarnation = Incarnation(epoch: epoch, count: 3)
    private static let stamp = WorkerStamp(
        epoch: epoch, incarnation: incarnation, registration: 2)
    private static let clock = Instant(nanoseconds: 5_000_000_000)
    private static let time = Timestamp(milliseconds: 1_700_000_000_000)
    private static let journal = JournalID(bits: 0xcc)
    private static let question = FilesQuestion(
        number: 7, project: project, after: MachineCluster.path("a.txt"), countMax: 1_000)
    private static let failure = "the disk answered with an error"

    private static func assignment(_ serial: UInt64) -> AssignmentID {
        AssignmentID(epoch: epoch, serial: serial)
    }

    private static func text(_ text: String) -> Content { Content(Array(text.utf8)) }

    // MARK: Clients

    static let requests: [(String, String, ClientRequest)] = [
        (
            "edit", "12",
            .edits(
                project: project, producer: producer,
                [
                    item(
                        7, Edit(path: app, change: .put(text("export {}\n"), isExecutable: false))),
                    item(
                        8,
                        Edit(
                            path: MachineCluster.path("bin/run"),
                            change: .put(text("#!/bin/sh\n"), isExecutable: true),
                            targets: [target], expectedVersion: Version(2), wantsEnd: true)),
                    item(9, Edit(path: old, change: .delete)),
                ])
        ),
        ("wait", "13", .wait(project: project, EditID(producer: producer, number: 7))),
        ("queue", "14", .queue(project: project, prefix: "src", after: "", countMax: 100)),
        ("flush", "15", .flush(project: project, prefix: "src")),
        ("replay", "16", .replay(from: 10, project: project, countMax: 1_000)),
        ("snapshot", "17", .snapshot(project: project, prefix: "src", after: app, countMax: 1_000)),
        (
            "failed", "19",
            .failed(FailedQuery(project: project, prefix: "src", after: "p1/a.txt"))
        ),
        ("retry", "20", .order(order(.retry))),
        ("discard", "21", .order(order(.discard))),
        ("project", "22", .project(project, .detach([target]))),
        ("died", "18", .died(life: 0xaa, isKilled: true)),
    ]

    private static func order(_ action: FailedAction) -> FailedOrder {
        FailedOrder(
            action: action, project: project, by: MachineCluster.name("alice"),
            items: [FailedOrder.Item(path: app, sequence: EditSequence(41))])
    }

    private static func item(_ number: UInt64, _ edit: Edit) -> EditItem {
        EditItem(number: number, edit: .success(edit))
    }

    private static let file = FileStatus(
        path: app, state: "retrying", sequence: EditSequence(41), open: EditSequence(40),
        attempts: 2, worker: worker, dueMilliseconds: 1_500, code: "EIO", reason: failure,
        acceptedAt: time)

    static let event = StatusEvent(
        .synced, project: project, path: app, sequence: EditSequence(41),
        id: EditID(producer: producer, number: 7), version: Version(3), time: time, number: 9,
        projectNumber: 5)

    private static let counts = {
        var counts = QueueReport.Counts()
        counts.waiting = 1
        counts.inHand = 1
        return counts
    }()

    private static let report = QueueReport(
        epoch: epoch, sequence: EditSequence(41), eventNumber: 9, isRecovering: false,
        counts: counts, pendingBytes: 10, memoryBytes: 10,
        projects: [
            QueueReport.Project(
                name: project, counts: counts, eventNumber: 5,
                targets: [QueueReport.Target(url: target, state: "well", reason: "")])
        ],
        workers: [
            QueueReport.Worker(label: worker, incarnation: incarnation, state: "live", inHand: 1)
        ],
        files: [file], next: app.text)

    static let replies: [(String, String, ClientReply)] = [
        (
            "answer", "12",
            .edits([
                EditAnswer(
                    number: 7,
                    result: .success(Acceptance(sequence: EditSequence(41), end: nil))),
                EditAnswer(
                    number: 8,
                    result: .failure(
                        Rejection(.busy, "Come again.", retryAfter: .milliseconds(200)))),
                EditAnswer(
                    number: 9,
                    result: .success(
                        Acceptance(
                            sequence: EditSequence(40), end: EditEnd(kind: .superseded, value: 41)))
                ),
            ])
        ),
        (
            "end", "13",
            .end(
                EditID(producer: producer, number: 7), sequence: EditSequence(41),
                EditEnd(kind: .synced, value: 3))
        ),
        ("queue-reply", "14", .queue(report)),
        ("flushed", "15", .flushed(through: EditSequence(41))),
        ("blocked", "15", .blocked([file], count: 1)),
        ("events", "16", .events([event], next: 10, last: 9)),
        ("gap", "16", .gap(first: 5, last: 9)),
        ("snapshot-reply", "17", .snapshot([file], number: 9, projectNumber: 5, next: app)),
        (
            "failed-reply", "19",
            .failed(
                [
                    FailedEntry(
                        file: FileKey(project: project, path: app), sequence: EditSequence(41),
                        id: EditID(producer: producer, number: 7), isDelete: false, byteCount: 10,
                        acceptedAt: time,
                        failure: FailureRecord(
                            code: "EIO", reason: failure, attempts: 4, failedAt: time))
                ], next: "p1/src/App.tsx")
        ),
        ("ordered", "20", .ordered([.done, .newer, .gone])),
        (
            "project-reply", "22",
            .project(
                QueueReport.Project(
                    name: project, counts: counts, eventNumber: 5,
                    targets: [QueueReport.Target(url: target, state: "detached", reason: "")]),
                sentence: "Detached local:p1.")
        ),
        ("done", "18", .done),
        (
            "rejected", "12",
            .rejected(Rejection(.badRequest, "The message ends before its project."))
        ),
    ]

    // MARK: Workers

    private static let registration = Registration(
        label: worker, life: 0xaa, bootID: "boot-1",
        store: StoreIdentity(
            id: "store-1", journal: journal, highestSequence: EditSequence(40)),
        localRootID: "root-1", schemes: ["local"], capacity: 256, previous: incarnation,
        registration: 2,
        held: [
            Registration.Held(
                assignment: assignment(8), file: FileKey(project: project, path: app),
                sequence: EditSequence(41), targets: [target])
        ],
        reports: [
            NumberedReport(
                number: 4,
                report: .outcome(
                    Outcome(
                        assignment: assignment(7), store: .stored(Version(2)),
                        targets: [target: .visible])))
        ], clock: clock)

    static let fromWorkers: [(String, WorkerMessage)] = [
        ("register", .register(registration)),
        ("heartbeat", .heartbeat(stamp, clock: clock)),
        (
            "reports",
            .reports(
                stamp,
                [
                    NumberedReport(
                        number: 5,
                        report: .outcome(
                            Outcome(
                                assignment: assignment(8), store: .stored(Version(3)),
                                targets: [
                                    target: .failed(
                                        Failure(.attempt, code: "EIO", message: failure))
                                ]))),
                    NumberedReport(
                        number: 6,
                        report: .target(
                            TargetReport(url: target, generation: 1, finding: .revoked([debt])))),
                ])
        ),
        ("drain", .drain(stamp)),
        ("leave", .leave(stamp)),
        (
            "files",
            .files(
                stamp, question,
                [ListedFile(path: app, sequence: EditSequence(41))], isLast: true)
        ),
        (
            "files-failed",
            .filesFailed(
                stamp, question,
                Failure(.store, code: "unavailable", message: "The store does not answer."))
        ),
    ]

    private static let debt = Incarnation(epoch: Epoch(bits: 0xe0), count: 1)

    private static let assigned = AssignedTarget(
        url: target, project: project, generation: 1, isMarked: true, revokesOthers: false,
        debts: [debt])

    private static let edit = SequencedEdit(
        sequence: EditSequence(41), file: FileKey(project: project, path: app),
        change: .put(text("export {}\n"), isExecutable: false), expectedVersion: nil,
        id: EditID(producer: producer, number: 7), acceptedAt: time)

    static let toWorkers: [(String, CoordinatorMessage)] = [
        (
            "welcome",
            .welcome(
                Welcome(
                    stamp: stamp, journal: journal, isAdopted: false,
                    lease: .milliseconds(2_500), clock: clock, isKept: true))
        ),
        (
            "refused",
            .refused(code: "store-differs", sentence: "Give every worker the same --store.")
        ),
        (
            "replaced",
            .replaced(sentence: "Another worker process registered with this label.")
        ),
        ("register-again", .registerAgain(epoch)),
        ("grant", .grant(stamp, lease: .milliseconds(2_500), clock: clock)),
        (
            "assign",
            .assign(
                stamp,
                [
                    Assignment(
                        id: assignment(8), attempt: 1, task: .edit(edit), targets: [assigned]),
                    Assignment(
                        id: assignment(9), attempt: 1,
                        task: .refresh(
                            FileKey(project: project, path: old), EditSequence(40)),
                        targets: [assigned]),
                ])
        ),
        ("ack", .acknowledge(stamp, [4, 5])),
        ("probe", .probe(stamp, assigned)),
        ("list", .list(stamp, question)),
        ("left", .left(stamp)),
    ]
}
