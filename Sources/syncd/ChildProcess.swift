import CLinux
import Foundation
import Synchronization

/// A child of `syncd up`, spawned in a process group of its own, so that Ctrl-C reaches only the
/// parent, which stops its children in order.
final class ChildProcess: Sendable {
    /// Its process id.
    let pid: pid_t

    /// Whether it has been collected: its number may be another process's by now.
    private let isCollected = Mutex(false)

    private init(pid: pid_t) { self.pid = pid }

    /// Descriptor of the parent's pipe in the child.
    static let pipeDescriptor: Int32 = 3

    /// Starts this program again with other arguments.
    ///
    /// - Parameter pipe: Read end of a pipe whose write end only the parent holds.
    static func spawn(_ arguments: [String], pipe: Int32) throws -> ChildProcess {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_adddup2(&actions, pipe, pipeDescriptor)
        syncd_spawn_close_from(&actions, pipeDescriptor + 1)
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes,
            Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        let program = "/proc/self/exe"
        var words: [UnsafeMutablePointer<CChar>?] = (["syncd"] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, program, &actions, &attributes, words, environ)
        guard code == 0 else {
            throw Trouble("A child process can't be started: \(String(cString: strerror(code))).")
        }
        return ChildProcess(pid: pid)
    }

    /// How a child ended.
    enum Ending: Sendable, Equatable {
        case exited(Int32)
        case signalled(Int32)

        /// Whether the same would happen again: such a child is not started again.
        var isFinal: Bool {
            self == .exited(Trouble.Code.configuration.rawValue)
                || self == .exited(Trouble.Code.replaced.rawValue)
        }
    }

    /// Waits for its end, on a thread of its own: `waitpid` blocks.
    func ending() async -> Ending {
        await withCheckedContinuation { continuation in
            let thread = Thread { [self] in
                // First a look that leaves it there: while the end is waited for, signals go out.
                var ended = siginfo_t()
                while waitid(P_PID, id_t(pid), &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR {}
                var status: Int32 = 0
                isCollected.withLock { isCollected in
                    while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
                    isCollected = true
                }
                let signal = status & 0x7F
                continuation.resume(
                    returning: signal == 0
                        ? .exited((status >> 8) & 0xFF) : .signalled(signal))
            }
            thread.name = "waitpid"
            thread.start()
        }
    }

    /// Sends a signal, unless it has been collected.
    func signal(_ number: Int32) {
        isCollected.withLock { isCollected in
            if !isCollected { kill(pid, number) }
        }
    }
}
