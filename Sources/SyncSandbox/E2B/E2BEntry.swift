internal import SyncCore

/// What stands under a path, as envd tells it.
///
/// Of a link envd tells the type of what it leads to, and where it leads; none if it leads nowhere.
struct E2BEntry: Decodable, Sendable {
    let name: String
    let type: String?
    let symlinkTarget: String?
    let modifiedTime: String?
    /// In bytes, as text; envd leaves zero out.
    let size: String?
    let metadata: [String: String]?

    var isDirectory: Bool { !isLink && type == "FILE_TYPE_DIRECTORY" }
    var isFile: Bool { !isLink && type == "FILE_TYPE_FILE" }
    var isLink: Bool { symlinkTarget != nil || type == "FILE_TYPE_SYMLINK" }
}

/// What became of a `Move`.
enum E2BMoved: Sendable {
    case done(E2BEntry)
    /// The source, or a parent of the destination, was not there.
    case notFound
    /// envd refused it: nothing was moved, and nothing will be.
    case refused(E2BReply)
    /// No answer of envd: it may have been done, and it may be done yet.
    case unknown(SandboxError)
}
