internal import CLinux
internal import Glibc

/// An open directory; closed when it goes out of scope.
///
/// Names are single segments unless a method says otherwise, and a link as last segment is never
/// followed unless a method says so.
struct DirectoryDescriptor: ~Copyable, Sendable {
    /// The descriptor.
    let number: Int32

    /// What tells one directory or file from every other one that exists at the same time.
    struct Identity: Hashable, Sendable {
        /// File system.
        let device: UInt64
        /// Number in it.
        let inode: UInt64
    }

    /// What stands under a name.
    enum Kind: Equatable {
        case file
        case link
        case directory
        case special

        /// Reads the type bits of a mode.
        init(mode: mode_t) {
            switch mode & S_IFMT {
            case S_IFREG: self = .file
            case S_IFLNK: self = .link
            case S_IFDIR: self = .directory
            default: self = .special
            }
        }
    }

    /// How often an open that met a concurrent rename or mount is repeated.
    private static let racesMax = 128

    /// Takes over a descriptor.
    private init(owning number: Int32) { self.number = number }

    /// Opens a directory by its path in the file system; links are followed.
    static func open(path: String) throws(Errno) -> DirectoryDescriptor {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        return DirectoryDescriptor(
            owning: try calling { Glibc.open(path, flags) })
    }

    deinit { _ = Glibc.close(number) }

    /// Opens the directory of that name.
    borrowing func directory(_ name: String) throws(Errno) -> DirectoryDescriptor {
        let parent = number
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        return DirectoryDescriptor(owning: try calling { openat(parent, name, flags) })
    }

    /// Opens the directory of that name, made before if it is missing.
    borrowing func madeDirectory(
        _ name: String, mode: mode_t
    ) throws(Errno) -> DirectoryDescriptor {
        do {
            return try directory(name)
        } catch {
            guard error.number == ENOENT else { throw error }
        }
        do throws(Errno) {
            try makeDirectory(name, mode: mode)
        } catch {
            guard error.number == EEXIST else { throw error }
        }
        return try directory(name)
    }

    /// Opens a directory some segments below; links are followed where they stay below.
    ///
    /// - Parameter isReadable: False gives a descriptor that serves only to name what is in it,
    ///   which needs no permission to read.
    borrowing func beneath(
        _ path: String, isReadable: Bool
    ) throws(Errno) -> DirectoryDescriptor {
        var races = 0
        while true {
            let result = syncd_open_beneath(number, path, isReadable)
            if result >= 0 { return DirectoryDescriptor(owning: result) }
            let error = Errno(-result)
            races += 1
            guard error.number == EAGAIN || error.number == EINTR, races < Self.racesMax else {
                throw error
            }
        }
    }

    /// Inode and time of making, as text: a copy of the directory has another one.
    borrowing func birth() throws(Errno) -> String {
        var inode: UInt64 = 0
        var seconds: Int64 = 0
        var nanoseconds: UInt32 = 0
        let result = syncd_birth(number, &inode, &seconds, &nanoseconds)
        if result < 0 { throw Errno(-result) }
        return "\(inode).\(seconds).\(nanoseconds)"
    }

    /// Makes a directory.
    borrowing func makeDirectory(_ name: String, mode: mode_t) throws(Errno) {
        let parent = number
        _ = try calling { mkdirat(parent, name, mode) }
    }

    /// Removes an empty directory.
    borrowing func removeDirectory(_ name: String) throws(Errno) {
        let parent = number
        _ = try calling { unlinkat(parent, name, AT_REMOVEDIR) }
    }

    /// Removes anything but a directory.
    borrowing func removeFile(_ name: String) throws(Errno) {
        let parent = number
        _ = try calling { unlinkat(parent, name, 0) }
    }

    /// Makes a file that was not there, for writing.
    borrowing func makeFile(_ name: String, mode: mode_t) throws(Errno) -> FileDescriptor {
        let parent = number
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        return FileDescriptor(owning: try calling { openat(parent, name, flags, mode) })
    }

    /// Renames, replacing what is there; a directory never replaces a file (ENOTDIR).
    borrowing func rename(
        _ name: String, into directory: borrowing DirectoryDescriptor, as newName: String
    ) throws(Errno) {
        let source = number
        let target = directory.number
        _ = try calling { renameat(source, name, target, newName) }
    }

    /// Gives a file a second name, unless that name is taken (EEXIST).
    borrowing func link(_ name: String, as newName: String) throws(Errno) {
        let parent = number
        _ = try calling { linkat(parent, name, parent, newName, 0) }
    }

    /// What stands under a name or a path below; nil for nothing.
    borrowing func entry(
        _ path: String
    ) throws(Errno) -> (kind: Kind, identity: Identity)? {
        let parent = number
        var status = stat()
        do {
            _ = try calling { fstatat(parent, path, &status, AT_SYMLINK_NOFOLLOW) }
        } catch {
            if error.number == ENOENT { return nil }
            throw error
        }
        return (
            Kind(mode: status.st_mode),
            Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        )
    }

    /// Identity of what stands under a path of the file system; nil for nothing.
    ///
    /// A link as last segment is not followed.
    static func identity(path: String) throws(Errno) -> Identity? {
        var status = stat()
        do {
            _ = try calling { fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) }
        } catch {
            if error.number == ENOENT || error.number == ENOTDIR { return nil }
            throw error
        }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// Its own identity.
    borrowing func identity() throws(Errno) -> Identity {
        let own = number
        var status = stat()
        _ = try calling { fstat(own, &status) }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// Whether it was removed while it was open; false where the file system does not tell.
    borrowing func isRemoved() -> Bool {
        var status = stat()
        guard fstat(number, &status) == 0 else { return errno == ESTALE }
        return status.st_nlink == 0
    }

    /// Names in it, without `.` and `..`.
    borrowing func names() throws(Errno) -> [String] {
        let own = number
        let copy = try calling { openat(own, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard let stream = fdopendir(copy) else {
            let error = Errno.last
            _ = Glibc.close(copy)
            throw error
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw .last }
                return names
            }
            let offset = MemoryLayout<dirent>.offset(of: \.d_name) ?? 0
            let characters = UnsafeRawPointer(entry) + offset
            let name = String(cString: characters.assumingMemoryBound(to: CChar.self))
            if name != "." && name != ".." { names.append(name) }
        }
    }

    /// Opens a file for reading; a link is ELOOP, and a pipe does not wait for its other end.
    borrowing func openedFile(_ name: String) throws(Errno) -> FileDescriptor {
        let parent = number
        let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        return FileDescriptor(owning: try calling { openat(parent, name, flags) })
    }

    /// Bytes of a small regular file; nil for nothing.
    ///
    /// - Parameter bytesMax: A larger file is EFBIG.
    borrowing func contents(of name: String, bytesMax: Int) throws(Errno) -> [UInt8]? {
        let file: FileDescriptor
        do {
            file = try openedFile(name)
        } catch {
            if error.number == ENOENT { return nil }
            throw error
        }
        return try file.contents(bytesMax: bytesMax)
    }

    /// Makes its names durable; needs a readable descriptor.
    borrowing func sync() throws(Errno) {
        let own = number
        _ = try calling { fsync(own) }
    }
}
