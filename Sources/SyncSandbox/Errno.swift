internal import Glibc
package import SyncCore

/// A failed call's number, with what is to be done about it.
package struct Errno: Error, Equatable {
    /// The number, as in `errno`.
    package let number: Int32

    /// Wraps a number.
    package init(_ number: Int32) { self.number = number }

    /// What the last C call on this thread left.
    static var last: Errno { Errno(errno) }

    /// What a failed call was about: the file of the edit, or what all files of the sandbox share.
    package enum Subject {
        /// The file of the edit; its path is quoted.
        case file(EditPath)
        /// The root, `.syncd`, a stage directory, the marker.
        case place(String)
    }

    /// The constant's name: `EACCES`.
    package var name: String { Self.table[number]?.name ?? "errno-\(number)" }

    /// What is to be done about it when one file is concerned; a try may be repeated by default.
    package var failureClass: FailureClass { Self.table[number]?.failureClass ?? .attempt }

    /// The failure to report.
    ///
    /// What concerns a place that all files share is never one file's fault, and nothing on the
    /// path of an edit can mend its shape: `file` and `shape` become `target` there.
    ///
    /// - Parameter action: What was tried, as in "could not ACTION".
    package func failure(_ action: String, _ subject: Subject) -> SandboxError {
        let reason = "\(name) (\(String(cString: strerror(number))))"
        switch subject {
        case .file(let path):
            return SandboxError(
                failureClass, code: name,
                "Could not \(action) '\(path)': \(reason). \(Self.remedy(failureClass))")
        case .place(let place):
            var failureClass = failureClass
            if failureClass == .file || failureClass == .shape { failureClass = .target }
            return SandboxError(
                failureClass, code: name,
                "Could not \(action) \(place): \(reason). \(Self.remedy(failureClass))")
        }
    }

    private static func remedy(_ failureClass: FailureClass) -> String {
        switch failureClass {
        case .file:
            "Mend permissions, flags, name or links on the path, then retry the edit if it "
                + "failed."
        case .attempt: "Look at the disk and the kernel's log if it stays so."
        case .shape: "Move away what stands on the path, or delete it by an edit."
        case .target: "Free, mount or mend the sandbox's file system; its edits wait."
        case .store: "Look at the store."
        case .worker: "Raise the worker's limits (descriptors, memory)."
        }
    }

    /// The class table of the design (trace C8), one reason each.
    private static let table: [Int32: (name: String, failureClass: FailureClass)] = [
        // This file can't be written there until a person changes something about it.
        EACCES: ("EACCES", .file),
        EPERM: ("EPERM", .file),  // immutable or sticky
        ENAMETOOLONG: ("ENAMETOOLONG", .file),
        ELOOP: ("ELOOP", .file),  // links that never end, or a magic link
        EXDEV: ("EXDEV", .file),  // a link out of the sandbox, or another mount inside it
        EFBIG: ("EFBIG", .file),  // larger than the file system or RLIMIT_FSIZE allows
        EINVAL: ("EINVAL", .file),  // a name that this file system refuses
        EILSEQ: ("EILSEQ", .file),  // likewise, by its encoding
        EMLINK: ("EMLINK", .file),  // too many folders in one
        // The same call may work the next time.
        EIO: ("EIO", .attempt),
        EBUSY: ("EBUSY", .attempt),
        EAGAIN: ("EAGAIN", .attempt),
        EINTR: ("EINTR", .attempt),
        ETIMEDOUT: ("ETIMEDOUT", .attempt),
        ENOENT: ("ENOENT", .attempt),  // only where the caller found no reason for it
        // An edit of a related path, or the sandbox's own program, will change it (trace A11).
        ENOTDIR: ("ENOTDIR", .shape),
        EISDIR: ("EISDIR", .shape),
        ENOTEMPTY: ("ENOTEMPTY", .shape),
        EEXIST: ("EEXIST", .shape),
        // No file of this sandbox can be written now.
        ENOSPC: ("ENOSPC", .target),
        EDQUOT: ("EDQUOT", .target),
        EROFS: ("EROFS", .target),
        ESTALE: ("ESTALE", .target),  // the file server lost the directory
        ENODEV: ("ENODEV", .target),
        ENXIO: ("ENXIO", .target),
        ENOTCONN: ("ENOTCONN", .target),  // a FUSE server that died
        EHOSTDOWN: ("EHOSTDOWN", .target),
        EHOSTUNREACH: ("EHOSTUNREACH", .target),
        // This process lacks something; another worker may have it.
        EMFILE: ("EMFILE", .worker),
        ENFILE: ("ENFILE", .worker),
        ENOMEM: ("ENOMEM", .worker),
        ENOBUFS: ("ENOBUFS", .worker),
        ENOSYS: ("ENOSYS", .worker),  // openat2 needs Linux 5.6 and a seccomp profile that knows it
    ]
}

/// Repeats a C call while a signal interrupts it.
///
/// - Returns: What the call returned, never negative.
func calling(_ call: () -> Int32) throws(Errno) -> Int32 {
    while true {
        let result = call()
        if result >= 0 { return result }
        if errno != EINTR { throw .last }
    }
}
