import ArgumentParser
import Foundation
import Glibc
import SyncCore
import ZeroMQ

/// What messages cost at least: the frames of an EDIT and of its ANSWER between two processes, of
/// which one does nothing but answer.
enum MessageLimit {
    /// What one producer sends.
    struct Shape: Sendable {
        let messages: Int
        /// Edits in one message.
        let records: Int
        /// Content of one edit.
        let bytes: Int
        /// Unanswered messages at most.
        let window: Int
    }

    /// When one producer had its first answer, and when its last.
    private struct Span: Sendable {
        let start: ContinuousClock.Instant
        let end: ContinuousClock.Instant
    }

    /// Messages a second over all producers.
    ///
    /// - Parameter isLogged: Whether the answering process first appends each group of messages to
    ///   a log, with fdatasync.
    static func measure(
        in folder: BenchFolder, _ shape: Shape, producers: Int = 1, isLogged: Bool = false
    ) async throws -> Double {
        let spans = try await answering(in: folder, isLogged: isLogged) { endpoint in
            try await withThrowingTaskGroup(of: Span.self) { group in
                for _ in 0..<producers {
                    group.addTask {
                        try await Blocking.run { Result { try exchange(endpoint, shape) } }.get()
                    }
                }
                var spans: [Span] = []
                for try await span in group { spans.append(span) }
                return spans
            }
        }
        guard let start = spans.map(\.start).min(), let end = spans.map(\.end).max() else {
            return 0
        }
        return Double(shape.messages * producers) / (end - start).seconds
    }

    /// How long messages of one edit take there and back, one at a time.
    static func roundTrips(
        in folder: BenchFolder, count: Int, bytes: Int
    ) async throws -> [Duration] {
        let shape = Shape(messages: count, records: 1, bytes: bytes, window: 1)
        return try await answering(in: folder, isLogged: false) { endpoint in
            try await Blocking.run { Result { try roundTrips(endpoint, shape) } }.get()
        }
    }

    /// Calls with the endpoint of an answering process and ends it, whatever comes of the call.
    private static func answering<Answer: Sendable>(
        in folder: BenchFolder, isLogged: Bool, _ body: (String) async throws -> Answer
    ) async throws -> Answer {
        let endpoint = "ipc://\(folder.path)/answer"
        let process = try BenchProcess(
            "answer", program: "SyncBench",
            ["answer", "--endpoint", endpoint]
                + (isLogged ? ["--log", folder.path + "/answer.log"] : []),
            log: "", watchesParent: false)
        do {
            guard await process.line().hasPrefix("ready") else {
                throw BenchError("the answering process did not start; see its message above")
            }
            let answer = try await body(endpoint)
            await process.end()
            return answer
        } catch {
            await process.end()
            throw error
        }
    }

    // MARK: On a thread of its own

    private static func exchange(_ endpoint: String, _ shape: Shape) throws -> Span {
        let context = try Context()
        let socket = try connected(to: endpoint, in: context)
        let letters = Letters(shape)
        // The first one waits for the connection.
        try push(letters, 0..<1, window: 1, over: socket)
        let start = ContinuousClock.now
        try push(letters, 1..<shape.messages + 1, window: shape.window, over: socket)
        return Span(start: start, end: .now)
    }

    private static func roundTrips(_ endpoint: String, _ shape: Shape) throws -> [Duration] {
        let context = try Context()
        let socket = try connected(to: endpoint, in: context)
        let letters = Letters(shape)
        try push(letters, 0..<1, window: 1, over: socket)
        var times: [Duration] = []
        for place in 1...shape.messages {
            let start = ContinuousClock.now
            try push(letters, place..<place + 1, window: 1, over: socket)
            times.append(ContinuousClock.now - start)
        }
        return times
    }

    private static func connected(to endpoint: String, in context: Context) throws -> Socket {
        let socket = try Socket(
            .dealer, in: context,
            options: [.sendHighWaterMark(4_096), .receiveHighWaterMark(4_096)])
        try socket.connect(endpoint)
        return socket
    }

