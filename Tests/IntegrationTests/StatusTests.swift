import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// The status channel against real processes: whoever wants to miss nothing misses nothing.
@Suite(.serialized, .timeLimit(.patience)) struct StatusTests {
    /// What one line of `syncd status --json` says.
    struct Line: Decodable {
        var type: String
        var number: UInt64?
        var projectNumber: UInt64?
        var project: String?
        var path: String?
        var sequence: UInt64?
        var from: UInt64?
        var to: UInt64?
    }

    /// A `syncd status` of its own, read when the test wants it.
    final class Follower {
        let process = Process()
        private let output = Pipe()
        private let errors = Pipe()
        private var rest: [UInt8] = []
        private(set) var lines: [Line] = []

        init(_ cluster: DaemonCluster, _ arguments: [String], isJSON: Bool = true) throws {
            process.executableURL = try DaemonCluster.binary
            process.arguments = ["status"] + (isJSON ? ["--json"] : []) + arguments
            process.environment = cluster.environment
            process.standardOutput = output
            process.standardError = errors
            process.standardInput = FileHandle.nullDevice
            try process.run()
        }

        /// Reads until a line fits; everything that was read is kept.
        func read(until fits: (Line) -> Bool) throws {
            while true {
                while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    let line = try Self.decode(rest[..<end])
                    rest.removeFirst(end + 1)
                    lines.append(line)
                    if fits(line) { return }
                }
                let data = output.fileHandleForReading.availableData
                if data.isEmpty { throw KitError("syncd status ended early") }
                rest.append(contentsOf: data)
            }
        }

        /// Reads what it says to people until that holds a text.
        func readComplaint(_ text: String) throws -> String {
            var said = ""
            while !said.contains(text) {
                let data = errors.fileHandleForReading.availableData
                if data.isEmpty { throw KitError("syncd status ended early: \(said)") }
                said += String(decoding: data, as: UTF8.self)
            }
            return said
        }

        static func decode(_ bytes: some Sequence<UInt8>) throws -> Line {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(Line.self, from: Data(bytes))
        }

        /// The numbered ones.
        var events: [Line] { lines.filter { $0.number != nil } }

        func kill() {
            process.signal(SIGKILL)
            process.waitUntilExit()
        }

        /// Asks it to end, and tells how it did and what it said to people.
        func end(by signal: Int32 = SIGTERM) -> (code: Int32, said: String) {
            process.signal(signal)
            // A child that waits for room in the pipe ends only when somebody reads.
            let drained = output.fileHandleForReading
            while !drained.availableData.isEmpty {}
            process.waitUntilExit()
            let said = errors.fileHandleForReading.readDataToEndOfFile()
            return (process.terminationStatus, String(decoding: said, as: UTF8.self))
        }
    }

    /// A cluster, and followers that are ended whatever the body does.
    private final class Scene {
        let cluster: DaemonCluster
        private var followers: [Follower] = []

        init(_ cluster: DaemonCluster) { self.cluster = cluster }

        func follow(_ arguments: [String], isJSON: Bool = true) throws -> Follower {
            let follower = try Follower(cluster, arguments, isJSON: isJSON)
            followers.append(follower)
            return follower
        }

        func end() async {
            for follower in followers { follower.kill() }
            await cluster.stop()
        }
    }

    /// Followers of a project or of a folder in it: one that is killed and comes back, one that
    /// nobody reads until all is over (it is slower than any flow), and those that come late.
    private final class Watch {
        private let scene: Scene
        private let arguments: [String]
        private let early: Follower
        private let slow: Follower
        private var later: [Follower] = []

        init(_ arguments: [String], _ scene: Scene) throws {
            self.scene = scene
            self.arguments = arguments
            early = try scene.follow(arguments + ["--from", "1"])
            slow = try scene.follow(arguments + ["--from", "1"])
        }

        /// Kills one when it has read so far.
        func killEarly(at projectNumber: UInt64) throws {
            try early.read { $0.projectNumber ?? 0 >= projectNumber }
            early.kill()
        }

        /// Starts it again behind what it has seen.
        func comeBack() throws { try follow(from: (early.events.last?.number ?? 0) + 1) }

        func comeLate() throws { try follow(from: 1) }

        private func follow(from number: UInt64) throws {
            later.append(try scene.follow(arguments + ["--from", String(number)]))
        }

        /// What each has seen when it has read the last event, and ends in order.
        func stories(until isLast: (Line) -> Bool) throws -> [[Line]] {
            for follower in [slow] + later {
                try follower.read(until: isLast)
                #expect(!follower.lines.contains { $0.type == "gap" })
                let (code, said) = follower.end()
                #expect(code == 0, "\(said)")
            }
            let back = later.first?.events ?? []
            return [slow.events, early.events + back] + later.dropFirst().map(\.events)
        }
    }

    private static func with(
        workers: Int = 1, flags: [String] = [], _ body: (Scene) async throws -> Void
    ) async throws {
        let scene = Scene(
            try await DaemonCluster.start(workers: workers, coordinatorFlags: flags))
        do {
            try await body(scene)
        } catch {
            await scene.end()
            throw error
        }
        await scene.end()
    }

    private static func path(_ number: Int) -> String { "dir-\(number % 5)/f\(number % 60)" }

    /// Pushes so many edits in one life of a producer, and waits for their answers.
    private static func push(
        _ count: Int, to project: String, _ cluster: DaemonCluster, _ book: ProducerBook
    ) async throws {
        let producer = try await cluster.producer(project)
        let keeping = Task { await book.keep(producer.updates) }
        for number in 0..<count {
            let edit = MachineCluster.put(path(number), "\(project) \(number)")
            await book.pushed(await producer.submit(edit), edit)
        }
        await book.reach(count)
        keeping.cancel()
    }

    /// The last event of a project, once nothing is left to do there.
    private static func lastEvent(
        _ project: String, _ cluster: DaemonCluster
    ) async throws -> UInt64 {
        try await cluster.flush(project)
        return try await cluster.queue(project).projects.first?.eventNumber ?? 0
    }

    /// Every accepted edit of the book is told once, has one end, and the newest is synced.
    private static func check(
        _ lines: [Line], against book: ProducerBook, below folder: String = ""
    ) async {
        var accepted: [String: Set<UInt64>] = [:]
        var ends: [UInt64: Int] = [:]
        var synced: [String: UInt64] = [:]
        for line in lines {
            guard let path = line.path, let sequence = line.sequence else { continue }
            switch line.type {
            case "accepted":
                #expect(accepted[path, default: []].insert(sequence).inserted)
            case "synced":
                ends[sequence, default: 0] += 1
                synced[path] = max(synced[path] ?? 0, sequence)
            case "superseded", "failed", "discarded": ends[sequence, default: 0] += 1
            default: continue
            }
        }
        var expected: [String: Set<UInt64>] = [:]
        for (number, sequence) in await book.accepted {
            guard let path = await book.edits[number]?.path, path.isCovered(by: folder) else {
                continue
            }
            expected[path.text, default: []].insert(sequence.value)
        }
        #expect(accepted == expected)
        for (path, sequences) in expected {
            #expect(synced[path] == sequences.max(), "\(path)")
            #expect(sequences.allSatisfy { ends[$0] == 1 }, "\(path)")
        }
    }

    /// Two lives of a producer in one book.
    private static func sum(_ first: ProducerBook, _ second: ProducerBook) async -> ProducerBook {
        let sum = ProducerBook()
        let offset: UInt64 = 1_000_000
        for (base, book) in [(0, first), (offset, second)] {
            for (number, edit) in await book.edits { await sum.pushed(base + number, edit) }
            await sum.note(
                Dictionary(
                    uniqueKeysWithValues: await book.accepted.map { (base + $0.key, $0.value) }))
        }
        return sum
    }

    // Trace A14.
    @Test func `late, killed, slow, over a restart: who follows a project or a folder has it all`()
        async throws
    {
        try await Self.with(workers: 2, flags: ["--lease-ms", "1000"]) { scene in
            let cluster = scene.cluster
            let book = ProducerBook()
            let other = ProducerBook()
            let project = try Watch(["--project", "p1"], scene)
            let folder = try Watch(["--project", "p1", "--prefix", "dir-3"], scene)
            let flood = Task { try await Self.push(3_000, to: "p2", cluster, other) }
            try await Self.push(1_500, to: "p1", cluster, book)
            for watch in [project, folder] { try watch.killEarly(at: 700) }

            cluster.crashCoordinator()
            let restarted = ProducerBook()
            let pushing = Task { try await Self.push(1_500, to: "p1", cluster, restarted) }
            try cluster.startCoordinator()
            for watch in [project, folder] { try watch.comeBack() }
            try await pushing.value
            try await flood.value
            for watch in [project, folder] { try watch.comeLate() }

            let both = await Self.sum(book, restarted)
            let last = try await Self.lastEvent("p1", cluster)
            let all = try project.stories { $0.projectNumber == last }
            #expect(all.count == 3)
            for lines in all {
                #expect(lines.map(\.projectNumber) == (1...last).map { $0 })
                await Self.check(lines, against: both)
            }
            // The folder's events, as the whole log has them.
            let inFolder = try #require(all.last).filter { $0.path?.hasPrefix("dir-3/") ?? true }
            let end = try #require(inFolder.last?.number)
            let parts = try folder.stories { $0.number == end }
            #expect(parts.count == 3)
            for lines in parts {
                #expect(lines.map(\.number) == inFolder.map(\.number))
                await Self.check(lines, against: both, below: "dir-3")
            }
        }
    }

    @Test func `a broken connection is told, and made again`() async throws {
        try await Self.with(workers: 1) { scene in
            let cluster = scene.cluster
            let follower = try scene.follow(["--project", "p1"])
            try follower.read { $0.type == "connected" }
            cluster.crashCoordinator()
            try follower.read { $0.type == "disconnected" }
            try cluster.startCoordinator()
            try follower.read { $0.type == "connected" }
            let book = ProducerBook()
            try await Self.push(1, to: "p1", cluster, book)
            try follower.read { $0.type == "synced" }
            let (code, said) = follower.end(by: SIGINT)
            #expect(code == 0)
            #expect(said == "")
        }
    }

    @Test func `a log that begins later is told as a gap`() async throws {
        try await Self.with(workers: 1, flags: ["--event-log-max", "1000"]) { scene in
            let cluster = scene.cluster
            for _ in 0..<4 { try await Self.push(600, to: "p1", cluster, ProducerBook()) }
            let last = try await Self.lastEvent("p1", cluster)
            for arguments in [[], ["--project", "p1"]] {
                let follower = try scene.follow(arguments + ["--from", "1"])
                try follower.read { $0.projectNumber == last }
                let gap = try #require(follower.lines.first { $0.type == "gap" })
                #expect(gap.from == 1)
                #expect(gap.to.map { $0 + 1 } == follower.events.first?.number)
                let numbers = follower.events.compactMap(\.projectNumber)
                #expect(numbers == Array((numbers.first ?? 0)...last))
                _ = follower.end()
            }
            cluster.expectQuoted("gap: events", of: try await cluster.statusLines())
        }
    }

    @Test func `lines for people say what, where, which version, why and what is done`()
        async throws
    {
        try await Self.with(workers: 1) { scene in
            let cluster = scene.cluster
            let book = ProducerBook()
            try await Self.push(1, to: "p1", cluster, book)
            try await cluster.flush()
            try FileManager.default.createSymbolicLink(
                atPath: cluster.sandboxes + "/p1/out", withDestinationPath: "/tmp")
            let pushed = try await cluster.command(
                ["push", "--project", "p1", "--stdin", "out/f", "--wait"])
            #expect(pushed.code == 1)
            let last = try await cluster.queue("p1").projects.first?.eventNumber ?? 0
            let (code, output) = try await cluster.command(
                ["status", "--project", "p1", "--from", "1", "--until", "\(last)"])
            #expect(code == 0)
            let lines = output.split(separator: "\n")
            let synced = try #require(lines.first { $0.contains("  synced ") })
            #expect(synced.contains("p1/dir-0/f0"))
            #expect(synced.contains("version 1"))
            let failed = try #require(lines.first { $0.contains("  failed ") })
            #expect(failed.contains("p1/out/f"))
            #expect(failed.contains("→ kept; after the repair: syncd failed retry --project p1"))
        }
    }

    @Test func `without a coordinator it says so and waits`() async throws {
        try await Self.with(workers: 0) { scene in
            let cluster = scene.cluster
            cluster.crashCoordinator()
            let follower = try scene.follow(["--project", "p1"], isJSON: false)
            var said = try follower.readComplaint("its endpoint)\n")
            try cluster.startCoordinator()
            said += try follower.readComplaint("/s\n")
            cluster.crashCoordinator()
            said += try follower.readComplaint("told then\n")
            for part in ["no coordinator answers", "connected to", "the connection to"] {
                cluster.expectQuoted(part, of: said)
            }
            #expect(follower.end().code == 0)
        }
    }
}
