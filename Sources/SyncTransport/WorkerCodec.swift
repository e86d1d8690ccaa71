package import SyncCore
package import ZeroMQ

/// Frames ↔ messages of the workers' socket, from worker to coordinator.
package enum WorkerCodec {
    /// Frames of a worker's message.
    package static func encode(_ message: WorkerMessage) -> Message {
        switch message {
        case .register(let registration):
            return head(.register) + [Body.encode(Body.Register(registration))]
                + registration.reports.map { ReportCodec.encode($0) }
        case .heartbeat(let stamp, let clock):
            return head(.heartbeat, stamp) + [Frame(clock.nanoseconds)]
        case .reports(let stamp, let reports):
            return head(.reports, stamp) + reports.map { ReportCodec.encode($0) }
        case .drain(let stamp): return head(.drain, stamp)
        case .leave(let stamp): return head(.leave, stamp)
        case .files(let stamp, let question, let files, let isLast):
            return head(.files, stamp) + QuestionCodec.encode(question)
                + [Frame(isLast ? "last" : "more")]
                + files.flatMap { [Frame($0.sequence.value), Frame($0.path.text)] }
        case .filesFailed(let stamp, let question, let failure):
            return head(.filesFailed, stamp) + QuestionCodec.encode(question)
                + [Body.encode(Body.Failure(failure))]
        }
    }

    private static func head(_ verb: Wire.FromWorker, _ stamp: WorkerStamp? = nil) -> Message {
        [Frame(Wire.version), Frame(verb.rawValue)] + (stamp.map { StampCodec.encode($0) } ?? [])
    }

    /// Decodes a worker's message.
    ///
    /// - Parameter frames: Without routing id.
    /// - Throws: What is wrong with it, for the log.
    package static func decode(_ frames: ArraySlice<Frame>) throws(Rejection) -> WorkerMessage {
        var reader = FrameReader(frames)
        guard try reader.text("protocol version") == Wire.version else {
            throw Rejection(.unsupportedVersion, "The worker speaks another version.")
        }
        guard let verb = Wire.FromWorker(rawValue: try reader.text("verb")) else {
            throw Rejection(.badRequest, "The verb is unknown on the workers' socket.")
        }
        if verb == .register { return try register(from: &reader) }
        let stamp = try StampCodec.decode(from: &reader)
        switch verb {
        case .register, .heartbeat:
            let clock = Instant(nanoseconds: try reader.clock())
            try reader.end()
            return .heartbeat(stamp, clock: clock)
        case .reports: return .reports(stamp, try reports(from: &reader))
        case .drain:
            try reader.end()
            return .drain(stamp)
        case .leave:
            try reader.end()
            return .leave(stamp)
        case .files: return try files(stamp, from: &reader)
        case .filesFailed:
            let question = try QuestionCodec.decode(from: &reader)
            guard let failure = try reader.json(Body.Failure.self, "failure").value else {
                throw Rejection(.badRequest, "The failure makes no sense.")
            }
            try reader.end()
            return .filesFailed(stamp, question, failure)
        }
    }

    private static func reports(
        from reader: inout FrameReader
    ) throws(Rejection) -> [NumberedReport] {
        var reports: [NumberedReport] = []
        reports.reserveCapacity(reader.count)
        while reader.count > 0 {
            guard let report = ReportCodec.decode(try reader.text("report")) else {
                throw Rejection(.badRequest, "A report makes no sense.")
            }
            reports.append(report)
        }
        return reports
    }

    private static func files(
        _ stamp: WorkerStamp, from reader: inout FrameReader
    ) throws(Rejection) -> WorkerMessage {
        let question = try QuestionCodec.decode(from: &reader)
        let mark = try reader.text("end mark")
        guard mark == "last" || mark == "more" else {
            throw Rejection(.badRequest, "The page's end mark is neither 'last' nor 'more'.")
        }
        var files: [ListedFile] = []
        while reader.count > 0 {
            let sequence = EditSequence(try reader.number("sequence"))
            guard let path = try? EditPath(try reader.text("path")) else {
                throw Rejection(.badRequest, "A listed path makes no sense.")
            }
            files.append(ListedFile(path: path, sequence: sequence))
        }
        return .files(stamp, question, files, isLast: mark == "last")
    }

    private static func register(from reader: inout FrameReader) throws(Rejection) -> WorkerMessage
    {
        let body = try reader.json(Body.Register.self, "registration")
        guard let registration = body.value(reports: try reports(from: &reader)) else {
            throw Rejection(.badRequest, "The registration makes no sense.")
        }
        return .register(registration)
    }
}

