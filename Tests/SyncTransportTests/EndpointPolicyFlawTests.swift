import SyncTransport
import Testing

struct EndpointPolicyFlawTests {
    @Test(arguments: [
        "tcp://127.0.0.1:1", "tcp://[::1]:65535", "tcp://localhost:7461", "ipc:///tmp/s",
        "inproc://x",
    ])
    func `an endpoint that can be is taken`(_ endpoint: String) {
        #expect(EndpointPolicy.flaw(of: endpoint, isBound: false) == nil)
        #expect(EndpointPolicy.flaw(of: endpoint, isBound: true) == nil)
    }

    @Test(arguments: [
        "", "127.0.0.1:7461", "http://127.0.0.1:7461", "tcp://", "tcp://127.0.0.1", "tcp://:7461",
        "tcp://127.0.0.1:", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:99999", "tcp://127.0.0.1:+1",
        "tcp://127.0.0.1:-1", "tcp://127.0.0.1:x", "ipc://",
    ])
    func `one that can't be is refused`(_ endpoint: String) {
        #expect(EndpointPolicy.flaw(of: endpoint, isBound: false) != nil)
        #expect(EndpointPolicy.flaw(of: endpoint, isBound: true) != nil)
    }

    @Test(arguments: ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0"])
    func `only who listens may leave the port to the system`(_ endpoint: String) {
        #expect(EndpointPolicy.flaw(of: endpoint, isBound: false) != nil)
        #expect(EndpointPolicy.flaw(of: endpoint, isBound: true) == nil)
    }

    @Test func `an endpoint that is given twice is found`() {
        let path = "ipc:///tmp/s"
        #expect(EndpointPolicy.double(among: [path, "tcp://127.0.0.1:1", path]) == path)
        #expect(EndpointPolicy.double(among: [path, "ipc:///tmp/t"]) == nil)
        let chosen = "tcp://127.0.0.1:*"
        #expect(EndpointPolicy.double(among: [chosen, chosen, chosen]) == nil)
    }

    @Test func `a socket's path has as many bytes as the system allows`() {
        let longest = "ipc://" + String(repeating: "x", count: 107)
        #expect(EndpointPolicy.flaw(of: longest, isBound: true) == nil)
        #expect(EndpointPolicy.flaw(of: longest + "y", isBound: true)?.contains("108") ?? false)
    }
}
