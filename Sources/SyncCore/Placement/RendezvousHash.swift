/// File → worker by rendezvous hashing (Thaler and Ravishankar, 1998): the highest weight owns.
///
/// Join and leave move only the files whose highest weight they are. Weight of a worker for a file:
/// ``StableHash`` of label, 0x00, project, 0x00, path bytes; a tie goes to the lower label.
package enum RendezvousHash {
    /// A worker's weight for a file.
    package static func weight(of label: WorkerLabel, for file: FileKey) -> UInt64 {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(
            label.text.utf8.count + file.project.text.utf8.count + file.path.text.utf8.count + 2)
        bytes.append(contentsOf: label.text.utf8)
        bytes.append(0)
        bytes.append(contentsOf: file.project.text.utf8)
        bytes.append(0)
        bytes.append(contentsOf: file.path.text.utf8)
        return bytes.withUnsafeBytes { StableHash.hash($0) }
    }

    /// The owner among these workers; nil when there are none.
    package static func owner(
        of file: FileKey, among labels: some Collection<WorkerLabel>
    ) -> WorkerLabel? {
        if labels.count == 1 { return labels.first }
        var best: (label: WorkerLabel, weight: UInt64)?
        for label in labels {
            let weight = weight(of: label, for: file)
            guard let current = best else {
                best = (label, weight)
                continue
            }
            if weight > current.weight || (weight == current.weight && label < current.label) {
                best = (label, weight)
            }
        }
        return best?.label
    }
}
