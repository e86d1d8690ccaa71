import ZeroMQ

/// Options that every socket of syncd has, and why.
enum SocketDefaults {
    /// Messages that may wait per connection on the way out; small answers, mostly.
    static let sentMax = 4_096

    /// The kernel's probes and its limit of resending find machines that are gone, within some ten
    /// seconds (application heartbeats find dead programs).
    private static let shared: [SocketOption] = [
        .linger(.zero), .tcpKeepalive(true), .tcpKeepaliveIdle(.seconds(2)),
        .tcpKeepaliveInterval(.seconds(2)), .tcpKeepaliveCount(4), .tcpRetransmitMax(.seconds(10)),
        .handshakeInterval(.seconds(10)),
    ]

    /// For sockets that bind.
    ///
    /// Trap "ZMTP 1.0/2.0 peers, HTTP as ZMTP" (trace A15): a ZAP domain makes libzmq refuse them.
    static func bound(limits: WireLimits) -> [SocketOption] {
        shared + [
            .zapDomain("syncd"), .backlog(1_024), .receiveHighWaterMark(limits.receivedMax),
            .sendHighWaterMark(sentMax), .frameBytesMax(limits.frameBytesMax),
        ]
    }

    /// For sockets that connect.
    ///
    /// The reconnect interval grows, so that a fleet does not storm a coordinator that restarts. It
    /// stays below half a lease and the margin of the standard settings: a coordinator waits at
    /// least so long for those who live.
    static func connected(limits: WireLimits) -> [SocketOption] {
        shared + [
            .reconnectInterval(.milliseconds(100)), .reconnectIntervalMax(.seconds(1)),
            .receiveHighWaterMark(sentMax), .sendHighWaterMark(sentMax),
            .frameBytesMax(limits.frameBytesMax),
        ]
    }
}

/// Which endpoints may be bound or connected to without keys.
package enum EndpointPolicy {
    /// Whether only this machine can reach an endpoint: loopback, `ipc://` or `inproc://`.
    package static func isLocal(_ endpoint: String) -> Bool {
        if endpoint.hasPrefix("ipc://") || endpoint.hasPrefix("inproc://") { return true }
        guard endpoint.hasPrefix("tcp://") else { return false }
        let address = endpoint.dropFirst("tcp://".count)
        guard let colon = address.lastIndex(of: ":") else { return false }
        let host = address[..<colon]
        return host == "localhost" || host == "[::1]" || isLoopback(host)
    }

    /// Why an endpoint is refused; nil when it is fine.
    package static func refusal(of endpoint: String, isInsecureAllowed: Bool) -> String? {
        if isLocal(endpoint) || isInsecureAllowed { return nil }
        return "\(endpoint) can be reached from other machines, and there are no keys yet: use "
            + "tcp://127.0.0.1:PORT or ipc://PATH, or allow it with --insecure."
    }

    /// Longest path of a socket in the file system, in bytes (`sun_path` of unix(7)).
    private static let socketPathBytesMax = 107

    /// Why there can't be such an endpoint; nil when there can.
    ///
    /// libzmq takes port 99999 for 34463, and a missing scheme only when it connects.
    ///
    /// - Parameter isBound: Whether it is listened at: then the port may be left to the system.
    package static func flaw(of endpoint: String, isBound: Bool) -> String? {
        let form = "write tcp://HOST:PORT or ipc://PATH."
        if endpoint.hasPrefix("ipc://") {
            let path = endpoint.dropFirst("ipc://".count)
            if path.isEmpty { return "the path is missing; \(form)" }
            guard path.utf8.count > socketPathBytesMax else { return nil }
            return "the path has \(path.utf8.count) bytes, a socket's may have "
                + "\(socketPathBytesMax); choose a shorter one."
        }
        if endpoint.hasPrefix("inproc://") { return nil }
        guard endpoint.hasPrefix("tcp://") else { return "it names no transport; \(form)" }
        let address = endpoint.dropFirst("tcp://".count)
        guard let colon = address.lastIndex(of: ":"), colon > address.startIndex else {
            return "host or port is missing; \(form)"
        }
        let port = address[address.index(after: colon)...]
        if isBound, port == "*" || port == "0" { return nil }
        let isPort =
            port.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
            && UInt16(port).map { $0 > 0 } ?? false
        return isPort ? nil : "the port must be 1 to 65535; \(form)"
    }

    /// Two of a process's endpoints that are one; nil when each is another.
    ///
    /// A path that is bound twice is the second socket's alone (trace A7), so libzmq says nothing.
    package static func double(among endpoints: [String]) -> String? {
        var seen: Set<String> = []
        return endpoints.first { endpoint in
            // A port that the system chooses is another one each time.
            let isChosen = endpoint.hasSuffix(":*") || endpoint.hasSuffix(":0")
            return !isChosen && !seen.insert(endpoint).inserted
        }
    }

    private static func isLoopback(_ host: Substring) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127"
            && parts.allSatisfy { UInt8($0) != nil }
    }
}
