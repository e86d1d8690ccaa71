package import Foundation
internal import Synchronization

/// A PostgreSQL of the tests' own: a new cluster in a temporary folder, on a socket there and on a
/// free port of this machine, durable as it is by default.
///
/// It sorts by ICU's English rules unless told otherwise, so that a forgotten `COLLATE "C"` shows.
/// The server does not run as root, so root becomes `postgres` for it. A shell stands between: its
/// standard input closes when the test process ends, however it does, and then it ends the server.
package final class PostgresServer: Sendable {
    /// Who owns the databases of the tests; over TCP with ``password``, by the socket without.
    package static let user = "tester"
    /// The user's password.
    package static let password = "p@ss/word?secret"

    /// Folder of the socket, the data and the log.
    package let folder: String
    /// TCP port on 127.0.0.1.
    package let port: UInt16
    private let binaries: String
    private let settings: [String]
    private let shell = Mutex<Process?>(nil)

    /// One server for tests that leave it running; it ends with the test process.
    package static func shared() throws -> PostgresServer { try common.get() }

    private static let common: Result<PostgresServer, any Error> = {
        let server = Result { try PostgresServer() }
        // Registered after the watch for leaks, so it runs before.
        LeakWatch.begin()
        atexit { if case .success(let server) = PostgresServer.common { server.remove() } }
        return server
    }()

    /// Makes a cluster and starts its server.
    ///
    /// - Parameters:
    ///   - initFlags: More flags of `initdb`.
    ///   - settings: Lines of `postgresql.conf`.
    package convenience init(
        initFlags: [String] = ["--locale-provider=icu", "--icu-locale=en-US"],
        settings: [String] = []
    ) throws {
        try self.init(settings: settings) { server in
            [
                "initdb", "-U", Self.user, "--pwfile", server.folder + "/password",
                "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8",
                "--locale=C.UTF-8", "--no-sync",
            ] + initFlags
        }
    }

    /// Makes a standby that follows another server, and starts it.
    package convenience init(following primary: PostgresServer) throws {
        try self.init(settings: primary.settings) { _ in
            [
                "pg_basebackup", "-h", primary.folder, "-p", String(primary.port), "-U", Self.user,
                "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            ]
        }
    }

    /// - Parameter making: The program that makes the data, with its flags.
    private init(settings: [String], making: (PostgresServer) -> [String]) throws {
        binaries = try Self.findBinaries()
        self.settings = settings
        let endpoint = try freeEndpoint()
        guard let port = endpoint.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw KitError("\(endpoint) names no port")
        }
        self.port = port
        // Short: a socket's path has at most 107 bytes.
        folder = "/tmp/syncd-pg-\(String(UInt32.random(in: .min ... .max), radix: 36))"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        try (Self.password + "\n").write(
            toFile: folder + "/password", atomically: true, encoding: .utf8)
        if geteuid() == 0 { try SystemTool.run("chown", ["-R", "postgres", folder]) }
        let program = making(self)
        let words =
            Self.asServer + [binaries + "/" + program[0]] + program.dropFirst()
            + ["-D", folder + "/data"]
        let (code, output) = try CommandRun.outcomeAtOnce(
            of: words, in: URL(fileURLWithPath: folder))
        guard code == 0 else { throw KitError("\(program[0]) failed: \(output)") }
        try start()
    }

    deinit { remove() }

    /// Starts the server; returns when it answers.
    package func start() throws {
        let line = """
            "$@" >> log 2>&1 < /dev/null &
            server=$!
            echo "$server" > pid
            { read -r _ <&3; kill -QUIT "$server" 2> /dev/null; } &
            wait "$server"
            kill $! 2> /dev/null
            """
        let flags =
            [
                "listen_addresses=127.0.0.1", "port=\(port)", "unix_socket_directories=\(folder)",
                "shared_buffers=32MB", "max_connections=300",
            ] + settings
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            Self.asServer + ["bash", "-c", "exec 3<&0; " + line, "bash", binaries + "/postgres"]
            + ["-D", folder + "/data"] + flags.flatMap { ["-c", $0] }
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardInput = Pipe()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        shell.withLock { $0 = process }
        let end = ContinuousClock.now + Patience.stretched(.seconds(60))
        while true {
            if (try? run("SELECT 1")) == "1" { return }
            guard process.isRunning, ContinuousClock.now < end else {
                let log = (try? String(contentsOfFile: folder + "/log", encoding: .utf8)) ?? ""
                throw KitError("the server did not start: \(log.suffix(2_000))")
            }
            usleep(20_000)
        }
    }

    /// The server's first process.
    package var pid: pid_t {
        get throws {
            let text = try String(contentsOfFile: folder + "/pid", encoding: .utf8)
            guard let pid = pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
                throw KitError("\(folder)/pid holds no number")
            }
            return pid
        }
    }

    /// Kills every process of the server without a warning; returns when they are gone.
    package func crash() throws {
        let pids = try pids
        for pid in pids { kill(pid, SIGKILL) }
        if let process = shell.withLock({ $0.take() }) { Self.waitForEnd(of: process) }
        while pids.contains(where: { ProcessTable.isAlive($0) }) { usleep(5_000) }
    }

    /// Stops every process of the server, so that it accepts connections and answers nothing.
    package func pause() throws { for pid in try pids { kill(pid, SIGSTOP) } }

    /// Lets it go on.
    package func resume() throws { for pid in try pids { kill(pid, SIGCONT) } }

    /// Waits in the kernel: Foundation's own way needs threads that an ending process has no more.
    private static func waitForEnd(of process: Process) {
        while waitpid(process.processIdentifier, nil, 0) < 0, errno == EINTR {}
    }

    private var pids: [pid_t] {
        get throws {
            // The file of a server that has crashed names a process that is none of ours.
            guard shell.withLock({ $0 != nil }) else { return [] }
            let first = try pid
            return [first] + ProcessTable.children(of: first).map(\.pid)
        }
    }

    /// Ends the server and removes its folder.
    package func remove() {
        let pids = (try? pids) ?? []
        if let process = shell.withLock({ $0.take() }) {
            for pid in pids { kill(pid, SIGCONT) }
            if let first = pids.first { kill(first, SIGQUIT) }
            Self.waitForEnd(of: process)
        }
        try? FileManager.default.removeItem(atPath: folder)
    }
}

