import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// The producer's duties (design §2), on a hand-moved clock.
@Suite struct ProducerMachineTests {
    private static func at(_ seconds: Double) -> Instant {
        Instant(nanoseconds: UInt64((1 + seconds) * 1e9))
    }

    private static func put(_ path: String, _ text: String = "x") -> Edit {
        MachineCluster.put(path, text)
    }

    private static func numbers(_ batches: [[EditItem]]) -> [UInt64] {
        batches.flatMap { $0.map(\.number) }
    }

    private static func accepted(_ number: UInt64, _ sequence: UInt64) -> EditAnswer {
        EditAnswer(
            number: number,
            result: .success(Acceptance(sequence: EditSequence(sequence), end: nil)))
    }

    private static func refused(
        _ number: UInt64, _ code: RejectionCode, after: Duration? = nil
    ) -> EditAnswer {
        EditAnswer(
            number: number, result: .failure(Rejection(code, "why not", retryAfter: after)))
    }

    // Trace A3.
    @Test func `an edit keeps its number after busy and waits as long as it was told`() {
        var machine = ProducerMachine()
        #expect(machine.submit(Self.put("f"), at: Self.at(0)) == 1)
        #expect(Self.numbers(machine.due(at: Self.at(0))) == [1])
        machine.answered(Self.refused(1, .busy, after: .seconds(2)), at: Self.at(1))
        #expect(machine.takeUpdates() == [])
        #expect(Self.numbers(machine.due(at: Self.at(2.9))) == [])
        #expect(machine.nextDeadline == Self.at(3))
        #expect(Self.numbers(machine.due(at: Self.at(3))) == [1])
        machine.answered(Self.accepted(1, 10), at: Self.at(3))
        #expect(
            machine.takeUpdates() == [
                .accepted(number: 1, sequence: EditSequence(10), end: nil)
            ])
        #expect(machine.pendingCount == 0)
    }

    @Test func `no number is sent 4,096 above the lowest unanswered one`() {
        var settings = ProducerMachine.Settings()
        settings.unansweredBytesMax = .max
        var machine = ProducerMachine(settings: settings)
        for place in 0..<5_000 { _ = machine.submit(Self.put("f\(place)"), at: Self.at(0)) }
        #expect(Self.numbers(machine.due(at: Self.at(0))) == Array(1...4_096))
        // `busy` is no answer.
        machine.answered(Self.refused(1, .busy, after: .seconds(60)), at: Self.at(0))
        for number in 2...4_096 {
            machine.answered(Self.accepted(UInt64(number), UInt64(number)), at: Self.at(0))
        }
        #expect(Self.numbers(machine.due(at: Self.at(1))) == [])
        machine.answered(Self.refused(1, .conflict), at: Self.at(1))
        #expect(Self.numbers(machine.due(at: Self.at(1))) == Array(4_097...5_000))
    }

    // Trace C4.
    @Test func `an edit without an answer is given up after two minutes and never sent again`() {
        var machine = ProducerMachine()
        _ = machine.submit(Self.put("f"), at: Self.at(0))
        var sent = 0
        for second in 0..<120 { sent += machine.due(at: Self.at(Double(second))).count }
        #expect(sent == 24)
        #expect(machine.takeUpdates() == [])
        #expect(Self.numbers(machine.due(at: Self.at(120))) == [])
        #expect(machine.takeUpdates() == [.unknown(number: 1)])
        machine.reconnected(at: Self.at(121))
        #expect(Self.numbers(machine.due(at: Self.at(121))) == [])
        // An answer that comes after all is too late to be believed.
        machine.answered(Self.accepted(1, 10), at: Self.at(122))
        #expect(machine.takeUpdates() == [])
        #expect(machine.nextDeadline == nil)
    }

    @Test func `a newer edit drops the unsent older one of its file, never one that was sent`() {
        var machine = ProducerMachine()
        _ = machine.submit(Self.put("f", "one"), at: Self.at(0))
        #expect(Self.numbers(machine.due(at: Self.at(0))) == [1])
        _ = machine.submit(Self.put("f", "two"), at: Self.at(0))
        _ = machine.submit(Self.put("g", "else"), at: Self.at(0))
        _ = machine.submit(Self.put("f", "three"), at: Self.at(0))
        #expect(machine.takeUpdates() == [.dropped(number: 2, by: 4)])
        #expect(Self.numbers(machine.due(at: Self.at(0))) == [3, 4])
        #expect(machine.pendingBytes == 3 + 4 + 5)
    }

    // Trace B4.
    @Test func `content over the limit is refused before it is sent`() {
        var settings = ProducerMachine.Settings()
        settings.contentBytesMax = 3
        var machine = ProducerMachine(settings: settings)
        _ = machine.submit(Self.put("f", "one"), at: Self.at(0))
        let number = machine.submit(Self.put("f", "four"), at: Self.at(0))
        guard case .rejected(number, let rejection)? = machine.takeUpdates().first else {
            Issue.record("the edit was not refused")
            return
        }
        #expect(rejection.code == .tooLarge)
        #expect(rejection.sentence.contains("4 bytes"))
        // The one that it would have replaced goes out.
        #expect(Self.numbers(machine.due(at: Self.at(0))) == [1])
    }

    // Trace A1.
    @Test func `after a reconnect everything unanswered goes again, in the order of numbers`() {
        var settings = ProducerMachine.Settings()
        settings.batchEditsMax = 2
        var machine = ProducerMachine(settings: settings)
        for path in ["a", "b", "c", "d", "e"] {
            _ = machine.submit(Self.put(path), at: Self.at(0))
        }
        _ = machine.due(at: Self.at(0))
        machine.answered(Self.accepted(3, 10), at: Self.at(1))
        machine.answered(Self.refused(1, .busy, after: .seconds(60)), at: Self.at(1))
        machine.reconnected(at: Self.at(1))
        _ = machine.submit(Self.put("f"), at: Self.at(1))
        let batches = machine.due(at: Self.at(1))
        #expect(batches.map { $0.map(\.number) } == [[1, 2], [4, 5], [6]])
    }

    @Test func `without an answer an edit goes again after five seconds`() {
        var machine = ProducerMachine()
        _ = machine.submit(Self.put("f"), at: Self.at(0))
        _ = machine.due(at: Self.at(0))
        #expect(machine.nextDeadline == Self.at(5))
        #expect(Self.numbers(machine.due(at: Self.at(4.9))) == [])
        #expect(Self.numbers(machine.due(at: Self.at(5))) == [1])
    }

    @Test func `unanswered bytes are bounded, and one edit always fits`() {
        var settings = ProducerMachine.Settings()
        settings.unansweredBytesMax = 10
        var machine = ProducerMachine(settings: settings)
        let large = String(repeating: "x", count: 20)
        for path in ["a", "b", "c"] { _ = machine.submit(Self.put(path, large), at: Self.at(0)) }
        #expect(Self.numbers(machine.due(at: Self.at(0))) == [1])
        machine.answered(Self.accepted(1, 1), at: Self.at(0))
        #expect(Self.numbers(machine.due(at: Self.at(0))) == [2])
    }

    @Test func `a message refused as a whole refuses each of its edits`() {
        var machine = ProducerMachine()
        for path in ["a", "b"] { _ = machine.submit(Self.put(path), at: Self.at(0)) }
        _ = machine.due(at: Self.at(0))
        let rejection = Rejection(.forbidden, "This key may not write this project.")
        machine.rejected([1, 2], rejection, at: Self.at(1))
        #expect(
            machine.takeUpdates() == [
                .rejected(number: 1, rejection), .rejected(number: 2, rejection),
            ])
        #expect(machine.pendingCount == 0)
    }
}
