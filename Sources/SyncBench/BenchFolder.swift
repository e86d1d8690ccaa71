import Foundation
import Synchronization

/// A temporary folder for one pair.
final class BenchFolder: Sendable {
    let path: String

    init(in parent: String?) throws {
        let parent = parent ?? FileManager.default.temporaryDirectory.path
        path = parent + "/syncbench-" + String(UInt32.random(in: .min ... .max), radix: 36)
        try FileManager.default.createDirectory(
            atPath: path + "/sandboxes", withIntermediateDirectories: true)
    }

    var journal: String { path + "/journal.db" }
    var store: String { path + "/store.db" }
    var sandboxes: String { path + "/sandboxes" }
    var intake: String { "ipc://\(path)/i" }
    var workers: String { "ipc://\(path)/w" }
    var status: String { "ipc://\(path)/s" }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}

/// A process that the benchmark started.
final class BenchProcess: Sendable {
    let name: String
    let pid: pid_t
    private let input: FileHandle
    private let output: FileHandle
    private let process: ProcessBox

    // `Process` is not Sendable; it is only waited for, by one caller.
    private final class ProcessBox: @unchecked Sendable {
        let process: Process
        init(_ process: Process) { self.process = process }
    }

    /// Starts a program of this build; it ends when this process does.
    ///
    /// - Parameter watchesParent: Whether the program is `syncd`, which is told to watch its
    ///   standard input for that; others read it themselves.
    init(
        _ name: String, program: String, _ arguments: [String], log: String,
        watchesParent: Bool = true
    ) throws {
        self.name = name
        let process = Process()
        process.executableURL = try Self.binary(program)
        process.arguments = arguments + (watchesParent ? ["--parent-fd", "0"] : [])
        let input = Pipe()
        let output = Pipe()
        process.standardInput = input
        if watchesParent {
            try Data().write(to: URL(fileURLWithPath: log))
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
            process.standardOutput = file
            process.standardError = file
        } else {
            process.standardOutput = output
        }
        try process.run()
        self.input = input.fileHandleForWriting
        self.output = output.fileHandleForReading
        pid = process.processIdentifier
        self.process = ProcessBox(process)
        Interruption.note(pid)
    }

    /// The program of this name beside this one.
    private static func binary(_ name: String) throws -> URL {
        let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        let found = own.deletingLastPathComponent().appendingPathComponent(name)
        guard FileManager.default.isExecutableFile(atPath: found.path) else {
            throw BenchError(
                "There is no \(name) beside \(own.lastPathComponent); build both: swift build -c "
                    + "release.")
        }
        return found
    }

    /// Writes a line to its standard input.
    func tell(_ line: String) { input.write(Data((line + "\n").utf8)) }

    /// Waits for a line on its standard output; blocks a thread of its own.
    func line() async -> String {
        await Blocking.run { [self] in nextLine() }
    }

    /// The same on a thread that may be blocked.
    func nextLine() -> String { String(decoding: output.availableData, as: UTF8.self) }

    /// Waits for its end and tells the exit code.
    func ending() async -> Int32 {
        await Blocking.run { [process] in
            process.process.waitUntilExit()
            return process.process.terminationStatus
        }
    }

    /// Ends it like a crash and waits.
    func end() async {
        kill(pid, SIGKILL)
        _ = await ending()
        Interruption.forget(pid)
    }
}

/// Runs what blocks on a thread of its own.
enum Blocking {
    static func run<Answer: Sendable>(
        _ body: @escaping @Sendable () -> Answer
    ) async -> Answer {
        await withCheckedContinuation { continuation in
            Thread { continuation.resume(returning: body()) }.start()
        }
    }
}

/// Ends children and undoes mounts when the benchmark is interrupted.
enum Interruption {
    private static let pids = Mutex<Set<pid_t>>([])
    private static let undo = Mutex<[String: @Sendable () -> Void]>([:])

    static func note(_ pid: pid_t) { pids.withLock { _ = $0.insert(pid) } }
    static func forget(_ pid: pid_t) { pids.withLock { _ = $0.remove(pid) } }
    static func note(_ key: String, _ body: @escaping @Sendable () -> Void) {
        undo.withLock { $0[key] = body }
    }
    static func forget(_ key: String) { undo.withLock { $0[key] = nil } }

    /// Has SIGINT and SIGTERM end the children before this process.
    static func endChildren() {
        for number in [SIGINT, SIGTERM] { signal(number, SIG_IGN) }
        for number in [SIGINT, SIGTERM] {
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                for body in undo.withLock({ $0 }).values { body() }
                for pid in pids.withLock({ $0 }) { kill(pid, SIGKILL) }
                exit(128 + number)
            }
            source.activate()
            sources.append(source)
        }
    }

    // Written once, by `endChildren`, and only kept.
    nonisolated(unsafe) private static var sources: [any DispatchSourceSignal] = []
}
