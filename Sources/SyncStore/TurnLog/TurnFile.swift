#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif
internal import SyncCore

/// A file that turns are written into, from its beginning again and again.
///
/// Its calls block. Appending is one caller's at a time; what was appended before can be read
/// meanwhile.
final class TurnFile: Sendable {
    /// Where it is.
    let path: String
    private let descriptor: CInt

    /// Bytes by which the file grows.
    private static let stepBytes = 1 << 20

    /// Opens the file, only for this user; makes it when it is missing.
    init(_ path: String) throws(SQLiteFailure) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("open", path, errno) }
    }

    deinit { close(descriptor) }

    /// Makes the names of new files beside this one durable.
    static func syncNames(beside file: String) throws(SQLiteFailure) {
        let slash = file.utf8.lastIndex(of: UInt8(ascii: "/"))
        let folder = slash.map { String(file[..<$0]) + "/" } ?? "."
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw failure("open", folder, errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw failure("sync", folder, errno) }
    }

    /// How long the file is.
    func byteCount() throws(SQLiteFailure) -> Int {
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else { throw Self.failure("look at", path, errno) }
        return Int(end)
    }

    /// Makes room up to a length, in steps, so that few syncs have a new length to write down.
    ///
    /// - Returns: False when the disk has no room.
    func reserve(_ length: Int) throws(SQLiteFailure) -> Bool {
        guard try byteCount() < length else { return true }
        let whole = (length + Self.stepBytes - 1) / Self.stepBytes * Self.stepBytes
        while true {
            #if canImport(Glibc)
                let code = posix_fallocate(descriptor, 0, off_t(whole))
            #else
                let code = ftruncate(descriptor, off_t(whole)) == 0 ? 0 : errno
            #endif
            switch code {
            // Where a file system can't, the write finds out.
            case 0, EOPNOTSUPP, EINVAL: return true
            case ENOSPC, EDQUOT: return false
            case EINTR: continue
            default: throw Self.failure("make room in", path, code)
            }
        }
    }

    /// Writes bytes and waits until they are on the disk.
    ///
    /// - Throws: `unavailable` when nothing counts as written, `corrupt` when nobody knows.
    func append(_ bytes: [UInt8], at offset: Int) throws(SQLiteFailure) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(
                    descriptor, $0.baseAddress.map { $0 + written }, bytes.count - written,
                    off_t(offset + written))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw Self.failure("write a turn into", path, count == 0 ? EIO : errno)
            }
            written += count
        }
        while sync() != 0 {
            guard errno != EINTR else { continue }
            let reason = String(cString: strerror(errno))
            throw SQLiteFailure(
                .corrupt,
                "Could not commit a turn to the journal at \(path): \(reason). Stop syncd, look at "
                    + "the disk and the system's log, and start again: it reads back what is there."
            )
        }
    }

    private func sync() -> CInt {
        #if canImport(Glibc)
            fdatasync(descriptor)
        #else
            fsync(descriptor)
        #endif
    }

    /// Writes what stands there once more, and waits until it is on the disk.
    ///
    /// After an fsync that failed a turn can be read, yet may never reach the disk, whatever the
    /// next fsync of it says. Written anew, it does, or this fails.
    func rewrite(_ place: LoggedBytes) throws(SQLiteFailure) {
        try append(try read(place), at: place.offset)
    }

    /// Reads bytes back that were written.
    func read(_ place: LoggedBytes) throws(SQLiteFailure) -> [UInt8] {
        let bytes = try readPresent(place)
        guard bytes.count == place.count else {
            throw Self.damaged(path, "it ends before byte \(place.offset + place.count)")
        }
        return bytes
    }

    /// Reads bytes; fewer where the file ends.
    private func readPresent(_ place: LoggedBytes) throws(SQLiteFailure) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: place.count)
        var count = 0
        while count < place.count {
            let result = bytes.withUnsafeMutableBytes {
                pread(
                    descriptor, $0.baseAddress.map { $0 + count }, place.count - count,
                    off_t(place.offset + count))
            }
            if result < 0, errno == EINTR { continue }
            guard result >= 0 else { throw Self.failure("read", path, errno) }
            if result == 0 { break }
            count += result
        }
        bytes.removeLast(place.count - count)
        return bytes
    }

    /// The records from the beginning, as far as they are whole, of one lap, and follow each other;
    /// where the last one lies, and where they end.
    ///
    /// What follows is older, or was being written when the machine stopped.
    ///
    /// - Parameter known: The last turn that the database has. A power cut may have damaged what
    ///   was being written over: those turns are known.
    /// - Throws: `corrupt` when a record of a later turn is damaged and another one follows it.
    func records(
        after known: UInt64
    ) throws(SQLiteFailure) -> (records: [TurnRecord], last: LoggedBytes?, end: Int) {
        var records: [TurnRecord] = []
        var last: LoggedBytes?
        var offset = 0
        while let prefix = try prefix(at: offset, after: records.last) {
            guard let record = try record(at: offset, prefix, after: known) else {
                if prefix.turn <= known { break }
                // One turn at a time is written: nothing whole can follow one that is not.
                let next = offset + prefix.count
                if let follower = try self.prefix(at: next), follower.lap == prefix.lap,
                    follower.previousTurn == prefix.turn,
                    try record(at: next, follower, after: known) != nil
                {
                    throw Self.damaged(path, "turn \(prefix.turn) at byte \(offset) is not whole")
                }
                break
            }
            records.append(record)
            last = LoggedBytes(offset: offset, count: prefix.count)
            offset += prefix.count
        }
        return (records, last, offset)
    }

    /// The prefix of a record that may begin there, and follow another one of this lap.
    private func prefix(
        at offset: Int, after last: TurnRecord? = nil
    ) throws(SQLiteFailure) -> TurnPrefix? {
        let bytes = try readPresent(LoggedBytes(offset: offset, count: TurnRecord.prefixBytes))
        let prefix = TurnPrefix(bytes, countMax: try byteCount() - offset)
        guard let prefix, let last else { return prefix }
        let follows = prefix.lap == last.lap && prefix.previousTurn == last.transaction.turn
        return follows ? prefix : nil
    }

    private func record(
        at offset: Int, _ prefix: TurnPrefix, after known: UInt64
    ) throws(SQLiteFailure) -> TurnRecord? {
        let bytes = try readPresent(LoggedBytes(offset: offset, count: prefix.count))
        do {
            return try TurnRecord.decode(bytes, at: offset)
        } catch {
            if prefix.turn <= known { return nil }
            throw Self.damaged(path, "turn \(prefix.turn) at byte \(offset) makes no sense")
        }
    }

    private static func damaged(_ path: String, _ finding: String) -> SQLiteFailure {
        SQLiteFailure(
            .corrupt,
            "The turns in \(path) are damaged: \(finding). Stop syncd, keep a copy of the "
                + "journal's files, and restore them from a backup.")
    }

    private static func failure(_ task: String, _ path: String, _ code: CInt) -> SQLiteFailure {
        let advice =
            switch code {
            case ENOSPC, EDQUOT: "Nothing was changed; free space on that disk."
            case EACCES, EPERM, EROFS:
                "Nothing was changed; make the file and its directory writable for this user."
            default: "Nothing was changed; look at the disk and at the system's log."
            }
        return SQLiteFailure(
            .unavailable, "Could not \(task) \(path): \(String(cString: strerror(code))). \(advice)"
        )
    }
}