extension PostgresServer {
    /// Makes every commit wait for a standby; returns when one follows.
    package func waitsForStandby() throws {
        try run("ALTER SYSTEM SET synchronous_standby_names = '*'")
        try run("SELECT pg_reload_conf()")
        let end = ContinuousClock.now + Patience.stretched(.seconds(60))
        while try run("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1" {
            guard ContinuousClock.now < end else { throw KitError("no standby follows") }
            usleep(20_000)
        }
    }

    /// Makes a primary of a standby.
    package func promote() throws {
        guard try run("SELECT pg_promote()") == "t" else { throw KitError("not promoted") }
        try run("ALTER SYSTEM RESET synchronous_standby_names")
        try run("SELECT pg_reload_conf()")
    }

    /// Makes a database and names it.
    package func makeDatabase(_ options: String = "") throws -> String {
        let name = "t" + String(UInt64.random(in: .min ... .max), radix: 36)
        try run("CREATE DATABASE \(name) \(options)")
        return name
    }

    /// A URL of a database, by the socket.
    package func url(_ database: String, _ options: String = "") -> String {
        let host = folder.replacingOccurrences(of: "/", with: "%2F")
        return "postgres://\(Self.user)@\(host):\(port)/\(database)\(options)"
    }

    /// A URL over TCP, with a password in it.
    package func tcpURL(
        _ database: String, password: String = password, port: UInt16? = nil
    ) -> String {
        let quoted =
            password.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        return "postgres://\(Self.user):\(quoted)@127.0.0.1:\(port ?? self.port)/\(database)"
    }

    /// Runs a statement with `psql`; what it prints, without the line's end.
    @discardableResult
    package func run(_ text: String, in database: String = "postgres") throws -> String {
        let (code, output) = try CommandRun.outcomeAtOnce(
            of: [
                binaries + "/psql", "-h", folder, "-p", String(port), "-U", Self.user, "-d",
                database, "-XAtqc", text,
            ], environment: ["PATH": "/usr/bin:/bin", "PGCONNECT_TIMEOUT": "10"])
        guard code == 0 else { throw KitError("psql failed: \(output)") }
        return output.trimmingCharacters(in: .newlines)
    }

    private static var asServer: [String] {
        geteuid() == 0
            ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] : []
    }

    /// Debian keeps the programs of each version in a folder of its own, out of everybody's path.
    private static func findBinaries() throws -> String {
        let root = "/usr/lib/postgresql"
        let versions = ((try? FileManager.default.contentsOfDirectory(atPath: root)) ?? [])
            .compactMap { Int($0) }.sorted(by: >)
        let folders = versions.map { "\(root)/\($0)/bin" } + ["/usr/local/bin", "/usr/bin"]
        let found = folders.first {
            FileManager.default.isExecutableFile(atPath: $0 + "/initdb")
        }
        guard let found else { throw KitError("no PostgreSQL is installed; run deploy/test") }
        return found
    }
}
