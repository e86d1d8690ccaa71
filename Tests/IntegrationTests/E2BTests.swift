import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing

/// Real processes that write into the double of E2B.
@Suite(.serialized) struct E2BTests {
    private static let id = "sbx1"

    /// A cluster whose workers reach the double, and a producer with its book.
    private struct Scene {
        let double: E2BDouble
        let cluster: DaemonCluster
        let producer: Producer
        let book: ProducerBook

        /// Pushes texts and waits for their acceptance.
        func push(
            _ texts: [String: String], to sandboxes: [String] = [E2BTests.id]
        ) async throws {
            let targets = try sandboxes.map { try #require(TargetURL("e2b:\($0)")) }
            for (path, text) in texts.sorted(by: { $0.key < $1.key }) {
                let edit = MachineCluster.put(path, text, targets: targets)
                await book.pushed(await producer.submit(edit), edit)
            }
            await book.reach(await book.edits.count)
        }

        /// Files of a sandbox, without syncd's own.
        func files(of sandbox: String = E2BTests.id) throws -> [String: String] {
            let home = double.home(of: sandbox).path
            var found: [String: String] = [:]
            for case let path as String in FileManager.default.enumerator(atPath: home) ?? .init() {
                guard !path.hasPrefix(".syncd"),
                    let data = FileManager.default.contents(atPath: home + "/" + path)
                else { continue }
                found[path] = String(decoding: data, as: UTF8.self)
            }
            return found
        }

        /// Waits until nothing is left to do.
        func rest() async throws {
            try await Patience.until("nothing is left to do") {
                try await cluster.queue("p1").counts.pending == 0
            }
        }

        /// Expects that no attempt was burnt and nothing failed.
        func expectNoAttemptBurnt() async throws {
            let events = try await cluster.events()
            #expect(!events.contains { $0.kind == .failed })
            #expect(events.allSatisfy { $0.attempts == 0 })
        }

        /// Events of a sandbox as a whole, in words.
        func story(of sandbox: String = E2BTests.id) async throws -> [String] {
            let target = try #require(TargetURL("e2b:\(sandbox)"))
            return try await cluster.events().filter { $0.target == target && $0.path == nil }
                .map(\.kind.word)
        }
    }

    private static func environment(_ double: E2BDouble) -> [String: String] {
        [
            "E2B_API_KEY": double.key, "E2B_API_URL": double.url, "E2B_SANDBOX_URL": double.url,
        ]
    }

    private static func withScene(
        _ sandboxes: [String] = [id], flags: [String] = [], _ body: (Scene) async throws -> Void
    ) async throws {
        let double = try await E2BDouble.start(sandboxes)
        let cluster = try DaemonCluster(
            folder: nil,
            coordinatorFlags: ["--marker-ms", "300", "--probe-ms", "300"] + flags)
        try cluster.startCoordinator()
        for label in ["w0", "w1"] {
            try cluster.startWorker(label, environment: environment(double))
        }
        let producer = try await cluster.producer()
        let book = ProducerBook()
        let keeping = Task { await book.keep(producer.updates) }
        let scene = Scene(double: double, cluster: cluster, producer: producer, book: book)
        var failure: (any Error)?
        do {
            try await body(scene)
            for worker in cluster.workers.values {
                #expect(!worker.text.contains(double.key))
                #expect(!worker.text.contains("token-"))
            }
        } catch {
            failure = error
        }
        keeping.cancel()
        await cluster.stop()
        await double.stop()
        if let failure { throw failure }
    }

    private static func texts(_ count: Int, _ word: String) -> [String: String] {
        Dictionary(
            uniqueKeysWithValues: (0..<count).map { ("d\($0 % 4)/f\($0)", "\(word) \($0)") })
    }

