/// File → worker by rendezvous hashing (Thaler and Ravishankar, 1998): the highest weight owns.
///
/// Join and leave move only the files whose highest weight they are. Label and file are hashed
/// apart with ``StableHash``, and a weight mixes the two by one multiplication (multiplicative
/// hashing, Dietzfelbinger and others, 1997): so a file is hashed once, not once for each worker,
/// and a thousand weights take about a microsecond. A tie goes to the lower label.
package struct RendezvousHash: Sendable {
    /// What a label brings into its weights.
    private struct Key: Sendable {
        let mask: UInt64
        let factor: UInt64
    }

    /// The workers, lowest first.
    private let labels: [WorkerLabel]
    private let keys: [Key]

    /// Hashes the labels, each of which is named once.
    package init(_ labels: some Sequence<WorkerLabel>) {
        self.labels = labels.sorted()
        keys = self.labels.map { label in
            let mask = StableHash.hash(label.text)
            return Key(mask: mask, factor: StableHash.hash(label.text, seed: mask) | 1)
        }
    }

    /// The owner of a file; nil when there are no workers.
    package func owner(of file: FileKey) -> WorkerLabel? {
        if labels.count < 2 { return labels.first }
        let hash = StableHash.hash(file.path.text, seed: StableHash.hash(file.project.text))
        return labels[keys.withUnsafeBufferPointer { Self.place(of: hash, among: $0) }]
    }

    /// Where the highest weight is, and the first one of equals.
    ///
    /// Four weights at a time: hardly any is the highest so far, so that one question for the four
    /// of them saves most of the questions.
    private static func place(of hash: UInt64, among keys: UnsafeBufferPointer<Key>) -> Int {
        var best = 0
        var highest: UInt64 = 0
        let whole = keys.count & ~3
        for start in stride(from: 0, to: whole, by: 4) {
            let first = weight(keys[start], hash)
            let second = weight(keys[start + 1], hash)
            let third = weight(keys[start + 2], hash)
            let most = max(max(first, second), max(third, weight(keys[start + 3], hash)))
            guard most > highest else { continue }
            highest = most
            best = start + (most == first ? 0 : most == second ? 1 : most == third ? 2 : 3)
        }
        for place in whole..<keys.count where weight(keys[place], hash) > highest {
            highest = weight(keys[place], hash)
            best = place
        }
        return best
    }

    private static func weight(_ key: Key, _ hash: UInt64) -> UInt64 {
        (hash ^ key.mask) &* key.factor
    }
}
