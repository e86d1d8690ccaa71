package import SyncCore
package import ZeroMQ

/// Frames ↔ messages of the workers' socket, from coordinator to worker.
package enum CoordinatorCodec {
    /// Frames of a coordinator's message.
    ///
    /// - Parameter tables: Those of a connection's former messages.
    package static func encode(
        _ message: CoordinatorMessage, with tables: TargetTables = TargetTables()
    ) -> Message {
        func head(_ verb: Wire.ToWorker, _ stamp: WorkerStamp? = nil) -> Message {
            [Frame(Wire.version), Frame(verb.rawValue)]
                + (stamp.map { StampCodec.encode($0) } ?? [])
        }
        switch message {
        case .welcome(let welcome):
            let body = Body.Welcome(
                journal: welcome.journal.description, adopted: welcome.isAdopted,
                leaseMs: welcome.lease.wholeMilliseconds, clock: welcome.clock.nanoseconds,
                kept: welcome.isKept)
            return head(.welcome, welcome.stamp) + [Body.encode(body)]
        case .refused(let code, let sentence):
            return head(.refused) + [Frame(code), Frame(sentence)]
        case .replaced(let sentence): return head(.replaced) + [Frame(sentence)]
        case .registerAgain(let epoch):
            return head(.registerAgain) + [Frame(epoch.description)]
        case .grant(let stamp, let lease, let clock):
            return head(.grant, stamp)
                + [Frame(lease.wholeMilliseconds), Frame(clock.nanoseconds)]
        case .assign(let stamp, let assignments):
            return head(.assign, stamp) + AssignmentCodec.encode(assignments, with: tables)
        case .acknowledge(let stamp, let numbers):
            return head(.acknowledge, stamp) + numbers.map { Frame($0) }
        case .probe(let stamp, let target):
            return head(.probe, stamp) + [Body.encode(Body.Target(target))]
        case .list(let stamp, let question):
            return head(.list, stamp) + QuestionCodec.encode(question)
        case .left(let stamp): return head(.left, stamp)
        }
    }

    /// Decodes a coordinator's message.
    ///
    /// - Parameter tables: Those of a connection's former messages.
    /// - Throws: What is wrong with it, for the log.
    package static func decode(
        _ frames: Message, with tables: TargetTables = TargetTables()
    ) throws(Rejection) -> CoordinatorMessage {
        var reader = FrameReader(frames[...])
        guard try reader.text("protocol version") == Wire.version else {
            throw Rejection(.unsupportedVersion, "The coordinator speaks another version.")
        }
        guard let verb = Wire.ToWorker(rawValue: try reader.text("verb")) else {
            throw Rejection(.badRequest, "The verb is unknown to this worker.")
        }
        switch verb {
        case .refused:
            return .refused(
                code: try reader.text("code"), sentence: try reader.text("sentence"))
        case .replaced: return .replaced(sentence: try reader.text("sentence"))
        case .registerAgain:
            guard let epoch = Epoch(try reader.text("epoch")) else {
                throw Rejection(.badRequest, "The epoch makes no sense.")
            }
            return .registerAgain(epoch)
        case .welcome, .grant, .assign, .acknowledge, .probe, .list, .left:
            return try decode(verb, StampCodec.decode(from: &reader), from: &reader, with: tables)
        }
    }

    private static func decode(
        _ verb: Wire.ToWorker, _ stamp: WorkerStamp, from reader: inout FrameReader,
        with tables: TargetTables
    ) throws(Rejection) -> CoordinatorMessage {
        switch verb {
        case .welcome:
            let body = try reader.json(Body.Welcome.self, "welcome")
            guard let journal = JournalID(body.journal) else {
                throw Rejection(.badRequest, "The journal's id makes no sense.")
            }
            return .welcome(
                Welcome(
                    stamp: stamp, journal: journal, isAdopted: body.adopted,
                    lease: .milliseconds(Int64(clamping: body.leaseMs)),
                    clock: Instant(nanoseconds: body.clock), isKept: body.kept))
        case .grant:
            let lease = try reader.number("lease")
            let clock = try reader.clock()
            return .grant(
                stamp, lease: .milliseconds(Int64(lease)), clock: Instant(nanoseconds: clock))
        case .assign: return .assign(stamp, try AssignmentCodec.decode(from: &reader, with: tables))
        case .acknowledge:
            var numbers: [UInt64] = []
            while reader.count > 0 { numbers.append(try reader.number("report")) }
            return .acknowledge(stamp, numbers)
        case .probe:
            guard let target = try reader.json(Body.Target.self, "target").value else {
                throw Rejection(.badRequest, "The target makes no sense.")
            }
            return .probe(stamp, target)
        case .list: return .list(stamp, try QuestionCodec.decode(from: &reader))
        case .left, .refused, .replaced, .registerAgain: return .left(stamp)
        }
    }
}

