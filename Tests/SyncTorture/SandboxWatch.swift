import Foundation
import SyncCore
import Synchronization

/// Looks at the files of sandboxes all the time, from outside, and writes down what it sees.
///
/// Each content begins with its author and the author's number, so that what was seen can be held
/// against the books afterwards.
final class SandboxWatch: Sendable {
    /// One sandbox.
    struct Place: Sendable {
        let project: ProjectName
        let folder: String
    }

    /// What a file held.
    enum Sight: Sendable, Equatable {
        case absent
        case edit(author: Int, number: UInt64)
        /// Bytes that no author wrote.
        case foreign
    }

    /// A file had changed.
    struct Observation: Sendable {
        let place: Int
        let path: EditPath
        let sight: Sight
        let at: ContinuousClock.Instant
    }

    /// What tells one state of a file from another without reading it: a file that is renamed into
    /// place has another node.
    private struct Mark: Equatable {
        var node: UInt = 0
        var seconds = 0
        var nanoseconds = 0
    }

    private static let pause: UInt32 = 3_000

    let places: [Place]
    private let paths: [EditPath]
    private let seen = Mutex<[Observation]>([])
    private let isStopping = Atomic(false)
    private let lookCount = Atomic(0)
    private let ended = DispatchSemaphore(value: 0)

    init(_ places: [Place], paths: [EditPath]) {
        self.places = places
        self.paths = paths
        Thread.detachNewThread { [self] in
            watch()
            ended.signal()
        }
    }

    /// Ends the watching.
    func stop() {
        isStopping.store(true, ordering: .relaxed)
        ended.wait()
    }

    /// Takes what was seen since the last call, in order.
    func take() -> [Observation] {
        seen.withLock { seen in
            defer { seen = [] }
            return seen
        }
    }

    /// The first time that one of these edits, or a newer one of the same author, was seen.
    func first(
        of numbers: [EditPath: UInt64], by author: Int, after start: ContinuousClock.Instant
    ) -> ContinuousClock.Instant? {
        seen.withLock { seen in
            seen.first { observation in
                guard observation.at > start, let wanted = numbers[observation.path],
                    case .edit(author, let number) = observation.sight
                else { return false }
                return number >= wanted
            }?.at
        }
    }

    /// Waits until everything that lies there now has been looked at.
    func catchUp() {
        let start = lookCount.load(ordering: .acquiring)
        while lookCount.load(ordering: .acquiring) < start + 2 { usleep(Self.pause) }
    }

    private func watch() {
        var marks = [[Mark]](
            repeating: [Mark](repeating: Mark(), count: paths.count), count: places.count)
        while !isStopping.load(ordering: .relaxed) {
            for (place, sandbox) in places.enumerated() {
                for (number, path) in paths.enumerated() {
                    let file = sandbox.folder + "/" + path.text
                    let mark = Self.mark(of: file)
                    guard mark != marks[place][number] else { continue }
                    // Read after the mark: a change in between has another mark next time.
                    let sight = mark == Mark() ? Sight.absent : Self.read(file)
                    marks[place][number] = mark
                    let observation = Observation(
                        place: place, path: path, sight: sight, at: ContinuousClock.now)
                    seen.withLock { $0.append(observation) }
                }
            }
            lookCount.wrappingAdd(1, ordering: .releasing)
            usleep(Self.pause)
        }
    }

    private static func mark(of file: String) -> Mark {
        var status = stat()
        guard lstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return Mark() }
        return Mark(
            node: UInt(status.st_ino), seconds: status.st_ctim.tv_sec,
            nanoseconds: status.st_ctim.tv_nsec)
    }

    private static func read(_ file: String) -> Sight {
        let descriptor = open(file, O_RDONLY | O_NOFOLLOW)
        guard descriptor >= 0 else { return .absent }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        if count < 0 { return errno == EISDIR ? .absent : .foreign }
        let line = bytes.prefix(count).prefix { $0 != UInt8(ascii: "\n") }
        let words = String(decoding: line, as: UTF8.self).split(separator: " ")
        guard words.count == 2, let author = Int(words[0]), let number = UInt64(words[1]) else {
            return .foreign
        }
        return .edit(author: author, number: number)
    }
}
