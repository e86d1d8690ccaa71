import Foundation
import Logging

/// How many files this process may have open.
enum DescriptorLimit {
    /// Raises the limit as far as the system allows without asking, and logs it.
    ///
    /// Each connection, each open stage directory and each file being written takes one; the usual
    /// soft limit of 1,024 stems from programs that use `select`, which syncd never does.
    ///
    /// - Returns: How many may be open now; nil when the system does not tell.
    @discardableResult
    static func raise(_ logger: Logger) -> Int? {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0 else { return nil }
        let former = limit.rlim_cur
        if former < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            // Refused: the former limit stays, and is what the log names.
            if setrlimit(resource, &limit) != 0 { limit.rlim_cur = former }
        }
        logger.info(
            "open files",
            metadata: [
                "limit": .stringConvertible(limit.rlim_cur), "former": .stringConvertible(former),
            ])
        return Int(clamping: limit.rlim_cur)
    }

    /// Descriptors beside those of the connections that may stay: connections over the limit until
    /// they are hung up on, journal, threads of the library.
    static let spare = 1_024

    /// Refuses a limit of connections that the descriptors do not cover.
    ///
    /// With none left, libzmq's listener for `ipc://` ends the process, and that for `tcp://` tries
    /// again without a pause.
    static func check(_ limit: Int?, covers connectionsMax: Int) throws {
        guard let limit, limit < connectionsMax + spare else { return }
        let fitting = limit - spare
        let remedy =
            fitting < 4
            ? "Raise the hard limit (ulimit -Hn, or LimitNOFILE= of the service)."
            : "Raise the hard limit (ulimit -Hn, or LimitNOFILE= of the service), or allow fewer "
                + "connections: --set connections=\(fitting)."
        throw Trouble(
            "This process may have \(limit) files open, but \(connectionsMax) connections "
                + "(connections) and \(spare) other files need \(connectionsMax + spare). "
                + remedy, code: .configuration)
    }
}
