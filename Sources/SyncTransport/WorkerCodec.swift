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
        case .files(let stamp, let project, let after, let files, let isLast):
            return head(.files, stamp)
                + [
                    Frame(project.text), Frame(after?.text ?? ""), Frame(isLast ? "last" : "more"),
                ] + files.flatMap { [Frame($0.sequence.value), Frame($0.path.text)] }
        case .filesFailed(let stamp, let project, let failure):
            return head(.filesFailed, stamp)
                + [Frame(project.text), Body.encode(Body.Failure(failure))]
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
            return .heartbeat(stamp, clock: Instant(nanoseconds: try reader.clock()))
        case .reports: return .reports(stamp, try reports(from: &reader))
        case .drain: return .drain(stamp)
        case .leave: return .leave(stamp)
        case .files: return try files(stamp, from: &reader)
        case .filesFailed:
            let project = try reader.project()
            guard let failure = try reader.json(Body.Failure.self, "failure").value else {
                throw Rejection(.badRequest, "The failure makes no sense.")
            }
            return .filesFailed(stamp, project: project, failure)
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
        let project = try reader.project()
        let after = try reader.text("page's start")
        let isLast = try reader.text("end mark") == "last"
        var files: [ListedFile] = []
        while reader.count > 0 {
            let sequence = EditSequence(try reader.number("sequence"))
            guard let path = try? EditPath(try reader.text("path")) else {
                throw Rejection(.badRequest, "A listed path makes no sense.")
            }
            files.append(ListedFile(path: path, sequence: sequence))
        }
        return .files(
            stamp, project: project, after: after.isEmpty ? nil : try? EditPath(after), files,
            isLast: isLast)
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
            held: registration.held.map {
                Body.Held(
                    assignment: $0.assignment.description, project: $0.file.project.text,
                    path: $0.file.path.text, sequence: $0.sequence.value,
                    targets: $0.targets.map(\.text))
            },
            clock: registration.clock.nanoseconds)
    }

    func value(reports: [NumberedReport]) -> Registration? {
        guard let label = Name(label), let life = Hexadecimal.value(of: life),
            storeJournal == nil || storeJournal.flatMap({ JournalID($0) }) != nil,
            previous == nil || previous.flatMap({ Incarnation($0) }) != nil
        else { return nil }
        return Registration(
            label: label, life: life, bootID: boot,
            store: StoreIdentity(
                id: store, journal: storeJournal.flatMap { JournalID($0) },
                highestSequence: EditSequence(storeSequence)),
            localRootID: root, schemes: schemes, capacity: capacity,
            previous: previous.flatMap { Incarnation($0) }, registration: registration,
            held: held.compactMap(\.value), reports: reports, clock: Instant(nanoseconds: clock))
    }
}

extension Body.Held {
    var value: Registration.Held? {
        guard let assignment = AssignmentID(assignment), let project = Name(project),
            let path = try? EditPath(path)
        else { return nil }
        return Registration.Held(
            assignment: assignment, file: FileKey(project: project, path: path),
            sequence: EditSequence(sequence), targets: targets.compactMap { TargetURL($0) })
    }
}
