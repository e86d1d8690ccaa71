/// Owner of bytes that do not change: an array here, a message part of libzmq in the transport.
package protocol ByteStorage: AnyObject, Sendable {
    /// How many bytes.
    var byteCount: Int { get }
    /// Calls with the bytes; the pointer is valid only inside.
    func withBytes(_ body: (UnsafeRawBufferPointer) -> Void)
}

/// The bytes of a file, shared and never copied on the way.
package struct Content: Sendable {
    /// Who owns the bytes.
    package let storage: any ByteStorage

    /// Shares what somebody owns.
    package init(storage: any ByteStorage) { self.storage = storage }

    /// Takes an array.
    package init(_ bytes: [UInt8]) { storage = ArrayStorage(bytes) }

    /// No bytes.
    package static let empty = Content([])

    /// How many bytes; at most 16 MiB by default.
    package var count: Int { storage.byteCount }

    /// Bytes of memory that it takes: its own, and about what it takes to keep them, the objects
    /// around a message part above all.
    package var weight: Int { count + Self.keepingBytes }

    /// What a content takes beside its bytes.
    package static let keepingBytes = 192

    /// Calls with the bytes; the pointer is valid only inside.
    package func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        var result: R?
        storage.withBytes { result = body($0) }
        guard let result else { preconditionFailure("storage did not call its body") }
        return result
    }

    /// A copy as an array.
    package var bytes: [UInt8] { withBytes { Array($0) } }

    /// XXH64 of the bytes with seed 0: equal in every process; tells whether two contents differ.
    package var digest: UInt64 { withBytes { StableHash.hash($0) } }
}

extension Content: Equatable {
    /// Byte for byte.
    package static func == (left: Content, right: Content) -> Bool {
        guard left.count == right.count else { return false }
        return left.withBytes { first in right.withBytes { first.elementsEqual($0) } }
    }
}

private final class ArrayStorage: ByteStorage {
    let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    var byteCount: Int { bytes.count }
    func withBytes(_ body: (UnsafeRawBufferPointer) -> Void) { bytes.withUnsafeBytes(body) }
}
