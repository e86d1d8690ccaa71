internal import Foundation
internal import Glibc
internal import SyncCore

/// `.syncd/marker`: one JSON object that tells whose sandbox it is.
///
/// It names the directory that it was written for. A marker that lies in another one came with a
/// copy, whose files may be older than those of the original: it is told as generation 0, which is
/// never given to a sandbox, so that it counts as rolled back.
enum MarkerFile {
    /// Its name in `.syncd`.
    static let name = "marker"

    private static let bytesMax = 65_536

    private struct Fields: Codable {
        let journal: String
        let project: String
        let generation: UInt64
        let bootID: String
        /// ``DirectoryDescriptor/birth()`` of the sandbox.
        let directory: String?
        let mark: String?
    }

    /// The marker; nil when there is none.
    ///
    /// One that can't be read is a failure of the target, not a blank sandbox: it may be somebody
    /// else's, and a blank one would be filled.
    static func read(
        in housekeeping: borrowing DirectoryDescriptor, born birth: String, of sandbox: Name
    ) throws(SandboxError) -> SandboxMarker? {
        let bytes: [UInt8]?
        do {
            bytes = try housekeeping.contents(of: name, bytesMax: bytesMax)
        } catch {
            switch error.number {
            case EISDIR, ELOOP, EFBIG: throw unreadable(sandbox)
            default: throw error.failure("read", .place("the marker of sandbox '\(sandbox)'"))
            }
        }
        guard let bytes else { return nil }
        guard let fields = try? JSONDecoder().decode(Fields.self, from: Data(bytes)),
            let journal = JournalID(fields.journal), let project = ProjectName(fields.project)
        else { throw unreadable(sandbox) }
        return SandboxMarker(
            journal: journal, project: project,
            generation: fields.directory == birth ? fields.generation : 0,
            bootID: fields.bootID, mark: fields.mark ?? SandboxMarker.noMark)
    }

    /// Writes it beside, durable, then renames it into place, unless one of the same filling stands
    /// there by then.
    ///
    /// - Returns: The one that stands there.
    static func write(
        _ marker: SandboxMarker, in housekeeping: borrowing DirectoryDescriptor,
        born birth: String, of sandbox: Name, isSynced: Bool
    ) throws(SandboxError) -> SandboxMarker {
        let fields = Fields(
            journal: "\(marker.journal)", project: marker.project.text,
            generation: marker.generation, bootID: marker.bootID, directory: birth,
            mark: marker.mark)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        guard let data = try? encoder.encode(fields) else {
            preconditionFailure("a marker has nothing that JSON can't say")
        }
        let draft = "\(name).\(Hexadecimal.digits(of: UInt64.random(in: .min ... .max)))"
        // Gone already where it was renamed.
        defer { try? housekeeping.removeFile(draft) }
        let place = Errno.Subject.place("the marker of sandbox '\(sandbox)'")
        do throws(Errno) {
            try write([UInt8](data), in: housekeeping, draft: draft)
        } catch {
            throw error.failure("write", place)
        }
        let standing = try read(in: housekeeping, born: birth, of: sandbox)
        if let standing, standing.standsFor(marker, isSynced: isSynced) { return standing }
        do throws(Errno) {
            try housekeeping.rename(draft, into: housekeeping, as: name)
            try housekeeping.sync()
        } catch {
            throw error.failure("write", place)
        }
        return marker
    }

    private static func write(
        _ bytes: [UInt8], in housekeeping: borrowing DirectoryDescriptor, draft: String
    ) throws(Errno) {
        let file = try housekeeping.makeFile(draft, mode: 0o644)
        try file.writeAll(bytes)
        try file.sync()
        try file.close()
    }

    private static func unreadable(_ sandbox: Name) -> SandboxError {
        SandboxError(
            .target, code: "marker-unreadable",
            "The marker of sandbox '\(sandbox)' (\(EditPath.reserved)/\(name)) makes no sense. "
                + "Restore it; or remove it, and the sandbox counts as blank and is filled again.")
    }
}
