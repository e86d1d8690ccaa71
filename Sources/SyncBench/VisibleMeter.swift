import Foundation
import Histogram
import Synchronization

/// Latencies in microseconds, three digits exact.
struct LatencyHistogram: Sendable {
    private var histogram = Histogram<UInt64>(
        highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)

    init() {}

    init(_ samples: [VisibleMeter.Sample]) {
        for sample in samples { record(sample.latency) }
    }

    mutating func record(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        _ = histogram.record(UInt64(clamping: min(max(microseconds, 0), 599_000_000)))
    }

    var count: Int { Int(histogram.totalCount) }

    /// The latency, in milliseconds, that so many percent do not exceed.
    func milliseconds(_ percentile: Double) -> Double {
        count == 0 ? 0 : Double(histogram.valueAtPercentile(percentile)) / 1_000
    }

    /// The longest, in milliseconds.
    var longest: Double { count == 0 ? 0 : Double(histogram.maxRecorded) / 1_000 }
}

/// Watches a sandbox's directory and tells when each edit became visible there.
///
/// Every content begins with its edit's place, sixteen digits; the kernel tells of a file renamed
/// into place, and the digits tell which edits are visible by then: that one and all before it.
final class VisibleMeter: Sendable {
    /// One edit that became visible.
    struct Sample: Sendable {
        /// When it was to be sent.
        let dueAt: ContinuousClock.Instant
        /// From then to being visible.
        let latency: Duration
    }

    private struct State {
        var waiting: [String: [(place: Int, at: ContinuousClock.Instant)]] = [:]
        var waitingCount = 0
        var seen: [Sample] = []
        var done: CheckedContinuation<Void, Never>?
        var isStopped = false
    }

    private let directory: String
    private let descriptor: Int32
    private let state = Mutex(State())

    /// Watches from now on; the directory must exist.
    init(_ directory: String) throws {
        self.directory = directory
        let descriptor = inotify_init1(Int32(IN_CLOEXEC))
        guard descriptor >= 0,
            inotify_add_watch(descriptor, directory, UInt32(IN_MOVED_TO)) >= 0
        else {
            throw BenchError("\(directory) can't be watched: \(String(cString: strerror(errno)))")
        }
        self.descriptor = descriptor
        Thread { self.watch() }.start()
    }

    /// Expects an edit of a file; its latency counts from the moment at which it was due.
    func expect(_ place: Int, of file: String, dueAt: ContinuousClock.Instant) {
        state.withLock {
            $0.waiting[file, default: []].append((place, dueAt))
            $0.waitingCount += 1
        }
    }

    /// Waits until every expected edit was seen, and stops watching.
    func finish() async -> [Sample] {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if state.waitingCount > 0 { state.done = continuation }
                return state.waitingCount == 0
            }
            if isDone { continuation.resume() }
        }
        return state.withLock { state in
            state.isStopped = true
            return state.seen
        }
    }

    private func watch() {
        let bytes = 65_536
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 8)
        defer {
            buffer.deallocate()
            close(descriptor)
        }
        while !state.withLock({ $0.isStopped }) {
            var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&item, 1, 200) > 0 else { continue }
            let count = read(descriptor, buffer.baseAddress, bytes)
            let now = ContinuousClock.now
            var offset = 0
            let head = MemoryLayout<inotify_event>.size
            while count > 0, offset + head <= count {
                let event = buffer.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
                let end = offset + head + Int(event.len)
                let name = String(
                    decoding: buffer[offset + head..<end].prefix { $0 != 0 }, as: UTF8.self)
                see(name, at: now)
                offset = end
            }
        }
    }

    private func see(_ name: String, at now: ContinuousClock.Instant) {
        guard let place = place(in: directory + "/" + name) else { return }
        let done = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard let waiting = state.waiting[name] else { return nil }
            state.waiting[name] = waiting.filter { $0.place > place }
            for edit in waiting where edit.place <= place {
                state.waitingCount -= 1
                state.seen.append(Sample(dueAt: edit.at, latency: now - edit.at))
            }
            guard state.waitingCount == 0 else { return nil }
            defer { state.done = nil }
            return state.done
        }
        done?.resume()
    }

    private func place(in file: String) -> Int? {
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var digits = [UInt8](repeating: 0, count: 16)
        guard read(descriptor, &digits, 16) == 16 else { return nil }
        return Int(String(decoding: digits, as: UTF8.self))
    }
}
