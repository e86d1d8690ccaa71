import DequeModule

/// Names a producer's window: a producer is one life in one project.
package struct ProducerKey: Hashable, Sendable {
    /// Whose paths it edits.
    package let project: ProjectName
    /// Which life.
    package let producer: ProducerID

    /// Pairs a project with a life.
    package init(project: ProjectName, producer: ProducerID) {
        self.project = project
        self.producer = producer
    }
}

/// What the journal remembers of one accepted number.
package struct AcceptedNumber: Sendable, Equatable {
    /// The producer's number.
    package let number: UInt64
    /// The answer that was given.
    package let sequence: EditSequence
    /// ``StableHash`` of the path: which file.
    package let fileHash: UInt64
    /// ``Edit/digest``: which content.
    package let digest: UInt64
    /// Its end, once it has one.
    package var end: EditEnd?
    /// Whether it has ended, but the event log that tells how was trimmed before a restart.
    package var isEndForgotten = false

    /// Describes an accepted number.
    package init(
        number: UInt64, sequence: EditSequence, fileHash: UInt64, digest: UInt64,
        end: EditEnd? = nil
    ) {
        self.number = number
        self.sequence = sequence
        self.fileHash = fileHash
        self.digest = digest
        self.end = end
    }
}

/// Answers repeats again and refuses the overtaken, by the producer's number.
///
/// The last 4,096 numbers are remembered, counted down from the highest accepted one:
///
///     … stale-number … | low ………………… highest | new …
///
/// Only acceptances are remembered, so a number that got `busy` can come again (trace A3). A number
/// lower than one already accepted for the same file is *overtaken*: it was sent earlier, and
/// taking it now would put old over new (trace A1).
package struct ProducerWindow: Sendable {
    /// How many numbers are remembered.
    package static let length: UInt64 = 4_096

    /// What the window says to a number.
    package enum Verdict: Sendable, Equatable {
        /// Not seen, may be accepted.
        case new
        /// Seen with the same content: the first answer again.
        case again(AcceptedNumber)
        /// Seen with another content.
        case reused
        /// A later edit of the same file was accepted already.
        case overtaken(by: EditSequence)
        /// Below the window.
        case stale
    }

    private var slots: Deque<AcceptedNumber?> = []
    /// The number of the first slot.
    private var low: UInt64 = 1
    /// Per file: the highest accepted number and its sequence.
    private var newest: [UInt64: (number: UInt64, sequence: EditSequence)] = [:]
    /// When the producer was last heard; it is forgotten 10 minutes later.
    package var heardAt: Instant

    /// Of a producer that was heard now for the first time.
    package init(heardAt: Instant) { self.heardAt = heardAt }

    /// The lowest number that is still remembered.
    package var lowest: UInt64 { low }

    /// Numbers that are remembered as accepted.
    package var accepted: [AcceptedNumber] { slots.compactMap(\.self) }

    /// Of the numbers that are remembered those whose sequence lies in a range.
    package func accepted(in sequences: ClosedRange<UInt64>) -> [AcceptedNumber] {
        slots.compactMap { slot in
            guard let slot, sequences.contains(slot.sequence.value) else { return nil }
            return slot
        }
    }

    /// Judges a number before anything is changed.
    package func verdict(number: UInt64, fileHash: UInt64, digest: UInt64) -> Verdict {
        if number < low { return .stale }
        let place = number - low
        if place < UInt64(slots.count), let seen = slots[Int(place)] {
            return seen.digest == digest && seen.fileHash == fileHash ? .again(seen) : .reused
        }
        if let newer = newest[fileHash], newer.number > number {
            return .overtaken(by: newer.sequence)
        }
        return .new
    }

    /// What is remembered of a number.
    package func accepted(_ number: UInt64) -> AcceptedNumber? {
        guard number >= low, number - low < UInt64(slots.count) else { return nil }
        return slots[Int(number - low)]
    }

    /// Remembers an acceptance.
    ///
    /// - Parameter forgotten: Gets the sequences of acceptances that the window forgets because it
    ///   moves on, of this one when it has moved past it already, of one that it takes the place of
    ///   (adoption).
    package mutating func accept(
        _ record: AcceptedNumber, forgetting forgotten: inout [EditSequence]
    ) {
        guard record.number >= low else {
            forgotten.append(record.sequence)
            return
        }
        if record.number >= low + Self.length {
            let newLow = record.number - Self.length + 1
            while low < newLow, let slot = slots.popFirst() {
                low += 1
                guard let slot else { continue }
                forgotten.append(slot.sequence)
                if newest[slot.fileHash]?.number == slot.number { newest[slot.fileHash] = nil }
            }
            low = newLow
        }
        let place = Int(record.number - low)
        while slots.count <= place { slots.append(nil) }
        if let former = slots[place] { forgotten.append(former.sequence) }
        slots[place] = record
        if newest[record.fileHash].map({ $0.number <= record.number }) ?? true {
            newest[record.fileHash] = (record.number, record.sequence)
        }
    }

    /// Notes which edits have ended although nothing tells how any more.
    ///
    /// - Parameter isOpen: Whether an edit of this number is still waiting, in hand or failed.
    package mutating func forgetEnds(unless isOpen: (UInt64) -> Bool) {
        for place in slots.indices {
            guard let slot = slots[place], slot.end == nil, !isOpen(slot.number) else { continue }
            slots[place]?.isEndForgotten = true
        }
    }

    /// Remembers an edit's end, or that it was opened again; nothing when the number is forgotten.
    package mutating func setEnd(_ end: EditEnd?, of number: UInt64) {
        guard number >= low, number - low < UInt64(slots.count) else { return }
        slots[Int(number - low)]?.end = end
    }
}