/// A batch of assignments: one table of targets, then two frames each.
///
///     JSON, then ("edit" ID ATTEMPT TARGETS SEQUENCE PROJECT PATH KIND EXPECTED PRODUCER NUMBER
///                 TIME, CONTENT)*
///                ("refresh" ID ATTEMPT TARGETS SEQUENCE PROJECT PATH, empty)*
///
/// Each word of the first frame is a line (paths have no control characters); TARGETS are places in
/// the table, KIND is `delete`, `put` or `executable`.
enum AssignmentCodec {
    static func encode(_ assignments: [Assignment], with tables: TargetTables) -> [Frame] {
        var table: [AssignedTarget] = []
        var places: [AssignedTarget: Int] = [:]
        var frames: [Frame] = []
        frames.reserveCapacity(assignments.count * 2)
        for assignment in assignments {
            let targets = assignment.targets.map { target in
                if let place = places[target] { return String(place) }
                places[target] = table.count
                table.append(target)
                return String(table.count - 1)
            }
            var lines = [
                "", assignment.id.description, String(assignment.attempt),
                targets.joined(separator: " "), String(assignment.sequence.value),
                assignment.file.project.text, assignment.file.path.text,
            ]
            var content = Frame("")
            switch assignment.task {
            case .refresh: lines[0] = "refresh"
            case .edit(let edit):
                lines[0] = "edit"
                lines += [
                    edit.change.isDelete
                        ? "delete" : edit.change.isExecutable ? "executable" : "put",
                    edit.expectedVersion.map { String($0.value) } ?? "", edit.id.producer.text,
                    String(edit.id.number), String(edit.acceptedAt.milliseconds),
                ]
                if let bytes = edit.change.content { content = bytes.frame }
            }
            frames.append(Frame(lines.joined(separator: "\n")))
            frames.append(content)
        }
        return [tables.frame(of: table)] + frames
    }

    static func decode(
        from reader: inout FrameReader, with tables: TargetTables
    ) throws(Rejection) -> [Assignment] {
        let table = try tables.targets(of: reader.frame("targets"))
        var assignments: [Assignment] = []
        while reader.count > 0 {
            let text = try reader.text("assignment")
            let content = try reader.frame("content")
            guard let assignment = assignment(text, content, table) else {
                throw Rejection(.badRequest, "An assignment makes no sense.")
            }
            assignments.append(assignment)
        }
        return assignments
    }

    private static func assignment(
        _ text: String, _ content: Frame, _ table: [AssignedTarget]
    ) -> Assignment? {
        let lines = LinesOfText.split(text)
        guard
            (lines[0] == "refresh" && lines.count == 7)
                || (lines[0] == "edit" && lines.count == 12),
            let id = AssignmentID(lines[1]),
            let attempt = FrameReader.number(lines[2]),
            let sequence = FrameReader.number(lines[4]).map({ EditSequence($0) }),
            let project = Name(lines[5]), let path = try? EditPath(lines[6])
        else { return nil }
        let words = lines[3].split(separator: " ")
        let targets = words.compactMap { word in
            FrameReader.number(word).flatMap { $0 < table.count ? table[Int($0)] : nil }
        }
        guard targets.count == words.count else { return nil }
        let file = FileKey(project: project, path: path)
        if lines.count == 7 {
            return Assignment(
                id: id, attempt: Int(attempt), task: .refresh(file, sequence), targets: targets)
        }
        guard let producer = ProducerID(lines[9]),
            let number = FrameReader.number(lines[10]), let time = FrameReader.number(lines[11])
        else { return nil }
        let change: FileChange
        switch lines[7] {
        case "delete": change = .delete
        case "put", "executable":
            change = .put(Content(content), isExecutable: lines[7] == "executable")
        default: return nil
        }
        let edit = SequencedEdit(
            sequence: sequence, file: file, change: change,
            expectedVersion: FrameReader.number(lines[8]).map { Version($0) },
            id: EditID(producer: producer, number: number),
            acceptedAt: Timestamp(milliseconds: time))
        return Assignment(id: id, attempt: Int(attempt), task: .edit(edit), targets: targets)
    }
}
