import Foundation
import SyncTestKit
import Testing

/// The double of E2B is what E2B's own client takes for E2B, and has envd's bad manners.
struct E2BDoubleTests {
    static let python = ProcessInfo.processInfo.environment["SYNCD_TEST_PYTHON"]

    /// Runs a Python program against a double; it must end with 0.
    private static func run(_ program: String) async throws {
        let python = try #require(python)
        let double = try await E2BDouble.start(["sbx1", "sbx2"])
        var environment = ProcessInfo.processInfo.environment
        environment["E2B_API_KEY"] = double.key
        environment["E2B_API_URL"] = double.url
        environment["E2B_SANDBOX_URL"] = double.url
        environment["E2B_DOUBLE_PORT"] = "\(double.port)"
        environment["E2B_DOUBLE_TOKEN"] = double.token(of: "sbx1")
        let (code, output): (Int32, String)
        do {
            (code, output) = try await CommandRun.outcome(
                of: URL(fileURLWithPath: python), ["-c", program], environment: environment)
        } catch {
            await double.stop()
            throw error
        }
        await double.stop()
        #expect(code == 0, "\(output)")
    }

    @Test(
        .timeLimit(.patience),
        .enabled(if: python != nil, "deploy/test makes the environment and names it"))
    func `E2B's own client connects, writes, reads, lists, renames, removes and runs`() async throws
    {
        try await Self.run(
            """
            from e2b import Sandbox, NotFoundException
            box = Sandbox.connect("sbx1")
            assert box.is_running()
            home = "/".join(["", "home", "user"])
            info = box.files.write("a/b.txt", "text")
            assert info.path == home + "/a/b.txt", info
            assert box.files.read("a/b.txt") == "text"
            box.files.write("a/c d+é.bin", bytes(range(256)) * 1000, metadata={"Version": "7"})
            assert bytes(box.files.read("a/c d+é.bin", format="bytes")) == bytes(range(256)) * 1000
            assert box.files.get_info("a/c d+é.bin").metadata == {"version": "7"}
            assert sorted(e.name for e in box.files.list("a")) == ["b.txt", "c d+é.bin"]
            assert box.files.make_dir("d") and not box.files.make_dir("d")
            box.files.rename("a/c d+é.bin", "d/new/moved")
            assert box.files.get_info("d/new/moved").metadata == {"version": "7"}
            assert not box.files.exists("a/c d+é.bin")
            assert box.commands.run("chmod 755 a/b.txt && echo done").stdout == "done\\n"
            assert box.files.get_info("a/b.txt").mode & 0o111
            box.files.remove("d")
            assert not box.files.exists("d/new/moved")
            box.files.remove("d")
            try:
                box.files.read("d/new/moved")
                raise SystemExit("read what was removed")
            except NotFoundException:
                pass
            box.set_timeout(120)
            assert box.get_info().sandbox_id == "sbx1"
            box.kill()
            try:
                Sandbox.connect("sbx1")
                raise SystemExit("connected to a killed sandbox")
            except NotFoundException:
                pass
            """)
    }

    /// Facts 1.4 and 1.6, each by a client that is cut off, slow, or not alone.
    @Test(
        .timeLimit(.patience),
        .enabled(if: python != nil, "deploy/test makes the environment and names it"))
    func `uploads truncate at once, keep a part, and mix; Remove takes everything`() async throws {
        try await Self.run(
            """
            import http.client, json, os, socket, time
            port, token = int(os.environ["E2B_DOUBLE_PORT"]), os.environ["E2B_DOUBLE_TOKEN"]
            heads = {"e2b-sandbox-id": "sbx1", "e2b-sandbox-port": "49983", "x-access-token": token}

            def ask(method, path, body=b"", kind="application/json", **more):
                link = http.client.HTTPConnection("127.0.0.1", port)
                link.request(method, path, body, {**heads, "content-type": kind, **more})
                answer = link.getresponse()
                return answer.status, answer.read()

            def rpc(name, **question):
                status, body = ask("POST", "/filesystem.Filesystem/" + name, json.dumps(question))
                return status, json.loads(body)

            def upload(path, body):
                return ask("POST", "/files?path=" + path, body, "application/octet-stream")

            def begin(path, length):
                link = socket.create_connection(("127.0.0.1", port))
                lines = [f"POST /files?path={path} HTTP/1.1", "host: 127.0.0.1",
                         f"content-length: {length}", "content-type: application/octet-stream"]
                lines += [f"{k}: {v}" for k, v in heads.items()]
                link.sendall(("\\r\\n".join(lines) + "\\r\\n\\r\\n").encode())
                return link

            def until(path, wanted):
                end = time.time() + 60
                while ask("GET", "/files?path=" + path)[1] != wanted:
                    assert time.time() < end, (path, wanted)

            assert upload("f", b"x" * 1000)[0] == 200
            link = begin("f", 100)
            until("f", b"")
            link.sendall(b"y" * 40)
            until("f", b"y" * 40)
            link.close()
            until("f", b"y" * 40)

            first, second = begin("m", 4000), begin("m", 4000)
            until("m", b"")
            second.sendall(b"b" * 2000)
            until("m", b"b" * 2000)
            first.sendall(b"a" * 1000)
            until("m", b"a" * 1000 + b"b" * 1000)
            second.sendall(b"b" * 2000)
            until("m", b"a" * 1000 + b"b" * 3000)
            first.sendall(b"a" * 3000)
            assert b"200" in first.recv(4096) and b"200" in second.recv(4096)

            assert upload("d/e/f", b"1")[0] == 200
            assert upload("d", b"1")[0] == 400
            assert upload("d/e/f/g", b"1")[0] == 500
            assert rpc("Move", source="f", destination="d") [0] == 500
            assert rpc("Move", source="nothing", destination="g")[1]["code"] == "not_found"
            assert rpc("MakeDir", path="d/e/f")[1]["code"] == "invalid_argument"
            assert rpc("Remove", path="d") == (200, {})
            assert rpc("Stat", path="d")[0] == 404
            assert rpc("Remove", path="") == (200, {})
            assert rpc("ListDir", path="~/..")[1] == {}
            heads["x-access-token"] = "wrong"
            assert upload("f", b"1")[0] == 401
            """)
    }
}
