internal import CLinux
internal import Glibc
internal import SyncCore

/// An open file; closed when it goes out of scope.
struct FileDescriptor: ~Copyable {
    /// The descriptor.
    private let number: Int32

    /// Takes over a descriptor.
    init(owning number: Int32) { self.number = number }

    deinit { _ = Glibc.close(number) }

    /// Writes all bytes at the current position.
    borrowing func write(_ content: Content) throws(Errno) {
        let own = number
        if let error = content.withBytes({ Self.write($0, to: own) }) { throw error }
    }

    /// Writes all bytes at the current position.
    borrowing func writeAll(_ bytes: [UInt8]) throws(Errno) {
        let own = number
        if let error = bytes.withUnsafeBytes({ Self.write($0, to: own) }) { throw error }
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, to number: Int32) -> Errno? {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = Glibc.write(number, rest.baseAddress, rest.count)
            if count > 0 {
                done += count
            } else if count == 0 {
                return Errno(EIO)
            } else if errno != EINTR {
                return .last
            }
        }
        return nil
    }

    /// All bytes from the current position.
    borrowing func contents(bytesMax: Int) throws(Errno) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = read(number, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            if count < 0 { throw .last }
            if count == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
            if bytes.count > bytesMax { throw Errno(EFBIG) }
        }
    }

    /// Size, and when the content changed last.
    borrowing func mark() throws(Errno) -> WrittenMark {
        let own = number
        var status = stat()
        _ = try calling { fstat(own, &status) }
        return WrittenMark(
            size: Int64(status.st_size), seconds: Int64(status.st_mtim.tv_sec),
            nanoseconds: Int64(status.st_mtim.tv_nsec))
    }

    /// Bytes of an extended attribute; nil when the file has none of that name.
    ///
    /// - Parameter bytesMax: A longer one is ERANGE.
    borrowing func attribute(_ name: String, bytesMax: Int) throws(Errno) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: bytesMax)
        let count = fgetxattr(number, name, &bytes, bytes.count)
        if count >= 0 { return Array(bytes[..<count]) }
        if errno == ENODATA { return nil }
        throw .last
    }

    /// Sets an extended attribute.
    borrowing func setAttribute(_ name: String, to text: String) throws(Errno) {
        let own = number
        _ = try calling { fsetxattr(own, name, text, text.utf8.count, 0) }
    }

    /// Makes the content durable.
    borrowing func sync() throws(Errno) {
        let own = number
        _ = try calling { fsync(own) }
    }

    /// Closes, and tells what file servers report only then (ENOSPC, EDQUOT, EIO).
    ///
    /// Linux has closed the descriptor whatever `close` returns, so it is never repeated.
    consuming func close() throws(Errno) {
        let own = number
        discard self
        if Glibc.close(own) != 0 && errno != EINTR { throw .last }
    }
}
