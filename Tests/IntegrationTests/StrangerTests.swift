import Foundation
import SyncCore
import SyncTestKit
import SyncTransport
import Testing
import ZeroMQ

/// Peers that are no clients: frames without end, web pages, endless subscriptions, other machines.
@Suite(.serialized) struct StrangerTests {
    // Trace B4.
    @Test(.timeLimit(.patience))
    func `a frame over libzmq's limit cuts that connection only, and the log names the peer`()
        async throws
    {
        let cluster = try await DaemonCluster.start(
            workers: 0, intake: FaultyProxy.freeEndpoint())
        let context = try Context()
        let other = try RawClient(to: cluster.intake, in: context)
        try other.send(["syncd/1", "QUEUE", "1", ""])
        _ = try other.reply()
        let before = try cluster.coordinatorMemory()
        let rude = try RawClient(
            to: cluster.intake, in: context, options: [.reconnectInterval(.seconds(600))])
        try rude.send([
            Frame("syncd/1"), Frame("EDIT"), Frame([UInt8](repeating: 0, count: 100 << 20)),
        ])
        let line = try await cluster.logLine(with: ["the connection of tcp://127.0.0.1:", "ended"])
        cluster.expectQuoted("ended", of: line)
        #expect(try cluster.coordinatorLog().filter { $0.contains("ended") }.count == 1)
        try other.send(["syncd/1", "QUEUE", "2", ""])
        #expect(try other.reply().request == Array("2".utf8))
        try cluster.expectMemory(below: before + 64 << 20)
        await cluster.stop()
    }

    // Trace A15.
    @Test(.timeLimit(.patience))
    func `an HTTP POST to the intake port changes nothing`() async throws {
        let cluster = try await DaemonCluster.start(
            workers: 0, intake: FaultyProxy.freeEndpoint())
        // Its head is what libzmq takes for a ZMTP 1 identity of 79 bytes, its body for frames.
        let start = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nX: "
        var post = Array((start + String(repeating: "x", count: 77 - start.utf8.count)).utf8)
        post += Array("\r\n\r\n".utf8)
        let words = [
            "syncd/1", "EDIT", "1", "evil", "page/0000000000000001", "1", "f", "", "owned",
        ]
        for (place, word) in words.enumerated() {
            post += [UInt8(word.utf8.count + 1), place < words.count - 1 ? 1 : 0]
            post += Array(word.utf8)
        }
        let port = try #require(cluster.intake.split(separator: ":").last.flatMap { UInt16($0) })
        // Returns when the coordinator hangs up: it greets in ZMTP and says nothing more.
        let greeting = try TCPVisit.post(post, to: port)
        #expect(greeting.count <= 64)
        let queue = try await cluster.queue()
        #expect(queue.sequence == EditSequence(0))
        #expect(queue.projects.isEmpty)
        await cluster.stop()
    }

    @Test(.timeLimit(.patience), arguments: ["--intake", "--worker-endpoint", "--status"])
    func `an endpoint that other machines can reach is refused without --insecure`(
        _ flag: String
    ) async throws {
        let cluster = try await DaemonCluster.start(workers: 0)
        for endpoint in ["tcp://0.0.0.0:7999", "tcp://*:7999", "tcp://[::]:7999", "tcp://eth0:1"] {
            let (code, output) = try await cluster.command([
                "coordinator", "--journal", "sqlite:\(cluster.folder.path)/other.db", flag,
                endpoint,
            ])
            #expect(code == 78)
            #expect(output.contains(endpoint))
            #expect(output.contains("--insecure"))
        }
        await cluster.stop()
    }

    @Test(.timeLimit(.patience))
    func `subscriptions without end leave the status channel to the others`() async throws {
        let cluster = try await DaemonCluster.start(workers: 0)
        let context = try Context()
        let good = try RawClient(to: cluster.status, in: context, kind: .xsub)
        try good.subscribe("edit/p1/")
        _ = try good.words()
        let before = try cluster.coordinatorMemory()
        let rude = try RawClient(
            to: cluster.status, in: context, kind: .xsub, options: [.sendHighWaterMark(0)])
        for place in 0..<20_000 { try rude.subscribe("edit/many/files/like/this/one/\(place)") }
        for junk in [[Frame("junk")], [Frame([7]), Frame("x")], [Frame("")]] { try rude.send(junk) }
        let endless = try RawClient(
            to: cluster.status, in: context, kind: .xsub,
            options: [.reconnectInterval(.seconds(600))])
        try endless.subscribe(bytes: [UInt8](repeating: 97, count: 100_000))
        let book = ProducerBook()
        let producer = try await cluster.producer()
        let keeping = Task { await book.keep(producer.updates) }
        for number in 1...100 {
            let edit = MachineCluster.put("f\(number)", "x")
            await book.pushed(await producer.submit(edit), edit)
        }
        await book.reach(100)
        // Every event of the project, in order, and nothing of what the others wanted.
        var last: UInt64 = 0
        while last < 101 {
            let words = try good.words()
            #expect(words[0].hasPrefix("edit/p1/"))
            guard
                let body = try JSONSerialization.jsonObject(with: Data(words[1].utf8))
                    as? [String: Any],
                let number = body["project_number"] as? UInt64, body["type"] as? String != "mark"
            else { continue }
            #expect(number == last + 1)
            last = number
        }
        try cluster.expectMemory(below: before + 128 << 20)
        keeping.cancel()
        await cluster.stop()
    }
}

/// One plain TCP connection, as a browser makes it.
enum TCPVisit {
    /// Sends bytes and reads until the other side hangs up.
    static func post(_ bytes: [UInt8], to port: UInt16) throws -> [UInt8] {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else { throw KitError("nobody listens at port \(port)") }
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw KitError("the connection ended before everything was sent")
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count <= 0 { return answer }
            answer += buffer[..<count]
        }
    }
}