    /// Sends messages and reads an answer to each.
    private static func push(
        _ letters: Letters, _ places: Range<Int>, window: Int, over socket: borrowing Socket
    ) throws {
        var sent = places.lowerBound
        var answered = places.lowerBound
        while answered < places.upperBound {
            while sent < places.upperBound, sent - answered < window {
                guard try socket.send(letters.message(sent)) == .sent else { break }
                sent += 1
            }
            let before = answered
            while try socket.receive(limit: Letters.receiveLimit) != nil { answered += 1 }
            if answered > before { continue }
            guard try socket.waits(for: .readable, atMost: .seconds(30)) else {
                throw BenchError("the answering process did not answer within 30 seconds")
            }
        }
    }
}

/// Messages of one shape; their contents are made before they are asked for.
struct Letters {
    /// More than any message of a limit.
    static let receiveLimit = ReceiveLimit(framesMax: 4_200, bytesMax: 32 << 20)

    private let contents: [[UInt8]]
    private let records: Int

    init(_ shape: MessageLimit.Shape) {
        contents = (0..<256).map { BenchEdits.content($0, bytes: shape.bytes).bytes }
        records = shape.records
    }

    /// The frames of an EDIT.
    func message(_ place: Int) -> Message {
        var frames = [
            Frame("syncd/1"), Frame("EDIT"), Frame(String(place)), Frame("bench"),
            Frame("bench/0123456789abcdef"),
        ]
        frames.reserveCapacity(frames.count + 4 * records)
        for number in place * records..<(place + 1) * records {
            frames.append(Frame(String(number)))
            frames.append(Frame(BenchEdits.distinctPath(number)))
            frames.append(Frame(""))
            frames.append(Frame(contents[number % contents.count]))
        }
        return frames
    }

    /// The frames of the ANSWER to a message as a ROUTER reads it.
    static func answer(to message: Message) -> Message? {
        // Route, version, verb, request, project, producer; then four frames an edit.
        guard message.count >= 10 else { return nil }
        var frames = [message[0], message[1], Frame("ANSWER"), message[3]]
        for index in stride(from: 6, to: message.count, by: 4) {
            frames.append(message[index])
            frames.append(Frame("ACCEPTED"))
            frames.append(message[index])
            frames.append(Frame(""))
        }
        return frames
    }
}

/// The answering side of the limits of messages.
struct AnswerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "answer", abstract: "Answers messages.", shouldDisplay: false)

    /// Messages that are there at once are one group, but for so many.
    private static let groupMax = 4_096

    @Option var endpoint: String
    @Option var log: String?

    func run() async throws {
        ParentWatch.begin()
        let (endpoint, log) = (endpoint, log)
        try await Blocking.run { Result { try Self.serve(endpoint, log: log) } }.get()
    }

    private static func serve(_ endpoint: String, log: String?) throws {
        let context = try Context()
        let socket = try Socket(
            .router, in: context,
            options: [.sendHighWaterMark(0), .receiveHighWaterMark(4_096)])
        try socket.bind(endpoint)
        let file = try log.map { try SyncedFile($0) }
        BenchOutput.write("ready")
        while true {
            guard try socket.waits(for: .readable, atMost: .seconds(60)) else { continue }
            var group: [Message] = []
            while group.count < groupMax,
                case .message(let frames)? = try socket.receive(limit: Letters.receiveLimit)
            {
                group.append(frames)
            }
            if let file { try append(group, to: file) }
            for message in group {
                guard let answer = Letters.answer(to: message) else { continue }
                _ = try socket.send(answer)
            }
        }
    }

    /// Makes the bytes of a group durable at once.
    private static func append(_ group: [Message], to file: SyncedFile) throws {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(group.count * 2_048)
        for message in group {
            for frame in message.dropFirst() {
                frame.withUnsafeBytes { bytes.append(contentsOf: $0) }
            }
        }
        try bytes.withUnsafeBytes { try file.append($0) }
        try file.commit()
    }
}

/// Ends this process when its parent does, whose end of the standard input then closes.
enum ParentWatch {
    static func begin() {
        Thread {
            while readLine() != nil {}
            Glibc.exit(0)
        }.start()
    }
}
