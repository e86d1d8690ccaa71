import Foundation
import Logging

/// How many files this process may have open.
enum DescriptorLimit {
    /// Raises the limit as far as the system allows without asking, and logs it.
    ///
    /// Each connection, each open stage directory and each file being written takes one; the usual
    /// soft limit of 1,024 stems from programs that use `select`, which syncd never does.
    static func raise(_ logger: Logger) {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return }
        let former = limit.rlim_cur
        if former < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            // Refused: the former limit stays, and is what the log names.
            if setrlimit(resource, &limit) != 0 { limit.rlim_cur = former }
        }
        logger.info(
            "open files", metadata: ["limit": "\(limit.rlim_cur)", "former": "\(former)"])
    }
}
