import SyncCore
import SyncTestKit
import SyncTransport
import ZeroMQ

/// A client of fifteen honest lines: it sends, resends what is not answered, and never learns that
/// its connection was made anew.
struct PlainProducer: ~Copyable {
    /// What it pushed and what it was told.
    struct Book: Sendable {
        var edits: [UInt64: (path: EditPath, text: String)] = [:]
        var accepted: [UInt64: UInt64] = [:]
        var overtaken: Set<UInt64> = []
        /// Answers that an honest client must never get.
        var complaints: [String] = []
    }

    private static let filler = String(repeating: ".", count: 200)

    private let client: RawClient
    private let head: [String]
    private var random: SeededGenerator
    private var book = Book()
    private var unanswered: Set<UInt64> = []
    private var lastNumber: UInt64 = 0
    private var requestCount = 0

    init(_ client: consuming RawClient, project: String, seed: UInt64) {
        self.client = client
        head = [project, ProducerID(name: MachineCluster.name("plain"), life: seed).text]
        random = SeededGenerator(seed: seed)
    }

    /// Pushes until told that it is enough, then waits for every answer.
    mutating func run(until isEnough: () -> Bool) throws -> Book {
        let deadline = ContinuousClock.now + .seconds(240)
        var resentAt = ContinuousClock.now
        while true {
            let now = ContinuousClock.now
            guard now < deadline else { throw KitError("the plain producer never got through") }
            if !isEnough() {
                if unanswered.count < 40 { try pushMore() }
            } else if unanswered.isEmpty {
                return book
            }
            if now > resentAt + .milliseconds(30) {
                try send(unanswered.sorted())
                resentAt = now
            }
            _ = try client.waits(atMost: .milliseconds(2))
            while let frames = try client.next() { take(frames) }
        }
    }

    private mutating func pushMore() throws {
        var fresh: [UInt64] = []
        for _ in 0..<Int.random(in: 1...5, using: &random) {
            lastNumber += 1
            let path = "f\(Int.random(in: 0..<4, using: &random))"
            book.edits[lastNumber] = (MachineCluster.path(path), "\(lastNumber) \(Self.filler)")
            unanswered.insert(lastNumber)
            fresh.append(lastNumber)
        }
        try send(fresh)
    }

    private mutating func send(_ numbers: [UInt64]) throws {
        for start in stride(from: 0, to: numbers.count, by: 10) {
            requestCount += 1
            var words = ["syncd/1", "EDIT", "\(requestCount)"] + head
            for number in numbers[start..<min(start + 10, numbers.count)] {
                guard let edit = book.edits[number] else { continue }
                words += ["\(number)", edit.path.text, "", edit.text]
            }
            try client.trySending(words)
        }
    }

    private mutating func take(_ frames: Message) {
        guard case .edits(let answers)? = ClientCodec.reply(frames)?.reply else {
            book.complaints.append("a reply that is no ANSWER")
            return
        }
        for answer in answers {
            switch answer.result {
            case .success(let acceptance):
                let sequence = acceptance.sequence.value
                if let before = book.accepted[answer.number], before != sequence {
                    book.complaints.append("#\(answer.number) was \(before), now \(sequence)")
                }
                book.accepted[answer.number] = sequence
            case .failure(let rejection):
                switch rejection.code {
                case .busy: continue
                case .overtaken: book.overtaken.insert(answer.number)
                default: book.complaints.append("#\(answer.number): \(rejection.code)")
                }
            }
            unanswered.remove(answer.number)
        }
    }
}
