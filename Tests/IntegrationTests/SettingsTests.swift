import Foundation
import SyncTestKit
import Testing

/// Settings as an operator gives them: flag over environment over file, and what a bad one says.
struct SettingsTests {
    /// Runs a command with nothing of ours in the environment but what is given.
    private static func run(
        _ arguments: [String], _ variables: [String: String] = [:], in folder: URL? = nil
    ) async throws -> (code: Int32, output: String) {
        var environment = ProcessInfo.processInfo.environment.filter {
            !$0.key.hasPrefix("SYNCD_")
        }
        environment.merge(variables) { $1 }
        return try await CommandRun.outcome(
            of: DaemonCluster.binary, arguments, environment: environment, in: folder)
    }

    private static func withFile(
        _ text: String, _ body: (String) async throws -> Void
    ) async throws {
        let id = String(UInt64.random(in: .min ... .max), radix: 36)
        let file = "/tmp/syncd-settings-\(id).json"
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: file) }
        try await body(file)
    }

    // A coordinator without a journal says so after it has taken its settings: exit 64.

    @Test func `a flag is stronger than the environment, which is stronger than the file`()
        async throws
    {
        try await Self.withFile(#"{"syncd": {"lease-ms": 1}}"#) { file in
            let base = ["coordinator", "--config", file]
            let byFile = try await Self.run(base)
            #expect(byFile.code == 78)
            #expect(byFile.output.contains("lease-ms is '1'"))
            #expect(byFile.output.contains("from 200 to 60000"))
            let byVariable = try await Self.run(base, ["SYNCD_LEASE_MS": "fast"])
            #expect(byVariable.code == 78)
            #expect(byVariable.output.contains("lease-ms is 'fast'"))
            for flag in [["--lease-ms", "5000"], ["--set", "lease-ms=5000"]] {
                let byFlag = try await Self.run(base + flag, ["SYNCD_LEASE_MS": "fast"])
                #expect(byFlag.code == 64)
                #expect(byFlag.output.contains("The journal is missing"))
            }
            let named = try await Self.run(["coordinator"], ["SYNCD_CONFIG": file])
            #expect(named.output.contains("lease-ms is '1'"))
        }
    }

    @Test func `every limit is read from flag, environment and file`() async throws {
        let (code, output) = try await Self.run(["settings", "--json"])
        #expect(code == 0)
        let lines = output.split(separator: "\n")
        #expect(lines.count > 30)
        for line in lines {
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            let key = try #require(object["key"] as? String)
            let process = try #require(object["process"] as? String)
            let variable = try #require(object["variable"] as? String)
            // Out of range by one, or no word: whoever reads the setting says what it got.
            let least = object["least"] as? Int
            #expect(least != nil || (object["words"] as? [String])?.count == 3)
            let bad = least.map { String($0 - 1) } ?? "maybe"
            let inFile = least == nil ? "\"\(bad)\"" : bad
            let arguments =
                process == "worker"
                ? [
                    "worker", "--store", "sqlite:/nonexistent/store.db", "--local-root",
                    "/nonexistent",
                ]
                : ["coordinator"]
            let told = "\(key) is '\(bad)'"
            let byFlag = try await Self.run(arguments + ["--set", "\(key)=\(bad)"])
            let byVariable = try await Self.run(arguments, [variable: bad])
            #expect(byFlag.code == 78 && byFlag.output.contains(told), "\(key): \(byFlag)")
            #expect(
                byVariable.code == 78 && byVariable.output.contains(told), "\(key): \(byVariable)")
            try await Self.withFile(#"{"syncd": {"\#(key)": \#(inFile)}}"#) { file in
                let byFile = try await Self.run(arguments + ["--config", file])
                #expect(byFile.code == 78 && byFile.output.contains(told), "\(key): \(byFile)")
            }
        }
    }

    @Test func `what makes no sense ends with a sentence and its exit code`() async throws {
        let cases: [(arguments: [String], code: Int32, says: String)] = [
            (["coordinator", "--log-format", "xml"], 78, "--log-format is text or json"),
            (["coordinator", "--log-level", "loud"], 78, "--log-level is one of"),
            (["coordinator", "--config", "/nonexistent/x"], 78, "There is no configuration file"),
            (["coordinator", "--config", "/"], 78, "can't be read"),
            (["coordinator", "--intake", "tcp://127.0.0.1:99999"], 78, "must be 1 to 65535"),
            (
                ["push", "--project", "p", "--stdin", "f", "--intake", "x"], 78,
                "names no transport"
            ),
            (["queue", "--intake", "127.0.0.1:7461"], 78, "write tcp://HOST:PORT or ipc://PATH"),
            (["worker", "--coordinator", "tcp://localhost"], 78, "host or port is missing"),
            (["up", "--data", "/tmp", "--status", "tcp://127.0.0.1:*"], 78, "must be 1 to 65535"),
            (["failed", "discard"], 64, "Whose failed edits?"),
            (["failed", "list", "--all", "--project", "p"], 64, "--all means every one"),
            (["coordinator", "--set", "nonsense=1"], 78, "names no limit"),
            (["coordinator", "--set", "lease-ms"], 78, "names no limit"),
            (["coordinator", "--retry-ms", "soon"], 78, "retry-ms is 'soon'"),
            (
                ["coordinator", "--set", "message-mib=16"], 78,
                "message-mib must be above content-mib"
            ),
            (["coordinator", "--journal", "postgres:x"], 78, "--journal"),
            (["coordinator", "--intake", "tcp://0.0.0.0:7461"], 78, "--insecure"),
            (["coordinator", "--nonsense"], 64, "Unknown option"),
            (["nonsense"], 64, "Unexpected argument"),
            (["push", "--project", "../p"], 64, "no project name"),
            (["get", "--project", "p", "x"], 64, "The store is missing"),
        ]
        for (arguments, code, says) in cases {
            let result = try await Self.run(arguments)
            #expect(result.code == code, "\(arguments): \(result)")
            #expect(result.output.contains(says), "\(arguments): \(result)")
        }
    }

    @Test func `push minds content-mib, too`() async throws {
        let push = ["push", "--project", "p", "--stdin", "f", "--silence", "1"]
        let bad = try await Self.run(push, ["SYNCD_CONTENT_MIB": "0"])
        #expect(bad.code == 78)
        #expect(bad.output.contains("content-mib is '0'"))
    }

    @Test func `what is in effect is told with who says so, and no secret`() async throws {
        let text = #"{"syncd": {"lease-ms": 5000, "intake": "ipc:///tmp/x"}}"#
        try await Self.withFile(text) { file in
            let store = "postgres://me:pass@host/data"
            let (code, output) = try await Self.run(
                ["settings", "--in-effect", "--config", file, "--set", "turn-edits=9"],
                ["SYNCD_MEMORY_MIB": "64", "SYNCD_STORE": store])
            #expect(code == 0)
            let lines = output.split(separator: "\n").map {
                $0.split(separator: " ").map(String.init)
            }
            for line in [
                ["coordinator", "lease-ms", "5000", "ms", file],
                // A fifth of the lease when nobody gives it.
                ["coordinator", "margin-ms", "1000", "ms", "default"],
                ["coordinator", "memory-mib", "64", "MiB", "SYNCD_MEMORY_MIB"],
                ["coordinator", "turn-edits", "9", "--set"],
                ["worker", "drift", "report", "default"],
                ["intake", "ipc:///tmp/x", file],
                ["store", "(not", "shown)", "SYNCD_STORE"],
            ] {
                #expect(lines.contains(line), "\(line)")
            }
            #expect(!output.contains("pass"))
            let wrong = try await Self.run(["settings", "--in-effect", "--set", "lease-ms=1"])
            #expect(wrong.code == 78)
        }
    }

    @Test func `a file with a typing error is refused, one without the object too`() async throws {
        try await Self.withFile(#"{"syncd": {"lease_ms": 2500}}"#) { file in
            let result = try await Self.run(["coordinator", "--config", file])
            #expect(result.code == 78)
            #expect(result.output.contains("lease_ms, which nobody reads"))
        }
        try await Self.withFile(#"{"lease-ms": 2500}"#) { file in
            let result = try await Self.run(["coordinator", "--config", file])
            #expect(result.code == 78)
            #expect(result.output.contains("has no object \"syncd\""))
        }
        try await Self.withFile("{") { file in
            try await #expect(Self.run(["queue", "--config", file]).code == 78)
        }
    }

    @Test(.timeLimit(.patience))
    func `a limit that was set is kept`() async throws {
        let cluster = try await DaemonCluster.start(
            workers: 1, coordinatorFlags: ["--set", "content-mib=1", "--log-format", "json"])
        let file = cluster.folder.path + "/big"
        try Data(count: 1 << 20 + 1).write(to: URL(fileURLWithPath: file))
        let (code, output) = try await cluster.command(
            ["push", "--project", "p1", "--root", cluster.folder.path, "big"])
        #expect(code != 0)
        #expect(output.contains("too-large") || output.contains("16 MiB") == false)
        let log = try #require(cluster.coordinator?.log)
        let first = try String(contentsOf: log, encoding: .utf8).split(separator: "\n").first
        let line = try JSONSerialization.jsonObject(with: Data((first ?? "").utf8))
        #expect((line as? [String: Any])?["level"] as? String == "info")
        await cluster.stop()
    }
}
