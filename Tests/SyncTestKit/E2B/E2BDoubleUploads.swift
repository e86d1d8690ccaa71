internal import Foundation
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// `POST /files` and commands.
extension E2BDouble {
    private struct Written: Encodable {
        let name: String
        let path: String
        let type = "file"
        let metadata: [String: String]?
    }

    /// Opens, and so truncates, when the headers are there, then writes what comes (1.4).
    func upload(
        _ sandbox: String, _ request: E2BDoubleRequest, _ parts: inout E2BDoubleParts
    ) async -> E2BDoubleReply? {
        let type = request.header("content-type") ?? ""
        if request.header("content-encoding") ?? "identity" != "identity" {
            return .error(400, "this double reads no compressed bodies")
        }
        if type.hasPrefix("multipart/form-data") {
            return await uploadForm(sandbox, type, request, &parts)
        }
        guard let raw = request.query["path"], type.hasPrefix("application/octet-stream") else {
            return .error(400, "path query parameter is required for raw body upload")
        }
        guard Self.isPrintable(request) else {
            guard await drained(&parts) != nil else { return nil }
            return .error(400, "metadata must be printable ASCII")
        }
        let fault = fault(.upload, raw)
        switch fault {
        case .refuse(let status, let message, let retryAfter):
            guard await drained(&parts) != nil else { return nil }
            return Self.refusal(status, message, retryAfter)
        case .late, .lateTimedOut:
            // Read to its end, so that it can be executed later; the client is not told.
            guard let body = await drained(&parts) else { return nil }
            state.withLock { $0.late.append { self.store(body, raw, sandbox, request).status } }
            if case .lateTimedOut = fault { return Self.timedOut }
            return nil
        case .hold, .holdAndLoseAnswer:
            await withCheckedContinuation { held in state.withLock { $0.held.append(held) } }
        case nil, .loseAnswer, .unreachableAfterEffect, .fullDisk, .killCommand, .refuseCommand:
            break
        }
        let reply = await stream(sandbox, raw, fault, request, &parts)
        switch fault {
        case .loseAnswer, .holdAndLoseAnswer: return nil
        case .unreachableAfterEffect:
            return .error(502, "The sandbox is running but port is not open")
        case nil, .refuse, .late, .lateTimedOut, .fullDisk, .hold, .killCommand, .refuseCommand:
            return reply
        }
    }

