internal import Foundation
package import SyncCore

extension ConvexStore {
    /// Most bytes of one content: what 4 MiB a second, the pace of the smallest plan, bring in
    /// within one call.
    package static let contentBytesMax = 64 << 20
    /// Bytes of content in one request; a larger content comes in parts.
    ///
    /// As many as the functions take: four pieces of a document each.
    static let partBytesMax = 4_000_000

    /// Applies edits, each in a transaction of its own, several at once.
    ///
    /// One that has no answer in time is unavailable alone; when none has, the call fails.
    package func apply(_ edits: [SequencedEdit]) async throws(StoreError) -> [Applied] {
        let deadline = deadline
        typealias Answer = (place: Int, result: Result<Applied, StoreError>)
        let answers = await withTaskGroup(of: Answer.self) { group in
            var answers: [Int: Result<Applied, StoreError>] = [:]
            for (place, edit) in edits.enumerated() {
                // More of them at once would only wait for room.
                if place >= settings.requestsMax, let answer = await group.next() {
                    answers[answer.place] = answer.result
                }
                group.addTask { (place, await self.apply(edit, until: deadline)) }
            }
            for await answer in group { answers[answer.place] = answer.result }
            return answers
        }
        var applied: [Applied] = []
        var failure: StoreError?
        for place in edits.indices {
            switch answers[place] {
            case nil: preconditionFailure("an edit has no answer")
            case .success(let answer): applied.append(answer)
            case .failure(let error):
                guard error.code == .unavailable else { throw error }
                failure = error
                applied.append(.unavailable(reason: error.message))
            }
        }
        let isAway = applied.allSatisfy { if case .unavailable = $0 { true } else { false } }
        if isAway, let failure { throw failure }
        return applied
    }

    private func apply(
        _ edit: SequencedEdit, until deadline: ContinuousClock.Instant
    ) async -> Result<Applied, StoreError> {
        let byteCount = edit.change.byteCount
        guard byteCount <= Self.contentBytesMax else {
            return .success(
                .refused(
                    reason: "The content has \(byteCount) bytes, but a Convex store takes at most "
                        + "\(Self.contentBytesMax). Make the file smaller."))
        }
        do throws(ConvexFailure) {
            let verdict =
                byteCount <= Self.partBytesMax
                ? try await update(edit, Self.content(of: edit), until: deadline)
                : try await upload(edit, until: deadline)
            return answer(verdict)
        } catch {
            switch error {
            case .refused(let code): return .success(.refused(reason: Self.refusal("(\(code))")))
            case .threw: return await blame(edit)
            case .busy, .lost, .closed:
                return .failure(storeError(error, "apply an edit"))
            }
        }
    }

    /// Finds out whether an error without a code is this edit's, or that of functions that are
    /// broken as a whole.
    ///
    /// The deployment hides what it was. The same call would fail again, so an edit that fails
    /// where the store answers fails alone; it must hold up no other.
    private func blame(_ edit: SequencedEdit) async -> Result<Applied, StoreError> {
        do throws(StoreError) {
            _ = try await identity()
            return .success(.refused(reason: Self.refusal("without a reason")))
        } catch {
            return .failure(error)
        }
    }

    private static func refusal(_ how: String) -> String {
        "Convex refuses the edit \(how); the deployment's logs tell more. Nothing was changed."
    }

    private func answer(_ verdict: Verdict) -> Result<Applied, StoreError> {
        switch (verdict.outcome, verdict.version, verdict.sequence) {
        case ("applied", let version?, _): .success(.applied(Version(version.value)))
        case ("known", let version?, _): .success(.known(Version(version.value)))
        case ("stale", _, let newer?): .success(.stale(by: EditSequence(newer.value)))
        case ("conflict", let current?, _): .success(.conflict(current: Version(current.value)))
        default: .failure(nonsense("an outcome"))
        }
    }
}

// MARK: Requests

extension ConvexStore {
    private func update(
        _ edit: SequencedEdit, _ content: Data?, until deadline: ContinuousClock.Instant
    ) async throws(ConvexFailure) -> Verdict {
        let update = Update(edit, content: content, versionsKept: versionsKept)
        let verdict: Verdict = try await client.mutate("updateFile", update, until: deadline)
        if verdict.hasLeftovers == true { await clear(edit, until: deadline) }
        return verdict
    }

