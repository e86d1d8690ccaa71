import SyncTransport
import Testing

/// P9: nobody without a key gets in from another machine.
@Suite struct EndpointPolicyTests {
    @Test(arguments: [
        "tcp://127.0.0.1:7461", "tcp://127.9.9.9:1", "tcp://localhost:7461", "tcp://[::1]:7461",
        "ipc:///run/syncd/i", "ipc://@abstract", "inproc://here",
    ])
    func `this machine's own endpoints are fine`(_ endpoint: String) {
        #expect(EndpointPolicy.refusal(of: endpoint, isInsecureAllowed: false) == nil)
    }

    @Test(arguments: [
        "tcp://0.0.0.0:7461", "tcp://*:7461", "tcp://[::]:7461", "tcp://10.0.0.1:7461",
        "tcp://127.0.0.1.example.org:7461", "tcp://127.1:7461", "tcp://localhost.example.org:1",
        "tcp://127.0.0.256:1", "tcp://127.0.0.1", "udp://127.0.0.1:1", "",
    ])
    func `any other endpoint needs --insecure, and the refusal says so`(_ endpoint: String) throws {
        let refusal = try #require(
            EndpointPolicy.refusal(of: endpoint, isInsecureAllowed: false))
        #expect(refusal.contains("--insecure"))
        #expect(refusal.contains(endpoint))
        #expect(EndpointPolicy.refusal(of: endpoint, isInsecureAllowed: true) == nil)
    }
}
