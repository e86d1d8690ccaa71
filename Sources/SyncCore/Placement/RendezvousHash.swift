/// File → worker by rendezvous hashing (Thaler and Ravishankar, 1998): the highest weight owns.
///
/// Join and leave move only the files whose highest weight they are. Label and file are hashed
/// apart with ``StableHash``, and a weight mixes the two by one multiplication of 64 bits to 128,
/// whose halves are folded, as in wyhash (Wang Yi, 2019): so a file is hashed once, not once for
/// each worker, and a thousand weights take less than a microsecond. A tie goes to the lower label.
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
        let place = keys.withUnsafeBufferPointer { keys in
            var best = 0
            var highest = Self.weight(keys[0], hash)
            for place in 1..<keys.count {
                let weight = Self.weight(keys[place], hash)
                guard weight > highest else { continue }
                highest = weight
                best = place
            }
            return best
        }
        return labels[place]
    }

    private static func weight(_ key: Key, _ hash: UInt64) -> UInt64 {
        let product = (hash ^ key.mask).multipliedFullWidth(by: key.factor)
        return product.high ^ product.low
    }
}
