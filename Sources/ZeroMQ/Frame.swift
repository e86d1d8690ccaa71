internal import CLibZMQ
internal import Glibc

/// One part of a message: immutable bytes that live in libzmq's memory.
///
/// Received bytes are never copied. A received frame below 8 KiB may be a window into libzmq's
/// receive buffer, which lives as long as the frame: who keeps a few bytes for hours takes `bytes`,
/// `text` or `standalone`, which are copies.
package struct Frame: Sendable {
    // Safe to share, though the compiler cannot see it: `Storage` never changes, see there.
    nonisolated(unsafe) private let storage: Storage

    /// Copies bytes into a new part.
    ///
    /// The C function is `zmq_msg_init_size`.
    package init(_ bytes: some Collection<UInt8>) {
        let copied = bytes.withContiguousStorageIfAvailable { source in
            Storage.make(copying: UnsafeRawBufferPointer(source))
        }
        storage = copied ?? Array(bytes).withUnsafeBytes { Storage.make(copying: $0) }
    }

    /// Copies a text's UTF-8 into a new part.
    ///
    /// The C function is `zmq_msg_init_size`.
    package init(_ text: String) {
        var text = text
        storage = text.withUTF8 { Storage.make(copying: UnsafeRawBufferPointer($0)) }
    }

    /// Shares memory without a copy.
    ///
    /// The C function is `zmq_msg_init_data`.
    ///
    /// - Parameters:
    ///   - owner: Kept alive until neither this frame nor libzmq needs the bytes. Its last
    ///     reference may be dropped on libzmq's own thread, after the socket is closed, so its
    ///     `deinit` must be content with any thread.
    ///   - bytes: Owned by `owner`; must not change or move as long as `owner` lives.
    package init(sharing owner: any AnyObject & Sendable, bytes: UnsafeRawBufferPointer) {
        storage = Storage.make(sharing: owner, bytes: bytes)
    }

    /// Takes over a part; the source is left empty and still to be closed.
    init(moving part: UnsafeMutablePointer<zmq_msg_t>) {
        storage = Storage.make(moving: part)
    }

    /// Length in bytes.
    package var count: Int { storage.withPart { LibraryCalls.count(of: $0) } }

    /// Whether there are no bytes.
    package var isEmpty: Bool { count == 0 }

    /// Lends the bytes for the duration of a call; they must not be kept.
    package func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try storage.withPart { (part) throws(Failure) -> Result in
            try body(LibraryCalls.bytes(of: part))
        }
    }

    /// The bytes as text; nil when they are not valid UTF-8, which is never repaired.
    package var text: String? {
        withUnsafeBytes { bytes in String(validating: bytes, as: UTF8.self) }
    }

    /// Bytes below which a received frame may be a window into libzmq's receive buffer.
    package static let windowBytesMax = 8_192

    /// The same bytes in memory of their own, which is as large as they are.
    ///
    /// The receive buffer behind a window takes 18 KiB, however little of it is still needed.
    package var standalone: Frame {
        count < Self.windowBytesMax ? withUnsafeBytes { Frame($0) } : self
    }

    /// A copy of the bytes.
    package var bytes: [UInt8] { withUnsafeBytes { [UInt8]($0) } }

    /// Makes a reference for libzmq to consume; the target must be initialized.
    func share(with target: UnsafeMutablePointer<zmq_msg_t>) {
        storage.withPart { LibraryCalls.copy($0, to: target) }
    }
}

extension Frame: Equatable {
    /// Whether two frames have the same bytes.
    package static func == (left: Frame, right: Frame) -> Bool {
        left.withUnsafeBytes { mine in
            right.withUnsafeBytes { other in
                guard mine.count == other.count else { return false }
                guard let start = mine.baseAddress, let otherStart = other.baseAddress else {
                    return true
                }
                return memcmp(start, otherStart, mine.count) == 0
            }
        }
    }
}

/// The parts of one message, in order; the message, not the part, is sent and received.
///
/// A plain array: an envelope is a prefix, an answer is `envelope + fields`, and the codec of
/// another target needs nothing that an array lacks.
package typealias Message = [Frame]

// MARK: - Storage

/// One `zmq_msg_t` in the object's own allocation, closed with the object.
///
/// Nothing is written after `make` returns, because the part is *shared at birth*: `zmq_msg_copy`
/// turns an unshared source into a shared one with plain stores, a race when one frame is sent from
/// two threads; once it is shared, only an atomic counter changes.
private final class Storage: ManagedBuffer<Void, zmq_msg_t> {
    static func make(copying bytes: UnsafeRawBufferPointer) -> Storage {
        make { part in
            LibraryCalls.initialize(part, count: bytes.count)
            if let source = bytes.baseAddress, let target = LibraryCalls.bytes(of: part).baseAddress
            {
                memcpy(UnsafeMutableRawPointer(mutating: target), source, bytes.count)
            }
        }
    }

    static func make(
        sharing owner: any AnyObject & Sendable, bytes: UnsafeRawBufferPointer
    ) -> Storage {
        make { part in
            if bytes.isEmpty {
                LibraryCalls.initialize(part)
                return
            }
            // Trap "zero-copy free functions run on libzmq's I/O thread, possibly after the socket
            // is closed": this one releases a reference, nothing else.
            let hint = Unmanaged<AnyObject>.passRetained(owner).toOpaque()
            LibraryCalls.initialize(
                part, sharing: bytes,
                release: { _, hint in
                    guard let hint else { return }
                    Unmanaged<AnyObject>.fromOpaque(hint).release()
                }, hint: hint)
        }
    }

    static func make(moving source: UnsafeMutablePointer<zmq_msg_t>) -> Storage {
        make { part in
            LibraryCalls.initialize(part)
            LibraryCalls.move(source, to: part)
        }
    }

    func withPart<Result, Failure: Error>(
        _ body: (UnsafeMutablePointer<zmq_msg_t>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeMutablePointerToElements { (part) throws(Failure) -> Result in
            try body(part)
        }
    }

    private static func make(_ fill: (UnsafeMutablePointer<zmq_msg_t>) -> Void) -> Storage {
        let buffer = Storage.create(minimumCapacity: 1) { _ in () }
        let storage = unsafeDowncast(buffer, to: Storage.self)
        storage.withUnsafeMutablePointerToElements { part in
            fill(part)
            var second = zmq_msg_t()
            LibraryCalls.initialize(&second)
            LibraryCalls.copy(part, to: &second)
            LibraryCalls.discard(&second)
        }
        return storage
    }

    deinit {
        withUnsafeMutablePointerToElements { part in
            LibraryCalls.discard(part)
        }
    }
}
