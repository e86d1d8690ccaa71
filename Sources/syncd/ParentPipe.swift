import Foundation

/// Ends a child of `syncd up` when its parent is gone.
///
/// The parent holds the other end of a pipe and never writes; when it dies, however it dies, the
/// read returns. (`PR_SET_PDEATHSIG` would follow the thread that spawned, not the process: trace
/// C11.)
enum ParentPipe {
    /// Watches a descriptor from a thread of its own; nothing when there is none.
    static func watch(_ descriptor: Int32?) {
        guard let descriptor else { return }
        let thread = Thread {
            var byte: UInt8 = 0
            while true {
                let count = read(descriptor, &byte, 1)
                if count > 0 || (count < 0 && errno == EINTR) { continue }
                // Like a crash: everything that counts is durable, and nobody is left to drain for.
                _exit(Trouble.Code.failed.rawValue)
            }
        }
        thread.name = "parent-pipe"
        thread.start()
    }
}
