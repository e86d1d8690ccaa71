internal import Foundation
internal import SyncCore

/// `.syncd/marker` in a sandbox of E2B: one JSON object that tells whose sandbox it is.
///
/// It names the sandbox that it was written for. A marker found in another one came with a copy,
/// whose files may be older: it is told as generation 0, which counts as rolled back.
enum E2BMarker {
    private struct Fields: Codable {
        let journal: String
        let project: String
        let generation: UInt64
        let bootID: String
        let sandbox: String
        let mark: String?
    }

    /// Reads a marker; one that makes no sense is a failure, not a blank sandbox.
    static func read(
        _ bytes: [UInt8], of sandbox: String
    ) throws(SandboxError) -> SandboxMarker {
        guard let fields = try? JSONDecoder().decode(Fields.self, from: Data(bytes)),
            let journal = JournalID(fields.journal), let project = ProjectName(fields.project)
        else {
            throw SandboxError(
                .target, code: "marker-unreadable",
                "The marker of sandbox '\(sandbox)' of E2B (\(EditPath.reserved)/marker) makes no "
                    + "sense. Remove it, and the sandbox counts as blank and is filled again.")
        }
        return SandboxMarker(
            journal: journal, project: project,
            generation: fields.sandbox == sandbox ? fields.generation : 0, bootID: fields.bootID,
            mark: fields.mark ?? SandboxMarker.noMark)
    }

    /// The marker's bytes.
    static func bytes(of marker: SandboxMarker, in sandbox: String) -> [UInt8] {
        let fields = Fields(
            journal: "\(marker.journal)", project: marker.project.text,
            generation: marker.generation, bootID: marker.bootID, sandbox: sandbox,
            mark: marker.mark)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        guard let data = try? encoder.encode(fields) else {
            preconditionFailure("a marker has nothing that JSON can't say")
        }
        return [UInt8](data)
    }
}