    @Test(.timeLimit(.patience))
    func `up writes a tree into a sandbox of E2B, and takes a file away again`() async throws {
        let double = try await E2BDouble.start([Self.id])
        let cluster = try await DaemonCluster.up(
            workers: 2, environment: Self.environment(double))
        let root = cluster.folder.path + "/tree"
        let files = ["index.html": "<h1>", "src/deep/a.js": "1", "src/b.js": "", "run": "#!"]
        for (path, text) in files {
            let file = URL(fileURLWithPath: root + "/" + path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        chmod(root + "/run", 0o755)
        let push = ["push", "--project", "p1", "--root", root, "--target", "e2b:\(Self.id).app"]
        let app = double.home(of: Self.id).path + "/app"
        let pushed = try await cluster.command(push + ["--wait"])
        #expect(pushed.code == 0, "\(pushed.output)")
        for (path, text) in files {
            #expect(FileManager.default.contents(atPath: app + "/" + path) == Data(text.utf8))
        }
        #expect(FileManager.default.isExecutableFile(atPath: app + "/run"))
        #expect(!FileManager.default.isExecutableFile(atPath: app + "/index.html"))
        try FileManager.default.removeItem(atPath: root + "/src/deep/a.js")
        let deleted = try await cluster.command(push + ["--delete", "src/deep/a.js", "--wait"])
        #expect(deleted.code == 0, "\(deleted.output)")
        #expect(!FileManager.default.fileExists(atPath: app + "/src/deep"))
        #expect(FileManager.default.fileExists(atPath: app + "/src/b.js"))
        await cluster.stop()
        await double.stop()
    }

    @Test(.timeLimit(.patience))
    func `pauses and new tokens in the middle cost no attempt`() async throws {
        try await Self.withScene { scene in
            for round in 0..<6 {
                try await scene.push(Self.texts(20, "round \(round)"))
                if round % 2 == 0 {
                    scene.double.pause(Self.id)
                } else {
                    scene.double.rotateToken(of: Self.id)
                }
            }
            try await scene.rest()
            #expect(try scene.files() == Self.texts(20, "round 5"))
            try await scene.expectNoAttemptBurnt()
        }
    }

    @Test(.timeLimit(.patience))
    func `a rate limit is waited for, and costs no attempt`() async throws {
        try await Self.withScene { scene in
            try await scene.push(["first": "1"])
            try await scene.rest()
            // So low that even a loaded machine meets it.
            scene.double.limitRate(to: 1)
            try await scene.push(Self.texts(40, "limited"))
            try await Patience.until("the sandbox is told to be away") {
                try await scene.story().contains("away")
            }
            scene.double.limitRate(to: 100)
            try await scene.rest()
            #expect(try scene.files().count == 41)
            try await scene.expectNoAttemptBurnt()
            let causes = try await scene.cluster.events().filter { $0.kind == .away }
            // A loaded machine may be without an answer in time, beside.
            let codes = Set(causes.map(\.code))
            #expect(codes.contains("rate-limited"))
            #expect(codes.isSubset(of: ["rate-limited", "unreachable"]), "\(codes)")
        }
    }

    @Test(.timeLimit(.patience))
    func `edits never pass the rate that is set, and no request is refused for it`() async throws {
        let perSecond = 25
        try await Self.withScene(
            ["sbx1", "sbx2"], flags: ["--set", "e2b-edits-per-s=\(perSecond)"]
        ) { scene in
            // Twelve requests an edit are more than it ever costs; all at once would be far more.
            scene.double.limitRate(to: perSecond * 12)
            let start = ContinuousClock.now
            for label in ["w2", "w3"] {
                try scene.cluster.startWorker(
                    label, environment: Self.environment(scene.double))
            }
            try await scene.push(Self.texts(40, "one"), to: ["sbx1"])
            try await scene.push(Self.texts(40, "both"), to: ["sbx1", "sbx2"])
            try await scene.rest()
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            // An edit for two sandboxes of the scheme goes to both at once.
            let most = Double(perSecond) * seconds + 2
            let puts = scene.double.movesOutOfStages
            #expect(Double(puts) <= most, "\(puts) in \(seconds) s")
            #expect(puts >= 80)
            #expect(scene.double.limitedCount == 0)
            #expect(try scene.files(of: "sbx1") == Self.texts(40, "both"))
            #expect(try scene.files(of: "sbx2") == Self.texts(40, "both"))
            try await scene.expectNoAttemptBurnt()
        }
    }

    @Test(.timeLimit(.patience))
    func `a sandbox that was killed is detached, and the other one goes on`() async throws {
        // Time enough to push everything before: an edit that names a detached sandbox is refused.
        try await Self.withScene(["sbx1", "sbx2"], flags: ["--set", "gone-s=20"]) { scene in
            let both = ["sbx1", "sbx2"]
            try await scene.push(Self.texts(10, "both"), to: both)
            try await scene.rest()
            scene.double.kill("sbx1")
            try await scene.push(Self.texts(10, "one"), to: both)
            try await Patience.until("the killed one is detached") {
                try await scene.story(of: "sbx1").contains("detached")
            }
            try await scene.rest()
            #expect(await scene.book.refused.isEmpty)
            #expect(try scene.files(of: "sbx2") == Self.texts(10, "one"))
            #expect(try scene.files(of: "sbx1") == Self.texts(10, "both"))
            let away = try await scene.cluster.events().filter { $0.kind == .away }
            #expect(away.map(\.code) == ["gone"])
            try await scene.expectNoAttemptBurnt()
        }
    }

    @Test(.timeLimit(.patience))
    func `a sandbox that came back blank is filled again under a new generation`() async throws {
        try await Self.withScene { scene in
            try await scene.push(Self.texts(20, "text"))
            try await scene.rest()
            let home = scene.double.home(of: Self.id)
            let marker = home.appendingPathComponent(".syncd/marker")
            let before = try String(contentsOf: marker, encoding: .utf8)
            for name in try FileManager.default.contentsOfDirectory(atPath: home.path) {
                try FileManager.default.removeItem(at: home.appendingPathComponent(name))
            }
            try await Patience.until("refreshed is told") {
                try await scene.story().last == "refreshed"
            }
            #expect(try scene.files() == Self.texts(20, "text"))
            #expect(try String(contentsOf: marker, encoding: .utf8) != before)
            try await scene.expectNoAttemptBurnt()
        }
    }

    @Test(.timeLimit(.patience))
    func `what a killed worker left on its way has no effect after the hand-off`() async throws {
        try await Self.withScene(flags: ["--lease-ms", "500"]) { scene in
            try await scene.push(Self.texts(20, "old"))
            try await scene.rest()
            scene.double.fail(.move, times: 4, path: "/f", with: .late)
            scene.double.fail(.remove, times: 40, with: .refuse(503, "unavailable"))
            try await scene.push(Self.texts(20, "older"))
            try await Patience.until("moves are on their way") { scene.double.lateCount == 4 }
            for label in ["w0", "w1"] { scene.cluster.crashWorker(label) }
            scene.double.mend()
            try scene.cluster.startWorker("w2", environment: Self.environment(scene.double))
            try await scene.push(Self.texts(20, "new"))
            try await scene.rest()
            #expect(scene.double.executeLate().allSatisfy { $0 >= 400 })
            #expect(try scene.files() == Self.texts(20, "new"))
            let stages = scene.double.home(of: Self.id).path + "/.syncd/stage"
            let plain = try FileManager.default.contentsOfDirectory(atPath: stages).filter {
                var isDirectory: ObjCBool = false
                _ = FileManager.default.fileExists(
                    atPath: stages + "/" + $0, isDirectory: &isDirectory)
                return !isDirectory.boolValue
            }
            #expect(plain.count >= 2)
        }
    }

    // Trace B9, and A4: nobody touches the file before the move is settled.
    @Test(.timeLimit(.patience))
    func `a move that can't be settled keeps its sandbox away until it is`() async throws {
        try await Self.withScene { scene in
            try await scene.push(["f": "old", "g": "old"])
            try await scene.rest()
            for label in ["w0", "w1"] { #expect(scene.cluster.drainWorker(label) == 0) }
            try scene.cluster.startWorker(
                "w2", flags: ["--attempt-ms", "1000"], environment: Self.environment(scene.double))
            scene.double.fail(.move, path: "/f", with: .late)
            scene.double.fail(.remove, times: 100_000, with: .refuse(503, "unavailable"))
            try await scene.push(["f": "lost"])
            try await Patience.until("the file is stuck") {
                try await scene.cluster.events().contains { $0.code == "stuck" }
            }
            try await scene.push(["f": "new", "g": "new"])
            #expect(try scene.files() == ["f": "old", "g": "old"])
            scene.double.mend()
            try await scene.rest()
            #expect(scene.double.executeLate() == [404])
            #expect(try scene.files() == ["f": "new", "g": "new"])
            try await scene.expectNoAttemptBurnt()
        }
    }

    @Test(.timeLimit(.patience))
    func `whatever happens at once, the newest edits are there at the end`() async throws {
        try await Self.withScene(
            flags: ["--lease-ms", "500", "--set", "probe-wait-max-ms=500"]
        ) { scene in
            var chance = SeededGenerator(seed: 20_261)
            var label = 1
            for round in 0..<12 {
                try await scene.push(Self.texts(12, "round \(round)"))
                switch Int.random(in: 0..<6, using: &chance) {
                case 0: scene.double.pause(Self.id)
                case 1: scene.double.rotateToken(of: Self.id)
                case 2: scene.double.fail(.move, times: 3, path: "/d", with: .late)
                case 3: scene.double.fail(.upload, times: 3, with: .loseAnswer)
                case 4: scene.double.fail(.move, times: 3, with: .unreachableAfterEffect)
                default:
                    let victim = try #require(scene.cluster.workers.keys.sorted().first)
                    scene.cluster.crashWorker(victim)
                    label += 1
                    try scene.cluster.startWorker(
                        "w\(label)", environment: Self.environment(scene.double))
                }
            }
            try await scene.rest()
            _ = scene.double.executeLate()
            #expect(try scene.files() == Self.texts(12, "round 11"))
            #expect(try await !scene.cluster.events().contains { $0.kind == .failed })
            let store = try await scene.cluster.command(["history", "--project", "p1", "d0/f0"])
            #expect(store.code == 0)
        }
    }

    @Test func `a key that is none, and an address that others can listen to, are refused`()
        async throws
    {
        let flags = ["worker", "--store", "sqlite:/nowhere/s", "--local-root", "/nowhere"]
        for (variables, part) in [
            (["E2B_API_KEY": "secret-secret"], "E2B_API_KEY holds no API key"),
            (["SYNCD_E2B_KEY_FILE": "/nowhere/key"], "can't be read"),
            (
                ["E2B_API_KEY": "e2b_00", "E2B_API_URL": "http://example.com"],
                "must be an https:// address"
            ),
        ] {
            let environment = ProcessInfo.processInfo.environment.merging(variables) { $1 }
            let (code, output) = try await CommandRun.outcome(
                of: DaemonCluster.binary, flags, environment: environment)
            #expect(output.contains(part), "\(output)")
            #expect(!output.contains("secret-secret"))
            #expect(code == 78)
        }
    }
}
