internal import Foundation
internal import Glibc

/// What must be over when a test process ends: contexts of libzmq, child processes, sockets.
///
/// Looked at once, when the process exits; whatever is left is printed as its last line, and makes
/// the run fail.
///
/// With nothing left the last line is the test runner's, as scripts expect it.
package enum LeakWatch {
    /// How long what is just ending may take.
    private static let patience = Duration.seconds(20)

    /// Begins to watch, once; whatever makes contexts or processes for a test calls it.
    package static func begin() { _ = watching }

    private static let watching: Void = {
        // Handlers run in the opposite order: what is registered later still has what it needs.
        atexit {
            let left = LeakWatch.left()
            guard !left.isEmpty else { return }
            print("leaks: \(left.joined(separator: "; "))")
            fflush(nil)
            _exit(EXIT_FAILURE)
        }
    }()

    /// What is left, once nothing of it goes away any more.
    private static func left() -> [String] {
        let end = ContinuousClock.now + Patience.stretched(patience)
        while true {
            let found = threads() + children() + sockets()
            if found.isEmpty || ContinuousClock.now >= end { return found }
            usleep(20_000)
        }
    }

    /// A context has two threads of its own until it is terminated.
    private static func threads() -> [String] {
        entries("/proc/self/task").compactMap { task in
            let name = text("/proc/self/task/\(task)/comm")
            return name.hasPrefix("ZMQ") ? "thread \(task) of libzmq (\(name))" : nil
        }
    }

    /// Children that live, and those that nobody has waited for.
    private static func children() -> [String] {
        entries("/proc/self/task").flatMap { task in
            text("/proc/self/task/\(task)/children").split(separator: " ").compactMap { pid in
                let command = text("/proc/\(pid)/cmdline").split(separator: "\0").prefix(3)
                // A sanitizer's own, which stays for its next report.
                if command.first?.hasSuffix("/llvm-symbolizer") ?? false { return nil }
                return "process \(pid) (\(command.joined(separator: " ")))"
            }
        }
    }

    /// Connections and listeners of streams.
    ///
    /// Foundation's `Process` keeps a pair of datagram sockets.
    private static func sockets() -> [String] {
        entries("/proc/self/fd").compactMap { descriptor in
            guard let number = Int32(descriptor) else { return nil }
            var type: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            guard getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &size) == 0,
                type == Int32(SOCK_STREAM.rawValue)
            else { return nil }
            var address = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let code = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    getsockname(number, $0, &length)
                }
            }
            guard code == 0 else { return nil }
            let family = Int32(address.ss_family)
            let isNamed = length > socklen_t(MemoryLayout<sa_family_t>.size)
            guard family == AF_INET || family == AF_INET6 || (family == AF_UNIX && isNamed) else {
                return nil
            }
            return "socket \(descriptor) of family \(family)"
        }
    }

    private static func entries(_ path: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    }

    private static func text(_ path: String) -> String {
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
