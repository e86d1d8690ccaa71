/// Packs the events of one turn into a journal segment: about 8 to 12 bytes an event in a burst.
///
/// Numbers are implied by the segment's first one; sequences are differences; texts (projects,
/// paths, producers, codes) are written once a segment.
package enum EventLogCodec {
    /// Packs numbered events, dense and ascending.
    package static func pack(_ events: [StatusEvent]) -> [UInt8] {
        var writer = PackedWriter()
        var last = Last()
        var projects: [ProjectName: UInt64] = [:]
        for event in events {
            let kind = UInt64(event.kind.rawValue)
            writer.varint(kind & kindMask | (fields(of: event) << kindBits))
            writer.text(event.project.text)
            let expected = projects[event.project].map { $0 + 1 }
            writer.difference(event.projectNumber, from: expected ?? 0)
            projects[event.project] = event.projectNumber
            writer.difference(event.time.milliseconds, from: last.time)
            last.time = event.time.milliseconds
            pack(event, into: &writer, last: &last)
        }
        return writer.bytes
    }

    /// Unpacks a segment; nil when the bytes make no sense.
    package static func unpack(_ segment: JournalSegment) -> [StatusEvent]? {
        var reader = PackedReader(segment.bytes)
        var events: [StatusEvent] = []
        events.reserveCapacity(segment.count)
        var last = Last()
        var projects: [ProjectName: UInt64] = [:]
        for index in 0..<segment.count {
            guard let head = reader.varint(), let kind = kind(of: head),
                let projectText = reader.text(), let project = Name(projectText),
                let projectNumber = reader.difference(from: projects[project].map { $0 + 1 } ?? 0),
                let time = reader.difference(from: last.time)
            else { return nil }
            projects[project] = projectNumber
            last.time = time
            var event = StatusEvent(
                kind, project: project, time: Timestamp(milliseconds: time),
                number: segment.first + UInt64(index), projectNumber: projectNumber)
            guard unpack(&event, fields: head >> kindBits, from: &reader, last: &last) else {
                return nil
            }
            events.append(event)
        }
        return reader.isAtEnd ? events : nil
    }

    /// What the next event's numbers are told from.
    private struct Last {
        var time: UInt64 = 0
        var sequence: UInt64 = 0
        var number: UInt64 = 0
    }

    private enum Field {
        static let path: UInt64 = 1
        static let sequence: UInt64 = 2
        static let id: UInt64 = 4
        static let version: UInt64 = 8
        static let by: UInt64 = 16
        static let attempts: UInt64 = 32
        static let delay: UInt64 = 64
        static let target: UInt64 = 128
        static let cause: UInt64 = 256
        /// The kind is one of the second sixteen: the first journals knew no more.
        static let secondSixteen: UInt64 = 512
    }

    private static let kindBits: UInt64 = 4
    private static let kindMask: UInt64 = 0x0F

    private static func kind(of head: UInt64) -> EventKind? {
        let isSecond = (head >> kindBits) & Field.secondSixteen != 0
        return EventKind(rawValue: UInt8(head & kindMask) + (isSecond ? 16 : 0))
    }

    private static func fields(of event: StatusEvent) -> UInt64 {
        var fields: UInt64 = event.kind.rawValue > kindMask ? Field.secondSixteen : 0
        if event.path != nil { fields |= Field.path }
        if event.sequence != .none { fields |= Field.sequence }
        if event.id != nil { fields |= Field.id }
        if event.version != .none { fields |= Field.version }
        if event.by != .none { fields |= Field.by }
        if event.attempts != 0 { fields |= Field.attempts }
        if event.delayMilliseconds != 0 { fields |= Field.delay }
        if event.target != nil { fields |= Field.target }
        if !event.code.isEmpty || !event.reason.isEmpty { fields |= Field.cause }
        return fields
    }

    private static func pack(
        _ event: StatusEvent, into writer: inout PackedWriter, last: inout Last
    ) {
        if let path = event.path { writer.text(path.text) }
        if event.sequence != .none {
            writer.difference(event.sequence.value, from: last.sequence)
            last.sequence = event.sequence.value
        }
        if let id = event.id {
            writer.text(id.producer.text)
            writer.difference(id.number, from: last.number)
            last.number = id.number
        }
        if event.version != .none { writer.varint(event.version.value) }
        if event.by != .none { writer.difference(event.by.value, from: event.sequence.value) }
        if event.attempts != 0 { writer.varint(UInt64(event.attempts)) }
        if event.delayMilliseconds != 0 { writer.varint(event.delayMilliseconds) }
        if let target = event.target { writer.text(target.text) }
        if !event.code.isEmpty || !event.reason.isEmpty {
            writer.text(event.code)
            writer.text(event.reason)
        }
    }

    private static func unpack(
        _ event: inout StatusEvent, fields: UInt64, from reader: inout PackedReader,
        last: inout Last
    ) -> Bool {
        if fields & Field.path != 0 {
            guard let text = reader.text(), let path = try? EditPath(text) else { return false }
            event.path = path
        }
        if fields & Field.sequence != 0 {
            guard let value = reader.difference(from: last.sequence) else { return false }
            event.sequence = EditSequence(value)
            last.sequence = value
        }
        if fields & Field.id != 0 {
            guard let text = reader.text(), let producer = ProducerID(text),
                let number = reader.difference(from: last.number)
            else { return false }
            event.id = EditID(producer: producer, number: number)
            last.number = number
        }
        if fields & Field.version != 0 {
            guard let value = reader.varint() else { return false }
            event.version = Version(value)
        }
        if fields & Field.by != 0 {
            guard let value = reader.difference(from: event.sequence.value) else { return false }
            event.by = EditSequence(value)
        }
        return unpackCause(&event, fields: fields, from: &reader)
    }

    private static func unpackCause(
        _ event: inout StatusEvent, fields: UInt64, from reader: inout PackedReader
    ) -> Bool {
        if fields & Field.attempts != 0 {
            guard let value = reader.varint() else { return false }
            event.attempts = Int(clamping: value)
        }
        if fields & Field.delay != 0 {
            guard let value = reader.varint() else { return false }
            event.delayMilliseconds = value
        }
        if fields & Field.target != 0 {
            guard let text = reader.text(), let target = TargetURL(text) else { return false }
            event.target = target
        }
        if fields & Field.cause != 0 {
            guard let code = reader.text(), let reason = reader.text() else { return false }
            event.code = code
            event.reason = reason
        }
        return true
    }
}
