internal import Glibc
internal import SyncCore

/// What is noted at every file that is written here, so that a change by somebody else is noticed:
/// its size, when its content changed last, and under which path it was written.
///
/// It is an extended attribute, and stays with the file: a program that writes into the file
/// changes size or time, one that puts another file in its place leaves no mark, or that of another
/// path. As in git's index, a change of the same size within one tick of the kernel's clock (some
/// milliseconds) is not seen. A file of the same time that is shorter is one that a loss of power
/// has torn: nobody's work.
struct WrittenMark: Equatable {
    /// In bytes.
    let size: Int64
    /// Since 1970.
    let seconds: Int64
    /// Below a second.
    let nanoseconds: Int64

    private static let name = "user.syncd"
    private static let bytesMax = 128

    private var time: String { "\(seconds).\(nanoseconds)" }

    private static func word(for path: EditPath) -> String {
        Hexadecimal.digits(of: StableHash.hash(path.text))
    }

    /// Notes it at a file that has just been written.
    ///
    /// - Returns: False where the file system, or the system, has no such attributes.
    static func put(on file: borrowing FileDescriptor, for path: EditPath) throws(Errno) -> Bool {
        do throws(Errno) {
            let mark = try file.mark()
            try file.setAttribute(name, to: "\(mark.size) \(mark.time) \(word(for: path))")
            return true
        } catch {
            guard [ENOTSUP, ENOSYS, EPERM, EACCES].contains(error.number) else { throw error }
            return false
        }
    }

    /// What somebody else has made of a file; nil when it is as it was written here.
    static func drift(
        of file: borrowing FileDescriptor, at path: EditPath
    ) throws(Errno) -> Drift? {
        let noted: [UInt8]?
        do throws(Errno) {
            noted = try file.attribute(name, bytesMax: bytesMax)
        } catch {
            switch error.number {
            case ENOTSUP, ENOSYS: return nil
            case ERANGE: return .foreign
            default: throw error
            }
        }
        let words = noted?.split(separator: UInt8(ascii: " ")) ?? []
        guard words.count == 3, words[2].elementsEqual(word(for: path).utf8) else {
            return .foreign
        }
        let mark = try file.mark()
        let size = Int64(String(decoding: words[0], as: UTF8.self)) ?? 0
        return words[1].elementsEqual(mark.time.utf8) && mark.size <= size ? nil : .changed
    }
}

extension DirectoryDescriptor {
    /// What somebody else has put in the place of a file, or made of it.
    ///
    /// Nil when it is as it was written here, when nothing is there, or a directory.
    borrowing func drift(of name: String, at path: EditPath) throws(Errno) -> Drift? {
        switch try entry(name)?.kind {
        case nil, .directory: return nil
        case .link, .special: return .foreign
        case .file: break
        }
        do throws(Errno) {
            return try WrittenMark.drift(of: openedFile(name), at: path)
        } catch {
            switch error.number {
            case ENOENT: return nil
            // What is written here can be read by who wrote it.
            case ELOOP, EACCES, EPERM: return .foreign
            default: throw error
            }
        }
    }
}
