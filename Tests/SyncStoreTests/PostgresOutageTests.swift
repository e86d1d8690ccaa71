import SyncCore
import SyncStore
import SyncTestKit
import Testing

/// A server that is killed, stopped or full; each test has its own.
@Suite(.serialized) struct PostgresOutageTests {
    private static func impatient() -> PostgresLimits {
        var limits = PostgresLimits.tested
        limits.connectWait = .seconds(2)
        limits.answerWait = .seconds(1)
        return limits
    }

    @Test(.timeLimit(.patience))
    func `a server killed amid applies loses nothing and does nothing twice`() async throws {
        let server = try PostgresServer()
        defer { server.remove() }
        let url = try server.postgres(try server.makeDatabase())
        let store = try await PostgresStore(url, versionsKept: 1_000, limits: .tested)
        let rounds = UInt64(60)
        let tasks = UInt64(4)
        // Each task writes its own files in rounds; what fails is asked again until it is known.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<tasks {
                group.addTask {
                    for round in 1...rounds {
                        let base = (round * tasks + task) * 10
                        let edits = (0..<10).map {
                            SequencedEdit.put(base + $0, .named("t\(task)/f\($0)"))
                        }
                        try await Patience.until("round \(round) is stored") {
                            do {
                                let answers = try await store.apply(edits)
                                let wanted = Version(round)
                                #expect(
                                    answers.allSatisfy {
                                        $0 == .applied(wanted) || $0 == .known(wanted)
                                    })
                                return true
                            } catch let error as StoreError {
                                #expect(error.code == .unavailable, "\(error.message)")
                                return false
                            }
                        }
                    }
                }
            }
            for crash in 1...3 as ClosedRange<UInt64> {
                let before = try await store.identity().highestSequence
                try await Patience.until("more is stored") {
                    try await store.identity().highestSequence.value >= before.value + 100
                }
                try server.crash()
                // The tasks may be between two calls: this one meets the dead server for certain.
                let error = await #expect(throws: StoreError.self) {
                    try await store.apply([.put(crash, .named("lost"))])
                }
                #expect(error?.code == .unavailable)
                try server.start()
            }
            try await group.waitForAll()
        }
        #expect(try await store.version(of: .named("lost"), nil) == nil)
        for task in 0..<tasks {
            for file in 0..<10 {
                let history = try await store.history(of: .named("t\(task)/f\(file)"))
                #expect(history.map(\.version.value) == Array((1...rounds).reversed()))
            }
        }
        await store.close()
    }

    @Test(.timeLimit(.patience))
    func `sessions that stood idle over a restart are replaced without a failure`() async throws {
        let server = try PostgresServer()
        defer { server.remove() }
        let store = try await PostgresStore(try server.postgres(try server.makeDatabase()))
        #expect(try await store.apply([.put(1, .named("a"))]) == [.applied(Version(1))])
        try server.crash()
        let error = await #expect(throws: StoreError.self) {
            try await store.apply([.put(2, .named("a"))])
        }
        #expect(error?.code == .unavailable)
        try server.start()
        #expect(try await store.apply([.put(2, .named("a"))]) == [.applied(Version(2))])
        try server.crash()
        try server.start()
        #expect(try await store.apply([.put(3, .named("a"))]) == [.applied(Version(3))])
        await store.close()
    }

    @Test(.timeLimit(.patience))
    func `a server that hangs is unavailable, for a session in hand and for a new one`()
        async throws
    {
        let server = try PostgresServer()
        defer { server.remove() }
        let url = try PostgresServer.read(server.tcpURL(try server.makeDatabase()))
        let store = try await PostgresStore(url, limits: Self.impatient())
        try server.pause()
        for _ in 0..<2 {
            let error = await #expect(throws: StoreError.self) {
                try await store.apply([.put(1, .named("a"))])
            }
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("secret") == false)
        }
        try server.resume()
        try await Patience.until("the store answers again") {
            do {
                // The first call may have taken effect when the server woke.
                let answer = try await store.apply([.put(1, .named("a"))])
                return [[.applied(Version(1))], [.known(Version(1))]].contains(answer)
            } catch let error as StoreError {
                #expect(error.code == .unavailable)
                return false
            }
        }
        await store.close()
    }

    @Test(.timeLimit(.patience))
    func `a call whose caller gives up ends, though its server hangs`() async throws {
        let server = try PostgresServer()
        defer { server.remove() }
        var limits = PostgresLimits.tested
        limits.answerWait = .seconds(3_600)
        let store = try await PostgresStore(
            try server.postgres(try server.makeDatabase()), limits: limits)
        try server.pause()
        let call = Task { try await store.apply([.put(1, .named("a"))]) }
        call.cancel()
        let error = await #expect(throws: StoreError.self) { try await call.value }
        #expect(error?.code == .unavailable)
        try server.resume()
        await store.close()
    }

    @Test(.timeLimit(.patience), .enabled(if: Capability.mounts))
    func `a full disk is unavailable, and what was stored stays`() async throws {
        let server = try PostgresServer()
        defer { server.remove() }
        let disk = try TestDisk.inMemory(byteCount: 24 << 20)
        defer { disk.remove() }
        try SystemTool.run("chown", ["postgres", disk.path])
        try server.run("CREATE TABLESPACE small LOCATION '\(disk.path)'")
        let database = try server.makeDatabase("TABLESPACE small")
        let store = try await PostgresStore(try server.postgres(database))
        _ = try await store.apply([.put(1, .named("a"))])
        try disk.fill()
        // Bytes that don't compress.
        var random = SeededGenerator(seed: 1)
        let noise = (0..<(1 << 17)).flatMap { _ in
            withUnsafeBytes(of: random.next()) { Array($0) }
        }
        let edit = SequencedEdit.put(2, .named("a"), content: Content(noise))
        let error = await #expect(throws: StoreError.self) { try await store.apply([edit]) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("53100") == true)
        #expect(error?.message.contains("free space") == true)
        #expect(try await store.history(of: .named("a")).map(\.version.value) == [1])
        try disk.empty()
        #expect(try await store.apply([edit]) == [.applied(Version(2))])
        await store.close()
        try server.run("DROP DATABASE \(database)")
        try server.run("DROP TABLESPACE small")
    }
}
