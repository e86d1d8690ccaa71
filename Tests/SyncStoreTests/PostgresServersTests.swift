import Foundation
import SyncCore
import SyncTestKit
import Testing

@testable import SyncStore

/// Servers that encrypt, ask for a password, or have a standby.
@Suite struct PostgresServersTests {
    /// Two authorities, one of which has signed a server's certificate.
    private struct Certificates {
        let folder: String
        var signer: String { folder + "/ca.crt" }
        var stranger: String { folder + "/other.crt" }
        var settings: [String] {
            ["ssl=on", "ssl_cert_file=\(folder)/server.crt", "ssl_key_file=\(folder)/server.key"]
        }

        init() throws {
            folder = "/tmp/syncd-tls-\(String(UInt32.random(in: .min ... .max), radix: 36))"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            for name in ["ca", "other"] {
                try openssl(
                    ["req", "-x509"] + key + [
                        "-keyout", "\(name).key", "-out", "\(name).crt", "-subj", "/CN=\(name)",
                    ])
            }
            try openssl(
                ["req"] + key + [
                    "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1",
                ])
            try "subjectAltName=IP:127.0.0.1".write(
                toFile: folder + "/names", atomically: true, encoding: .utf8)
            try openssl([
                "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-extfile", "names", "-out", "server.crt",
            ])
            if geteuid() == 0 { try SystemTool.run("chown", ["-R", "postgres", folder]) }
        }

        private func openssl(_ words: [String]) throws {
            let (code, output) = try CommandRun.outcomeAtOnce(
                of: ["openssl"] + words, in: URL(fileURLWithPath: folder))
            guard code == 0 else { throw KitError("openssl failed: \(output)") }
        }

        func remove() { try? FileManager.default.removeItem(atPath: folder) }
    }

    private func refusal(_ text: String) async throws -> StoreError {
        let error = await #expect(throws: StoreError.self) {
            _ = try await PostgresStore(PostgresServer.read(text), limits: .tested)
        }
        let found = try #require(error)
        #expect(!found.message.contains("secret"), "\(found.message)")
        return found
    }

    @Test func `a session is encrypted, and its server is who it says`() async throws {
        let certificates = try Certificates()
        defer { certificates.remove() }
        let server = try PostgresServer(settings: certificates.settings)
        defer { server.remove() }
        let database = try server.makeDatabase()
        let full = server.tcpURL(database) + "?sslmode=verify-full&sslrootcert="
        let store = try await PostgresStore(
            PostgresServer.read(full + certificates.signer), limits: .tested)
        #expect(try await store.apply([.put(1, .named("a"))]) == [.applied(Version(1))])
        let encrypted = try server.run(
            "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                + "WHERE ssl AND datname = '\(database)'")
        #expect(encrypted == "1")
        await store.close()
        let stranger = try await refusal(full + certificates.stranger)
        #expect(stranger.code == .unavailable)
        #expect(stranger.message.contains("certificate verify failed"), "\(stranger.message)")
        let named = full.replacingOccurrences(of: "@127.0.0.1", with: "@localhost")
        let renamed = try await refusal(named + certificates.signer)
        #expect(renamed.message.contains("does not match host name"), "\(renamed.message)")
    }

    @Test func `a server that does not encrypt is told when it is to`() async throws {
        let server = try PostgresServer.shared()
        let error = try await refusal(server.tcpURL("postgres") + "?sslmode=require")
        #expect(error.code == .unavailable)
        #expect(error.message.contains("does not support SSL"), "\(error.message)")
    }

    @Test func `a password is found in its file`() async throws {
        let server = try PostgresServer.shared()
        let folder = try TemporaryFolder()
        let file = folder.file("pgpass")
        let quoted = PostgresServer.password.replacingOccurrences(of: ":", with: "\\:")
        try "127.0.0.1:\(server.port):*:\(PostgresServer.user):\(quoted)\n".write(
            toFile: file, atomically: true, encoding: .utf8)
        chmod(file, 0o600)
        let database = try server.makeDatabase()
        let start = "postgres://\(PostgresServer.user)@127.0.0.1:\(server.port)/\(database)"
        let store = try await PostgresStore(
            PostgresServer.read("\(start)?passfile=\(file)"), limits: .tested)
        #expect(try await store.apply([.put(1, .named("a"))]) == [.applied(Version(1))])
        await store.close()
        let error = try await refusal("\(start)?passfile=\(file).none")
        #expect(error.message.contains("no password supplied"), "\(error.message)")
    }

    @Test func `a standby takes over and nothing that was answered is lost`() async throws {
        let primary = try PostgresServer()
        defer { primary.remove() }
        let standby = try PostgresServer(following: primary)
        defer { standby.remove() }
        try primary.waitsForStandby()
        let database = try primary.makeDatabase()
        let password = try #require(
            PostgresServer.password.addingPercentEncoding(withAllowedCharacters: .alphanumerics))
        let hosts = "127.0.0.1:\(primary.port),127.0.0.1:\(standby.port)"
        let store = try await PostgresStore(
            PostgresServer.read(
                "postgres://\(PostgresServer.user):\(password)@\(hosts)/\(database)"
                    + "?target_session_attrs=read-write"), limits: .tested)
        let first = (1...20).map { SequencedEdit.put(UInt64($0), .named("f\($0)")) }
        #expect(try await store.apply(first) == Array(repeating: .applied(Version(1)), count: 20))
        // The standby alone takes no edit, and says why.
        let alone = try await refusal(standby.tcpURL(database) + "?target_session_attrs=read-write")
        #expect(alone.code == .unavailable)
        #expect(alone.message.contains("read-only"), "\(alone.message)")
        try primary.crash()
        try standby.promote()
        let next = (1...20).map { SequencedEdit.put(UInt64(20 + $0), .named("f\($0)")) }
        let answers = try await Patience.value("the standby answers") {
            do throws(StoreError) {
                return try await store.apply(next)
            } catch {
                guard error.code == .unavailable else { throw error }
                return nil
            }
        }
        #expect(answers == Array(repeating: .applied(Version(2)), count: 20))
        await store.close()
    }
}