    private func stream(
        _ sandbox: String, _ raw: String, _ fault: Fault?, _ request: E2BDoubleRequest,
        _ parts: inout E2BDoubleParts
    ) async -> E2BDoubleReply? {
        let opened: (path: String, descriptor: Int32)
        do throws(EnvdFiles.Refusal) {
            opened = try envd(sandbox).open(raw)
        } catch {
            guard await drained(&parts) != nil else { return nil }
            return .error(error.status, error.message)
        }
        defer { close(opened.descriptor) }
        var room = Int.max
        if case .fullDisk(let bytes) = fault { room = bytes }
        do {
            while let part = try await parts.next(isolation: #isolation) {
                switch part {
                case .head: continue
                case .body(let bytes):
                    let fitting = bytes.readableBytesView.prefix(max(0, room))
                    if !Self.write(Array(fitting), to: opened.descriptor) { room = 0 }
                    room -= bytes.readableBytes
                case .end:
                    if room < 0 { return .error(507, "not enough disk space available") }
                    return written(opened, request)
                }
            }
        } catch {
            return nil  // Cut off: what came stays in the file.
        }
        return nil
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Whether all metadata may be kept (1.4); if not, nothing is written.
    private static func isPrintable(_ request: E2BDoubleRequest) -> Bool {
        request.headers.allSatisfy { name, value in
            !name.lowercased().hasPrefix("x-metadata-")
                || value.utf8.allSatisfy { (0x20...0x7E).contains($0) }
        }
    }

    /// Metadata is written after the body (1.4).
    private func written(
        _ opened: (path: String, descriptor: Int32), _ request: E2BDoubleRequest
    ) -> E2BDoubleReply {
        var words: [String: String] = [:]
        for (name, value) in request.headers where name.lowercased().hasPrefix("x-metadata-") {
            let key = String(name.lowercased().dropFirst("x-metadata-".count))
            if words[key] == nil { words[key] = value }
        }
        if !state.withLock({ $0.keepsMetadata }) { words = [:] }
        metadata.set(words, of: opened.descriptor)
        let name = opened.path.split(separator: "/").last.map(String.init) ?? ""
        var reply = E2BDoubleReply.json(
            [Written(name: name, path: opened.path, metadata: words.isEmpty ? nil : words)])
        reply.type = "text/plain; charset=utf-8"
        return reply
    }

    private func store(
        _ body: [UInt8], _ raw: String, _ sandbox: String, _ request: E2BDoubleRequest
    ) -> E2BDoubleReply {
        do throws(EnvdFiles.Refusal) {
            let opened = try envd(sandbox).open(raw)
            defer { close(opened.descriptor) }
            _ = Self.write(body, to: opened.descriptor)
            return written(opened, request)
        } catch {
            return .error(error.status, error.message)
        }
    }

    private func drained(_ parts: inout E2BDoubleParts) async -> [UInt8]? {
        var body: [UInt8] = []
        do {
            while let part = try await parts.next(isolation: #isolation) {
                if case .body(let bytes) = part { body += bytes.readableBytesView }
                if case .end = part { return body }
            }
        } catch {
            return nil
        }
        return nil
    }

    /// What the SDK sends by default: parts named `file` (1.9).
    ///
    /// Read whole, then written.
    private func uploadForm(
        _ sandbox: String, _ type: String, _ request: E2BDoubleRequest,
        _ parts: inout E2BDoubleParts
    ) async -> E2BDoubleReply? {
        guard let body = await drained(&parts) else { return nil }
        guard let mark = type.range(of: "boundary=") else { return .error(500, "no boundary") }
        guard Self.isPrintable(request) else {
            return .error(400, "metadata must be printable ASCII")
        }
        let boundary = type[mark.upperBound...].trimmingCharacters(in: ["\""])
        let fault = fault(.upload, request.query["path"] ?? "")
        switch fault {
        case .refuse(let status, let message, let retryAfter):
            return Self.refusal(status, message, retryAfter)
        case .late, .lateTimedOut:
            state.withLock {
                $0.late.append { self.storeForm(body, boundary, sandbox, request).status }
            }
            if case .lateTimedOut = fault { return Self.timedOut }
            return nil
        case .hold, .holdAndLoseAnswer:
            await withCheckedContinuation { held in state.withLock { $0.held.append(held) } }
        case nil, .loseAnswer, .unreachableAfterEffect, .fullDisk, .killCommand, .refuseCommand:
            break
        }
        let reply = storeForm(body, boundary, sandbox, request)
        switch fault {
        case .loseAnswer, .holdAndLoseAnswer: return nil
        case .unreachableAfterEffect:
            return .error(502, "The sandbox is running but port is not open")
        case nil, .refuse, .late, .lateTimedOut, .fullDisk, .hold, .killCommand, .refuseCommand:
            return reply
        }
    }

    /// Part by part, up to the first one that is refused (1.4).
    private func storeForm(
        _ body: [UInt8], _ boundary: String, _ sandbox: String, _ request: E2BDoubleRequest
    ) -> E2BDoubleReply {
        var replies: [E2BDoubleReply] = []
        let data = Data(body)
        var from = data.startIndex
        while let start = data.range(of: Data("--\(boundary)\r\n".utf8), in: from..<data.endIndex),
            let gap = data.range(
                of: Data("\r\n\r\n".utf8), in: start.upperBound..<data.endIndex),
            let end = data.range(
                of: Data("\r\n--\(boundary)".utf8), in: gap.lowerBound + 2..<data.endIndex)
        {
            let fields = String(decoding: data[start.upperBound..<gap.lowerBound], as: UTF8.self)
            from = end.lowerBound + 2
            guard fields.contains("name=\"file\"") else { continue }
            let named = fields.range(of: "filename=\"").map { found in
                String(fields[found.upperBound...].prefix { $0 != "\"" })
            }
            guard let path = request.query["path"] ?? named else { continue }
            // An empty part's end begins with the line that ends its head.
            let bytes = data[min(gap.upperBound, end.lowerBound)..<end.lowerBound]
            let reply = store([UInt8](bytes), path, sandbox, request)
            if reply.status != 200 { return reply }
            replies.append(reply)
        }
        let all = replies.map { String(decoding: $0.body.dropFirst().dropLast(), as: UTF8.self) }
        return E2BDoubleReply(
            type: "text/plain; charset=utf-8",
            body: Array("[\(all.joined(separator: ","))]".utf8))
    }

    // MARK: Commands

    private struct Start: Decodable, Sendable {
        struct Command: Decodable, Sendable {
            let cmd: String
            let args: [String]?
            let cwd: String?
        }

        let process: Command
    }

    /// Starts a real process in the sandbox's directory and tells its end, in frames of the Connect
    /// protocol: one byte of flags, four of length, JSON.
    func run(
        _ sandbox: String, _ body: [UInt8], _ request: E2BDoubleRequest
    ) async -> E2BDoubleReply? {
        guard body.count > 5, request.header("content-type") == "application/connect+json",
            let start = try? JSONDecoder().decode(Start.self, from: Data(body.dropFirst(5)))
        else { return .error(415, "unsupported media type") }
        let envd = envd(sandbox)
        let words = ([start.process.cmd] + (start.process.args ?? [])).joined(separator: " ")
        let place: String
        do throws(EnvdFiles.Refusal) {
            place = envd.place(try envd.resolve(start.process.cwd ?? ""))
        } catch {
            return .error(error)
        }
        switch fault(.run, words) {
        case .refuse(let status, let message, let retryAfter):
            return Self.refusal(status, message, retryAfter)
        case .late:
            state.withLock { $0.late.append { Self.run(start.process, place).status } }
            return nil
        case .lateTimedOut:
            state.withLock { $0.late.append { Self.run(start.process, place).status } }
            return Self.timedOut
        case .hold:
            await withCheckedContinuation { held in state.withLock { $0.held.append(held) } }
        case .loseAnswer:
            _ = await executed(start.process, place)
            return nil
        case .unreachableAfterEffect:
            _ = await executed(start.process, place)
            return .error(502, "The sandbox is running but port is not open")
        case .holdAndLoseAnswer:
            await withCheckedContinuation { held in state.withLock { $0.held.append(held) } }
            _ = await executed(start.process, place)
            return nil
        case .refuseCommand(let code, let message):
            return Self.frames([
                #"{"error":{"code":"\#(code)","message":"\#(message)"}}"#
            ])
        case .killCommand:
            return Self.frames([
                #"{"event":{"start":{"pid":1}}}"#,
                #"{"event":{"end":{"exitCode":-1,"status":"signal: killed"}}}"#, "{}",
            ])
        case nil, .fullDisk: break
        }
        return await executed(start.process, place)
    }

    /// What blocks has a thread of its own: the tests' own tasks would wait for it.
    private func executed(_ command: Start.Command, _ place: String) async -> E2BDoubleReply {
        await withCheckedContinuation { done in
            DispatchQueue.global().async { done.resume(returning: Self.run(command, place)) }
        }
    }

    private static func run(_ command: Start.Command, _ place: String) -> E2BDoubleReply {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [command.cmd] + (command.args ?? [])
        process.currentDirectoryURL = URL(fileURLWithPath: place)
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            return frames([#"{"error":{"code":"invalid_argument","message":"no cwd"}}"#])
        }
        let said = output.fileHandleForReading.readDataToEndOfFile().base64EncodedString()
        process.waitUntilExit()
        let code = process.terminationStatus
        let exit = code == 0 ? "" : #""exitCode":\#(code),"#
        var events = [#"{"event":{"start":{"pid":\#(process.processIdentifier)}}}"#]
        if !said.isEmpty { events.append(#"{"event":{"data":{"stdout":"\#(said)"}}}"#) }
        events.append(
            #"{"event":{"end":{\#(exit)"exited":true,"status":"exit status \#(code)"}}}"#)
        return frames(events + ["{}"])
    }

    private static func frames(_ texts: [String]) -> E2BDoubleReply {
        var body = ByteBuffer()
        for (place, text) in texts.enumerated() {
            body.writeInteger(UInt8(place == texts.count - 1 ? 2 : 0))
            body.writeInteger(UInt32(text.utf8.count))
            body.writeString(text)
        }
        return E2BDoubleReply(
            type: "application/connect+json", body: Array(body.readableBytesView))
    }
}
