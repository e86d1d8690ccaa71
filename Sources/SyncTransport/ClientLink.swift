package import SyncCore
package import ZeroMQ

/// A client's bare connection to the intake: sends requests, reads answers; used on its loop only.
///
/// For programs that keep their own books, such as load generators: nothing is resent here.
/// ``Producer`` is what keeps a producer's duties.
package final class ClientLink {
    private let socket: LoopSocket
    private let limits = WireLimits()

    /// Connects; the coordinator may start later.
    package init(_ endpoint: String, on loop: SocketLoop) throws(ZeroMQError) {
        socket = try LoopSocket(
            .dealer, on: loop, options: SocketDefaults.connected(limits: limits))
        try socket.connect(endpoint)
    }

    /// Sends a request under an id that its answer bears.
    ///
    /// - Returns: Whether libzmq took it, which says nothing about its arrival.
    package func send(_ request: ClientRequest, id: UInt64) -> Bool {
        let message = ClientCodec.encode(request, id: Array(String(id).utf8))
        guard let outcome = try? socket.send(message) else { return false }
        return outcome == .sent
    }

    /// Reads answers; fewer than `countMax` means that nothing was left.
    package func receive(countMax: Int) -> [ClientReply] {
        var replies: [ClientReply] = []
        while replies.count < countMax {
            guard let received = try? socket.receive(limit: limits.receiveLimit) else { break }
            guard case .message(let frames) = received, let answer = ClientCodec.reply(frames)
            else { continue }
            replies.append(answer.reply)
        }
        return replies
    }

    /// Closes the socket.
    package func close() { socket.close() }
}
