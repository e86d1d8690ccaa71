package import Foundation
internal import Glibc
package import SyncTransport
internal import ZeroMQ

extension DaemonCluster {
    /// Starts `syncd up`; returns when its coordinator answers.
    package static func up(
        workers: Int, folder: URL? = nil, flags: [String] = [],
        environment: [String: String] = [:]
    ) async throws -> DaemonCluster {
        let cluster = try DaemonCluster(folder: folder, coordinatorFlags: [], workerFlags: [])
        try cluster.startUp(workers: workers, flags: flags, environment: environment)
        _ = try await cluster.queue()
        return cluster
    }

    /// Runs a body, and ends everything, whatever comes of it.
    package func use(_ body: (DaemonCluster) async throws -> Void) async throws {
        do {
            try await body(self)
        } catch {
            await stop()
            throw error
        }
        await stop()
    }

    /// Living children of `up` that run a subcommand.
    package func children(_ command: String) -> [ProcessTable.Entry] {
        guard let supervisor else { return [] }
        return ProcessTable.children(of: supervisor.pid).filter { $0.command == command }
    }

    /// Waits for a worker of `up`, another one than the named.
    package func worker(
        _ label: String, otherThan former: pid_t? = nil
    ) async throws -> ProcessTable.Entry {
        var found: ProcessTable.Entry?
        try await Patience.until("\(label) runs") {
            found = children("worker").first { entry in
                entry.value(of: "--id") == label && entry.pid != former
            }
            return found != nil
        }
        guard let found else { throw KitError("no \(label)") }
        return found
    }

    /// Producers of many projects, whose connections end with the body.
    package func withProducers(
        _ projects: [String], _ body: ([Producer]) async throws -> Void
    ) async throws {
        let context = try Context()
        let loop = try SocketLoop(name: "many", context: context)
        var producers: [Producer] = []
        for project in projects {
            let producer = Producer(
                endpoint: intake, project: MachineCluster.name(project),
                name: MachineCluster.name("many"), on: loop)
            try await producer.open()
            producers.append(producer)
        }
        let result: Result<Void, any Error>
        do {
            result = .success(try await body(producers))
        } catch {
            result = .failure(error)
        }
        await loop.stop()
        context.shutdown()
        _ = context.terminate(within: .seconds(5))
        try result.get()
    }
}

/// A loopback endpoint whose port nobody had a moment ago.
package func freeEndpoint() throws -> String {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw KitError("no socket") }
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            bind(descriptor, address, length) == 0
                ? getsockname(descriptor, address, &length) : -1
        }
    }
    guard code == 0 else { throw KitError("no free port") }
    return "tcp://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
}
