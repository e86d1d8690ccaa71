internal import Foundation
package import SyncCore

/// One version as the functions tell it.
struct VersionLine: Decodable, Sendable {
    let version: ConvexValues.Count
    let sequence: ConvexValues.Count
    let producer: String
    let number: ConvexValues.Bits
    let acceptedAt: ConvexValues.Count
    let isDelete: Bool
    let isExecutable: Bool
    let byteCount: ConvexValues.Count
    /// Bytes from where it was asked; nil in a history.
    let content: ConvexValues.Bytes?
}

private struct VersionQuestion: Encodable, Sendable {
    let project: String
    let path: String
    var version: ConvexValues.OrNull<UInt64>
    var offset = 0
}

extension ConvexStore {
    /// Reads one version of a file; a large content comes in several answers.
    package func version(
        of file: FileKey, _ version: Version?
    ) async throws(StoreError) -> StoredVersion? {
        let deadline = deadline
        while true {
            let result: Result<StoredVersion?, StoreError>? = try await run("read a version") {
                _ async throws(ConvexFailure) in
                try await read(file, version, until: deadline)
            }
            if let result { return try result.get() }
            // It was cleared away between two answers. Of the newest there is a newer one now.
            if version != nil { return nil }
        }
    }

    /// One try; nil when the version went away meanwhile.
    private func read(
        _ file: FileKey, _ version: Version?, until deadline: ContinuousClock.Instant
    ) async throws(ConvexFailure) -> Result<StoredVersion?, StoreError>? {
        var question = VersionQuestion(
            project: file.project.text, path: file.path.text, version: .init(version?.value))
        var content: [UInt8] = []
        while true {
            let asked = question
            let line: VersionLine? = try await client.query("getFile", asked, until: deadline)
            guard let line else { return content.isEmpty ? .success(nil) : nil }
            content += line.content?.data ?? Data()
            let byteCount = line.byteCount.value
            if content.count >= byteCount {
                guard content.count == byteCount else { return .failure(nonsense("a content")) }
                do throws(StoreError) {
                    return .success(try stored(line, of: file.path, content: Content(content)))
                } catch {
                    return .failure(error)
                }
            }
            guard content.count > question.offset else { return .failure(nonsense("a content")) }
            question.version = .init(line.version.value)
            question.offset = content.count
        }
    }

    /// A version as the contract has it.
    func stored(
        _ line: VersionLine, of path: EditPath, content: Content
    ) throws(StoreError) -> StoredVersion {
        guard let producer = ProducerID(line.producer) else { throw nonsense("a producer's id") }
        return StoredVersion(
            path: path, version: Version(line.version.value),
            sequence: EditSequence(line.sequence.value),
            id: EditID(producer: producer, number: line.number.value),
            acceptedAt: Timestamp(milliseconds: line.acceptedAt.value),
            change: line.isDelete ? .delete : .put(content, isExecutable: line.isExecutable))
    }
}
