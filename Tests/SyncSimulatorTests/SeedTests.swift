import Foundation
import SyncTestKit
import Testing

/// Seeds run by the command, so that hashing is the same in every process.
@Suite struct SeedTests {
    @Test func `a seed plays the same run every time`() async throws {
        let first = try await SimCommand.run(["--seed", "3", "--seconds", "6", "--trace"])
        let second = try await SimCommand.run(["--seed", "3", "--seconds", "6", "--trace"])
        let lines = first.lines.filter(\.isTold)
        #expect(lines.count > 100)
        #expect(lines == second.lines.filter(\.isTold))
    }

    @Test func `twelve fixed seeds keep every promise`() async throws {
        let arguments = ["--seed", "1", "--runs", "12", "--seconds", "12"]
        let result = try await SimCommand.run(arguments)
        #expect(result.status == 0, "\(result.text)")
        // What the seeds do is the same when two run at a time; only the speed is not.
        let beside = try await SimCommand.run(arguments + ["--jobs", "2"])
        #expect(result.lines.last?.hasPrefix("faults: ") ?? false)
        #expect(beside.lines.last == result.lines.last)
        #expect(result.counts?.contains(" steps, ") ?? false)
        #expect(beside.counts == result.counts)
        #expect(beside.status == 0, "\(beside.text)")
    }

    /// Every promise is kept in a seed.
    private static func expectKept(
        _ seed: Int, at location: SourceLocation = #_sourceLocation
    ) async throws {
        let result = try await SimCommand.run(["--seed", "\(seed)"])
        #expect(result.status == 0, "\(result.text)", sourceLocation: location)
    }

    /// Seeds of once; what they play has changed with the machines since.
    @Test(arguments: [491, 7_003_179, 8_101_362, 8_711_496, 8_821_974])
    func `nobody is passed twice`(seed: Int) async throws {
        try await Self.expectKept(seed)
    }

    @Test func `a worker that registers again while its lease ends keeps its files`() async throws {
        try await Self.expectKept(8_820_457)
    }

    @Test func `what a former coordinator asked for is no page of this one's refill`() async throws
    {
        try await Self.expectKept(8_900_075)
    }

    @Test func `a flush waits for an adoption that is still to come`() async throws {
        try await Self.expectKept(9_123_558)
    }

    @Test func `nobody subscribes to a coordinator that has not begun`() async throws {
        try await Self.expectKept(9_220_058)
    }

    @Test(arguments: [8_921_175, 9_851_064])
    func `an outcome that comes with a detach may wait for its end`(seed: Int) async throws {
        try await Self.expectKept(seed)
    }

    @Test func `a sandbox that only the lost journal knew is taken from whoever writes there`()
        async throws
    {
        try await Self.expectKept(8_401_975)
    }

    @Test func `what a lost journal told may come late`() async throws {
        try await Self.expectKept(8_208_931)
    }

    @Test func `a monitor of a project that only the lost journal knew forgets it`() async throws {
        try await Self.expectKept(9_320_960)
    }

    @Test func `a failed edit is failed in a snapshot, too, when it is written again`() async throws
    {
        try await Self.expectKept(9_402_315)
    }

    @Test func `repeats that nothing is written for are answered without a wait`() async throws {
        try await Self.expectKept(9_504_361)
    }

    @Test func `a marker that comes late does not hide that a sandbox was wiped`() async throws {
        try await Self.expectKept(9_554_406)
    }

    @Test func `a restart does not make the marker that comes late the first`() async throws {
        try await Self.expectKept(12_016_971)
    }

    @Test func `a filling of the lost journal is not taken for one of the restored`() async throws {
        try await Self.expectKept(13_004_418)
    }

    @Test func `an edit that is restored meets the condition that it met before`() async throws {
        try await Self.expectKept(7_120_121)
    }

    @Test func `a fresh seed keeps every promise`() async throws {
        let result = try await SimCommand.run(["--seconds", "10"])
        // The sums name the seed, so that a failure can be repeated.
        print(result.text)
        #expect(result.status == 0, "\(result.text)")
    }

    @Test func `a broken promise is told with its seed and an exit code of 1`() async throws {
        // No cluster is at rest in the moment in which its input stops.
        let result = try await SimCommand.run(["--seed", "1", "--seconds", "3", "--rest", "0"])
        #expect(result.status == 1)
        #expect(result.text.contains("seed 1: rest"))
    }
}

extension Substring {
    /// Whether it is a line of the trace: those begin with the simulated time.
    var isTold: Bool { first?.isNumber ?? false }
}

/// Runs `SyncSim` as it was built beside the tests.
struct SimCommand {
    let status: Int32
    let text: String

    /// Steps, edits and faults of all seeds.
    var counts: Substring? { lines.dropFirst().first?.split(separator: ";").last }

    var lines: [Substring] { text.split(separator: "\n") }

    static func run(_ arguments: [String]) async throws -> SimCommand {
        let (status, text) = try await CommandRun.outcome(of: binary, arguments)
        return SimCommand(status: status, text: text)
    }

    private static var binary: URL {
        get throws {
            let own = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            let found = own.appendingPathComponent("SyncSim")
            try #require(FileManager.default.isExecutableFile(atPath: found.path))
            return found
        }
    }
}
