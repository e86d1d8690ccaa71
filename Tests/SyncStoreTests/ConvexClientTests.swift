import Foundation
import SyncTestKit
import Testing

@testable import SyncStore

/// Parts of the client alone, and Convex's own client.
struct ConvexClientTests {
    private static let python = ProcessInfo.processInfo.environment["SYNCD_TEST_PYTHON"]

    @Test(arguments: ["0", "3", "3.0", "3e0", "9007199254740991", "9007199254740991.0"])
    func `a count may travel as any number that is whole`(_ text: String) throws {
        let counts = try JSONDecoder().decode(
            [ConvexValues.Count].self, from: Data("[\(text)]".utf8))
        #expect(counts.map(\.value) == [UInt64(try #require(Double(text)))])
    }

    @Test(arguments: ["3.5", "-1", "9007199254740992", "1e300", "\"3\"", "null", "true", "{}"])
    func `what is no count is not taken for one`(_ text: String) {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([ConvexValues.Count].self, from: Data("[\(text)]".utf8))
        }
    }

    @Test func `values are written as Convex writes them`() throws {
        func text(_ value: some Encodable) throws -> String {
            String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
        }
        #expect(try text(ConvexValues.Bits(7)) == #"{"$integer":"BwAAAAAAAAA="}"#)
        #expect(try text(ConvexValues.Bytes(data: Data([0, 255]))) == #"{"$bytes":"AP8="}"#)
        #expect(try text([ConvexValues.OrNull<Int>(nil)]) == "[null]")
        let bits = ConvexValues.Bits(0x8000_0000_0000_00FF)
        #expect(
            try JSONDecoder().decode(
                ConvexValues.Bits.self, from: try JSONEncoder().encode(bits)) == bits)
    }

    @Test func `the window halves once for those that were turned away together`() async {
        let window = ConvexWindow(8)
        var passes: [ConvexWindow.Pass] = []
        for _ in 0..<8 { passes.append(await window.enter()) }
        for pass in passes { window.leave(pass, turnedAway: true) }
        #expect(window.width == 4)
        for expected in [2, 1, 1] {
            window.leave(await window.enter(), turnedAway: true)
            #expect(window.width == expected)
        }
        // One answer widens it to 2, two more to 3, and so on.
        for expected in 2...8 {
            for _ in 1..<expected { window.leave(await window.enter(), turnedAway: false) }
            #expect(window.width == expected)
        }
        for _ in 0..<100 { window.leave(await window.enter(), turnedAway: false) }
        #expect(window.width == 8)
    }

    @Test(.timeLimit(.patience))
    func `requests past the window wait for those before them`() async {
        let window = ConvexWindow(1)
        let pass = await window.enter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<20 {
                group.addTask { window.leave(await window.enter(), turnedAway: true) }
            }
            window.leave(pass, turnedAway: false)
        }
        #expect(window.width == 1)
    }

    @Test(
        .timeLimit(.patience),
        .enabled(if: python != nil, "deploy/test makes the environment and names it"))
    func `Convex's own client calls the functions, and takes the double for Convex`() async throws {
        try await ConvexServer.with { server in
            var environment = ProcessInfo.processInfo.environment
            environment["CONVEX_URL"] = server.url
            environment["CONVEX_KEY"] = ConvexServer.key
            let (code, output) = try await CommandRun.outcome(
                of: URL(fileURLWithPath: try #require(Self.python)), ["-c", Self.program],
                environment: environment)
            #expect(code == 0, "\(output)")
        }
    }

    private static let program = """
        import os
        from convex import ConvexError, ConvexInt64
        from convex.http_client import ConvexHttpClient
        client = ConvexHttpClient(os.environ["CONVEX_URL"])

        def fails(words, call, *arguments):
            try:
                call(*arguments)
            except Exception as error:
                assert words in str(error), error
                return error
            raise SystemExit("done, against " + words)

        def edit(sequence, content, **more):
            return {"project": "p", "path": "dir/é", "sequence": sequence, "producer": "me",
                    "expectedVersion": None, "number": ConvexInt64(-1), "acceptedAt": 7,
                    "isDelete": False, "isExecutable": True, "digest": ConvexInt64(5),
                    "byteCount": len(content), "content": content, "versionsKept": 2, **more}

        def put(sequence, content, **more):
            return client.mutation("syncd:updateFile", edit(sequence, content, **more))

        file = {"project": "p", "path": "dir/é"}
        fails("Could not find public function", client.query, "syncd:identity")
        client.set_admin_auth("wrong")
        fails("401 BadAdminKey", client.query, "syncd:identity")
        client.set_auth("token")
        fails("401 NoAuthProvider", client.query, "syncd:identity")
        client.set_admin_auth(os.environ["CONVEX_KEY"])
        assert client.query("syncd:identity") is None
        data = fails("Convex error", client.mutation, "syncd:bind",
                     {"journal": "j", "isAdopted": False}).data
        assert data == {"code": "not-identified"}, data
        assert client.mutation("syncd:identify", {"store": "s"}) is None
        assert client.query("syncd:identity")["highestSequence"] == 0.0
        assert client.mutation("syncd:bind", {"journal": "j", "isAdopted": False}) == "j"

        every = bytes(range(256))
        assert put(3, every) == {"outcome": "applied", "version": 1.0, "hasLeftovers": False}
        assert put(3, b"") == {"outcome": "known", "version": 1.0}
        assert put(2, b"") == {"outcome": "stale", "sequence": 3.0}
        other = put(4, b"", number=ConvexInt64(-2), expectedVersion=7)
        assert other == {"outcome": "conflict", "version": 1.0}, other
        found = client.query("syncd:getFile", {**file, "version": None, "offset": 0})
        assert found["content"] == every and found["number"] == ConvexInt64(-1), found
        assert isinstance(found["version"], float) and found["isExecutable"] is True, found
        listed = client.query("syncd:listFiles", {"project": "p", "after": "", "countMax": 9})
        assert [line["path"] for line in listed] == ["dir/é"], listed
        assert listed[0]["digest"] == ConvexInt64(5), listed
        assert len(client.query("syncd:history", file)) == 1

        hidden = "Server Error"
        fails(hidden, client.mutation, "syncd:updateFile", {"project": "p"})
        fails(hidden, client.mutation, "syncd:updateFile", edit(9, b"", surplus=1))
        fails(hidden, client.mutation, "syncd:updateFile", edit("9", b""))
        error = fails("Convex error", client.mutation, "syncd:updateFile",
                      edit(9, b"x" * 4_000_001))
        assert error.data == {"code": "too-large"}, error.data
        fails("Could not find", client.query, "syncd:updateFile", edit(9, b""))
        fails("Could not find", client.query, "other:thing")
        fails("400 BadConvexFunctionIdentifier", client.query, "nonsense")
        fails("400 BadJsonBody", client.mutation, "syncd:updateFile", edit(9, b"x" * (13 << 20)))
        """
}
