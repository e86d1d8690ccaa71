import Foundation
import SyncCore
import SyncTestKit
import Testing

/// The article's Python programs, as they stand there, against real processes.
@Suite(.serialized) struct ProtocolArticleTests {
    static let python = ProcessInfo.processInfo.environment["SYNCD_TEST_PYTHON"]

    private static func program(
        _ name: String, _ python: String, _ cluster: DaemonCluster, _ arguments: [String]
    ) throws -> (process: Process, output: FileHandle) {
        let lines = try ProtocolArticle().block("python \(name)")
        #expect(lines.count <= 17, "it is said to be short")
        let file = cluster.folder.appendingPathComponent("\(name).py")
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: python)
        process.arguments = ["-u", file.path] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return (process, output.fileHandleForReading)
    }

    /// Reads lines until one of them is this one.
    private static func lines(_ output: FileHandle, through last: String) -> [String] {
        var text = ""
        while true {
            let data = output.availableData
            text += String(decoding: data, as: UTF8.self)
            let lines = text.split(separator: "\n").map(String.init)
            if data.isEmpty || lines.contains(last) { return lines }
        }
    }

    @Test(
        .timeLimit(.patience),
        .enabled(if: python != nil, "deploy/test makes the environment and names it"))
    func `the producer pushes, and the subscriber misses nothing`()
        async throws
    {
        let python = try #require(Self.python)
        let cluster = try await DaemonCluster.start(workers: 1)
        let monitor = try Self.program(
            "subscriber", python, cluster, [cluster.status, "p1"])
        defer {
            // Not by SIGTERM: children of this process inherit a mask that blocks it, and one that
            // lives on keeps the tests' output open for ever.
            monitor.process.signal(SIGKILL)
            monitor.process.waitUntilExit()
        }
        #expect(Self.lines(monitor.output, through: "mark  ").first == "mark  ")

        let push = ["src/App.tsx", "export {}\n"]
        let producer = try Self.program(
            "producer", python, cluster, [cluster.intake, "p1"] + push)
        let answer = try producer.output.readToEnd().map { String(decoding: $0, as: UTF8.self) }
        producer.process.waitUntilExit()
        #expect(producer.process.terminationStatus == 0)
        #expect(answer == "1 ACCEPTED 1 \n")
        try await cluster.flush()
        let file = try DirectoryTree.read(at: cluster.sandboxes + "/p1")["src/App.tsx"]
        #expect(file?.bytes == Array("export {}\n".utf8))

        let told = Self.lines(monitor.output, through: "synced src/App.tsx 1")
        #expect(told.contains("accepted src/App.tsx "))
        // The next mark may have come with it.
        #expect(told.contains("synced src/App.tsx 1"))
        #expect(!told.contains { $0.hasPrefix("missed") })
        await cluster.stop()
    }

    @Test(
        .timeLimit(.patience),
        .enabled(if: python != nil, "deploy/test makes the environment and names it"))
    func `the producer waits for a coordinator that starts later, and shows a refusal`()
        async throws
    {
        let python = try #require(Self.python)
        let cluster = try await DaemonCluster.start(workers: 0)
        cluster.crashCoordinator()
        let producer = try Self.program(
            "producer", python, cluster, [cluster.intake, "p1", "../etc/passwd", "x"])
        try cluster.startCoordinator()
        let answer = try producer.output.readToEnd().map { String(decoding: $0, as: UTF8.self) }
        producer.process.waitUntilExit()
        #expect(answer?.split(separator: "\n").last?.hasPrefix("1 REJECTED invalid-path") == true)
        await cluster.stop()
    }
}
