internal import CLibZMQ
internal import Glibc

/// What libzmq or the system refused, and what to do about it.
package struct ZeroMQError: Error, CustomStringConvertible {
    /// The kinds of failure that callers tell apart.
    package enum Code: Sendable, Equatable {
        /// Another process, or this one, has bound the endpoint (`EADDRINUSE`).
        case addressInUse
        /// This machine has no such address or interface (`EADDRNOTAVAIL`, `ENODEV`).
        case addressUnavailable
        /// The endpoint, the option's value or the request makes no sense (`EINVAL` and kin).
        case invalid
        /// The system forbids it (`EACCES`, `EPERM`).
        case forbidden
        /// Out of sockets, files, threads or memory (`EMFILE`, `ENFILE`, `ENOMEM`, `EAGAIN`).
        case exhausted
        /// The socket was closed, or its loop has ended.
        case closed
        /// The context was shut down (`ETERM`).
        case terminated
        /// The socket is in another state, as a REQ that awaits its answer (`EFSM`).
        case outOfTurn
        /// Anything else; `number` says what.
        case other
    }

    /// The kind of failure.
    package let code: Code
    /// The number as libzmq or the system gave it; 0 when neither was asked.
    package let number: Int32
    /// What failed, why, and the remedy; never content of a message.
    package let message: String

    /// The message.
    package var description: String { message }

    init(number: Int32, doing action: String) {
        let code = Self.code(of: number)
        self.code = code
        self.number = number
        let reason = LibraryCalls.text(ofError: number)
        self.message = "\(action) failed: \(reason). \(Self.remedy(for: code))"
    }

    init(code: Code, message: String) {
        self.code = code
        self.number = 0
        self.message = message
    }

    private static func code(of number: Int32) -> Code {
        switch number {
        case EADDRINUSE: .addressInUse
        case EADDRNOTAVAIL, ENODEV: .addressUnavailable
        case EINVAL, EPROTONOSUPPORT, ENOCOMPATPROTO, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTSUP:
            .invalid
        case EACCES, EPERM: .forbidden
        case EMFILE, ENFILE, ENOMEM, EAGAIN, EMTHREAD: .exhausted
        case ENOTSOCK: .closed
        case ETERM: .terminated
        case EFSM: .outOfTurn
        default: .other
        }
    }

    private static func remedy(for code: Code) -> String {
        switch code {
        case .addressInUse: "Stop the process that has it (ss -ltnp shows it), or choose another."
        case .addressUnavailable: "Choose an address of this machine (ip addr lists them)."
        case .invalid:
            "Write tcp://HOST:PORT or ipc://PATH in an existing directory; check the value's range."
        case .forbidden: "Choose a port above 1023, or a directory this user may write."
        case .exhausted: "Raise the limit on open files (ulimit -n) or the context's socketsMax."
        case .closed: "Use the socket only before its loop stops."
        case .terminated: "The process is shutting down; close the socket."
        case .outOfTurn: "Receive the answer first, or set REQ_RELAXED."
        case .other: "See the message above; the number is in zmq.h or errno.h."
        }
    }
}
