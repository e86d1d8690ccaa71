import Foundation
import SyncCore
import SyncTestKit
import Testing

/// What commands answer when something is missing, wrong, or meant for one project of several.
@Suite(.serialized, .timeLimit(.patience)) struct CommandTests {
    private static func with(
        workers: Int = 1, intake: String? = nil, coordinatorFlags: [String] = [],
        _ body: (DaemonCluster) async throws -> Void
    ) async throws {
        let cluster = try await DaemonCluster.start(
            workers: workers, intake: intake, coordinatorFlags: coordinatorFlags)
        try await cluster.use(body)
    }

    /// Runs a command with variables beside those of the cluster.
    private static func run(
        _ cluster: DaemonCluster, _ arguments: [String], _ variables: [String: String] = [:]
    ) async throws -> (code: Int32, output: String) {
        try await CommandRun.outcome(
            of: DaemonCluster.binary, arguments,
            environment: cluster.environment.merging(variables) { $1 })
    }

    /// A file that can't be written, in a project: its folder leads out of the sandbox.
    private static func fail(_ project: String, _ cluster: DaemonCluster) async throws {
        _ = try await run(cluster, ["push", "--project", project, "--stdin", "well", "--wait"])
        try FileManager.default.createSymbolicLink(
            atPath: cluster.sandboxes + "/\(project)/out", withDestinationPath: "/usr")
        let push = try await run(
            cluster, ["push", "--project", project, "--stdin", "out/f", "--wait"])
        #expect(push.code == 1, "\(push)")
    }

    @Test func `what is failed is decided of one project, or of all when that is said`()
        async throws
    {
        try await Self.with { cluster in
            try await Self.fail("p1", cluster)
            try await Self.fail("p2", cluster)
            let nobody = try await Self.run(cluster, ["failed", "discard", "--json"])
            #expect(nobody.code == 64)
            #expect(nobody.output.contains("Name the project by --project (SYNCD_PROJECT)"))
            let all = try await Self.run(cluster, ["failed", "list"])
            #expect(all.output.contains("p1  out/f") && all.output.contains("p2  out/f"))
            let second = ["SYNCD_PROJECT": "p2"]
            for command in [
                ["failed", "list"], ["queue"], ["status", "--from", "1", "--until", "4"],
            ] {
                let own = try await Self.run(cluster, command, second)
                #expect(own.code == 0, "\(own)")
                #expect(own.output.contains("p2") && !own.output.contains("p1"), "\(own)")
            }
            let every = try await Self.run(cluster, ["queue", "--all"], second)
            #expect(every.output.contains("p1") && every.output.contains("p2"))
            let discard = try await Self.run(cluster, ["failed", "discard", "--by", "eve"], second)
            #expect(discard.output.contains("1 failed edit discarded by eve"))
            let left = try await Self.run(cluster, ["failed", "list"])
            #expect(left.output.contains("p1  out/f") && !left.output.contains("p2  out/f"))
            let rest = try await Self.run(cluster, ["failed", "discard", "--all"])
            #expect(rest.code == 0)
            #expect(try await Self.run(cluster, ["failed", "list"]).output.isEmpty)
        }
    }

    @Test func `a barrier tells a pool that is busy from one that is not there`() async throws {
        try await Self.with(workers: 0) { cluster in
            _ = try await Self.run(cluster, ["push", "--project", "p1", "--stdin", "f"])
            let late = try await Self.run(
                cluster, ["flush", "--project", "p1", "--timeout", "1", "--json"])
            #expect(late.code == 3)
            #expect(late.output.contains("Not everything is visible after"))
            let line = try #require(late.output.split(separator: "\n").first { $0.hasPrefix("{") })
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            #expect(object["visible"] as? Bool == false)
            #expect(object["timed_out"] as? Bool == true)
            #expect(object["count"] == nil)
            let queue = try await Self.run(cluster, ["queue", "--project", "p1"])
            #expect(queue.output.contains("no-worker: No worker is here; start one."), "\(queue)")
            cluster.crashCoordinator()
            let silent = try await Self.run(
                cluster, ["flush", "--project", "p1", "--timeout", "1"])
            #expect(silent.code == 69)
            #expect(silent.output.contains("did not answer"))
        }
    }

    @Test func `a project that nobody pushed to is told`() async throws {
        try await Self.with { cluster in
            for command in [["flush"], ["queue"], ["failed", "list"], ["failed", "retry"]] {
                let answer = try await Self.run(cluster, command + ["--project", "nope"])
                #expect(answer.code == 0)
                #expect(answer.output.contains("nothing is known of project nope"), "\(answer)")
            }
            // The store is made by the first worker.
            _ = try await Self.run(cluster, ["push", "--project", "p1", "--stdin", "f", "--wait"])
            let known = try await Self.run(cluster, ["failed", "list", "--project", "p1"])
            #expect(known.output.isEmpty)
            let list = try await Self.run(
                cluster, ["ls", "--project", "nope", "--store", cluster.storeURL])
            #expect(list.code == 0)
            #expect(list.output.contains("the store has nothing of project nope"), "\(list)")
        }
    }

    @Test func `a scheme that no worker reaches is the cause of waiting`() async throws {
        try await Self.with { cluster in
            try await cluster.joined()
            let push = try await Self.run(
                cluster,
                [
                    "push", "--project", "p1", "--stdin", "f", "--target", "e2b:abc", "--wait",
                    "--timeout", "1",
                ])
            #expect(push.code == 1)
            #expect(push.output.contains("f is waiting: no-worker: No worker that is here"))
            let queue = try await Self.run(cluster, ["queue", "--project", "p1"])
            #expect(queue.output.contains("sandboxes of e2b"), "\(queue)")
        }
    }

    @Test func `an endpoint that can't be had ends the coordinator, and 'up' with it`() async throws
    {
        try await Self.with(workers: 0, intake: try freeEndpoint()) { cluster in
            let folder = cluster.folder.path + "/other"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            let cases = [
                (intake: cluster.intake, says: "Stop the process that has it"),
                (intake: "ipc://\(folder)/missing/i", says: "in an existing directory"),
            ]
            for (intake, says) in cases {
                let flags = [
                    "--insecure", "--intake", intake, "--worker-endpoint", "ipc://\(folder)/w",
                    "--status", "ipc://\(folder)/s",
                ]
                let alone = try await Self.run(
                    cluster, ["coordinator", "--journal", "sqlite:\(folder)/journal.db"] + flags)
                #expect(alone.code == 78, "\(alone)")
                #expect(alone.output.contains(says), "\(alone)")
                let up = try await Self.run(cluster, ["up", "--data", folder + "/up"] + flags)
                #expect(up.code == 78, "\(up)")
                #expect(up.output.contains("The coordinator can't run as it is configured"))
            }
        }
    }

    @Test func `an address that may come up later is no final error`() async throws {
        try await Self.with(workers: 0) { cluster in
            let folder = cluster.folder.path
            let alone = try await Self.run(
                cluster,
                [
                    "coordinator", "--journal", "sqlite:\(folder)/other.db", "--insecure",
                    "--intake",
                    "tcp://nowhere.invalid:7461", "--worker-endpoint", "ipc://\(folder)/ow",
                    "--status", "ipc://\(folder)/os",
                ])
            #expect(alone.code == 1, "\(alone)")
            #expect(alone.output.contains("Choose an address of this machine"), "\(alone)")
        }
    }

    @Test func `two sockets at one endpoint are refused`() async throws {
        try await Self.with(workers: 0) { cluster in
            let folder = cluster.folder.path
            // libzmq would let the second socket take the path away from the first.
            for endpoint in ["ipc://\(folder)/s", try freeEndpoint()] {
                let flags = [
                    "--intake", endpoint, "--worker-endpoint", endpoint, "--status",
                    "ipc://\(folder)/other",
                ]
                for command in [
                    ["up", "--data", folder + "/up"],
                    ["coordinator", "--journal", "sqlite:\(folder)/other.db"],
                ] {
                    let double = try await Self.run(cluster, command + flags)
                    #expect(double.code == 78, "\(double)")
                    #expect(double.output.contains("\(endpoint) is given for two sockets"))
                }
            }
        }
    }

    @Test func `a push takes the size of a content from the coordinator`() async throws {
        try await Self.with(
            coordinatorFlags: ["--set", "content-mib=1"]
        ) { cluster in
            let tree = cluster.folder.path + "/tree"
            try FileManager.default.createDirectory(
                atPath: tree, withIntermediateDirectories: true)
            // So large that its frame alone would get the connection cut.
            try Data(count: 3 << 20).write(to: URL(fileURLWithPath: tree + "/big"))
            for name in ["a", "z"] {
                try Data(name.utf8).write(to: URL(fileURLWithPath: tree + "/" + name))
            }
            let push = ["push", "--project", "p1", "--root", tree, "--wait"]
            let whole = try await Self.run(cluster, push)
            #expect(whole.code == 2, "\(whole)")
            #expect(whole.output.contains("2 accepted; all visible"))
            #expect(whole.output.contains("1 file was too large to be pushed"))
            #expect(whole.output.contains("big (3145728 bytes, the coordinator takes 1048576)"))
            let named = try await Self.run(cluster, push + ["a", "big"])
            #expect(named.code == 2, "\(named)")
            #expect(named.output.contains("Not everything that was named was pushed."))
        }
        try await Self.with(
            workers: 0, coordinatorFlags: ["--set", "content-mib=32", "--set", "message-mib=64"]
        ) { cluster in
            let tree = cluster.folder.path + "/tree"
            try FileManager.default.createDirectory(
                atPath: tree, withIntermediateDirectories: true)
            try Data(count: 20 << 20).write(to: URL(fileURLWithPath: tree + "/big"))
            try cluster.startWorker("w0", flags: ["--set", "content-mib=32"])
            let push = try await Self.run(
                cluster, ["push", "--project", "p1", "--root", tree, "--wait", "big"])
            #expect(push.code == 0, "\(push)")
            #expect(push.output.contains("1 accepted; all visible"))
        }
    }

    @Test func `what was named and can't be pushed fails the push`() async throws {
        try await Self.with(workers: 0) { cluster in
            let tree = cluster.folder.path + "/tree"
            try FileManager.default.createDirectory(
                atPath: tree + "/folder", withIntermediateDirectories: true)
            for link in ["link", "folder/link"] {
                try FileManager.default.createSymbolicLink(
                    atPath: tree + "/" + link, withDestinationPath: "/nonexistent")
            }
            let push = ["push", "--project", "p1", "--root", tree]
            #expect(try await Self.run(cluster, push).code == 0)
            #expect(try await Self.run(cluster, push + ["folder"]).code == 0)
            let named = try await Self.run(cluster, push + ["link"])
            #expect(named.code == 2)
            #expect(named.output.contains("link"))
        }
    }

    @Test func `the data of 'syncd up' is no tree to push`() async throws {
        try await Self.with(workers: 0) { cluster in
            let tree = cluster.folder.path + "/tree"
            let data = tree + "/demo"
            try FileManager.default.createDirectory(
                atPath: data + "/sandboxes", withIntermediateDirectories: true)
            for file in ["/a", "/demo/up.lock", "/demo/journal.db", "/demo/sandboxes/x"] {
                try Data("x".utf8).write(to: URL(fileURLWithPath: tree + file))
            }
            let push = ["push", "--project", "p1", "--root"]
            let whole = try await Self.run(cluster, push + [tree])
            #expect(whole.code == 0)
            #expect(whole.output.contains("1 edit pushed to p1: 1 accepted"), "\(whole)")
            #expect(whole.output.contains("skipped 1 × data-directory\n  demo"))
            #expect(try await Self.run(cluster, push + [tree, "demo"]).code == 2)
            let root = try await Self.run(cluster, push + [data])
            #expect(root.code == 64)
            #expect(root.output.contains("is the data directory of 'syncd up'"))
        }
    }

    @Test func `a refill that is waited for tells its own causes, once`() async throws {
        try await Self.with(workers: 0, coordinatorFlags: ["--lease-ms", "60000"]) { cluster in
            let worker = try cluster.startWorker("w0")
            try await cluster.joined()
            let push = ["push", "--project", "p1", "--stdin", "folder/f", "--wait"]
            #expect(try await Self.run(cluster, push).code == 0)
            let folder = cluster.sandboxes + "/p1/folder"
            try FileManager.default.removeItem(atPath: folder)
            try FileManager.default.createSymbolicLink(
                atPath: folder, withDestinationPath: "/usr")
            let hydrate = ["hydrate", "--project", "p1", "--wait", "--timeout"]
            let first = try await Self.run(cluster, hydrate + ["60"])
            #expect(first.code == 3)
            #expect(first.output.contains("Not all files can be written: folder/f: EXDEV"))
            #expect(first.output.contains("then retry the edit if it failed."))
            #expect(first.output.components(separatedBy: "local:p1").count == 2, "\(first)")
            try FileManager.default.removeItem(atPath: folder)
            // Nobody lists the files: what the former filling met says nothing now.
            worker.process.signal(SIGSTOP)
            let second = try await Self.run(cluster, hydrate + ["1"])
            worker.process.signal(SIGCONT)
            #expect(second.code == 3)
            #expect(second.output.contains("Not all files are written yet"), "\(second)")
            #expect(!second.output.contains("EXDEV"), "\(second)")
            let third = try await Self.run(cluster, hydrate + ["60"])
            #expect(third.code == 0, "\(third)")
            try FileManager.default.moveItem(
                atPath: cluster.sandboxes, toPath: cluster.sandboxes + "-moved")
            let away = try await Self.run(cluster, hydrate + ["60"])
            #expect(away.code == 3)
            #expect(away.output.components(separatedBy: "root-missing").count == 2, "\(away)")
        }
    }

    @Test func `a client that is done leaves no riddle in the log, and numbers are numbers there`()
        async throws
    {
        try await Self.with(workers: 0, coordinatorFlags: ["--log-format", "json"]) { cluster in
            #expect(try await Self.run(cluster, ["queue"]).code == 0)
            let line = try await cluster.logLine(with: ["intake: the connection of", "ended"])
            #expect(!line.contains("frame"))
            let recovered = try await cluster.logLine(with: ["recovered"])
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(recovered.utf8)) as? [String: Any])
            #expect(object["pending"] as? Int == 0)
            #expect(object["epoch"] is String)
        }
    }
}
