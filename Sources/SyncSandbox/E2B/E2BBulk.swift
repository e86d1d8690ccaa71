internal import NIOCore
internal import SyncCore
internal import Synchronization

/// Uploads of a refill, several files in one request (`multipart/form-data`).
///
/// While a request is on its way, files that come meanwhile wait, and go together when it has been
/// answered: a single one waits for nothing, and many cost one upload for all that came in between.
/// What is not written so is uploaded by itself, under another name, and gets its own answer.
/// Larger files are uploaded by themselves, beside each other.
final class E2BBulk: Sendable {
    /// What became of a file.
    enum Answer: Sendable {
        /// It lies there.
        case written(E2BStage.Staged)
        /// It is to be uploaded by itself: it is too large, or one of the request was refused.
        case alone
        /// The whole request was refused, or got no answer.
        case not(Result<E2BReply, E2BLoss>)
        /// The sandbox was not asked.
        case failed(SandboxError)
    }

    private struct Item {
        let number: Int
        let path: EditPath
        let stage: E2BStage
        let content: Content
        let done: CheckedContinuation<Answer, Never>
    }

    private struct State {
        var isSending = false
        var waiting: [Item] = []
        var lastNumber = 0
        /// Files whose request got no answer: they go by themselves, because one that nobody
        /// answers must not take others along again and again.
        var apart: Set<EditPath> = []
        /// Whether this sandbox answers uploads of several files as no such thing.
        var isOff = false
    }

    private let envd: E2BEnvd
    private let state = Mutex(State())

    /// Files in a request.
    private static let filesMax = 64
    /// Bytes of a file; a larger one goes by itself.
    private static let fileBytesMax = 64 << 10
    /// Files that are remembered as better alone.
    private static let apartMax = 1_000
    /// Bytes in a request.
    private static let bytesMax = 1 << 20

    init(envd: E2BEnvd) { self.envd = envd }

    /// Files that wait for the next request.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    /// Uploads a file into a stage.
    ///
    /// One that waits ends with its task; what is on its way is answered within its deadline.
    func upload(
        _ content: Content, for path: EditPath, into stage: E2BStage
    ) async -> Answer {
        let number: Int? = state.withLock { state in
            if state.isOff || content.count > Self.fileBytesMax { return nil }
            if state.apart.contains(path) { return nil }
            state.lastNumber += 1
            return state.lastNumber
        }
        guard let number else { return .alone }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { done in
                let item = Item(
                    number: number, path: path, stage: stage, content: content, done: done)
                let isFirst: Bool? = state.withLock { state in
                    // The handler has run already, and has found nothing.
                    if Task.isCancelled { return nil }
                    state.waiting.append(item)
                    defer { state.isSending = true }
                    return !state.isSending
                }
                switch isFirst {
                case nil: done.resume(returning: .failed(Self.ended))
                case true?: Task { await self.sendAll() }
                case false?: break
                }
            }
        } onCancel: {
            let item = state.withLock { state in
                state.waiting.firstIndex { $0.number == number }.map {
                    state.waiting.remove(at: $0)
                }
            }
            item?.done.resume(returning: .failed(Self.ended))
        }
    }

    private static let ended = SandboxError(
        .worker, code: "ended", "The worker ended before the file was uploaded.")

    private func sendAll() async {
        while let items = next() { await send(items) }
    }

    /// The files of the next request; nil when none waits.
    private func next() -> [Item]? {
        state.withLock { state in
            var count = 0
            var bytes = 0
            for item in state.waiting.prefix(Self.filesMax) {
                bytes += item.content.count
                if count > 0, bytes > Self.bytesMax { break }
                count += 1
            }
            guard count > 0 else {
                state.isSending = false
                return nil
            }
            defer { state.waiting.removeFirst(count) }
            return Array(state.waiting.prefix(count))
        }
    }

    /// Uploads files and answers each; what is left of a failure is cleared away afterwards.
    private func send(_ items: [Item]) async {
        // All files of a request get the same metadata.
        let token = items[0].stage.unused().token
        let staged = items.map { E2BStage.Staged(path: $0.stage.unused().path, token: token) }
        let form = E2BForm(zip(staged.map(\.path), items.map(\.content)))
        let metadata = [(E2BStage.writeKey, token), (E2BDrift.key, E2BDrift.unknown)]
        let result: Result<E2BReply, E2BLoss>
        do throws(SandboxError) {
            result = try await envd.upload(form, metadata: metadata)
        } catch {
            for item in items { item.done.resume(returning: .failed(error)) }
            return
        }
        let answer = answer(to: result, form, of: items)
        for (item, place) in zip(items, staged) {
            item.done.resume(returning: answer ?? .written(place))
        }
        if answer != nil, Self.mayHaveWritten(result) { discard(staged) }
    }

    /// What became of all files alike; nil when they are written.
    private func answer(
        to result: Result<E2BReply, E2BLoss>, _ form: E2BForm, of items: [Item]
    ) -> Answer? {
        switch result {
        case .failure:
            state.withLock { state in
                if state.apart.count >= Self.apartMax { state.apart = [] }
                state.apart.formUnion(items.map(\.path))
            }
            return .not(result)
        case .success(let reply) where reply.isSuccess:
            if form.isWritten(reply) { return nil }
            state.withLock { $0.isOff = true }
            return .alone
        case .success(let reply):
            return E2BFailure.isOfOneFile(reply) ? .alone : .not(result)
        }
    }

    private static func mayHaveWritten(_ result: Result<E2BReply, E2BLoss>) -> Bool {
        switch result {
        case .failure(let loss): loss.mayTakeEffect
        case .success(let reply):
            reply.isSuccess || E2BFailure.isOfOneFile(reply) || E2BFailure.mayTakeEffect(reply)
                || reply.status == 507
        }
    }

    /// Removes what lies there; what is left when that fails is removed with its stage.
    private func discard(_ staged: [E2BStage.Staged]) {
        Task { [envd] in
            do throws(SandboxError) {
                for one in staged { try await envd.remove(one.path) }
            } catch {
                // A sandbox that does not answer is not asked for each file.
            }
        }
    }
}

/// Files as one body of `multipart/form-data`, as E2B's own SDK sends them.
struct E2BForm: Sendable {
    /// With the boundary.
    let type: String
    let body: ByteBuffer

    private let count: Int

    /// Puts files together.
    ///
    /// - Parameter files: Paths of stages, which hold no quotes, and contents.
    init(_ files: some Sequence<(String, Content)>) {
        // As long as that, it is in no content but by chance that never comes.
        let halves = [UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max)]
        let boundary = "syncd-" + halves.map { Hexadecimal.digits(of: $0) }.joined()
        var body = ByteBuffer()
        var count = 0
        for (path, content) in files {
            count += 1
            body.writeString(
                "--\(boundary)\r\nContent-Disposition: form-data; name=\"file\"; "
                    + "filename=\"\(path)\"\r\nContent-Type: application/octet-stream\r\n\r\n")
            _ = content.withBytes { body.writeBytes($0) }
            body.writeString("\r\n")
        }
        body.writeString("--\(boundary)--\r\n")
        self.body = body
        self.count = count
        type = "multipart/form-data; boundary=\(boundary)"
    }

    /// Whether the answer tells of every file, and that each has its metadata.
    func isWritten(_ reply: E2BReply) -> Bool {
        let written = reply.written ?? []
        return written.count == count
            && written.allSatisfy { $0.metadata?[E2BStage.writeKey] != nil }
    }
}
