import Foundation
import Glibc

/// A TCP proxy on loopback that breaks each connection after a number of bytes.
///
/// The client's side is reset, so that what lies in its kernel is lost; the server's side ends in
/// order, so that exactly those bytes arrive, whatever message they cut.
package final class FaultyProxy: @unchecked Sendable {
    // Unchecked: what changes is behind `lock`.

    /// Both ends of one connection; closed when both directions have ended.
    private final class Connection {
        let client: Int32
        let server: Int32
        var bytesLeft: Int?
        var directions = 2
        var isBroken = false

        init(client: Int32, server: Int32, bytesLeft: Int?) {
            self.client = client
            self.server = server
            self.bytesLeft = bytesLeft
        }
    }

    /// Where clients connect.
    package let endpoint: String
    private let upstream: String
    private let budget: @Sendable (Int) -> Int?
    private let listener: Int32
    private let lock = NSLock()
    private let threads = DispatchGroup()
    private var connections: [Connection] = []
    private var acceptedCount = 0
    private var brokenCount = 0
    private var isStopping = false
    private var heldMicroseconds: UInt32 = 0

    /// Listens on a free port.
    ///
    /// - Parameters:
    ///   - upstream: `tcp://127.0.0.1:PORT` or `ipc://PATH`.
    ///   - budget: Bytes, both directions together, that the nth connection (from 0) may move
    ///     before it breaks; nil: it never breaks.
    package init(to upstream: String, budget: @escaping @Sendable (Int) -> Int?) throws {
        self.upstream = upstream
        self.budget = budget
        let (listener, port) = try Self.listen()
        self.listener = listener
        endpoint = "tcp://127.0.0.1:\(port)"
        start { self.accept() }
    }

    private static func listen() throws -> (descriptor: Int32, port: UInt16) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(listener, $0, length) == 0 && Glibc.listen(listener, 1_024) == 0
                    && getsockname(listener, $0, &length) == 0
            }
        }
        guard isListening else { throw KitError("the proxy can't listen on loopback") }
        return (listener, UInt16(bigEndian: address.sin_port))
    }

    /// A TCP endpoint on loopback that nobody has bound a moment ago.
    package static func freeEndpoint() throws -> String {
        let (descriptor, port) = try listen()
        Glibc.close(descriptor)
        return "tcp://127.0.0.1:\(port)"
    }

    /// Connections that were broken so far.
    package var breakCount: Int { lock.withLock { brokenCount } }

    /// Breaks what stands and listens no more.
    package func stop() {
        lock.withLock {
            isStopping = true
            for connection in connections { shut(connection) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
        threads.wait()
        Glibc.close(listener)
    }

    /// Breaks every connection that stands now.
    package func breakAll() {
        lock.withLock { for connection in connections { shut(connection) } }
    }

    /// Holds what arrives from now on for so long before it goes on.
    package func hold(milliseconds: UInt32) {
        lock.withLock { heldMicroseconds = milliseconds * 1_000 }
    }

    private func start(_ body: @escaping @Sendable () -> Void) {
        threads.enter()
        Thread.detachNewThread {
            body()
            self.threads.leave()
        }
    }

    private func accept() {
        while true {
            let client = Glibc.accept(listener, nil, nil)
            if client < 0 { return }
            guard let server = dial() else {
                Glibc.close(client)
                continue
            }
            var isOn: Int32 = 1
            setsockopt(client, Int32(IPPROTO_TCP), TCP_NODELAY, &isOn, 4)
            lock.withLock {
                let connection = Connection(
                    client: client, server: server, bytesLeft: budget(acceptedCount))
                acceptedCount += 1
                connections.append(connection)
                if isStopping { shut(connection) }
                nonisolated(unsafe) let shared = connection
                start { self.pump(shared, from: client, to: server) }
                start { self.pump(shared, from: server, to: client) }
            }
        }
    }

    private func dial() -> Int32? {
        if upstream.hasPrefix("ipc://") {
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let path = Array(upstream.utf8.dropFirst("ipc://".count))
            guard path.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
            return dial(&address, AF_UNIX)
        }
        guard let port = upstream.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            return nil
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return dial(&address, AF_INET)
    }

    private func dial<Address>(_ address: inout Address, _ family: Int32) -> Int32? {
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue), 0)
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size)) == 0
            }
        }
        if isConnected { return descriptor }
        Glibc.close(descriptor)
        return nil
    }

    private func pump(_ connection: Connection, from source: Int32, to sink: Int32) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(source, &buffer, buffer.count, 0)
            if count <= 0 { break }
            let (allowed, held) = lock.withLock { (spend(count, of: connection), heldMicroseconds) }
            if held > 0 { usleep(held) }
            var sent = 0
            while sent < allowed {
                let more = buffer[sent..<allowed].withUnsafeBytes {
                    send(sink, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                if more <= 0 { break }
                sent += more
            }
            if allowed < count || sent < allowed { break }
        }
        lock.withLock {
            shut(connection)
            connection.directions -= 1
            if connection.directions == 0 {
                connections.removeAll { $0 === connection }
                Glibc.close(connection.client)
                Glibc.close(connection.server)
            }
        }
    }

    /// How many of these bytes may still pass; fewer than asked: the connection is to break.
    private func spend(_ count: Int, of connection: Connection) -> Int {
        guard let left = connection.bytesLeft else { return count }
        let allowed = min(left, count)
        connection.bytesLeft = left - allowed
        return allowed
    }

    private func shut(_ connection: Connection) {
        if connection.isBroken { return }
        connection.isBroken = true
        brokenCount += 1
        var reset = linger(l_onoff: 1, l_linger: 0)
        setsockopt(
            connection.client, SOL_SOCKET, SO_LINGER, &reset,
            socklen_t(MemoryLayout<linger>.size))
        shutdown(connection.client, Int32(SHUT_RDWR))
        shutdown(connection.server, Int32(SHUT_RDWR))
    }
}