/// Four frames that name a page of a project's files: NUMBER PROJECT AFTER MAX.
enum QuestionCodec {
    static func encode(_ question: FilesQuestion) -> [Frame] {
        [
            Frame(question.number), Frame(question.project.text),
            Frame(question.after?.text ?? ""), Frame(UInt64(question.countMax)),
        ]
    }

    static func decode(from reader: inout FrameReader) throws(Rejection) -> FilesQuestion {
        let number = try reader.number("question")
        let project = try reader.project()
        let after = try reader.text("page's start")
        let countMax = Int(clamping: try reader.number("page size"))
        var start: EditPath?
        if !after.isEmpty {
            start = try? EditPath(after)
            if start == nil {
                throw Rejection(.badRequest, "The page's start is no path.")
            }
        }
        return FilesQuestion(
            number: number, project: project, after: start, countMax: countMax)
    }
}

/// Three frames that say who speaks.
enum StampCodec {
    static func encode(_ stamp: WorkerStamp) -> [Frame] {
        [
            Frame(stamp.epoch.description), Frame(stamp.incarnation.description),
            Frame(stamp.registration),
        ]
    }

    static func decode(from reader: inout FrameReader) throws(Rejection) -> WorkerStamp {
        guard let epoch = Epoch(try reader.text("epoch")),
            let incarnation = Incarnation(try reader.text("incarnation"))
        else { throw Rejection(.badRequest, "The stamp makes no sense.") }
        return WorkerStamp(
            epoch: epoch, incarnation: incarnation,
            registration: try reader.number("registration"))
    }
}

extension FrameReader {
    /// A clock reading: any 64-bit count of nanoseconds.
    mutating func clock() throws(Rejection) -> UInt64 {
        guard let value = UInt64(try text("clock")) else {
            throw Rejection(.badRequest, "The clock is no count of nanoseconds.")
        }
        return value
    }
}

extension Body.Register {
    init(_ registration: Registration) {
        self.init(
            label: registration.label.text, life: Hexadecimal.digits(of: registration.life),
            boot: registration.bootID, store: registration.store.id,
            storeJournal: registration.store.journal?.description,
            storeSequence: registration.store.highestSequence.value,
            root: registration.localRootID, schemes: registration.schemes,
            capacity: registration.capacity, previous: registration.previous?.description,
            registration: registration.registration,
            held: registration.held.map { Body.Held($0) },
            stuck: registration.stuck.isEmpty ? nil : registration.stuck.map { Body.Held($0) },
            clock: registration.clock.nanoseconds)
    }

    func value(reports: [NumberedReport]) -> Registration? {
        guard let label = Name(label), let life = Hexadecimal.value(of: life),
            storeJournal == nil || storeJournal.flatMap({ JournalID($0) }) != nil,
            previous == nil || previous.flatMap({ Incarnation($0) }) != nil
        else { return nil }
        let kept = held.compactMap(\.value)
        let keptStuck = (stuck ?? []).compactMap(\.value)
        // One that is left out would count as given back, while the worker still has it.
        guard kept.count == held.count, keptStuck.count == stuck?.count ?? 0 else { return nil }
        return Registration(
            label: label, life: life, bootID: boot,
            store: StoreIdentity(
                id: store, journal: storeJournal.flatMap { JournalID($0) },
                highestSequence: EditSequence(storeSequence)),
            localRootID: root, schemes: schemes, capacity: capacity,
            previous: previous.flatMap { Incarnation($0) }, registration: registration,
            held: kept, stuck: keptStuck, reports: reports,
            clock: Instant(nanoseconds: clock))
    }
}

extension Body.Held {
    init(_ held: Registration.Held) {
        self.init(
            assignment: held.assignment.description, project: held.file.project.text,
            path: held.file.path.text, sequence: held.sequence.value,
            targets: held.targets.map(\.text), refresh: held.isRefresh ? true : nil)
    }

    var value: Registration.Held? {
        guard let assignment = AssignmentID(assignment), let project = Name(project),
            let path = try? EditPath(path)
        else { return nil }
        let urls = targets.compactMap { TargetURL($0) }
        guard urls.count == targets.count else { return nil }
        return Registration.Held(
            assignment: assignment, file: FileKey(project: project, path: path),
            sequence: EditSequence(sequence), targets: urls, isRefresh: refresh ?? false)
    }
}
