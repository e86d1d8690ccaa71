/// Owners of files among the workers of now, kept until those change.
struct OwnerTables: Sendable {
    private var workers: [WorkerLabel: Incarnation] = [:]
    private var schemes: [WorkerLabel: [String]] = [:]
    /// By the schemes that a worker must reach, sorted.
    private var tables: [[String]: RendezvousHash] = [:]

    /// Takes the workers of now.
    mutating func update(_ workers: [WorkerLabel: Incarnation], of membership: Membership) {
        if workers == self.workers { return }
        self.workers = workers
        schemes = workers.mapValues { membership[$0]?.record.schemes ?? [] }
        tables = [:]
    }

    /// The owner of a file among the workers that reach all of these schemes; nil when none does.
    ///
    /// - Parameter wanted: In order, each once.
    mutating func owner(of file: FileKey, reaching wanted: [String]) -> WorkerLabel? {
        if let table = tables[wanted] { return table.owner(of: file) }
        let able = schemes.filter { Self.reaches($0.value, wanted) }.keys
        let table = RendezvousHash(able)
        tables[wanted] = table
        return table.owner(of: file)
    }

    /// Whether any of the workers reaches all of these schemes.
    func isReached(_ wanted: [String]) -> Bool {
        schemes.values.contains { Self.reaches($0, wanted) }
    }

    private static func reaches(_ own: [String], _ wanted: [String]) -> Bool {
        wanted.allSatisfy(own.contains)
    }
}
