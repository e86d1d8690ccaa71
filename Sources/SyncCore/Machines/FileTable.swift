/// The slots of all files not at rest; an index stays a file's own while it is pending.
///
/// A file's name is kept once, in its slot: what finds it is its hash. Slots lie in pieces, so that
/// nothing is copied when there come to be more.
struct FileTable: Sendable {
    /// Slots in one piece.
    private static let pieceLength: FileIndex = 1_024

    private let hash: @Sendable (FileKey) -> Int
    private var pieces: [[FileSlot]] = []
    /// Slots that were made so far.
    private var made: FileIndex = 0
    private var indexes: [Int: FileIndex] = [:]
    /// Files whose hash belongs to another one already: hardly ever any.
    private var collided: [FileKey: FileIndex] = [:]
    private var free: [FileIndex] = []

    /// An empty table.
    ///
    /// - Parameter hash: Of a file's name; two files may have the same.
    init(hash: @escaping @Sendable (FileKey) -> Int = \.hashValue) { self.hash = hash }

    /// Files with a slot.
    var count: Int { indexes.count + collided.count }

    /// Of all slots that were ever made.
    var indices: Range<FileIndex> { 0..<made }

    /// The slot of an index.
    subscript(index: FileIndex) -> FileSlot {
        // No `_read`: where the compiler did not inline it, callers read what it had yielded after
        // its end (AddressSanitizer: use after free).
        @inline(__always) get {
            pieces[Int(index / Self.pieceLength)][Int(index % Self.pieceLength)]
        }
        @inline(__always) _modify {
            yield &pieces[Int(index / Self.pieceLength)][Int(index % Self.pieceLength)]
        }
    }

    /// A file's index, if it has a slot.
    func index(of key: FileKey) -> FileIndex? { index(of: key, hash: hash(key)) }

    private func index(of key: FileKey, hash: Int) -> FileIndex? {
        guard let index = indexes[hash] else { return collided.isEmpty ? nil : collided[key] }
        if self[index].key == key { return index }
        return collided.isEmpty ? nil : collided[key]
    }

    /// A file's index; makes a slot at rest when it has none.
    mutating func claim(_ key: FileKey) -> FileIndex {
        let hash = hash(key)
        if let index = index(of: key, hash: hash) { return index }
        let index: FileIndex
        if let reused = free.popLast() {
            index = reused
            let stamp = self[index].stamp
            self[index] = FileSlot(key: key)
            self[index].stamp = stamp &+ 1
        } else {
            index = made
            made += 1
            append(FileSlot(key: key))
        }
        if indexes[hash] == nil { indexes[hash] = index } else { collided[key] = index }
        return index
    }

    private mutating func append(_ slot: FileSlot) {
        if pieces.last.map({ $0.count == Self.pieceLength }) ?? true {
            pieces.append([])
            pieces[pieces.count - 1].reserveCapacity(Int(Self.pieceLength))
        }
        pieces[pieces.count - 1].append(slot)
    }

    /// Gives the slot of a file at rest back.
    mutating func release(_ index: FileIndex) {
        precondition(!self[index].isPending, "a pending file was released")
        var slot = FileSlot(key: self[index].key)
        let hash = hash(slot.key)
        if indexes[hash] == index { indexes[hash] = nil } else { collided[slot.key] = nil }
        slot.stamp = self[index].stamp &+ 1
        self[index] = slot
        free.append(index)
    }
}