    /// Brings a large content in part by part, then makes the version of it.
    ///
    /// A repetition goes on where the last one ended, whoever that was: the same sequence always
    /// has the same content.
    private func upload(
        _ edit: SequencedEdit, until deadline: ContinuousClock.Instant
    ) async throws(ConvexFailure) -> Verdict {
        let byteCount = UInt64(edit.change.byteCount)
        var held: UInt64 = 0
        while true {
            let verdict: Verdict
            if held < byteCount {
                let part = Part(edit, from: held)
                verdict = try await client.mutate("putPart", part, until: deadline)
            } else {
                verdict = try await update(edit, nil, until: deadline)
            }
            guard verdict.outcome == "held" else {
                // What came in will never become a version.
                if verdict.outcome == "conflict" { await clear(edit, until: deadline) }
                return verdict
            }
            guard let count = verdict.held?.value, count <= byteCount else {
                throw .closed(
                    "it holds an upload that makes no sense. Look who else writes to the tables "
                        + "whose names begin with 'syncd'.")
            }
            held = count
        }
    }

    /// Clears away what did not fit into the edit's own transaction.
    ///
    /// When it fails, the file's next edit does it.
    private func clear(
        _ edit: SequencedEdit, until deadline: ContinuousClock.Instant
    ) async {
        let clearing = Clearing(
            project: edit.file.project.text, path: edit.file.path.text,
            versionsKept: versionsKept, decided: edit.sequence.value)
        var isClear = false
        while !isClear {
            do throws(ConvexFailure) {
                isClear = try await client.mutate("clearFile", clearing, until: deadline)
            } catch {
                return
            }
        }
    }

    private static func content(of edit: SequencedEdit) -> Data {
        edit.change.content?.withBytes { Data($0) } ?? Data()
    }
}

/// What a function says of an edit.
private struct Verdict: Decodable, Sendable {
    let outcome: String
    let version: ConvexValues.Count?
    let sequence: ConvexValues.Count?
    let held: ConvexValues.Count?
    let hasLeftovers: Bool?
}

private struct Update: Encodable, Sendable {
    let project: String
    let path: String
    let sequence: UInt64
    let expectedVersion: ConvexValues.OrNull<UInt64>
    let producer: String
    let number: ConvexValues.Bits
    let acceptedAt: UInt64
    let isDelete: Bool
    let isExecutable: Bool
    let digest: ConvexValues.Bits
    let byteCount: Int
    let content: ConvexValues.OrNull<ConvexValues.Bytes>
    let versionsKept: Int

    /// - Parameter content: Nil when it came in parts.
    init(_ edit: SequencedEdit, content: Data?, versionsKept: Int) {
        project = edit.file.project.text
        path = edit.file.path.text
        sequence = edit.sequence.value
        expectedVersion = .init(edit.expectedVersion?.value)
        producer = edit.id.producer.text
        number = .init(edit.id.number)
        acceptedAt = edit.acceptedAt.milliseconds
        isDelete = edit.change.isDelete
        isExecutable = edit.change.isExecutable
        digest = .init(edit.change.content?.digest ?? 0)
        byteCount = edit.change.byteCount
        self.content = .init(content.map { ConvexValues.Bytes(data: $0) })
        self.versionsKept = versionsKept
    }
}

private struct Part: Encodable, Sendable {
    let project: String
    let path: String
    let sequence: UInt64
    let expectedVersion: ConvexValues.OrNull<UInt64>
    let producer: String
    let number: ConvexValues.Bits
    let offset: UInt64
    let bytes: ConvexValues.Bytes

    init(_ edit: SequencedEdit, from offset: UInt64) {
        project = edit.file.project.text
        path = edit.file.path.text
        sequence = edit.sequence.value
        expectedVersion = .init(edit.expectedVersion?.value)
        producer = edit.id.producer.text
        number = .init(edit.id.number)
        self.offset = offset
        let content = edit.change.content ?? .empty
        let start = Int(offset)
        let end = min(content.count, start + ConvexStore.partBytesMax)
        bytes = .init(
            data: content.withBytes { Data(UnsafeRawBufferPointer(rebasing: $0[start..<end])) })
    }
}

private struct Clearing: Encodable, Sendable {
    let project: String
    let path: String
    let versionsKept: Int
    let decided: UInt64
}
