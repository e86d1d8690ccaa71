import SyncCore
import SyncTestKit
import SyncTransport

/// One producer: it pushes what it draws, and keeps its own book.
actor Author {
    nonisolated let index: Int
    nonisolated let project: ProjectName
    nonisolated let producer: Producer
    nonisolated let book = ProducerBook()
    private nonisolated let paths: AuthorPaths
    private let targets: [TargetURL]
    private var random: SeededGenerator
    private(set) var number: UInt64 = 0
    /// Numbers up to here are in the books of the reckoning.
    private var reckoned: UInt64 = 0
    private var keeping: Task<Void, Never>?

    init(
        _ index: Int, _ project: ProjectName, _ producer: Producer, paths: AuthorPaths,
        targets: [TargetURL], seed: UInt64
    ) {
        self.index = index
        self.project = project
        self.producer = producer
        self.paths = paths
        self.targets = targets
        random = SeededGenerator(seed: seed)
    }

    /// Begins to write down what the producer hears.
    func open() {
        keeping = Task { [book, producer] in await book.keep(producer.updates) }
    }

    /// Writes down no more.
    func close() { keeping?.cancel() }

    /// Pushes until the task is cancelled: mostly one edit at a time, sometimes many at once.
    func write() async {
        while !Task.isCancelled {
            let count = Int.random(in: 0..<100, using: &random) < 3 ? 40 : 1
            for _ in 0..<count { await push(draw()) }
            let pause = Int.random(in: 20...160, using: &random)
            do {
                try await Task.sleep(for: .milliseconds(pause))
            } catch {
                return
            }
        }
    }

    /// Puts a short content into each of these files; their numbers.
    func put(_ paths: [EditPath]) async -> [EditPath: UInt64] {
        var numbers: [EditPath: UInt64] = [:]
        for path in paths {
            let content = content(byteCount: 100)
            await push(Edit(path: path, change: .put(content, isExecutable: false)))
            numbers[path] = number
        }
        return numbers
    }

    /// The edits since the last call, by number.
    func takeFresh() async -> [UInt64: Edit] {
        let edits = await book.edits
        defer { reckoned = number }
        return edits.filter { $0.key > reckoned }
    }

    private func push(_ edit: Edit) async {
        let given = await producer.submit(edit)
        // The content says the number, so it must be the one that the producer counts.
        precondition(given == number + 1, "somebody else pushes in the name of \(producer.id)")
        number = given
        await book.pushed(given, edit)
    }

    private func draw() -> Edit {
        let isTangled = Int.random(in: 0..<100, using: &random) < 25
        let files = isTangled ? paths.tangled : paths.flat
        let path = files[Int.random(in: 0..<files.count, using: &random)]
        let isDelete = Int.random(in: 0..<100, using: &random) < (isTangled ? 50 : 12)
        // Naming them in the first edit attaches them.
        let named = number == 0 ? targets : []
        if isDelete { return Edit(path: path, change: .delete, targets: named) }
        let size =
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<80: Int.random(in: 20...300, using: &random)
            case 80..<98: 4_096
            default: 65_536
            }
        let isExecutable = Int.random(in: 0..<10, using: &random) == 0
        return Edit(
            path: path, change: .put(content(byteCount: size), isExecutable: isExecutable),
            targets: named)
    }

    private func content(byteCount: Int) -> Content {
        var bytes = Array("\(index) \(number + 1)\n".utf8)
        bytes += [UInt8](repeating: UInt8(ascii: "."), count: byteCount)
        return Content(bytes)
    }
}

/// Files that authors fight over.
struct AuthorPaths: Sendable {
    /// None lies below another.
    let flat: [EditPath]
    /// Many lie below others, so that one must go before the other can come.
    let tangled: [EditPath]

    /// All of them.
    var all: [EditPath] { flat + tangled }

    init() {
        flat = (0..<24).map { MachineCluster.path($0 < 12 ? "f\($0)" : "src/f\($0)") }
        tangled = ["a", "a/b", "a/b/c", "a/d", "e/f", "e/f/g", "e/f/h", "i/j/k/l", "i/j"].map {
            MachineCluster.path($0)
        }
    }
}
